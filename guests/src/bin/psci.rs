//! PSCI and the SMC Calling Convention, by HVC and by SMC: every call that a guest may make, and some that it may not.
//!
//! Needs two vCPUs.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "HVC and SMC with unusual immediates, and a look at registers across a call")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::exception::{CLASS_UNKNOWN, expect_fault};
use guests::psci::{self, Answer};
use guests::{boot, platform, registers, report, say, timer};

guests::guest!(main, guests::exception::unexpected_irq, secondary);

const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const ALREADY_ON: i64 = -4;
const INVALID_ADDRESS: i64 = -9;

/// What the secondary saw: its word, so that a test knows that it ran.
static SEEN: AtomicU64 = AtomicU64::new(0);
/// The secondary stays while this is 0.
static LEAVE: AtomicU64 = AtomicU64::new(0);

fn secondary(_cpu: usize, word: u64) {
    SEEN.store(word, Ordering::SeqCst);
    while LEAVE.load(Ordering::SeqCst) == 0 {
        registers::yield_hint();
    }
}

type Conduit = fn([u64; 4]) -> Answer;

fn main() {
    first_entry();
    for (name, call) in [("hvc", psci::hvc as Conduit), ("smc", psci::smc as Conduit)] {
        identity(name, call);
        features(name, call);
        services(name, call);
        unknown(name, call);
        suspend(name, call);
        second_cpu(name, call);
        refusals(name, call);
    }
    immediates();
    preserved_registers();
    old_ids();
}

fn low(answer: Answer) -> i64 {
    i64::from(answer[0] as u32 as i32)
}

fn is(name: &str, what: &str, seen: i64, expected: i64) {
    report::equal(format_args!("{name}.{what}"), seen, expected);
}

/// The state of the first vCPU at its first instruction.
fn first_entry() {
    let entry = boot::entry(0);
    let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
    report::equal("entry.x0_is_the_tree", load(&entry.x[0]), platform::get().tree as u64);
    for (number, value) in entry.x.iter().enumerate().skip(1) {
        report::equal(format_args!("entry.x{number}"), load(value), 0);
    }
    state("entry", entry, 0);
}

fn state(name: &str, entry: &boot::Entry, cpu: usize) {
    let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
    report::equal(format_args!("{name}.level"), load(&entry.current_el), 1 << 2);
    report::equal(format_args!("{name}.sctlr"), load(&entry.sctlr), 0x00c5_0078);
    report::equal(format_args!("{name}.aif_masked"), load(&entry.daif) & 0x1c0, 0x1c0);
    report::fact(format_args!("{name}.daif"), format_args!("{:#x}", load(&entry.daif)));
    report::equal(format_args!("{name}.sp_select"), load(&entry.sp_select), 1);
    let affinity = platform::get().affinities[cpu];
    report::equal(format_args!("{name}.mpidr"), load(&entry.mpidr), 1 << 31 | affinity);
}

fn identity(name: &str, call: Conduit) {
    report::equal(format_args!("{name}.psci_version"), call([psci::VERSION, 0, 0, 0])[0], 0x1_0001);
    report::equal(format_args!("{name}.smccc_version"), call([0x8000_0000, 0, 0, 0])[0], 0x1_0001);
    is(name, "migrate_info_type", low(call([psci::MIGRATE_INFO_TYPE, 0, 0, 0])), 2);
}

fn features(name: &str, call: Conduit) {
    let known: [u64; 12] = [
        0x8400_0000,
        0x8400_0001,
        0xc400_0001,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
    ];
    for id in known {
        is(name, "psci_features_known", low(call([psci::FEATURES, id, 0, 0])), 0);
    }
    is(name, "psci_features_smccc_version", low(call([psci::FEATURES, 0x8000_0000, 0, 0])), 0);
    // MIGRATE, MIGRATE_INFO_UP_CPU, CPU_FREEZE, SYSTEM_SUSPEND, SYSTEM_RESET2 and nonsense.
    for id in [0x8400_0005, 0x8400_0007, 0x8400_000b, 0xc400_000e, 0xc400_0012, 0x8400_0050, 0, u64::MAX] {
        is(name, "psci_features_unknown", low(call([psci::FEATURES, id, 0, 0])), NOT_SUPPORTED);
    }
    for id in [0x8000_0000u64, 0x8000_0001, 0x8000_8000, 0x8000_7fff, 0x8000_3fff, 0x8000_0002, 0x8400_0000] {
        let answer = low(call([0x8000_0001, id, 0, 0]));
        // The workarounds are a matter of what the hypervisor does about which processor.
        if matches!(id, 0x8000_8000 | 0x8000_7fff | 0x8000_3fff) {
            say!("note {name}.arch_features.{id:#x} {answer}");
        } else {
            report::fact(format_args!("{name}.arch_features.{id:#x}"), answer);
        }
    }
    is(name, "arch_features_unknown", low(call([0x8000_0001, 0x8000_1234, 0, 0])), NOT_SUPPORTED);
}

