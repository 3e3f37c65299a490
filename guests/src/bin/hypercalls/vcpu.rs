//! vcpu_op: state, information and run-state areas, timers.

use guests::mmu::{self, Page};
use guests::registers;
use guests::xen::{self, Pages};
use guests::{gic, mmio, platform, report, timer};

const REGISTER_RUNSTATE: u64 = 5;
const REGISTER_INFORMATION: u64 = 10;

static PAGE: Pages<2> = Pages::new();

fn ask(command: u64, vcpu: u64, address: u64) -> i64 {
    xen::call(xen::VCPU_OP, [command, vcpu, address, 0, 0])
}

pub(super) fn all() {
    for vcpu in [0u64, 1, 2, 127, 128, 8192, 0xffff_ffff, 1 << 32] {
        report::fact(format_args!("vcpu_op.is_up.{vcpu:#x}"), ask(3, vcpu, 0));
    }
    for command in (0..=20u64).filter(|command| ![REGISTER_RUNSTATE, REGISTER_INFORMATION].contains(command))
    {
        let mut buffer = [0u64; 64];
        buffer[0] = 1_000_000_000;
        for vcpu in [0u64, 1, 2] {
            report::fact(
                format_args!("vcpu_op.{command}.vcpu_{vcpu}"),
                ask(command, vcpu, xen::handle(&mut buffer)),
            );
        }
        report::fact(format_args!("vcpu_op.{command}.null"), ask(command, 0, 0));
    }
    run_state();
    information();
}

/// vcpu_runstate_info as it lies in memory.
#[derive(Clone, Copy, Debug)]
struct RunState {
    state: u64,
    entered: u64,
    times: [u64; 4],
}

fn look(address: usize) -> RunState {
    let word = |place: usize| mmio::read64(address + place * 8);
    RunState { state: word(0), entered: word(1), times: [word(2), word(3), word(4), word(5)] }
}

fn register(vcpu: u64, address: u64) -> i64 {
    let mut address = address;
    ask(REGISTER_RUNSTATE, vcpu, xen::handle(&mut address))
}

fn run_state() {
    let place = PAGE.address() + 256;
    let mut buffer = [0u64; 6];
    report::fact("runstate.get", ask(4, 0, xen::handle(&mut buffer)));
    report::fact("runstate.get.of_second", ask(4, 1, xen::handle(&mut buffer)));
    report::fact("runstate.register", register(0, place as u64));
    let first = look(place);
    report::fact("runstate.state_after_registration", first.state);
    report::check("runstate.written_by_registration", first.entered != 0);
    let start = registers::counter();
    sleep();
    sleep();
    let second = look(place);
    let elapsed = (registers::counter() - start) * 16;
    let sum = |seen: &RunState| seen.times.iter().sum::<u64>();
    report::fact("runstate.state_after_sleep", second.state);
    report::within("runstate.sleep_is_blocked_time", second.times[2] - first.times[2], 1_000_000, elapsed);
    report::equal(
        "runstate.times_add_up_to_the_time_of_entry",
        sum(&second) - sum(&first),
        second.entered - first.entered,
    );
    report::equal("runstate.never_offline", second.times[3], first.times[3]);
    report::check("runstate.no_update_flag_without_assist", second.entered >> 63 == 0);
    report::fact("runstate.assist", xen::call(xen::VM_ASSIST, [0, 5, 0, 0, 0]));
    sleep();
    let third = look(place);
    report::check("runstate.update_flag_is_clear_when_running", third.entered >> 63 == 0);
    report::check("runstate.goes_on_with_assist", third.times[2] > second.times[2]);
    // Again, at another place: the first one stands still.
    report::fact("runstate.register_again", register(0, place as u64 + 512));
    let old = look(place);
    sleep();
    report::check("runstate.the_new_place_is_written", look(place + 512).times[2] > third.times[2]);
    report::equal("runstate.the_old_place_is_not", look(place).entered, old.entered);
    run_state_places(place as u64 + 512);
}

/// Sleeps for 40 ms, long enough that a busy computer cannot make it none.
fn sleep() {
    // An interrupt that the controller does not let through need not end a sleep. It stays masked here, so it is
    // taken and ended by hand.
    let [_, _, virtual_timer] = platform::get().timers;
    gic::start_distributor();
    gic::start_cpu();
    gic::enable(virtual_timer);
    timer::sleep(40_000);
    let raw = gic::acknowledge();
    timer::disarm();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
    gic::disable(virtual_timer);
}

