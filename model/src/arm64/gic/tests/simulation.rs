//! Guests with several vCPUs, whose processors run on while a kick is under way, against a plain model of
//! what may be delivered: no interrupt lost, none doubled, the most urgent first.

use super::*;
use std::collections::BTreeSet;
use std::vec;

/// What kind of interrupts there are, and which INTIDs of each.
const SGI: u64 = 3;
const LINKED_PPI: u64 = 27;
const LEVEL_PPI: u64 = 30;
const EDGES: [u64; 3] = [33, 34, 35];
const LEVELS: [u64; 2] = [36, 37];
const LINKED_EDGE: u64 = 40;
const LINKED_LEVEL: u64 = 41;
const ALL: [u64; 10] = [SGI, LINKED_PPI, LEVEL_PPI, 33, 34, 35, 36, 37, LINKED_EDGE, LINKED_LEVEL];

/// An interrupt as the plain model tells them apart: the vCPU of a private one, the source of an SGI.
type Key = (u64, usize, u8);

/// For which vCPU an interrupt is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Whichever.
    Anybody,
    /// One that runs here.
    Loaded,
    /// One that is about to.
    Loads,
}

#[derive(Clone, Debug)]
enum Step {
    Acknowledge,
    End,
    Kick,
    Sgi { targets: u64 },
    SgiToOneself,
    Pulse { of: usize, whose: Whose },
    Edge(usize),
    Line { of: usize, high: bool },
    Inject { of: usize, running: bool },
    Bit { base: u64, of: usize },
    Priority { of: usize, priority: u8 },
    Route { of: usize, to: usize },
    Control(u64),
    Group(usize),
    Fold,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Acknowledge),
        5 => Just(Step::End),
        3 => Just(Step::Kick),
        3 => any::<u64>().prop_map(|targets| Step::Sgi { targets }),
        3 => Just(Step::SgiToOneself),
        4 => (0..EDGES.len()).prop_map(Step::Edge),
        6 => (0..ALL.len(), prop::sample::select(vec![Whose::Anybody, Whose::Loaded, Whose::Loads]))
            .prop_map(|(of, whose)| Step::Pulse { of, whose }),
        4 => (0_usize..3, any::<bool>()).prop_map(|(of, high)| Step::Line { of, high }),
        4 => (0_usize..3, any::<bool>()).prop_map(|(of, running)| Step::Inject { of, running }),
        6 => (bit_register(), 0..ALL.len())
            .prop_map(|(base, of)| Step::Bit { base, of }),
        3 => (0..ALL.len(), any::<u8>()).prop_map(|(of, priority)| Step::Priority { of, priority }),
        2 => (0..ALL.len(), 0_usize..8).prop_map(|(of, to)| Step::Route { of, to }),
        1 => (0_u64..4).prop_map(Step::Control),
        1 => (0..ALL.len()).prop_map(Step::Group),
        1 => Just(Step::Fold),
    ]
}

fn bit_register() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => Just(ENABLE),
        2 => Just(DISABLE),
        2 => Just(PEND),
        2 => Just(UNPEND),
        1 => Just(DEACTIVATE),
    ]
}

/// The CPU interface of a vCPU: its list registers and what it has active, as (INTID, priority).
#[derive(Default)]
struct Processor {
    lists: Lists,
    active: Vec<(u64, u8)>,
    /// A kick is under way: the list registers may be out of date.
    stale: bool,
}

struct World {
    gic: Gic,
    version: Version,
    list_registers: usize,
    processors: Vec<Processor>,
    /// Latched pending states that must be delivered.
    latched: BTreeSet<Key>,
    /// Pending states that were taken back while a list register may have had them: they may be delivered
    /// until their vCPU folds.
    ghosts: BTreeSet<(Key, usize)>,
    /// Interrupts that were deactivated while a list register may have had them: INTID and vCPU. If the
    /// guest takes one before its vCPU folds, that active state goes, too.
    voided: BTreeSet<(u64, usize)>,
    /// Lines that are high.
    high: BTreeSet<Key>,
    /// Physical interrupts that are active: INTID and vCPU (0 for SPIs).
    physical: BTreeSet<(u64, usize)>,
    enabled: BTreeSet<(u64, usize)>,
    priorities: std::collections::BTreeMap<(u64, usize), u8>,
    routes: std::collections::BTreeMap<u64, usize>,
    /// Those in group 1.
    group1: BTreeSet<(u64, usize)>,
    /// GICD_CTLR.
    forwarded: u64,
}

