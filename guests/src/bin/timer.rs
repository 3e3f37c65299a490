//! The generic timer: counters, the virtual timer, the physical timer, alone and with other vCPUs busy.
//!
//! One vCPU is enough; with more, counters are compared across vCPUs and timers run beside busy vCPUs.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use guests::journal::Journal;
use guests::{boot, gic, platform, psci, registers, report, timer};

guests::guest!(main, irq, secondary);

static JOURNAL: Journal = Journal::new();
/// Ticks that the last interrupt came after its deadline.
static LATE: AtomicU64 = AtomicU64::new(0);
/// The last counter value that any vCPU has seen.
static LAST: AtomicU64 = AtomicU64::new(0);
/// How often a vCPU saw the counter behind a value that another had seen before.
static BACKWARDS: AtomicU64 = AtomicU64::new(0);
static TURNS: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicU64 = AtomicU64::new(0);

fn irq(_cpu: usize) {
    let raw = gic::acknowledge();
    let intid = gic::intid_of(raw);
    let now = registers::counter();
    let [_, physical, virtual_timer] = platform::get().timers;
    if intid == virtual_timer {
        LATE.store(now.wrapping_sub(registers::virtual_timer_compare()), Ordering::SeqCst);
        registers::set_virtual_timer_control(0);
    } else if intid == physical {
        let now = registers::physical_counter();
        LATE.store(now.wrapping_sub(registers::physical_timer_compare()), Ordering::SeqCst);
        registers::set_physical_timer_control(0);
    }
    JOURNAL.write(intid);
    if intid != gic::SPURIOUS {
        gic::end(raw);
    }
}

/// Compares counters with the first vCPU, then is merely busy.
fn secondary(_cpu: usize, _word: u64) {
    while STOP.load(Ordering::SeqCst) == 0 {
        step();
    }
}

fn step() {
    let seen = LAST.load(Ordering::SeqCst);
    let now = registers::counter();
    if now < seen {
        BACKWARDS.fetch_add(1, Ordering::SeqCst);
    }
    LAST.fetch_max(now, Ordering::SeqCst);
    TURNS.fetch_add(1, Ordering::SeqCst);
}

/// The registers of one of the two timers.
struct Timer {
    name: &'static str,
    intid: u32,
    counter: fn() -> u64,
    control: fn() -> u64,
    set_control: fn(u64),
    compare: fn() -> u64,
    set_compare: fn(u64),
    value: fn() -> u64,
    set_value: fn(u64),
}

fn main() {
    let [_, physical, virtual_timer] = platform::get().timers;
    report::fact("timer.virtual_intid", virtual_timer);
    report::fact("timer.physical_intid", physical);
    report::fact("timer.frequency", registers::counter_frequency());
    counters();
    boot::interrupts_on();
    let virtual_timer = Timer {
        name: "virtual",
        intid: virtual_timer,
        counter: registers::counter,
        control: registers::virtual_timer_control,
        set_control: registers::set_virtual_timer_control,
        compare: registers::virtual_timer_compare,
        set_compare: registers::set_virtual_timer_compare,
        value: registers::virtual_timer_value,
        set_value: registers::set_virtual_timer_value,
    };
    let physical_timer = Timer {
        name: "physical",
        intid: physical,
        counter: registers::physical_counter,
        control: registers::physical_timer_control,
        set_control: registers::set_physical_timer_control,
        compare: registers::physical_timer_compare,
        set_compare: registers::set_physical_timer_compare,
        value: registers::physical_timer_value,
        set_value: registers::set_physical_timer_value,
    };
    for timer in [&virtual_timer, &physical_timer] {
        reads_back(timer);
        fires(timer);
        masks(timer);
        sleeps(timer);
        disabled_by_the_controller(timer);
    }
    both(&virtual_timer, &physical_timer);
    many(&virtual_timer);
    with_company(&virtual_timer, &physical_timer);
}

