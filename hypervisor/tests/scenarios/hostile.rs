//! Arbitrary hypercalls, thrown at the whole hypervisor by several domains at once, while the vCPUs of another
//! one check that their world is in order.
//!
//! A call is made of a structure that would be right and of what a hostile guest makes of it: words out of a
//! palette, addresses that cross pages or lead nowhere, counts that are too large, commands that claim to be the
//! middle of another call. Or it begins with a call that a real guest made (`recorded.rs`), of which some words
//! become others. Each story ends with an audit of ports, maps, counts and locks, and with the
//! destruction of all hostile domains: then every frame must be free.
//!
//! A story of one family of calls is that family's fuzzing: seconds of it in an ordinary run, as many as one
//! likes by `XENITE_FUZZ_SECONDS`.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abi::hypercall as number;
use hypervisor::event::channel::Binding;
use hypervisor::hypervisor::Hypervisor;
use machine::contract::Machine;
use machine::lock::Rank;
use machine::sim::{Cpu, Sim, spin};
use machine::stage2::Kind;
use model::arm64::AccessSize;
use model::arm64::gic::Version;
use plan::Range;

use crate::calls::{SELF, accounted, relinquish};
use crate::random::{Canary, canary, from_environment};
use crate::recorded::{self, Prepared};
use crate::world::guest::{DOM0_RAM, RAM};
use crate::world::{MIB, Random, Setup, System};

const CPU_ON: u64 = 0xc400_0003;
/// Memory that guests write their structures and lists to, each vCPU its own.
const OWN: u64 = RAM + MIB;
/// Where the grant table's first frame is shown.
const TABLE: u64 = RAM + 32 * MIB;
/// Where grants are mapped, and memory comes and goes.
const HOLE: u64 = RAM + 64 * MIB;
/// vCPUs of a hostile domain, and hostile domains.
const VCPUS: usize = 2;
const HOSTILE: u16 = 3;

/// Families of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Events,
    Grants,
    Memory,
    Scheduling,
    Lists,
    Control,
    Rest,
    All,
}

impl Family {
    const EACH: [Family; 8] = {
        use Family as F;
        [F::Events, F::Grants, F::Memory, F::Scheduling, F::Lists, F::Control, F::Rest, F::All]
    };

    /// Does the call with this number belong to it?
    fn has(self, call: u64) -> bool {
        match self {
            Family::Events => call == number::EVENT_CHANNEL_OP,
            Family::Grants => call == number::GRANT_TABLE_OP,
            Family::Memory => call == number::MEMORY_OP,
            Family::Scheduling => call == number::SCHED_OP,
            Family::Lists => call == number::MULTICALL,
            Family::Control => {
                [number::DOMCTL, number::SYSCTL, number::PLATFORM_OP, number::HYPFS_OP].contains(&call)
            }
            Family::Rest => {
                [number::XEN_VERSION, number::CONSOLE_IO, number::VCPU_OP, number::HVM_OP, number::VM_ASSIST]
                    .contains(&call)
            }
            Family::All => true,
        }
    }
}

/// One hostile vCPU: what it throws next.
struct Thrower {
    random: Random,
    family: Family,
    /// Where its structures are.
    place: u64,
}

impl Thrower {
    fn vcpu(&mut self) -> u64 {
        self.random.pick(&[0, 0, 1, 1, 2, 127, 128, 0xffff_ffff])
    }

    fn domain(&mut self) -> u64 {
        self.random.pick(&[SELF, SELF, SELF, 1, 2, 3, 4, 0, 5, 0x7ff1, 0x7ff2, 0x7ff4, 0xffff])
    }

    fn port(&mut self) -> u64 {
        match self.random.below(8) {
            0 => self.random.pick(&[0, 1023, 1024, 4096, 0x1_ffff, 0xffff_ffff]),
            _ => 1 + self.random.below(12),
        }
    }