fn is_private(intid: u64) -> bool {
    intid < 32
}

/// The place of an interrupt in the plain model's tables.
fn slot(intid: u64, vcpu: usize) -> (u64, usize) {
    (intid, if is_private(intid) { vcpu } else { 0 })
}

fn is_level(intid: u64) -> bool {
    intid == LEVEL_PPI || LEVELS.contains(&intid)
}

fn is_linked(intid: u64) -> bool {
    matches!(intid, LINKED_PPI | LINKED_EDGE | LINKED_LEVEL)
}

impl World {
    fn new(version: Version, vcpus: usize, list_registers: usize) -> Self {
        let mut gic = gic(version, vcpus, list_registers);
        for intid in EDGES.into_iter().chain([LINKED_EDGE]) {
            set_edge(&mut gic, intid);
        }
        if version == Version::V3 {
            for vcpu in 0..vcpus {
                let _ = gic.write(vcpu, Place::Redistributor(vcpu), SGI_BASE + 0x80, (WORD, u64::MAX));
            }
            let _ = gic.write(0, GICD, 0x84, (WORD, u64::MAX));
        }
        let mut world = Self {
            gic,
            version,
            list_registers,
            processors: (0..vcpus).map(|_| Processor::default()).collect(),
            latched: BTreeSet::new(),
            ghosts: BTreeSet::new(),
            voided: BTreeSet::new(),
            high: BTreeSet::new(),
            physical: BTreeSet::new(),
            enabled: BTreeSet::new(),
            priorities: Default::default(),
            routes: Default::default(),
            group1: BTreeSet::new(),
            forwarded: 3,
        };
        if version == Version::V3 {
            world
                .group1
                .extend(ALL.into_iter().flat_map(|intid| (0..vcpus).map(move |vcpu| slot(intid, vcpu))));
        } else {
            world.enabled.extend((0..vcpus).map(|vcpu| (SGI, vcpu)));
        }
        world
    }

    fn route(&self, intid: u64, vcpu: usize) -> usize {
        if is_private(intid) { vcpu } else { self.routes.get(&intid).copied().unwrap_or(0) }
    }

    fn priority(&self, intid: u64, vcpu: usize) -> u8 {
        self.priorities.get(&slot(intid, vcpu)).copied().unwrap_or(0)
    }

    /// Becomes pending once more. What a list register may have had before is then a second cause: nobody
    /// can tell whether the guest took that before this came.
    fn latch(&mut self, key: Key) {
        self.recall(key);
        self.latched.insert(key);
    }

    /// Those whose list registers may still hold this interrupt.
    fn recall(&mut self, key: Key) {
        for vcpu in 0..self.processors.len() {
            let listed = entries(&self.processors[vcpu].lists)
                .iter()
                .any(|entry| entry.is_pending() && self.key(*entry, vcpu) == key);
            if listed {
                self.ghosts.insert((key, vcpu));
            }
        }
    }

    fn key(&self, entry: ListRegister, vcpu: usize) -> Key {
        let intid = u64::from(entry.intid());
        let source = if intid < 16 && self.version == Version::V2 { entry.source() } else { 0 };
        let (intid, vcpu) = slot(intid, vcpu);
        (intid, vcpu, source)
    }

    /// After a call by (or for) a vCPU: it refills before it enters the guest, the others when the kick
    /// has arrived.
    fn after(&mut self, vcpu: usize, attention: Attention) {
        for other in attention {
            self.processors[other].stale = true;
        }
        if self.gic.needs_refill(vcpu) {
            self.refill(vcpu);
        }
        self.release(vcpu);
        for (number, processor) in self.processors.iter().enumerate() {
            assert!(processor.stale || !self.gic.needs_refill(number), "nobody was told of vCPU {number}");
        }
    }