fn counters() {
    let mut before = registers::counter();
    let mut good = true;
    for _ in 0..10_000 {
        let now = registers::counter();
        good &= now >= before;
        before = now;
    }
    report::check("counter.virtual_never_goes_back", good);
    let mut before = registers::physical_counter();
    for _ in 0..10_000 {
        let now = registers::physical_counter();
        good &= now >= before;
        before = now;
    }
    report::check("counter.physical_never_goes_back", good);
    let offset = registers::physical_counter().wrapping_sub(registers::counter());
    report::check("counter.physical_is_not_behind_virtual", offset as i64 >= -(timer::ticks(20_000) as i64));
    timer::spin(1_000);
    let later = registers::physical_counter().wrapping_sub(registers::counter());
    // The two are read one after the other, and the vCPU may be preempted in between.
    report::within("counter.offset_is_constant", offset.abs_diff(later), 0, timer::ticks(20_000));
}

fn reads_back(timer: &Timer) {
    let name = timer.name;
    (timer.set_control)(0);
    report::equal(format_args!("{name}.control_off"), (timer.control)() & 3, 0);
    (timer.set_control)(2);
    report::equal(format_args!("{name}.control_masked"), (timer.control)() & 3, 2);
    let far = (timer.counter)() + timer::ticks(3_600_000_000);
    (timer.set_compare)(far);
    report::equal(format_args!("{name}.compare_reads_back"), (timer.compare)(), far);
    let value = (timer.value)();
    let expected = far.wrapping_sub((timer.counter)());
    report::within(
        format_args!("{name}.value_is_the_distance"),
        u64::from((value as u32).wrapping_sub(expected as u32)),
        0,
        timer::ticks(20_000),
    );
    (timer.set_control)(1);
    report::equal(format_args!("{name}.not_due"), (timer.control)() & 7, 1);
    (timer.set_value)(u64::from(-1i32 as u32));
    (timer.set_control)(3);
    report::equal(format_args!("{name}.negative_value_is_due_at_once"), (timer.control)() & 7, 7);
    report::check(
        format_args!("{name}.negative_value_is_in_the_past"),
        (timer.compare)() <= (timer.counter)(),
    );
    (timer.set_control)(0);
}

fn one(timer: &Timer, name: &str) {
    let came = timer::wait_for(1_000_000, || JOURNAL.count() > 0);
    if came && JOURNAL.is(&[timer.intid]) {
        report::pass(format_args!("{}.{name}", timer.name));
    } else {
        report::fail(format_args!("{}.{name}", timer.name), format_args!("{JOURNAL}"));
    }
    report::check(
        format_args!("{}.{name}_is_not_early", timer.name),
        (LATE.load(Ordering::SeqCst) as i64) >= 0,
    );
    JOURNAL.clear();
}

/// Arms the timer and does something about it before its deadline: again, if the vCPU was held up for too long.
fn in_time(timer: &Timer, act: impl Fn()) {
    for _ in 0..100 {
        let deadline = (timer.counter)() + timer::ticks(5_000);
        (timer.set_compare)(deadline);
        (timer.set_control)(1);
        act();
        if (timer.counter)() < deadline {
            return;
        }
        (timer.set_control)(0);
        timer::spin(1_000);
        JOURNAL.clear();
    }
}

fn fires(timer: &Timer) {
    gic::enable(timer.intid);
    JOURNAL.clear();
    (timer.set_compare)((timer.counter)() + timer::ticks(1_000));
    (timer.set_control)(1);
    one(timer, "fires_at_its_deadline");
    (timer.set_value)(timer::ticks(1_000));
    (timer.set_control)(1);
    one(timer, "fires_after_its_value");
    (timer.set_compare)(0);
    (timer.set_control)(1);
    one(timer, "fires_for_a_deadline_in_the_past");
    in_time(timer, || (timer.set_compare)((timer.counter)() + timer::ticks(15_000)));
    timer::spin(7_000);
    report::equal(format_args!("{}.moved_deadline_does_not_fire_early", timer.name), JOURNAL.count(), 0);
    one(timer, "moved_deadline_fires");
    in_time(timer, || (timer.set_control)(0));
    timer::spin(7_000);
    report::equal(format_args!("{}.stopped_does_not_fire", timer.name), JOURNAL.count(), 0);
    (timer.set_compare)(u64::MAX);
    (timer.set_control)(1);
    timer::spin(2_000);
    // Xen 4.17 computes the physical timer's deadline in nanoseconds, which overflows.
    report::strict(format_args!("{}.end_of_time_does_not_fire", timer.name), JOURNAL.count() == 0);
    (timer.set_control)(0);
    JOURNAL.clear();
}