fn services(name: &str, call: Conduit) {
    for (service, base) in
        [("hypervisor", 0x8500_ff00u64), ("standard", 0x8400_ff00), ("vendor", 0x8600_ff00)]
    {
        let count = call([base, 0, 0, 0]);
        report::fact(format_args!("{name}.{service}.call_count"), count[0]);
        let uid = call([base + 1, 0, 0, 0]);
        report::fact(
            format_args!("{name}.{service}.uid"),
            format_args!("{:08x} {:08x} {:08x} {:08x}", uid[0], uid[1], uid[2], uid[3]),
        );
        let revision = call([base + 3, 0, 0, 0]);
        report::fact(
            format_args!("{name}.{service}.revision"),
            format_args!("{}.{}", revision[0], revision[1]),
        );
    }
}

fn unknown(name: &str, call: Conduit) {
    let ids = [
        ("trng_version", 0x8400_0050u64),
        ("vendor_hypervisor", 0x8600_0000),
        ("sip", 0x8200_0000),
        ("oem", 0x8300_0000),
        ("trusted_os", 0xb200_0000),
        ("trusted_application", 0xb000_0000),
        ("arch_unknown", 0x8000_1234),
        ("psci_unknown", 0x8400_0014),
        ("yielding", 0x0600_0000),
        ("zero", 0),
        ("all_ones", 0xffff_ffff),
    ];
    for (what, id) in ids {
        report::equal(format_args!("{name}.unknown.{what}"), call([id, 1, 2, 3])[0] as u32, 0xffff_ffff);
    }
    report::strict(
        format_args!("{name}.unknown_is_minus_one_in_64_bits"),
        call([0x8400_0014, 0, 0, 0])[0] == u64::MAX,
    );
}

fn suspend(name: &str, call: Conduit) {
    for (what, id) in
        [("cpu_suspend", psci::CPU_SUSPEND), ("cpu_suspend_32", psci::CPU_SUSPEND & 0xffff_ffff & !(1 << 30))]
    {
        let start = registers::counter();
        // The interrupt is masked in the processor and enabled at the interrupt controller: it wakes all the same.
        guests::gic::start_distributor();
        guests::gic::start_cpu();
        guests::gic::enable(platform::get().timers[2]);
        timer::arm(2_000);
        let answer = low(call([id, 0, 0, 0]));
        let slept = registers::counter() - start;
        is(name, what, answer, 0);
        report::check(format_args!("{name}.{what}_waits_for_the_timer"), slept >= timer::ticks(2_000));
        timer::disarm();
        let raw = guests::gic::acknowledge();
        report::equal(
            format_args!("{name}.{what}_interrupt"),
            guests::gic::intid_of(raw),
            platform::get().timers[2],
        );
        guests::gic::end(raw);
    }
}

fn second_cpu(name: &str, call: Conduit) {
    if !report::check(format_args!("{name}.two_cpus"), platform::get().cpus >= 2) {
        return;
    }
    let target = platform::get().affinities[1];
    let info = |level: u64| low(call([psci::AFFINITY_INFO, target, level, 0]));
    is(name, "affinity_before", info(0), 1);
    for (round, high) in [0u64, 0xfe_dcba_9876_5432].into_iter().enumerate() {
        LEAVE.store(0, Ordering::SeqCst);
        let word = 0x1000 + round as u64;
        is(name, "cpu_on", psci::start_with(1, word, high), 0);
        let ran = timer::wait_for(1_000_000, || SEEN.load(Ordering::SeqCst) == word);
        report::check(format_args!("{name}.cpu_on_runs"), ran);
        let entry = boot::entry(1);
        report::equal(format_args!("{name}.context"), entry.x[0].load(Ordering::SeqCst), high << 8 | 1);
        for (number, value) in entry.x.iter().enumerate().skip(1) {
            report::equal(format_args!("{name}.cpu_on.x{number}"), value.load(Ordering::SeqCst), 0);
        }
        state("cpu_on", entry, 1);
        is(name, "affinity_on", info(0), 0);
        is(name, "affinity_32_on", low(call([0x8400_0004, target, 0, 0])), 0);
        is(name, "already_on", low(call([psci::CPU_ON, target, boot::secondary_address(), 1])), ALREADY_ON);
        is(name, "already_on_32", low(call([0x8400_0003, target, boot::secondary_address(), 1])), ALREADY_ON);
        LEAVE.store(1, Ordering::SeqCst);
        report::check(format_args!("{name}.cpu_off"), psci::wait_off(1, 1_000_000));
    }
}

