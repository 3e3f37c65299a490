//! Event channels against a plain model: whatever two domains do with their ports, each event that is sent is
//! found by the rules of `public/event_channel.h`, none is found that was not sent, queues keep their order,
//! and ports have the numbers and answers that the model says.
//!
//! A script of calls is drawn; each is made by a hypercall of the domain that it belongs to, in the order of the
//! script, on one processor or two. The guest's side of the interface, which clears bits and takes words out of
//! lists, is the test's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use abi::arch_arm as offset;
use abi::errno::Errno;
use abi::hypercall::{EVENT_CHANNEL_OP, VCPU_OP};
use abi::xen::DOMID_SELF;
use hypervisor::domain::Domain;
use hypervisor::hypervisor::Hypervisor;
use machine::contract::{Machine, Word};
use machine::frames::GuestFrame;
use machine::sim::{Cpu, Sim, on_processor};
use model::arm64::AccessSize;
use proptest::prelude::*;

use crate::calls::{INVAL, error, hypercall, store_words};
use crate::world::guest::RAM;
use crate::world::{MIB, Setup};

const ARGUMENT: u64 = RAM + MIB;
/// The second vCPU's `vcpu_info`.
const INFO: u64 = RAM + 4 * MIB;
/// Pages for queues: fresh ones each time that they are begun.
const QUEUES: u64 = RAM + 5 * MIB;
const VIRQ: u32 = 16;
const ACCES: i64 = error(Errno::Acces);
const NOSYS: i64 = error(Errno::NoSys);
const NOSPC: i64 = error(Errno::NoSpc);
const EXIST: i64 = error(Errno::Exist);
const OP_NOT_SUPP: i64 = error(Errno::OpNotSupp);
const PENDING: u64 = 1 << 31;
const MASKED: u64 = 1 << 30;
const LINKED: u64 = 1 << 29;
const LINK: u64 = 0x1_ffff;

/// What is done, mostly to one of the lowest ports.
#[derive(Clone, Copy, Debug)]
enum Act {
    AllocUnbound { to_itself: bool },
    BindInterdomain { to_itself: bool, port: u32 },
    BindIpi { vcpu: u32 },
    BindVirq,
    Raise,
    Send(u32),
    Mask(u32),
    Unmask(u32),
    Close(u32),
    BindVcpu { port: u32, vcpu: u32 },
    SetPriority { port: u32, priority: u32 },
    InitControl,
    ExpandArray,
    Reset,
    Consume,
}