    fn refill(&mut self, vcpu: usize) {
        let processor = &mut self.processors[vcpu];
        let attention = self.gic.refill(vcpu, &mut processor.lists);
        processor.stale = false;
        assert!(processor.lists.used.count_ones() as usize <= self.list_registers);
        self.forget(vcpu);
        for other in attention {
            assert_ne!(other, vcpu);
            self.processors[other].stale = true;
        }
        self.release(vcpu);
    }

    /// The list registers were folded: there is no doubt any more.
    fn forget(&mut self, vcpu: usize) {
        self.ghosts.retain(|(_, holder)| *holder != vcpu);
        self.voided.retain(|(_, holder)| *holder != vcpu);
    }

    fn release(&mut self, vcpu: usize) {
        while let Some(physical) = self.gic.take_release(vcpu) {
            let intid = u64::from(physical) - 100;
            assert!(self.physical.remove(&slot(intid, vcpu)), "{intid} was released without being active");
        }
    }

    /// The guest takes the most urgent interrupt of its list registers, if it is more urgent than what
    /// it is at.
    fn acknowledge(&mut self, vcpu: usize) -> Option<u64> {
        let processor = &self.processors[vcpu];
        let running = processor.active.last().map_or(0x100, |&(_, priority)| u16::from(priority));
        let best = (0..16)
            .filter(|n| processor.lists.used >> n & 1 != 0)
            .map(|n| (ListRegister(processor.lists.entries[n]), n))
            .filter(|(entry, _)| entry.is_pending() && !entry.is_active())
            .min_by_key(|(entry, n)| (entry.priority(), *n))
            .filter(|(entry, _)| u16::from(entry.priority()) < running);
        self.check_order(vcpu, running, best.map(|(entry, _)| entry));
        let (entry, n) = best?;
        let key = self.key(entry, vcpu);
        self.processors[vcpu].lists.entries[n] ^= 3 << 62;
        self.processors[vcpu].active.push((key.0, entry.priority()));
        self.check_cause(key, vcpu);
        self.check_alone(key.0, vcpu);
        if self.voided.contains(&(key.0, vcpu)) {
            self.processors[vcpu].active.pop();
        }
        Some(key.0)
    }

    /// What is delivered was pending, and is no more.
    fn check_cause(&mut self, key: Key, vcpu: usize) {
        if self.ghosts.remove(&(key, vcpu)) || self.latched.remove(&key) || self.high.contains(&key) {
            return;
        }
        panic!("{key:?} was delivered to vCPU {vcpu} without a cause");
    }

    /// It is not active anywhere else.
    fn check_alone(&self, intid: u64, vcpu: usize) {
        let takers =
            self.processors.iter().enumerate().filter(|&(number, _)| !is_private(intid) || number == vcpu);
        let count = takers.flat_map(|(_, taker)| &taker.active).filter(|active| active.0 == intid).count();
        assert_eq!(count, 1, "{intid} is active twice");
    }

    /// Everything that is pending for this vCPU and could be taken, as priority and INTID.
    fn takeable(&self, vcpu: usize) -> Vec<(u8, u64)> {
        self.latched
            .iter()
            .chain(&self.high)
            .filter(|key| !is_private(key.0) || key.1 == vcpu)
            .map(|key| key.0)
            .filter(|&intid| {
                let group = u32::from(self.group1.contains(&slot(intid, vcpu)));
                self.forwarded >> group & 1 != 0
            })
            .filter(|&intid| self.route(intid, vcpu) == vcpu && self.enabled.contains(&slot(intid, vcpu)))
            .filter(|&intid| {
                let mut others = self.processors.iter().enumerate();
                !others.any(|(number, taker)| {
                    (!is_private(intid) || number == vcpu)
                        && taker.active.iter().any(|active| active.0 == intid)
                })
            })
            .map(|intid| (self.priority(intid, vcpu), intid))
            .collect()
    }