fn refusals(name: &str, call: Conduit) {
    let entry = boot::secondary_address();
    for target in [0x77u64, 0x0f00, 0xff_ffff, u64::MAX] {
        is(name, "cpu_on_bad_target", low(call([psci::CPU_ON, target, entry, 0])), INVALID_PARAMETERS);
    }
    for target in [0x77u64, 0x0f00, 0xff_ffff, 0xff_0000_0000, u64::MAX] {
        // Xen 4.17 says of a vCPU that does not exist that it is off.
        let answer = low(call([psci::AFFINITY_INFO, target, 0, 0]));
        report::strict(format_args!("{name}.affinity_bad_target.{target:#x}"), answer == INVALID_PARAMETERS);
    }
    // Xen 4.17 looks at no more than the lower three affinity levels.
    let answer = low(call([psci::CPU_ON, 0xff_0000_0000, entry, 0]));
    report::strict(format_args!("{name}.cpu_on_bad_aff3"), answer == INVALID_PARAMETERS);
    let own = platform::get().affinities[0];
    is(name, "cpu_on_self", low(call([psci::CPU_ON, own, entry, 0])), ALREADY_ON);
    let second = platform::get().affinities[1];
    is(name, "cpu_on_thumb", low(call([psci::CPU_ON, second, entry | 1, 0])), INVALID_ADDRESS);
    is(name, "affinity_bad_level", low(call([psci::AFFINITY_INFO, own, 4, 0])), INVALID_PARAMETERS);
    is(name, "affinity_after", low(call([psci::AFFINITY_INFO, second, 0, 0])), 1);
}

/// HVC and SMC with immediates that mean nothing: the instruction is UNDEFINED.
fn immediates() {
    macro_rules! undefined {
        ($name:literal, $instruction:literal) => {
            let fault = expect_fault(|| {
                // SAFETY: either UNDEFINED, or a call that by convention changes x0 to x17 only.
                unsafe { asm!($instruction, inout("x0") psci::VERSION => _, clobber_abi("C")) };
            });
            report::equal($name, fault.map_or(u64::MAX, |fault| fault.class()), CLASS_UNKNOWN);
            let back = fault.map_or(0, |fault| fault.esr);
            report::equal(concat!($name, ".syndrome"), back, 1 << 25);
        };
    }
    undefined!("hvc.immediate_1_is_undefined", "hvc #1");
    undefined!("hvc.immediate_ea2_is_undefined", "hvc #0xea2");
    undefined!("hvc.immediate_ffff_is_undefined", "hvc #0xffff");
    undefined!("smc.immediate_1_is_undefined", "smc #1");
    undefined!("smc.immediate_ffff_is_undefined", "smc #0xffff");
}

/// SMCCC 1.1: x4 to x17 are preserved, by known and unknown calls alike.
fn preserved_registers() {
    for id in [psci::VERSION, 0x8000_0000, 0x8600_ff01, 0x8400_0014] {
        let changed: u64;
        // SAFETY: sets and compares x4 to x17, all declared; the call changes no other register.
        unsafe {
            asm!(
                "mov x4, #4", "mov x5, #5", "mov x6, #6", "mov x7, #7", "mov x8, #8", "mov x9, #9", "mov x10, #10",
                "mov x11, #11", "mov x12, #12", "mov x13, #13", "mov x14, #14", "mov x15, #15", "mov x16, #16",
                "mov x17, #17", "hvc #0",
                "sub x4, x4, #4", "sub x5, x5, #5", "sub x6, x6, #6", "sub x7, x7, #7", "sub x8, x8, #8",
                "sub x9, x9, #9", "sub x10, x10, #10", "sub x11, x11, #11", "sub x12, x12, #12", "sub x13, x13, #13",
                "sub x14, x14, #14", "sub x15, x15, #15", "sub x16, x16, #16", "sub x17, x17, #17",
                "orr x4, x4, x5", "orr x4, x4, x6", "orr x4, x4, x7", "orr x4, x4, x8", "orr x4, x4, x9",
                "orr x4, x4, x10", "orr x4, x4, x11", "orr x4, x4, x12", "orr x4, x4, x13", "orr x4, x4, x14",
                "orr x4, x4, x15", "orr x4, x4, x16", "orr x0, x4, x17",
                inout("x0") id => changed, clobber_abi("C")
            );
        }
        report::equal(format_args!("hvc.preserves_x4_to_x17.{id:#x}"), changed, 0);
    }
}

/// PSCI 0.1: the numbers that the tree's psci node names for CPU_OFF and CPU_ON.
fn old_ids() {
    LEAVE.store(0, Ordering::SeqCst);
    SEEN.store(0, Ordering::SeqCst);
    let target = platform::get().affinities[1];
    // The word is still the last one that `start` left.
    let answer = low(psci::hvc([2, target, boot::address_without_context(), 1]));
    report::equal("psci_0_1.cpu_on", answer, 0);
    report::check("psci_0_1.cpu_on_runs", timer::wait_for(1_000_000, || SEEN.load(Ordering::SeqCst) != 0));
    LEAVE.store(1, Ordering::SeqCst);
    report::check("psci_0_1.cpu_off", psci::wait_off(1, 1_000_000));
}
