//! Arbitrary traps, registers, device accesses and times, thrown at the whole hypervisor by one domain, while
//! the vCPUs of another one check that their world is in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use machine::sim::{Cpu, Insight};
use model::arm64::gic::Version;
use model::arm64::{AccessSize, Cause, SystemRegister, Trap};

use crate::uart::{open, signal};
use crate::world::guest::{DISTRIBUTOR, RAM, REDISTRIBUTOR, UART, VIRTUAL_TIMER};
use crate::world::{Random, Setup, System};

const CPU_ON: u64 = 0xc400_0003;
const SIZES: [AccessSize; 4] = [AccessSize::Byte, AccessSize::Half, AccessSize::Word, AccessSize::Double];

/// An address near something.
fn address(random: &mut Random) -> u64 {
    let near =
        [DISTRIBUTOR, DISTRIBUTOR, REDISTRIBUTOR, REDISTRIBUTOR + 0x1_0000, REDISTRIBUTOR + 0x3_0000, UART];
    match random.below(8) {
        0 => random.next(),
        1 => RAM + random.below(16 << 20),
        2 => random.pick(&near) + random.below(0x1_0000),
        // Registers that do something are low, and aligned.
        _ => random.pick(&near) + (random.below(0x400) << 2),
    }
}

/// A word of which few, some or all bits are set.
fn word(random: &mut Random) -> u64 {
    match random.below(5) {
        0 => random.next(),
        1 => 1 << random.below(64),
        2 => u64::MAX,
        3 => random.next() & random.next() & random.next(),
        _ => random.below(256),
    }
}

fn system_register(random: &mut Random) -> SystemRegister {
    use SystemRegister as S;
    let known = [S::CNTP_CTL_EL0, S::CNTP_CVAL_EL0, S::CNTP_TVAL_EL0, S::ICC_SGI1R_EL1, S::ICC_SGI0R_EL1];
    if random.chance(3) {
        return SystemRegister::new([2, 1, 4, 4, 3].map(|bits| random.below(1 << bits) as u32));
    }
    random.pick(&known)
}

/// A trap such as no well-behaved guest makes. It ends the domain rarely.
fn trap(random: &mut Random) -> Trap {
    let at = address(random);
    let deadly = random.chance(20_000);
    let harmless = [0x01, 0x16, 0x17, 0x18, 0x24, 0x24, 0x24, 0x20, 0x00, 0x07, 0x03, 0x27, 0x19, 0x28];
    let class = if deadly { random.below(64) } else { random.pick(&harmless) };
    let mut iss = random.next() & 0x1ff_ffff;
    if class == 0x24 && !random.chance(4) {
        iss = iss & !0x1bf | 1 << 24 | 7;
    }
    let cause = match random.below(40) {
        0 => Cause::Interrupt,
        1 if deadly => Cause::SystemError,
        _ => Cause::Synchronous,
    };
    let il = u64::from(!random.chance(8)) << 25;
    let fault_page = if random.chance(6) { random.next() & !0xfff } else { at & !0xfff };
    Trap { cause, syndrome: class << 26 | il | iss, fault_address: at, fault_page }
}

/// Arbitrary registers, which still lead back to the program.
fn scramble(insight: &mut Insight<'_>, random: &mut Random) {
    for x in insight.x.iter_mut() {
        *x = word(random);
    }
    let functions =
        [0x8400_0000, 0x8400_0001, CPU_ON, 0xc400_0004, 0x8400_0006, 0x8600_ff01, 0x8000_0001, 17];
    if random.chance(2) {
        insight.x[0] = random.pick(&functions);
        insight.x[1] = random.below(4);
        insight.x[2] = RAM;
        insight.x[16] = random.below(64);
    }
    *insight.pc = if random.chance(10) { random.next() } else { RAM };
    *insight.pstate = if random.chance(4) { random.next() } else { 0x3c5 };
    insight.system.sctlr_el1 = random.next();
    insight.system.ttbr1_el1 = random.next();
    // The vectors stay, or a fetch from nowhere would be the end.
    if *insight.pc >= RAM && insight.pc.wrapping_sub(RAM) < 0x800 {
        insight.system.vbar_el1 = RAM + 0x1000;
    }
}

async fn restore(cpu: &Cpu) {
    cpu.with(|insight| {
        *insight.pc = RAM;
        *insight.pstate = 0x3c5;
        insight.system.vbar_el1 = RAM + 0x1000;
        0
    })
    .await;
}

/// Its part of the controller as it should be, with nothing active.
async fn clean(cpu: &Cpu, version: Version) {
    restore(cpu).await;
    let own = match version {
        Version::V2 => DISTRIBUTOR,
        Version::V3 => REDISTRIBUTOR + 0x2_0000 * cpu.index() as u64 + 0x1_0000,
    };
    cpu.write(own + 0x380, 0xffff_ffff).await;
    cpu.write(own + 0x280, 0xffff_ffff).await;
    for _ in 0..32 {
        cpu.end(1023).await;
    }
    open(cpu, version).await;
}