    /// With list registers that are up to date the guest takes one of the most urgent.
    fn check_order(&self, vcpu: usize, running: u16, taken: Option<ListRegister>) {
        let one_is_not_enough = self.list_registers == 1 && !self.processors[vcpu].active.is_empty();
        if self.processors.iter().any(|processor| processor.stale) || one_is_not_enough {
            return;
        }
        let takeable = self.takeable(vcpu);
        let lists = &self.processors[vcpu].lists;
        assert_eq!(self.gic.deliverable(vcpu, lists), !takeable.is_empty(), "{takeable:x?} {lists:x?}");
        let best = takeable.into_iter().min().filter(|&(priority, _)| u16::from(priority) < running);
        assert_eq!(
            taken.map(ListRegister::priority),
            best.map(|(priority, _)| priority),
            "{best:x?} {taken:x?}"
        );
    }

    /// The guest ends what it is at; the hardware asks for maintenance where it was told to.
    fn end(&mut self, vcpu: usize) {
        let processor = &mut self.processors[vcpu];
        let Some((intid, _)) = processor.active.pop() else { return };
        let listed = (0..16).find(|&n| {
            let entry = ListRegister(processor.lists.entries[n]);
            processor.lists.used >> n & 1 != 0 && u64::from(entry.intid()) == intid && entry.is_active()
        });
        let listed = listed.unwrap_or_else(|| panic!("{intid} was ended and is in no list register"));
        processor.lists.entries[listed] &= !(1 << 63);
        let entry = ListRegister(processor.lists.entries[listed]);
        if entry.is_linked() {
            assert_eq!(u64::from(entry.physical()), intid + 100);
            assert!(self.physical.remove(&slot(intid, vcpu)), "{intid} was not active at the host");
        }
        let lists = &self.processors[vcpu].lists;
        let valid = entries(lists).into_iter().filter(|entry| !entry.is_empty()).count();
        if entry.is_empty() && entry.notifies_end() || lists.underflow && valid <= 1 {
            self.refill(vcpu);
        }
    }

    fn step(&mut self, vcpu: usize, step: &Step) {
        match *step {
            Step::Acknowledge => {
                self.acknowledge(vcpu);
            }
            Step::End => self.end(vcpu),
            Step::Kick => self.refill(vcpu),
            Step::Sgi { targets } => self.send(vcpu, targets),
            Step::Edge(of) => self.edge(vcpu, EDGES[of]),
            Step::Line { of, high } => self.line(vcpu, [LEVEL_PPI, LEVELS[0], LEVELS[1]][of], high),
            Step::SgiToOneself => self.send_to_oneself(vcpu),
            Step::Pulse { of, whose } => self.pulse(vcpu, ALL[of], whose),
            Step::Inject { of, running } => {
                self.inject(vcpu, [LINKED_PPI, LINKED_EDGE, LINKED_LEVEL][of], running);
            }
            Step::Bit { base, of } => self.bit(vcpu, base, ALL[of]),
            Step::Priority { of, priority } => {
                self.priorities.insert(slot(ALL[of], vcpu), priority & 0xf8);
                let attention = set_priority(&mut self.gic, vcpu, ALL[of], priority);
                self.after(vcpu, attention);
            }
            Step::Route { of, to } => self.set_route(vcpu, ALL[of], to % self.processors.len()),
            Step::Control(value) => {
                self.forwarded = value;
                let attention = self.gic.write(vcpu, GICD, 0, (WORD, value)).attention;
                self.after(vcpu, attention);
            }
            Step::Group(of) => self.flip_group(vcpu, ALL[of]),
            Step::Fold => {
                let attention = self.gic.fold(vcpu, &mut self.processors[vcpu].lists);
                self.forget(vcpu);
                self.after(vcpu, attention);
            }
        }
    }