    /// A guest frame's number.
    fn frame(&mut self) -> u64 {
        let own = (self.place >> 12) + self.random.below(4);
        match self.random.below(10) {
            0 => {
                self.random.pick(&[0, 1, TABLE >> 12, 1 << 28, 1 << 36, 1 << 52, u64::MAX, 0x9000, 0x8_0000])
            }
            1 => own,
            2..6 => (HOLE >> 12) + self.random.below(16),
            6 => (HOLE >> 12) + 512 * self.random.below(3),
            7 => (RAM >> 12) + 1024 + 512 * self.random.below(2),
            _ => (RAM >> 12) + 1024 + self.random.below(24),
        }
    }

    /// Where a structure is, or is said to be.
    fn address(&mut self) -> u64 {
        match self.random.below(24) {
            0 => self.random.next(),
            1 => {
                self.random.pick(&[0, 1, u64::MAX, u64::MAX - 7, 1 << 47, 0xffff_8000_0000_0000, 0x300_1000])
            }
            // Over the end of a page, of memory, of a page of the hypervisor's.
            2 => self.place + 0x1000 - 8 * self.random.below(4),
            3 => RAM + 8 * MIB - 8 * self.random.below(4),
            4 => TABLE + self.random.below(0x1000),
            5 => (self.frame() << 12).wrapping_add(self.random.below(0x1000)),
            _ => self.place + 0x100 + 8 * self.random.below(32),
        }
    }

    /// Anything.
    fn word(&mut self) -> u64 {
        match self.random.below(9) {
            0 => self.random.next(),
            1 => 1 << self.random.below(64),
            2 => u64::MAX,
            3 => self.frame(),
            4 => self.address(),
            5 => self.domain() | self.port() << 32,
            6 => self.port() | self.port() << 32,
            _ => self.random.below(20),
        }
    }

    fn count(&mut self) -> u64 {
        match self.random.below(12) {
            0 => self.random.pick(&[0, 64, 1 << 16, 1 << 31, u64::from(u32::MAX), 1 << 58]),
            1 => self.random.below(40),
            _ => 1 + self.random.below(3),
        }
    }

    fn event(&mut self) -> (u64, Vec<u64>) {
        let command = self.random.below(16);
        let own = SELF | self.domain() << 16;
        let words = match command {
            // bind_interdomain, bind_virq, bind_pirq, bind_ipi, close, send, status, alloc_unbound.
            0 => vec![self.domain() | self.port() << 32, 0],
            1 => vec![self.random.below(26) | self.vcpu() << 32, 0],
            5 => vec![self.domain() | self.port() << 32, 0, 0],
            6 => vec![own | self.port() << 32],
            7 => vec![self.vcpu(), 0],
            8 => vec![self.port() | self.vcpu() << 32],
            10 | 14 => vec![self.domain()],
            11 => vec![self.frame(), self.random.pick(&[0, 8, 4024, 4032, 7, 4096]) | self.vcpu() << 32, 0],
            12 => vec![self.frame()],
            13 => vec![self.port() | self.random.pick(&[0, 3, 7, 15, 16, 255]) << 32],
            _ => vec![self.port() | self.port() << 32],
        };
        (command, words)
    }

