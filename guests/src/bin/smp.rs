//! Many vCPUs: SGIs in a ring, timers on each, and a share of the processors for each.
//!
//! All vCPUs of the tree take part, or the first `smp.cpus=N`. `smp.laps=N` rounds of the token, `smp.ticks=N` timer
//! interrupts for each vCPU, `smp.milliseconds=N` of competing for time, in which the least must get `smp.fair_percent=N`
//! of what the most gets.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use guests::boot::MAX_CPUS;
use guests::{boot, gic, platform, psci, registers, report, timer};

guests::guest!(main, irq, secondary);

const TOKEN: u32 = 2;
const WAKE: u32 = 3;

const RING: u64 = 1;
const TICKS: u64 = 2;
const COMPETE: u64 = 3;
const LEAVE: u64 = 4;

/// What all do now, and how many have finished it.
static PHASE: AtomicU64 = AtomicU64::new(0);
static FINISHED: AtomicU64 = AtomicU64::new(0);
static READY: AtomicU64 = AtomicU64::new(0);
static CPUS: AtomicU64 = AtomicU64::new(1);
static LAPS: AtomicU64 = AtomicU64::new(0);
/// When the competition is over.
static END: AtomicU64 = AtomicU64::new(0);

static TOKENS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static TIMERS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static TURNS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static STRANGE: AtomicU64 = AtomicU64::new(0);

fn cpus() -> usize {
    CPUS.load(Ordering::Relaxed) as usize
}

fn irq(cpu: usize) {
    let raw = gic::acknowledge();
    match gic::intid_of(raw) {
        gic::SPURIOUS => return,
        TOKEN => {
            let seen = TOKENS[cpu].fetch_add(1, Ordering::SeqCst) + 1;
            // The first vCPU keeps the token after the last lap.
            if cpu != 0 || seen < LAPS.load(Ordering::SeqCst) {
                gic::send_sgi(TOKEN, gic::Target::Cpu((cpu + 1) % cpus()));
            }
        }
        WAKE => {}
        intid if intid == platform::get().timers[2] => {
            timer::disarm();
            TIMERS[cpu].fetch_add(1, Ordering::SeqCst);
        }
        _ => {
            STRANGE.fetch_add(1, Ordering::SeqCst);
        }
    }
    gic::end(raw);
}

fn prepare() {
    for intid in [TOKEN, WAKE, platform::get().timers[2]] {
        gic::enable(intid);
    }
    boot::interrupts_on();
}

fn secondary(cpu: usize, _word: u64) {
    prepare();
    READY.fetch_add(1, Ordering::SeqCst);
    let mut done = 0;
    loop {
        // Interrupts are masked between the look and the sleep, so that no wake-up falls in between.
        registers::mask_interrupts();
        let phase = PHASE.load(Ordering::SeqCst);
        if phase == done {
            registers::wfi();
            registers::unmask_interrupts();
            continue;
        }
        registers::unmask_interrupts();
        done = phase;
        match phase {
            TICKS => ticks(cpu),
            COMPETE => compete(cpu),
            LEAVE => break,
            _ => {}
        }
        FINISHED.fetch_add(1, Ordering::SeqCst);
    }
    registers::mask_interrupts();
}

fn ticks(cpu: usize) {
    let wanted = platform::number("smp.ticks", 50);
    for tick in 0..wanted {
        timer::arm(1_000);
        while TIMERS[cpu].load(Ordering::SeqCst) == tick {
            registers::mask_interrupts();
            if TIMERS[cpu].load(Ordering::SeqCst) == tick {
                registers::wfi();
            }
            registers::unmask_interrupts();
        }
    }
}

fn compete(cpu: usize) {
    let end = END.load(Ordering::SeqCst);
    let mut turns = 0u64;
    while registers::counter_now() < end {
        turns += 1;
    }
    TURNS[cpu].store(turns, Ordering::SeqCst);
}

/// Lets all secondaries do `phase`.
fn begin(phase: u64) {
    FINISHED.store(0, Ordering::SeqCst);
    PHASE.store(phase, Ordering::SeqCst);
    gic::send_sgi(WAKE, gic::Target::Others);
}

fn all_finished(name: &str) {
    let others = cpus() as u64 - 1;
    let good = timer::wait_for(60_000_000, || FINISHED.load(Ordering::SeqCst) == others);
    report::check(format_args!("smp.{name}_finished"), good);
}

fn main() {
    let cpus = platform::get().cpus.min(platform::number("smp.cpus", MAX_CPUS as u64) as usize).max(1);
    CPUS.store(cpus as u64, Ordering::SeqCst);
    let laps = platform::number("smp.laps", 20);
    LAPS.store(laps, Ordering::SeqCst);
    report::fact("smp.cpus", cpus);
    prepare();
    let started = (1..cpus).filter(|cpu| psci::start(*cpu, 0) == 0).count();
    report::equal("smp.started", started, cpus - 1);
    let ready = timer::wait_for(60_000_000, || READY.load(Ordering::SeqCst) as usize == cpus - 1);
    report::check("smp.ready", ready);

    begin(RING);
    all_finished("wake");
    gic::send_sgi(TOKEN, gic::Target::Cpu(1 % cpus));
    let home = timer::wait_for(120_000_000, || TOKENS[0].load(Ordering::SeqCst) == laps);
    report::check("smp.token_came_home", home);
    timer::spin(10_000);
    let wrong = TOKENS[..cpus].iter().filter(|count| count.load(Ordering::SeqCst) != laps).count();
    report::equal("smp.each_saw_the_token_once_a_lap", wrong, 0);

    begin(TICKS);
    ticks(0);
    all_finished("ticks");
    let wanted = platform::number("smp.ticks", 50);
    let wrong = TIMERS[..cpus].iter().filter(|count| count.load(Ordering::SeqCst) != wanted).count();
    report::equal("smp.each_had_all_its_timer_interrupts", wrong, 0);

    fairness(cpus);
    report::equal("smp.strange_interrupts", STRANGE.load(Ordering::SeqCst), 0);
    begin(LEAVE);
    let left = (1..cpus).filter(|cpu| psci::wait_off(*cpu, 10_000_000)).count();
    report::equal("smp.left", left, cpus - 1);
}

fn fairness(cpus: usize) {
    let milliseconds = platform::number("smp.milliseconds", 2_000);
    END.store(registers::counter() + timer::ticks(milliseconds * 1_000), Ordering::SeqCst);
    begin(COMPETE);
    compete(0);
    all_finished("competition");
    let mut turns = [0u64; MAX_CPUS];
    for (slot, count) in turns.iter_mut().zip(&TURNS) {
        *slot = count.load(Ordering::SeqCst);
    }
    let turns = &mut turns[..cpus];
    report::samples("smp.iterations", turns);
    let (least, most) = (turns[0], turns[cpus - 1].max(1));
    let percent = least * 100 / most;
    report::figure("smp.fairness_percent", percent, percent, percent);
    report::check("smp.fair", percent >= platform::number("smp.fair_percent", 80));
}