    fn send(&mut self, vcpu: usize, targets: u64) {
        let targets = targets & 0xff;
        let attention = match self.version {
            Version::V3 => self.gic.sgi(vcpu, SGI << 24 | targets, SgiGroup::Group1),
            Version::V2 => self.gic.write(vcpu, GICD, 0xf00, (WORD, targets << 16 | SGI)).attention,
        };
        let source = if self.version == Version::V2 { vcpu as u8 } else { 0 };
        for target in 0..self.processors.len() {
            let takes = self.version == Version::V2 || self.group1.contains(&(SGI, target));
            if takes && targets >> target & 1 != 0 {
                self.latch((SGI, target, source));
            }
        }
        self.after(vcpu, attention);
    }

    fn send_to_oneself(&mut self, vcpu: usize) {
        if self.version == Version::V2 {
            return self.send(vcpu, 1 << vcpu);
        }
        if self.group1.contains(&(SGI, vcpu)) {
            self.latch((SGI, vcpu, 0));
        }
        self.raise(vcpu, Raise::Sgi(SGI << 24 | 1 << vcpu, SgiGroup::Group1));
    }

    /// Becomes pending, in a list register or by the long way.
    fn pulse(&mut self, vcpu: usize, intid: u64, whose: Whose) {
        if intid < 16 {
            return;
        }
        let (place, owner) = slot(intid, vcpu);
        self.latch((place, owner, 0));
        let unchanged = whose == Whose::Loads && !self.gic.needs_refill(vcpu);
        if unchanged && self.processors[vcpu].lists.repeat(intid as u32) {
            return;
        }
        if whose == Whose::Anybody {
            let attention = self.gic.pulse(vcpu, intid as u32);
            self.after(vcpu, attention);
        } else {
            self.raise(vcpu, Raise::Pulse(intid as u32));
        }
    }

    /// At most one list register is written; the others stand as they are.
    fn raise(&mut self, vcpu: usize, raise: Raise) {
        let Processor { lists, .. } = &mut self.processors[vcpu];
        let hardware = lists.entries;
        let mut written = None;
        let write = |place, entry| written = Some((place, entry));
        let attention =
            self.gic.raise_running(vcpu, raise, lists, (|_: &Lists, place: usize| hardware[place], write));
        assert!(written.is_none() || attention.is_empty());
        assert!(lists.used.count_ones() as usize <= self.list_registers);
        for (place, before) in hardware.into_iter().enumerate() {
            let now = lists.entries[place];
            // What the guest was done with may have been taken back without another in its place.
            let taken_back = ListRegister(before).is_empty() && lists.used >> place & 1 == 0;
            assert!(written == Some((place, now)) || now == before || taken_back);
        }
        self.after(vcpu, attention);
    }

    fn edge(&mut self, vcpu: usize, intid: u64) {
        self.latch((intid, 0, 0));
        let attention = self.gic.set_line(intid as u32, vcpu, true);
        self.after(vcpu, attention);
        let attention = self.gic.set_line(intid as u32, vcpu, false);
        self.after(vcpu, attention);
    }

    fn line(&mut self, vcpu: usize, intid: u64, high: bool) {
        let (intid, owner) = slot(intid, vcpu);
        let key = (intid, owner, 0);
        if high {
            self.high.insert(key);
        } else if self.high.remove(&key) && !self.latched.contains(&key) {
            self.recall(key);
        }
        let attention = self.gic.set_line(intid as u32, vcpu, high);
        self.after(vcpu, attention);
    }

    fn inject(&mut self, vcpu: usize, intid: u64, running: bool) {
        let (intid, owner) = slot(intid, vcpu);
        if self.physical.insert((intid, owner)) {
            self.latch((intid, owner, 0));
            if running {
                return self.raise(vcpu, Raise::Physical(intid as u32, intid as u32 + 100));
            }
            let attention = self.gic.inject_physical(vcpu, intid as u32, intid as u32 + 100);
            self.after(vcpu, attention);
        }
    }