async fn interrupts(cpu: &Cpu, random: &mut Random, mild: bool) {
    match if mild { random.pick(&[2, 2, 4, 5, 5]) } else { random.below(6) } {
        0 => drop(cpu.acknowledge().await),
        1 => {
            let intid = random.below(300) as u32;
            cpu.end(intid).await;
        }
        2 => {
            let intid = cpu.acknowledge().await;
            cpu.end(intid).await;
        }
        3 => {
            let vmcr = if random.chance(3) { random.next() & 0xffff_ffff } else { 0xff << 24 | 3 };
            cpu.with(move |insight| {
                *insight.vmcr = vmcr;
                0
            })
            .await;
        }
        4 => {
            let (control, ahead) = (if mild { 1 } else { random.next() }, random.below(500));
            let compare = if random.chance(10) { random.next() } else { cpu.count().await + ahead };
            cpu.set_timer(control, compare).await;
        }
        _ => cpu.compute(random.below(3)).await,
    }
}

/// For ever: whatever comes to mind.
async fn chaos(cpu: Cpu, mut random: Random, version: Version) {
    restore(&cpu).await;
    open(&cpu, version).await;
    let mut mild = false;
    for step in 1_u64.. {
        if step % 64 == 0 {
            // Now and then its controller works, so that interrupts do arrive.
            mild = random.chance(2);
            clean(&cpu, version).await;
        }
        something(&cpu, &mut random, version, mild).await;
    }
}

async fn something(cpu: &Cpu, random: &mut Random, version: Version, mild: bool) {
    match random.below(if mild { 80 } else { 14 }) {
        0..4 => unheard_of(cpu, random).await,
        4..8 => access(cpu, random).await,
        8 => {
            let arguments = [CPU_ON, random.below(5), RAM, random.next()];
            cpu.psci(&arguments).await;
        }
        9 => wait(cpu, random).await,
        12 => signal(cpu, version, random.below(16), 1 + random.below(7)).await,
        _ => interrupts(cpu, random, mild).await,
    }
}

/// Any trap, with any registers.
async fn unheard_of(cpu: &Cpu, random: &mut Random) {
    let (trap, mut own) = (trap(random), Random(random.next()));
    cpu.with(move |insight| {
        scramble(insight, &mut own);
        0
    })
    .await;
    cpu.raw(trap).await;
    restore(cpu).await;
}

async fn access(cpu: &Cpu, random: &mut Random) {
    let (at, size, value) = (address(random), random.pick(&SIZES), word(random));
    let register = system_register(random);
    // Exceptions are an answer like any other.
    let _ = match random.below(6) {
        0 | 1 => cpu.try_read(at, size).await,
        2 | 3 => cpu.try_write(at, size, value).await.map(|()| 0),
        4 => cpu.mrs(register).await,
        _ => cpu.msr(register, value).await.map(|()| 0),
    };
}

async fn wait(cpu: &Cpu, random: &mut Random) {
    match random.below(6) {
        0..3 => cpu.wfe().await,
        3 => cpu.wfi().await,
        _ => {}
    }
}

/// What the well-behaved domain has seen.
#[derive(Debug, Default)]
pub(crate) struct Canary {
    pub(crate) ticks: AtomicU64,
    latest: AtomicU64,
    signals: AtomicU64,
}

impl Canary {
    /// How often its timer has fired, and how many signals have arrived.
    pub(crate) fn seen(&self) -> [u64; 2] {
        [&self.ticks, &self.signals].map(|count| count.load(Ordering::Relaxed))
    }
}

pub(crate) async fn tick(cpu: Cpu, canary: Arc<Canary>, version: Version) {
    open(&cpu, version).await;
    for target in [1, 2] {
        cpu.psci(&[CPU_ON, target, RAM, 0]).await;
    }
    loop {
        let due = cpu.count().await + 900;
        cpu.set_timer(1, due).await;
        assert_eq!(cpu.next_interrupt().await, VIRTUAL_TIMER);
        cpu.set_timer(0, 0).await;
        cpu.end(VIRTUAL_TIMER).await;
        canary.latest.fetch_max(cpu.count().await - due, Ordering::Relaxed);
        canary.ticks.fetch_add(1, Ordering::Relaxed);
        signal(&cpu, version, 5, 4).await;
    }
}

pub(crate) async fn compute(cpu: Cpu) {
    for number in 0_u64.. {
        let at = RAM + 0x10_0000 + (number % 512) * 8;
        cpu.try_write(at, AccessSize::Double, number).await.unwrap();
        cpu.compute(1).await;
        assert_eq!(cpu.try_read(at, AccessSize::Double).await, Ok(number), "somebody wrote into its memory");
    }
}