fn run_state_places(good: u64) {
    let page = PAGE.address() as u64;
    report::fact("runstate.null", register(0, 0));
    report::fact("runstate.unaligned", register(0, page + 257));
    report::fact("runstate.unaligned_4", register(0, page + 260));
    report::fact("runstate.across_pages", register(0, page + 4096 - 24));
    report::fact("runstate.across_into_unmapped", {
        let window = mmu::set_window(12, Page::Writable(PAGE.frame(0)));
        mmu::set_window(13, Page::Unmapped);
        register(0, window as u64 + 4096 - 24)
    });
    report::fact("runstate.read_only", {
        let window = mmu::set_window(12, Page::ReadOnly(PAGE.frame(0)));
        register(0, window as u64)
    });
    report::fact("runstate.unmapped", register(0, mmu::WINDOW as u64 + 13 * 4096));
    report::fact("runstate.device", register(0, platform::get().uart.base as u64));
    report::fact("runstate.hole", {
        let window = mmu::set_window(12, Page::Writable(xen::free_frame()));
        register(0, window as u64)
    });
    report::fact("runstate.beyond", register(0, 1 << 48));
    report::fact("runstate.of_second", register(1, page + 1024));
    report::fact("runstate.state_of_second", mmio::read64(page as usize + 1024));
    report::fact("runstate.of_third", register(2, page));
    report::fact("runstate.argument_null", ask(REGISTER_RUNSTATE, 0, 0));
    report::fact("runstate.register_at_last", register(0, good));
}

/// vcpu_register_vcpu_info.
fn place_information(vcpu: u64, frame: u64, offset: u32) -> i64 {
    let mut request = [frame, u64::from(offset)];
    ask(REGISTER_INFORMATION, vcpu, xen::handle(&mut request))
}

fn information() {
    let frame = PAGE.frame(1);
    report::fact("vcpu_info.third_vcpu", place_information(2, frame, 0));
    report::fact("vcpu_info.no_vcpu", place_information(0xffff_ffff, frame, 0));
    report::fact("vcpu_info.across", place_information(0, frame, 4096 - 40));
    report::fact("vcpu_info.last_but_crossing", place_information(0, frame, 4096 - 47));
    report::fact("vcpu_info.offset_4096", place_information(0, frame, 4096));
    report::fact("vcpu_info.offset_huge", place_information(0, frame, 0xffff_fff8));
    report::fact("vcpu_info.unaligned", place_information(0, frame, 4));
    report::fact("vcpu_info.hole", place_information(0, xen::free_frame(), 0));
    report::fact("vcpu_info.device", place_information(0, platform::get().uart.base as u64 / 4096, 0));
    report::fact("vcpu_info.beyond", place_information(0, 1 << 40, 0));
    report::fact("vcpu_info.no_frame", place_information(0, u64::MAX, 0));
    report::fact("vcpu_info.null", ask(REGISTER_INFORMATION, 0, 0));
    let word = |place: usize| mmio::read64(PAGE.address() + 4096 + 64 + place * 8);
    for place in 0..6 {
        mmio::write64(PAGE.address() + 4096 + 64 + place * 8, 0xa5a5_a5a5_a5a5_a5a5);
    }
    report::fact("vcpu_info.good", place_information(0, frame, 64));
    for place in 0..6 {
        report::fact(format_args!("vcpu_info.word.{place}"), format_args!("{:#x}", word(place)));
    }
    report::fact("vcpu_info.again", place_information(0, frame, 64));
    report::fact("vcpu_info.again_elsewhere", place_information(0, frame, 128));
    report::fact("vcpu_info.again_elsewhere_bad", place_information(0, xen::free_frame(), 0));
    report::fact("vcpu_info.second", place_information(1, frame, 4096 - 48));
    for place in 0..6 {
        report::fact(
            format_args!("vcpu_info.second.word.{place}"),
            format_args!("{:#x}", mmio::read64(PAGE.address() + 8192 - 48 + place * 8)),
        );
    }
}