    fn bit(&mut self, vcpu: usize, base: u64, intid: u64) {
        let place = slot(intid, vcpu);
        let key = (place.0, place.1, 0);
        let sourced = intid == SGI && self.version == Version::V2;
        match base {
            ENABLE => {
                self.enabled.insert(place);
            }
            DISABLE if !sourced => {
                self.enabled.remove(&place);
            }
            PEND if !sourced => {
                self.latch(key);
            }
            UNPEND if !sourced => {
                self.latched.remove(&key);
                self.recall(key);
            }
            DEACTIVATE => {
                for (number, processor) in self.processors.iter_mut().enumerate() {
                    if !is_private(intid) || number == vcpu {
                        processor.active.retain(|active| active.0 != intid);
                        if intids(&processor.lists).contains(&(intid as u32)) {
                            self.voided.insert((intid, number));
                        }
                    }
                }
            }
            _ => {}
        }
        let attention = write_bit(&mut self.gic, vcpu, base, intid);
        self.after(vcpu, attention);
    }

    fn flip_group(&mut self, vcpu: usize, intid: u64) {
        let key = slot(intid, vcpu);
        if !self.group1.remove(&key) {
            self.group1.insert(key);
        }
        let (place, offset) = place(&self.gic, vcpu, 0x80 + intid / 32 * 4, intid);
        let old = self.gic.read(vcpu, place, offset, WORD).value;
        let attention = self.gic.write(vcpu, place, offset, (WORD, old ^ 1 << (intid % 32))).attention;
        self.after(vcpu, attention);
    }

    fn set_route(&mut self, vcpu: usize, intid: u64, to: usize) {
        if is_private(intid) {
            return;
        }
        self.routes.insert(intid, to);
        let write = match self.version {
            Version::V3 => (0x6000 + 8 * intid, (AccessSize::Double, to as u64)),
            Version::V2 => (0x800 + intid, (AccessSize::Byte, 1 << to)),
        };
        let attention = self.gic.write(vcpu, GICD, write.0, write.1).attention;
        self.after(vcpu, attention);
    }

    /// The guest turns everything on and serves what there is. Then nothing may be left.
    fn drain(&mut self) {
        for vcpu in 0..self.processors.len() {
            self.step(vcpu, &Step::Control(3));
            for intid in ALL {
                self.bit(vcpu, ENABLE, intid);
            }
        }
        while (0..self.processors.len()).any(|vcpu| self.serve(vcpu)) {}
        assert_eq!(self.latched, BTreeSet::new(), "lost");
        assert_eq!(self.high, BTreeSet::new(), "lost lines");
        assert_eq!(self.physical, BTreeSet::new(), "never deactivated");
        for (vcpu, processor) in self.processors.iter_mut().enumerate() {
            assert_eq!(self.gic.refill(vcpu, &mut processor.lists), Attention::NONE);
            assert_eq!(processor.lists.used, 0);
            assert!(!self.gic.needs_refill(vcpu) && self.gic.vcpus[vcpu].owed.is_empty());
            assert!(!self.gic.physical_in_flight(vcpu, LINKED_PPI as u32, &processor.lists));
        }
    }

    /// Ends what is active, takes the next; whether there was anything to do.
    fn serve(&mut self, vcpu: usize) -> bool {
        let mut busy = std::mem::take(&mut self.processors[vcpu].stale);
        if busy {
            self.refill(vcpu);
        }
        if let Some(intid) = self.acknowledge(vcpu) {
            busy = true;
            if is_level(intid) {
                self.line(vcpu, intid, false);
            }
            assert!(!is_linked(intid) || intid > 16);
        }
        busy |= !self.processors[vcpu].active.is_empty();
        self.end(vcpu);
        busy
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_interrupt_is_lost_or_doubled_and_the_most_urgent_goes_first(
        v3: bool,
        vcpus in 1_usize..9,
        list_registers in 1_usize..17,
        steps in proptest::collection::vec((0_usize..8, step()), 0..300),
    ) {
        let version = if v3 { Version::V3 } else { Version::V2 };
        let mut world = World::new(version, vcpus, list_registers);
        for (vcpu, step) in steps {
            world.step(vcpu % vcpus, &step);
        }
        world.drain();
    }
}