fn masks(timer: &Timer) {
    (timer.set_compare)((timer.counter)() + timer::ticks(500));
    (timer.set_control)(3);
    timer::spin(2_000);
    report::equal(format_args!("{}.masked_does_not_fire", timer.name), JOURNAL.count(), 0);
    report::equal(format_args!("{}.masked_is_due", timer.name), (timer.control)() & 7, 7);
    (timer.set_control)(1);
    one(timer, "fires_when_unmasked");
    registers::mask_interrupts();
    (timer.set_compare)(0);
    (timer.set_control)(1);
    timer::spin(1_000);
    report::equal(format_args!("{}.waits_for_the_processor", timer.name), JOURNAL.count(), 0);
    report::equal(
        format_args!("{}.pending_in_isr", timer.name),
        registers::pending_exceptions() & 0x80,
        0x80,
    );
    registers::unmask_interrupts();
    one(timer, "fires_when_the_processor_listens");
}

fn sleeps(timer: &Timer) {
    for (name, masked) in [("wakes_wfi", false), ("wakes_wfi_while_masked", true)] {
        if masked {
            registers::mask_interrupts();
        }
        let start = (timer.counter)();
        (timer.set_compare)(start + timer::ticks(100_000));
        (timer.set_control)(1);
        // WFI may return early; what must not happen is that it never returns.
        let mut rounds = 0;
        while (timer.counter)() < start + timer::ticks(100_000) {
            registers::wfi();
            rounds += 1;
        }
        registers::unmask_interrupts();
        one(timer, name);
        report::within(format_args!("{}.{name}_sleeps", timer.name), rounds, 1, 50);
    }
}

fn disabled_by_the_controller(timer: &Timer) {
    gic::disable(timer.intid);
    (timer.set_compare)(0);
    (timer.set_control)(1);
    timer::spin(2_000);
    report::equal(
        format_args!("{}.disabled_in_the_controller_does_not_fire", timer.name),
        JOURNAL.count(),
        0,
    );
    gic::enable(timer.intid);
    one(timer, "fires_when_enabled_in_the_controller");
    gic::disable(timer.intid);
}

fn both(first: &Timer, second: &Timer) {
    for timer in [first, second] {
        gic::enable(timer.intid);
        (timer.set_compare)((timer.counter)() + timer::ticks(3_000));
        (timer.set_control)(1);
    }
    let came = timer::wait_for(1_000_000, || JOURNAL.count() >= 2);
    report::check(
        "both_timers_fire",
        came && JOURNAL.count_of(first.intid) == 1 && JOURNAL.count_of(second.intid) == 1,
    );
    JOURNAL.clear();
}

fn many(timer: &Timer) {
    let mut lost = 0;
    for _ in 0..200 {
        (timer.set_compare)((timer.counter)() + timer::ticks(200));
        (timer.set_control)(1);
        lost += u32::from(!timer::wait_for(1_000_000, || JOURNAL.count() > 0) || !JOURNAL.is(&[timer.intid]));
        JOURNAL.clear();
    }
    report::equal("virtual.200_interrupts_in_a_row", lost, 0);
}

/// The other vCPUs are busy; on a shared pCPU they compete with this one.
fn with_company(virtual_timer: &Timer, physical_timer: &Timer) {
    let cpus = platform::get().cpus.min(8);
    report::check("company.cpus", cpus >= 1);
    for cpu in 1..cpus {
        report::equal("company.cpu_on", psci::start(cpu, 0), 0);
    }
    let end = registers::counter() + timer::ticks(200_000);
    while registers::counter() < end {
        step();
    }
    report::equal("company.counter_never_goes_back", BACKWARDS.load(Ordering::SeqCst), 0);
    for timer in [virtual_timer, physical_timer] {
        gic::enable(timer.intid);
        for round in 0..5 {
            (timer.set_compare)((timer.counter)() + timer::ticks(5_000));
            // Masked, so that the interrupt cannot be taken between arming and sleeping.
            registers::mask_interrupts();
            (timer.set_control)(1);
            if round % 2 == 0 {
                registers::wfi();
            }
            registers::unmask_interrupts();
            one(timer, "fires_beside_busy_vcpus");
        }
    }
    STOP.store(1, Ordering::SeqCst);
    for cpu in 1..cpus {
        report::check("company.cpu_off", psci::wait_off(cpu, 1_000_000));
    }
}