    fn grant(&mut self) -> (u64, Vec<u64>) {
        let command = self.random.pick(&[0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        let (reference, handle) = (self.random.below(12), self.random.below(8));
        let at = self.frame() << 12 | self.random.pick(&[0, 0, 0, 8]);
        let words = match command {
            0 => {
                let flags = self.random.pick(&[2, 2, 6, 6, 1, 10, 18, 0xffff]);
                vec![at, flags | reference << 32, self.domain(), 0]
            }
            1 => vec![at, 0, handle],
            7 => vec![at, self.random.pick(&[0, at]), handle],
            5 => {
                let (flags, bytes) = (self.random.below(5), self.random.pick(&[0, 1, 64, 4096, 0xffff]));
                let ends = [self.domain(), self.domain()];
                let what = [0, 1].map(|end| if flags >> end & 1 != 0 { reference } else { self.frame() });
                let offset = self.random.pick(&[0, 0, 1, 4095, 4096, 0xffff]);
                vec![what[0], ends[0] | offset << 16, what[1], ends[1], bytes | flags << 16]
            }
            11 => vec![reference | self.random.below(12) << 32, 0],
            12 => vec![self.word(), self.random.below(0x1001) | self.random.below(0x1001) << 16 | 3 << 32],
            2 => vec![self.domain() | self.random.pick(&[0, 1, 4, 64, 65]) << 32, 0, self.address()],
            _ => vec![self.domain() | self.word() << 32, self.word()],
        };
        (command, words)
    }

    fn memory(&mut self) -> (u64, Vec<u64>) {
        let command =
            self.random.pick(&[0, 1, 1, 1, 1, 2, 3, 4, 6, 6, 6, 6, 7, 7, 11, 14, 15, 15, 23, 26, 28]);
        let words = match command {
            0 | 1 | 6 => {
                let list = self.place + 0x800;
                let order = self.random.pick(&[0, 0, 0, 1, 3, 9, 9, 10, 63, 64]);
                vec![list, self.count(), order, self.domain()]
            }
            7 => {
                let space = self.random.pick(&[0, 1, 1, 1, 2, 3, 4, 5]);
                vec![SELF | self.count() << 16 | space << 32, self.random.below(70), self.frame()]
            }
            23 => {
                let (list, space) = (self.place + 0x800, self.random.pick(&[0, 1, 1, 3, 4, 5]));
                vec![SELF | space << 16 | self.count() << 32, self.domain(), list, list, self.place + 0x400]
            }
            15 => vec![SELF, self.frame()],
            11 => {
                let list = self.place + 0x800;
                vec![list, self.count(), 0, SELF, list, self.count(), 0, SELF, self.random.below(2)]
            }
            _ => vec![self.domain(), self.word(), self.word(), self.word()],
        };
        // Now and then it says that it is in the middle of it.
        let start = if self.random.chance(12) { self.random.pick(&[1, 2, 40, 1 << 31, 1 << 57]) } else { 0 };
        (command | start << 6, words)
    }

    fn scheduling(&mut self, now: u64) -> (u64, Vec<u64>) {
        let command = self.random.pick(&[0, 0, 1, 3, 3, 3, 4, 5, 6, 6, 7, 8, 11]);
        let words = match command {
            3 => {
                let time = self.random.pick(&[0, 1, now * 1000 + 90_000, u64::MAX, 1 << 63]);
                vec![self.place + 0x800, self.random.pick(&[0, 1, 1, 2, 128, 129, 1 << 31]), time]
            }
            6 => vec![self.random.below(4) | self.random.pick(&[0, 5, 0xffff_ffff]) << 32],
            _ => vec![self.domain() | self.random.below(8) << 32],
        };
        (command, words)
    }

    /// A call of its family: one that was recorded, changed, or one that is made up.
    fn one(&mut self, now: u64) -> Prepared {
        if self.random.chance(3)
            && let Some(call) = self.recorded()
        {
            return call;
        }
        let mut call = self.made_up(now);
        self.spoil(&mut call);
        let (number, arguments, words) = call;
        Prepared { number, arguments, memory: vec![(place_of(number, &arguments), words)] }
    }

    /// What a real guest did, with other words here and there.
    fn recorded(&mut self) -> Option<Prepared> {
        let all = recorded::all();
        let start = self.random.below(all.len() as u64) as usize;
        let call = all[start..].iter().chain(&all[..start]).find(|call| self.family.has(call.number))?;
        let place = self.place + 0x4000;
        let mut call = call.prepare(place, |word| self.change(word));
        if call.number == number::GRANT_TABLE_OP {
            call.arguments[2] = self.random.below(65);
        }
        if call.number == number::CONSOLE_IO {
            call.arguments[1] = self.random.below(64);
        }
        Some(call)
    }

    /// Another word in the place of one that was right for another guest.
    fn change(&mut self, word: u64) -> u64 {
        // The frame numbers of larger guests, whose RAM begins where these have theirs.
        let frame = (RAM >> 12..(RAM >> 12) + 0x4_0000).contains(&word);
        match self.random.below(16) {
            0 => self.word(),
            1 => word ^ 1 << self.random.below(64),
            2 => word & !0xffff | self.domain() & 0xffff,
            3 => word & 0xffff_ffff | self.port() << 32,
            4 => word & !0xffff_ffff | self.port(),
            5 => word & !0xffff_ffff | self.frame() & 0xffff_ffff,
            6..12 if frame => self.frame(),
            _ => word,
        }
    }

    /// Where so many things are: if they have no end their memory has one within so many words, or a story would be
    /// little else.
    fn list_at(&mut self, at: u64, (count, words): (u64, u64)) -> u64 {
        if count > 64 { RAM + 8 * MIB - 8 * (1 + self.random.below(words)) } else { at }
    }

    /// A number, its arguments, and the structure at the place of one of them.
    fn made_up(&mut self, now: u64) -> (u64, [u64; 5], Vec<u64>) {
        use Family as F;
        let all = [F::Events, F::Events, F::Grants, F::Grants, F::Memory, F::Memory, F::Scheduling];
        let family = match self.family {
            F::All => match self.random.below(9) {
                7 => F::Control,
                8 => F::Rest,
                index => all[index as usize],
            },
            F::Lists => self.random.pick(&all),
            family => family,
        };
        let at = self.address();
        let ((command, words), number, rest) = match family {
            F::Events => (self.event(), number::EVENT_CHANNEL_OP, [at, 0, 0, 0]),
            F::Grants => {
                let count = self.count();
                let at = self.list_at(at, (count, 1_000));
                (self.grant(), number::GRANT_TABLE_OP, [at, count, 0, 0])
            }
            F::Memory => (self.memory(), number::MEMORY_OP, [at, 0, 0, 0]),
            F::Scheduling => (self.scheduling(now), number::SCHED_OP, [at, 0, 0, 0]),
            F::Control => return self.control(at),
            _ => return self.rest(at),
        };
        let [a, b, c, d] = rest;
        (number, [command, a, b, c, d], words)
    }

    /// What is the control domain's.
    fn control(&mut self, at: u64) -> (u64, [u64; 5], Vec<u64>) {
        let number =
            self.random.pick(&[number::DOMCTL, number::SYSCTL, number::PLATFORM_OP, number::HYPFS_OP]);
        let version = self.random.pick(&[0x15, 0x15, 0x15, 0x14, 0x0300_0000, 0]);
        // destroy, pause, unpause, domain_info, set_affinity, max_mem, vcpu_info, scheduler_op, handle, affinity,
        // cacheflush.
        let served = self.random.pick(&[2, 3, 4, 5, 9, 11, 14, 16, 17, 25, 71]);
        let command = if self.random.chance(2) { self.random.below(90) } else { served };
        let mut words = vec![version << 32 | command, self.domain()];
        words.extend((0..6).map(|_| self.word()));
        (number, [at, self.word(), self.word(), self.word(), self.word()], words)
    }

    fn rest(&mut self, at: u64) -> (u64, [u64; 5], Vec<u64>) {
        let numbers = [
            number::XEN_VERSION,
            number::CONSOLE_IO,
            number::VCPU_OP,
            number::VCPU_OP,
            number::HVM_OP,
            number::VM_ASSIST,
            27,
            33,
        ];
        let number = if self.random.chance(8) { self.word() } else { self.random.pick(&numbers) };
        let command = self.random.pick(&[0, 1, 2, 4, 5, 6, 7, 10, 13, 0xffff_ffff, u64::MAX]);
        let words = match number {
            number::VCPU_OP => vec![self.frame(), self.random.pick(&[0, 8, 4048, 4056, 4095])],
            number::CONSOLE_IO => {
                let count = self.count();
                return (
                    number,
                    [command & 1, count, self.list_at(at, (count, 128)), 0, 0],
                    vec![self.word()],
                );
            }
            _ => vec![self.domain() | self.random.below(60) << 32, self.word(), self.word()],
        };
        let second = if number == number::VCPU_OP { self.vcpu() } else { at };
        (number, [command, second, at, self.word(), self.word()], words)
    }

    /// Makes something else of it.
    fn spoil(&mut self, (number, arguments, words): &mut (u64, [u64; 5], Vec<u64>)) {
        match self.random.below(24) {
            0 => arguments[self.random.below(5) as usize] = self.word(),
            1 => *number = self.random.below(64),
            2 => arguments[0] ^= 1 << self.random.below(64),
            3 | 4 if !words.is_empty() => {
                let index = self.random.below(words.len() as u64) as usize;
                words[index] = self.word();
            }
            5 if !words.is_empty() => {
                let index = self.random.below(words.len() as u64) as usize;
                words[index] ^= 1 << self.random.below(64);
            }
            _ => {}
        }
    }
}

/// Which argument says where the structure is.
fn place_of(number: u64, arguments: &[u64; 5]) -> u64 {
    match number {
        number::DOMCTL | number::SYSCTL | number::PLATFORM_OP => arguments[0],
        number::VCPU_OP => arguments[2],
        _ => arguments[1],
    }
}

async fn store(cpu: &Cpu, at: u64, words: &[u64]) {
    for (index, word) in (0..).zip(words) {
        let at = at.wrapping_add(index * 8);
        // Its program needs no memory; its vectors stay.
        if at >= OWN {
            let _ = cpu.try_write(at, AccessSize::Double, *word).await;
        }
    }
}

async fn store_all(cpu: &Cpu, memory: &[(u64, Vec<u64>)]) {
    for (at, words) in memory {
        store(cpu, *at, words).await;
    }
}

/// For ever: whatever comes to mind.
async fn throw(cpu: Cpu, random: Random, family: Family) {
    cpu.set_vectors(RAM + 0x8000).await;
    if cpu.index() == 0 {
        cpu.psci(&[CPU_ON, 1, RAM, 0]).await;
    }
    let mut thrower = Thrower { random, family, place: OWN + cpu.index() as u64 * 0x1_0000 };
    // Its grants can be written.
    store(&cpu, thrower.place, &[SELF | 1 << 32, 0, TABLE >> 12]).await;
    let _ = cpu.hvc(0xea1, number::MEMORY_OP, &[7, thrower.place]).await;
    for step in 0_u64.. {
        prepare(&cpu, &mut thrower, step).await;
        let now = cpu.count().await;
        if family == Family::Lists || (family == Family::All && thrower.random.chance(10)) {
            list(&cpu, &mut thrower, now).await;
            continue;
        }
        let Prepared { number, arguments, memory } = thrower.one(now);
        let deadly =
            number == number::SCHED_OP && matches!(arguments[0] as u32, 2) && !step.is_multiple_of(64);
        if deadly || (number == number::MULTICALL && !thrower.random.chance(4)) {
            continue;
        }
        store_all(&cpu, &memory).await;
        let _ = cpu.hvc(0xea1, number, &arguments).await;
    }
}

/// The same as dom0, with calls of control only: what it does to whom is for it to know, but the domain that shows
/// whether others go on is left to go on, and so is the machine.
async fn throw_control(cpu: Cpu, random: Random) {
    cpu.set_vectors(DOM0_RAM + 0x8000).await;
    let mut thrower = Thrower { random, family: Family::Control, place: DOM0_RAM + MIB };
    loop {
        let now = cpu.count().await;
        let Prepared { number, arguments, memory } = thrower.one(now);
        store_all(&cpu, &memory).await;
        if Family::Control.has(number) && !is_deadly(&cpu, number, arguments[0]).await {
            let _ = cpu.hvc(0xea1, number, &arguments).await;
        }
    }
}

/// Would an order that stands there end the machine, or hinder the domain that shows whether others go on?
async fn is_deadly(cpu: &Cpu, number: u64, at: u64) -> bool {
    let mut bytes = [0; 10];
    for (index, byte) in (0..).zip(&mut bytes) {
        let Ok(value) = cpu.try_read(at.wrapping_add(index), AccessSize::Byte).await else { return false };
        *byte = value as u8;
    }
    let [a, b, c, d, .., low, high] = bytes;
    let (command, domain) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
    match number {
        number::DOMCTL => domain == HOSTILE + 1 && [2, 3, 9, 16].contains(&command),
        // Some keys reset the machine.
        number::SYSCTL => command == abi::sysctl::XEN_SYSCTL_DEBUG_KEYS,
        _ => false,
    }
}

/// Lists of frames, ports and errors, and entries of the grant table.
async fn prepare(cpu: &Cpu, thrower: &mut Thrower, step: u64) {
    if !step.is_multiple_of(4) {
        return;
    }
    let memory = matches!(thrower.family, Family::Memory) || thrower.random.chance(2);
    let list: Vec<u64> = (0..4)
        .map(|_| if memory { thrower.frame() } else { thrower.port() | thrower.port() << 32 })
        .collect();
    store(cpu, thrower.place + 0x800, &list).await;
    let reference = thrower.random.below(12);
    let flags = thrower.random.pick(&[1, 1, 1, 5, 0, 2, 0xffff]);
    let to = thrower.random.pick(&[1, 2, 3, 4, 0]);
    let entry = flags | to << 16 | (thrower.frame() & 0xffff_ffff) << 32;
    store(cpu, TABLE + reference * 8, &[entry]).await;
}

/// Several calls at once.
async fn list(cpu: &Cpu, thrower: &mut Thrower, now: u64) {
    let count = 1 + thrower.random.below(6);
    let base = thrower.place + 0x2000;
    for index in 0..count {
        let Prepared { number, arguments, memory } = thrower.one(now);
        if number == number::SCHED_OP && arguments[0] as u32 == 2 {
            continue;
        }
        store_all(cpu, &memory).await;
        let [a, b, c, d, e] = arguments;
        store(cpu, base + index * 64, &[number, 0, a, b, c, d, e, 0]).await;
    }
    let count = if thrower.random.chance(20) { thrower.count() } else { count };
    let at = if thrower.random.chance(20) { thrower.address() } else { base };
    let _ = cpu.hvc(0xea1, number::MULTICALL, &[at, count]).await;
}

/// What a story is made of.
#[derive(Clone, Copy, Debug)]
struct Story {
    cpus: u32,
    family: Family,
    seed: u64,
    rounds: u64,
}

fn construct(story: Story) -> (System, Arc<Canary>) {
    let vcpus = [VCPUS as u32, VCPUS as u32, VCPUS as u32, 3];
    let mut setup = Setup::new(story.cpus, &vcpus).enhanced().seed(story.seed);
    if story.seed.is_multiple_of(3) {
        // Memory that they share lies among the frames that they name; one's RAM stays where it is.
        let place = [RAM + 256 * MIB, HOLE, 4 * MIB];
        let owner = usize::try_from(story.seed % 2).expect("0 or 1");
        for (index, wish) in setup.domains.iter_mut().enumerate().take(usize::from(HOSTILE)) {
            let role = if index == owner { "owner" } else { "borrower" };
            wish.shares.push(("one", Some(role), place));
            wish.shares.push(("nobody's", None, [place[0] + place[2], HOLE + place[2], MIB]));
        }
        setup.domains[2].static_memory = vec![Range { base: RAM + 384 * MIB, size: 8 * MIB }];
    }
    let options = if story.seed.is_multiple_of(4) { "" } else { "xsm=dummy" };
    // Orders are given by dom0, too.
    let has_control = story.family == Family::Control;
    if has_control {
        setup = setup.control(1);
    }
    let system = setup.options(options).construct();
    for domain in 1..=HOSTILE {
        for index in 0..VCPUS {
            let random = Random(story.seed << 8 | u64::from(domain) << 4 | index as u64);
            system.sim().guest(domain, index, move |cpu| throw(cpu, random.clone(), story.family));
        }
    }
    if has_control {
        let random = Random(story.seed << 8);
        system.sim().guest(0, 0, move |cpu| throw_control(cpu, random.clone()));
    }
    let canary = canary(&system, HOSTILE + 1, Version::V3);
    system.start();
    (system, canary)
}

fn run(story: Story) {
    eprintln!("{story:?}");
    let (mut system, canary) = construct(story);
    let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
    for round in 0..story.rounds {
        let ticks = 1 + system.random.below(200);
        system.round(ticks);
        // Nobody reads what they write.
        system.sim().forget_output();
        assert_eq!(system.ended, None, "{story:?}");
        // A wait ends without a reason, as it may.
        let cpu = system.random.below(system.locals.len() as u64) as usize;
        let vcpu = system.random.below(u64::from(HOSTILE) * VCPUS as u64) as usize;
        system.act_as(cpu, || hypervisor.wake(&hypervisor.vcpus[vcpu], cpu));
        if round % 100 == 99 {
            audit(&system, story);
        }
    }
    let then = canary.seen();
    if story.family == Family::Control {
        // Others may have a weight 256 times as great.
        system.until("the neighbour goes on", |_| {
            let now = canary.seen();
            now[0] > then[0] && now[1] > then[1]
        });
    } else {
        for _ in 0..30 {
            system.rounds(10);
            system.sim().forget_output();
        }
        let now = canary.seen();
        assert!(now[0] > then[0] && now[1] > then[1], "{story:?}: {then:?}, then {now:?}");
    }
    audit(&system, story);
    destroy(&mut system, story);
    let kept = kept(&system, story);
    assert_eq!(accounted(hypervisor) + kept, before, "{story:?}: frames are lost");
}

/// What must be the case between any two turns.
fn audit(system: &System, story: Story) {
    for (cpu, rank) in spin::held_locks() {
        assert!(rank == Rank::Registers, "{story:?}: processor {cpu} holds {rank:?}");
    }
    let mut hosts = BTreeSet::new();
    let places = [(RAM >> 12, 2048 + 64), (TABLE >> 12, 4), (HOLE >> 12, 2048)];
    for domain in &system.hypervisor.domains {
        let mut own = 0;
        for number in places.into_iter().flat_map(|(first, count)| first..first + count) {
            let Some((frame, kind, _)) = system.sim().frame_at(&domain.map, number << 12) else { continue };
            match kind {
                Kind::Ram => {
                    own += 1;
                    assert_eq!(frame.owner(), Some(domain.id), "{story:?}: {number:#x}");
                    assert!(hosts.insert(frame.address()), "{story:?}: a frame is shown twice");
                }
                Kind::Granted => assert!(frame.count() >= 2, "{story:?}: nobody holds what is granted"),
                _ => {}
            }
        }
        // What it has lost by showing itself something else still counts.
        assert!(domain.frames.current() >= own, "{story:?}: d{} has {own} frames", domain.id);
        audit_ports(system.hypervisor, domain.index, story);
    }
}

/// Each end of a pair leads to the other one.
pub(crate) fn audit_ports(hypervisor: &Hypervisor<Sim>, index: usize, story: impl std::fmt::Debug) {
    let events = &hypervisor.domains[index].pv.as_ref().unwrap().events;
    for port in 1..1024 {
        let binding = events.lock().channels.get(port).unwrap().binding;
        assert_ne!(binding, Binding::Reserved, "{story:?}");
        if let Some((domain, remote)) = binding.peer() {
            let other = &hypervisor.domains[domain].pv.as_ref().unwrap().events;
            let back = other.lock().channels.get(remote).map(|channel| channel.binding);
            assert_eq!(back, Some(Binding::to(index, port)), "{story:?}");
        }
    }
}

/// Frames that stay with domains that are gone, since the owner of the system has chosen their places: one count of
/// each is left.
fn kept(system: &System, story: Story) -> u64 {
    let mut kept = 0;
    let check = |base: u64, size: u64, owner: u16| {
        for at in (base..base + size).step_by(4096) {
            let frame = system.sim().frames().hold(at).expect("a frame that is kept");
            assert_eq!((frame.owner(), frame.count()), (Some(owner), 2), "{story:?}: {at:#x}");
        }
        size >> 12
    };
    for region in &system.plan.shared {
        let owner = region.owner.map_or(machine::frames::NO_DOMAIN, |owner| system.plan.domains[owner].id);
        let frames = check(region.host.base, region.host.size, owner);
        // What is nobody's was not counted as anybody's RAM.
        kept += if region.owner.is_some() { frames } else { 0 };
    }
    for domain in system.plan.domains.iter().filter(|domain| domain.is_static) {
        kept += domain.memory.iter().map(|piece| check(piece.host, piece.size, domain.id)).sum::<u64>();
    }
    kept
}

/// Takes the hostile domains away, as the toolstack would, in the middle of whatever they do.
fn destroy(system: &mut System, story: Story) {
    let hypervisor = system.hypervisor;
    for domain in hypervisor.domains.iter().filter(|domain| (1..=HOSTILE).contains(&domain.id)) {
        relinquish(system, domain, &format!("{story:?}"));
    }
}

/// Tells these stories of a run, or those for which there is time: how many.
fn tell(family: Family, stories: std::ops::Range<u64>, budget: Duration) -> u64 {
    let start = Instant::now();
    let mut random = Random(from_environment("XENITE_STORM_SEED", 1) << 20 | family as u64);
    let mut next =
        || Story { cpus: random.pick(&[1, 2, 2, 4]), family, seed: random.next() >> 40, rounds: 150 };
    let stories = (0..stories.end).map(|_| next()).skip(stories.start as usize);
    stories.take_while(|_| start.elapsed() < budget).map(run).count() as u64
}

/// Tells stories until the time is over, which is short, or what the environment says.
fn fuzz(family: Family, milliseconds: u64) {
    match from_environment("XENITE_FUZZ_SECONDS", 0) {
        0 => assert_ne!(tell(family, 0..u64::MAX, Duration::from_millis(milliseconds)), 0),
        seconds => in_parts(family, Duration::from_secs(seconds)),
    }
}

/// The same for minutes, in processes of so many stories each. What a story leaves is never freed: processors, programs of
/// guests and handles of frames borrow its system for as long as there is a process, as on a board.
fn in_parts(family: Family, budget: Duration) {
    const STORIES: usize = 32;
    let end = Instant::now() + budget;
    let mut told = 0;
    for first in (0..).step_by(STORIES) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let part = format!("{family:?} {first} {STORIES} {}", left.as_millis());
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "hostile::a_part_of_a_long_run_ends_well", "--ignored", "--nocapture"])
            .env("XENITE_STORM_PART", part)
            .output()
            .expect("a process");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
        let stories = said.matches("Story {").count();
        assert_ne!(stories, 0, "the process has told nothing");
        told += stories;
    }
    eprintln!("{family:?}: {told} stories in {budget:?}");
}

#[test]
#[ignore = "a long run starts it, and says which stories it tells"]
fn a_part_of_a_long_run_ends_well() {
    let part = std::env::var("XENITE_STORM_PART").expect("what to tell");
    let [name, numbers @ ..] = &part.split(' ').collect::<Vec<_>>()[..] else { panic!("{part}") };
    let family = Family::EACH.into_iter().find(|family| format!("{family:?}") == *name).expect("a family");
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [first, count, milliseconds] = numbers[..] else { panic!("{part}") };
    assert_ne!(tell(family, first..first + count, Duration::from_millis(milliseconds)), 0);
}

#[test]
fn whatever_event_channel_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Events, 200);
}

#[test]
fn whatever_grant_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Grants, 200);
}

#[test]
fn whatever_memory_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Memory, 200);
}

#[test]
fn whatever_scheduling_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Scheduling, 200);
}

#[test]
fn whatever_lists_of_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Lists, 200);
}

#[test]
fn whatever_control_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Control, 200);
}

#[test]
fn whatever_other_calls_domains_make_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::Rest, 200);
}

#[test]
fn whatever_domains_call_the_others_go_on_and_nothing_leaks() {
    fuzz(Family::All, 1500);
}