pub(crate) async fn listen(cpu: Cpu, canary: Arc<Canary>, version: Version) {
    open(&cpu, version).await;
    loop {
        let intid = cpu.next_interrupt().await;
        assert_eq!(intid & 0x3ff, 5);
        cpu.end(intid).await;
        canary.signals.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives a domain of three vCPUs the programs that show that it goes on, and what they have done.
pub(crate) fn canary(system: &System, domain: u16, version: Version) -> Arc<Canary> {
    let canary = Arc::new(Canary::default());
    let (ticks, signals) = (canary.clone(), canary.clone());
    system.sim().guest(domain, 0, move |cpu| tick(cpu, ticks.clone(), version));
    system.sim().guest(domain, 1, compute);
    system.sim().guest(domain, 2, move |cpu| listen(cpu, signals.clone(), version));
    canary
}

fn construct(cpus: u32, version: Version, list_registers: usize, seed: u64) -> (System, Arc<Canary>) {
    let setup = Setup::new(cpus, &[3, 3]).version(version).list_registers(list_registers).seed(seed);
    let system = setup.options("guest_loglvl=all").construct();
    for index in 0..3 {
        let random = Random(seed.wrapping_mul(3) + index as u64);
        system.sim().guest(1, index, move |cpu| chaos(cpu, random.clone(), version));
    }
    let canary = canary(&system, 2, version);
    system.start();
    (system, canary)
}

/// Rounds after which every canary must have moved.
const WATCH: u64 = 600;

/// Runs until domain 1 has ended or so many turns are done; answers with the turns.
fn run(cpus: u32, version: Version, list_registers: usize, seed: u64, turns: u64) -> u64 {
    let (mut system, canary) = construct(cpus, version, list_registers, seed);
    let owned = system.hypervisor.domains.iter().map(|domain| domain.map.owned_bytes()).collect::<Vec<_>>();
    let what = format!("{cpus} processors, {version:?}, {list_registers} list registers, seed {seed}");
    while system.turns < turns && system.hypervisor.domains[0].lives() {
        let (before, worked) = (canary.seen(), system.sim().work(2, 1));
        for _ in 0..WATCH {
            let ticks = 1 + system.random.below(200);
            system.round(ticks);
            disturb(&mut system);
        }
        assert_eq!(system.ended, None, "{what}");
        let after = canary.seen();
        assert!(after[0] > before[0] && after[1] > before[1], "{what}: {before:?}, then {after:?}");
        let share = WATCH * u64::from(cpus.min(6)) / 6;
        let work = system.sim().work(2, 1) - worked;
        assert!(work * 10 >= share * 6, "{what}: {work} of {share} steps of work");
        let latest = canary.latest.load(Ordering::Relaxed);
        assert!(latest <= 6 * 4_400, "{what}: the timer was {latest} ticks late");
    }
    let after = system.hypervisor.domains.iter().map(|domain| domain.map.owned_bytes()).collect::<Vec<_>>();
    assert_eq!(owned, after, "{what}: frames are lost");
    system.turns
}

/// What comes from outside: a wait ends without a reason (as it may), somebody types.
fn disturb(system: &mut System) {
    let hypervisor = system.hypervisor;
    let cpu = system.random.below(system.locals.len() as u64) as usize;
    if system.random.chance(2) {
        let vcpu = &hypervisor.vcpus[system.random.below(3) as usize];
        system.act_as(cpu, || hypervisor.wake(vcpu, cpu));
    }
    let random = &mut system.random;
    if random.chance(20) {
        let keys = [1, 1, 1, 1, b'h', b'q', b'\r', b'x', 0, 0xff];
        let typed: Vec<u8> = (0..random.below(50)).map(|_| random.pick(&keys)).collect();
        system.sim().type_in(&typed);
    }
}

/// A number from the environment: `XENITE_STORM_TURNS` for longer storms, `XENITE_STORM_SEED` for others.
pub(crate) fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn storm(cpus: u32) {
    let seed = from_environment("XENITE_STORM_SEED", 1);
    let most = from_environment("XENITE_STORM_TURNS", 200_000);
    let mut random = Random(u64::from(cpus) * 1_000_003 * seed);
    let mut turns = 0;
    while turns < most {
        let version = random.pick(&[Version::V2, Version::V3]);
        let list_registers = random.pick(&[1, 2, 4, 4, 16]);
        turns += run(cpus, version, list_registers, random.next() >> 32, 60_000);
    }
}

#[test]
fn whatever_one_domain_does_on_one_processor_the_other_goes_on() {
    storm(1);
}

#[test]
fn whatever_one_domain_does_on_two_processors_the_other_goes_on() {
    storm(2);
}

#[test]
fn whatever_one_domain_does_on_four_processors_the_other_goes_on() {
    storm(4);
}