fn act() -> impl Strategy<Value = Act> {
    let port = || 0..8_u32;
    prop_oneof![
        3 => any::<bool>().prop_map(|to_itself| Act::AllocUnbound { to_itself }),
        4 => (any::<bool>(), port()).prop_map(|(to_itself, port)| Act::BindInterdomain { to_itself, port }),
        3 => (0..2_u32).prop_map(|vcpu| Act::BindIpi { vcpu }),
        1 => Just(Act::BindVirq),
        2 => Just(Act::Raise),
        16 => port().prop_map(Act::Send),
        4 => port().prop_map(Act::Mask),
        5 => port().prop_map(Act::Unmask),
        2 => port().prop_map(Act::Close),
        2 => (port(), 0..2_u32).prop_map(|(port, vcpu)| Act::BindVcpu { port, vcpu }),
        3 => (port(), prop::sample::select(vec![0, 7, 7, 15, 16])).prop_map(|(port, priority)| Act::SetPriority { port, priority }),
        2 => Just(Act::InitControl),
        2 => Just(Act::ExpandArray),
        1 => Just(Act::Reset),
        5 => Just(Act::Consume),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Unbound(usize),
    Pair(usize, u32),
    Virq,
    Ipi,
}

/// A port, in use or not: what is told of it outlives its use.
#[derive(Clone, Copy, Debug, Default)]
struct Port {
    bound: Option<Bound>,
    vcpu: u32,
    priority: u32,
    pending: bool,
    masked: bool,
    linked: bool,
}

#[derive(Debug, Default)]
struct Side {
    ports: BTreeMap<u32, Port>,
    /// By vCPU and priority, for queues.
    queues: BTreeMap<(u32, u32), VecDeque<u32>>,
    fifo: bool,
    expanded: bool,
    /// How often queues were begun.
    generation: u64,
}

impl Side {
    fn take(&mut self, bound: Bound, vcpu: u32) -> u32 {
        let port = (1..).find(|port| self.ports.get(port).is_none_or(|port| port.bound.is_none())).unwrap();
        let entry = self.ports.entry(port).or_default();
        (entry.bound, entry.vcpu, entry.priority) = (Some(bound), vcpu, 7);
        port
    }

    fn bound(&self, port: u32) -> Option<Bound> {
        self.ports.get(&port)?.bound
    }

    fn link(&mut self, number: u32) {
        let port = self.ports.get_mut(&number).unwrap();
        if self.fifo && self.expanded && port.pending && !port.masked && !port.linked {
            port.linked = true;
            self.queues.entry((port.vcpu, port.priority)).or_default().push_back(number);
        }
    }

    fn pend(&mut self, number: u32) {
        let port = self.ports.get_mut(&number).unwrap();
        if !std::mem::replace(&mut port.pending, true) {
            self.link(number);
        }
    }

    /// What is found by one who looks everywhere, in order where there is one.
    fn consume(&mut self) -> Vec<u32> {
        let found: Vec<u32> = if self.fifo {
            let queues = std::mem::take(&mut self.queues);
            queues.into_values().flatten().collect()
        } else {
            self.ports.keys().copied().collect()
        };
        found.into_iter().filter(|number| self.found(*number)).collect()
    }

    fn found(&mut self, number: u32) -> bool {
        let port = self.ports.get_mut(&number).unwrap();
        port.linked = false;
        let found = port.pending && !port.masked;
        port.pending &= !found;
        found
    }
}

#[derive(Debug, Default)]
struct Model {
    sides: [Side; 2],
}

impl Model {
    /// Does what the hypervisor is to do; what it is to answer, and the port that it makes.
    fn act(&mut self, own: usize, act: Act) -> (i64, Option<u32>) {
        match act {
            Act::AllocUnbound { to_itself } => {
                let remote = if to_itself { own } else { 1 - own };
                (0, Some(self.sides[own].take(Bound::Unbound(remote), 0)))
            }
            Act::BindInterdomain { to_itself, port } => {
                let remote = if to_itself { own } else { 1 - own };
                self.bind(own, remote, port)
            }
            Act::BindIpi { vcpu } => (0, Some(self.sides[own].take(Bound::Ipi, vcpu))),
            Act::BindVirq if self.virq(own).is_some() => (EXIST, None),
            Act::BindVirq => (0, Some(self.sides[own].take(Bound::Virq, 0))),
            Act::Raise => {
                if let Some(port) = self.virq(own) {
                    self.sides[own].pend(port);
                }
                (0, None)
            }
            Act::Send(port) => (self.send(own, port), None),
            Act::Close(port) => (self.close(own, port), None),
            _ => (self.settle(own, act), None),
        }
    }

    fn virq(&self, own: usize) -> Option<u32> {
        let mut ports = self.sides[own].ports.iter();
        ports.find(|(_, port)| port.bound == Some(Bound::Virq)).map(|(number, _)| *number)
    }

    fn bind(&mut self, own: usize, remote: usize, port: u32) -> (i64, Option<u32>) {
        if self.sides[remote].bound(port) != Some(Bound::Unbound(own)) {
            return (INVAL, None);
        }
        let new = self.sides[own].take(Bound::Pair(remote, port), 0);
        self.sides[remote].ports.get_mut(&port).unwrap().bound = Some(Bound::Pair(own, new));
        self.sides[own].pend(new);
        (0, Some(new))
    }

    fn send(&mut self, own: usize, port: u32) -> i64 {
        match self.sides[own].bound(port) {
            Some(Bound::Pair(remote, there)) => self.sides[remote].pend(there),
            Some(Bound::Ipi) => self.sides[own].pend(port),
            Some(Bound::Unbound(_)) => {}
            _ => return INVAL,
        }
        0
    }

    fn close(&mut self, own: usize, number: u32) -> i64 {
        let Some(bound) = self.sides[own].bound(number) else { return INVAL };
        let port = self.sides[own].ports.get_mut(&number).unwrap();
        (port.bound, port.pending) = (None, false);
        if let Bound::Pair(remote, there) = bound
            && (remote, there) != (own, number)
        {
            self.sides[remote].ports.get_mut(&there).unwrap().bound = Some(Bound::Unbound(own));
        }
        0
    }

    /// What concerns how events are told.
    fn settle(&mut self, own: usize, act: Act) -> i64 {
        if let Act::Reset = act {
            let ports: Vec<u32> = self.sides[own].ports.keys().copied().collect();
            for port in ports {
                let _ = self.close(own, port);
            }
            let generation = self.sides[own].generation;
            self.sides[own] = Side { generation, ..Side::default() };
            return 0;
        }
        let side = &mut self.sides[own];
        match act {
            Act::Mask(port) if port > 0 && (!side.fifo || side.expanded) => {
                side.ports.entry(port).or_default().masked = true;
            }
            Act::Unmask(port) if port > 0 && (!side.fifo || side.expanded) => {
                side.ports.entry(port).or_default().masked = false;
                side.link(port);
            }
            Act::BindVcpu { port, vcpu } => match side.bound(port) {
                None | Some(Bound::Ipi) => return INVAL,
                Some(_) => side.ports.get_mut(&port).unwrap().vcpu = vcpu,
            },
            Act::SetPriority { .. } if !side.fifo => return NOSYS,
            Act::SetPriority { port: 0, .. } => return INVAL,
            Act::SetPriority { priority, .. } if priority > 15 => return INVAL,
            Act::SetPriority { port, priority } => match side.ports.get_mut(&port) {
                Some(state) if state.bound.is_some() => state.priority = priority,
                _ => return ACCES,
            },
            Act::InitControl if side.fifo => return INVAL,
            Act::InitControl => {
                (side.fifo, side.expanded) = (true, false);
                side.generation += 1;
                side.ports.values_mut().for_each(|port| port.pending &= port.bound.is_some());
            }
            Act::ExpandArray if !side.fifo => return OP_NOT_SUPP,
            Act::ExpandArray if side.expanded => return NOSPC,
            Act::ExpandArray => {
                side.expanded = true;
                let numbers: Vec<u32> = side.ports.keys().copied().collect();
                for number in numbers {
                    side.ports.get_mut(&number).unwrap().masked = false;
                    side.link(number);
                }
            }
            _ => {}
        }
        0
    }
}

/// A domain's pages as it sees them itself.
struct Guest {
    sim: &'static Sim,
    domain: &'static Domain<Sim>,
}

impl Guest {
    fn new(hypervisor: &'static Hypervisor<Sim>, own: usize) -> Self {
        Guest { sim: &hypervisor.machine, domain: &hypervisor.domains[own] }
    }

    fn page(&self, at: u64) -> GuestFrame {
        self.sim.frame_at(&self.domain.map, at).expect("a page").0
    }

    fn shared(&self, at: usize, act: Word) -> u64 {
        self.sim.word(&self.domain.pv.as_ref().unwrap().shared_info, at, act).unwrap()
    }

    fn info(&self, vcpu: usize, field: usize, act: Word) -> u64 {
        match vcpu {
            0 => self.shared(offset::SHARED_INFO_VCPU_INFO + field, act),
            _ => self.sim.word(&self.page(INFO), field, act).unwrap(),
        }
    }

    fn queues(generation: u64) -> u64 {
        QUEUES + (generation % 64) * 0x3000
    }

    fn word(&self, generation: u64, port: u64, act: Word) -> u64 {
        let array = self.page(Self::queues(generation) + 0x2000);
        self.sim.word(&array, port as usize * 4, act).unwrap()
    }

    fn mask(&self, side: &Side, port: u32) {
        if port == 0 {
        } else if !side.fifo {
            self.shared(offset::SHARED_INFO_EVTCHN_MASK, Word::Set64(1 << port));
        } else if side.expanded {
            self.word(side.generation, u64::from(port), Word::Set32(MASKED as u32));
        }
    }

    /// Takes all events of all vCPUs.
    fn consume(&self, fifo: bool, generation: u64) -> Vec<u32> {
        let mut found = Vec::new();
        for vcpu in 0..2 {
            self.info(vcpu, offset::VCPU_INFO_EVTCHN_UPCALL_PENDING, Word::Swap8(0));
            if fifo {
                self.consume_queues(vcpu, generation, &mut found);
                continue;
            }
            let selected = self.info(vcpu, offset::VCPU_INFO_EVTCHN_PENDING_SEL, Word::Clear64(u64::MAX));
            if selected & 1 != 0 {
                let mask = self.shared(offset::SHARED_INFO_EVTCHN_MASK, Word::Load64);
                let bits = self.shared(offset::SHARED_INFO_EVTCHN_PENDING, Word::Clear64(!mask)) & !mask;
                found.extend((0..64).filter(|port| bits >> port & 1 != 0));
            }
        }
        if !fifo {
            found.sort_unstable();
        }
        found
    }

    fn consume_queues(&self, vcpu: usize, generation: u64, found: &mut Vec<u32>) {
        let control = self.page(Self::queues(generation) + vcpu as u64 * 0x1000);
        let ready = self.sim.word(&control, 0, Word::Clear32(u32::MAX)).unwrap();
        for priority in (0..16_usize).filter(|priority| ready >> priority & 1 != 0) {
            let mut head = self.sim.word(&control, 8 + priority * 4, Word::Load32).unwrap();
            let mut most = 64;
            while head != 0 {
                let word = self.word(generation, head, Word::Clear32((LINKED | LINK) as u32));
                assert_ne!(word & LINKED, 0, "port {head} is in a list and not linked");
                if word & PENDING != 0 && word & MASKED == 0 {
                    self.word(generation, head, Word::Clear32(PENDING as u32));
                    found.push(head as u32);
                }
                head = word & LINK;
                most -= 1;
                assert!(most > 0, "a list has no end");
            }
        }
    }

    /// After a reset a kernel begins with empty bits.
    fn forget(&self) {
        for base in [offset::SHARED_INFO_EVTCHN_PENDING, offset::SHARED_INFO_EVTCHN_MASK] {
            self.shared(base, Word::Clear64(u64::MAX));
        }
        for vcpu in 0..2 {
            self.info(vcpu, offset::VCPU_INFO_EVTCHN_PENDING_SEL, Word::Clear64(u64::MAX));
        }
    }

    /// Who has something to find has been told.
    fn check_told(&self, side: &Side) {
        for vcpu in 0..2 {
            let told = self.info(vcpu, offset::VCPU_INFO_EVTCHN_UPCALL_PENDING, Word::Load32) & 0xff;
            let waits = if side.fifo {
                side.queues.iter().any(|((of, _), queue)| *of as usize == vcpu && !queue.is_empty())
            } else {
                self.info(vcpu, offset::VCPU_INFO_EVTCHN_PENDING_SEL, Word::Load64) != 0
            };
            assert!(told == 1 || !waits, "d{}v{vcpu} is not told", self.domain.id);
        }
    }
}

async fn call(cpu: &Cpu, command: u64, words: &[u32]) -> i64 {
    store_words(cpu, ARGUMENT, words).await;
    hypercall(cpu, EVENT_CHANNEL_OP, &[command, ARGUMENT]).await
}

/// Makes the call; its answer, and where it says which port it made.
async fn perform(cpu: &Cpu, own: usize, act: Act, generation: u64) -> (i64, Option<u64>) {
    let (me, other) = (own as u32 + 1, 2 - own as u32);
    let remote = |to_itself: bool| if to_itself { me } else { other };
    let queues = |page: u64| (Guest::queues(generation) >> 12) as u32 + page as u32;
    let (command, words, port_at) = match act {
        Act::AllocUnbound { to_itself } => {
            (6, vec![u32::from(DOMID_SELF) | remote(to_itself) << 16, 0], Some(4))
        }
        Act::BindInterdomain { to_itself, port } => (0, vec![remote(to_itself), port, 0], Some(8)),
        Act::BindIpi { vcpu } => (7, vec![vcpu, 0], Some(4)),
        Act::BindVirq => (1, vec![VIRQ, 0, 0], Some(8)),
        Act::Send(port) => (4, vec![port], None),
        Act::Unmask(port) => (9, vec![port], None),
        Act::Close(port) => (3, vec![port], None),
        Act::BindVcpu { port, vcpu } => (8, vec![port, vcpu], None),
        Act::SetPriority { port, priority } => (13, vec![port, priority], None),
        Act::InitControl => {
            let second = call(cpu, 11, &[queues(0), 0, 0, 0, 0, 0]).await;
            assert_eq!(call(cpu, 11, &[queues(1), 0, 0, 1, 0, 0]).await, second);
            return (second, None);
        }
        Act::ExpandArray => (12, vec![queues(2), 0], None),
        Act::Reset => (10, vec![u32::from(DOMID_SELF)], None),
        Act::Raise | Act::Mask(_) | Act::Consume => return (0, None),
    };
    (call(cpu, command, &words).await, port_at)
}

/// A script, how far it is, and the model.
struct Script {
    steps: Vec<(usize, Act)>,
    next: AtomicUsize,
    model: Mutex<Model>,
}

/// Makes a domain's calls when it is their turn.
async fn follow(cpu: Cpu, hypervisor: &'static Hypervisor<Sim>, script: Arc<Script>) {
    let own = usize::from(cpu.domain()) - 1;
    let guest = Guest::new(hypervisor, own);
    cpu.try_write(ARGUMENT, AccessSize::Double, INFO >> 12).await.unwrap();
    cpu.try_write(ARGUMENT + 8, AccessSize::Double, 0).await.unwrap();
    assert_eq!(cpu.hvc(0xea1, VCPU_OP, &[10, 1, ARGUMENT]).await, Ok(0));
    // A new place says that there may be everything.
    guest.consume(false, 0);
    while let Some((whose, act)) = script.steps.get(script.next.load(Ordering::SeqCst)).copied() {
        if whose != own || matches!(act, Act::Raise) {
            cpu.wfe().await;
            continue;
        }
        let generation = script.prepare(&guest, own, act);
        let (answer, port_at) = perform(&cpu, own, act, generation).await;
        let port = match port_at.filter(|_| answer == 0) {
            Some(at) => Some(cpu.read(ARGUMENT + at).await as u32),
            None => None,
        };
        script.compare(&guest, (own, act), (answer, port));
    }
}

impl Script {
    /// What the guest does by itself; the generation of the queues that it would begin, or has.
    fn prepare(&self, guest: &Guest, own: usize, act: Act) -> u64 {
        let model = self.model.lock().unwrap();
        if let Act::Mask(port) = act {
            guest.mask(&model.sides[own], port);
        }
        model.sides[own].generation + u64::from(!model.sides[own].fifo)
    }

    /// Was the answer right, and what is found now?
    fn compare(&self, guest: &Guest, (own, act): (usize, Act), answer: (i64, Option<u32>)) {
        let mut model = self.model.lock().unwrap();
        let index = self.next.load(Ordering::SeqCst);
        assert_eq!(answer, model.act(own, act), "step {index}: d{} {act:?}", own + 1);
        if let Act::Consume = act {
            let (fifo, generation) = (model.sides[own].fifo, model.sides[own].generation);
            let found = guest.consume(fifo, generation);
            assert_eq!(found, model.sides[own].consume(), "step {index}: d{}", own + 1);
        } else if let Act::Reset = act {
            guest.forget();
        }
        guest.check_told(&model.sides[own]);
        self.next.store(index + 1, Ordering::SeqCst);
    }
}

/// Channels within each domain, told by queues.
fn begin_with_queues() -> Vec<(usize, Act)> {
    let bind = [0, 0, 1, 1].map(|vcpu| Act::BindIpi { vcpu });
    let acts = [Act::InitControl, Act::ExpandArray].into_iter().chain(bind);
    acts.flat_map(|act| [(0, act), (1, act)]).collect()
}

fn play(cpus: u32, queues: bool, drawn: Vec<(usize, Act)>) {
    let mut steps = if queues { begin_with_queues() } else { Vec::new() };
    steps.extend(drawn);
    steps.extend([(0, Act::Consume), (1, Act::Consume), (0, Act::Reset), (1, Act::Reset)]);
    let mut system = Setup::new(cpus, &[2, 2]).enhanced().options("xsm=dummy").construct();
    let (hypervisor, count) = (system.hypervisor, steps.len());
    let script = Arc::new(Script { steps, next: AtomicUsize::new(0), model: Mutex::default() });
    for domain in 1..3 {
        let script = script.clone();
        system.sim().guest(domain, 0, move |cpu| follow(cpu, hypervisor, script.clone()));
    }
    let held = |at: u64| [0, 1].map(|own| Guest::new(hypervisor, own).page(at).count());
    let before = held(Guest::queues(1) + 0x2000);
    system.start();
    for _ in 0..20_000 {
        let index = script.next.load(Ordering::SeqCst);
        match script.steps.get(index) {
            None => break,
            Some((own, Act::Raise)) => {
                let cpu = index % system.locals.len();
                on_processor(cpu, || hypervisor.raise_virq(&hypervisor.domains[*own], VIRQ, cpu));
                script.model.lock().unwrap().act(*own, Act::Raise);
                script.next.store(index + 1, Ordering::SeqCst);
            }
            Some(_) => system.round(1_000),
        }
    }
    assert_eq!(script.next.load(Ordering::SeqCst), count, "the script comes to its end");
    for domain in &hypervisor.domains {
        assert!(domain.pv.as_ref().unwrap().events.lock().channels.is_empty(), "a port is left");
    }
    for generation in 1..4 {
        for page in 0..3 {
            assert_eq!(held(Guest::queues(generation) + page * 0x1000), before, "a page is still held");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_event_is_lost_invented_or_out_of_order_on_one_processor(
        queues in any::<bool>(),
        steps in prop::collection::vec((0..2_usize, act()), 1..160)
    ) {
        play(1, queues, steps);
    }

    #[test]
    fn no_event_is_lost_invented_or_out_of_order_on_two_processors(
        queues in any::<bool>(),
        steps in prop::collection::vec((0..2_usize, act()), 1..160)
    ) {
        play(2, queues, steps);
    }
}
