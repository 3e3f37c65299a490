//! A dom0 that asks how much memory there is, how much of it is free, and how much each domain has: the rest is what the
//! hypervisor keeps for itself. `bench.sleep_ms=N` is the pause before (10,000 by default, so that the work after boot
//! is over). `kept.sealed` asks how often the hypervisor has asked for memory of its own since it has sealed that, too.
#![no_std]
#![no_main]

use core::sync::atomic::Ordering;

use guests::xen::event::word64;
use guests::xen::{self, Pages};
use guests::{boot, gic, platform, report, timer};

guests::guest!(main, irq);

/// Most domains that are asked for at a time.
const DOMAINS: usize = 32;
/// Bytes of xen_domctl_getdomaininfo.
const INFORMATION: usize = 120;

/// The answers for domains.
static ANSWERS: Pages<1> = Pages::new();

fn irq(_cpu: usize) {
    let raw = gic::acknowledge();
    timer::disarm();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
}

/// A word of the answers.
fn answer(offset: usize) -> u64 {
    word64(ANSWERS.address() + offset).load(Ordering::SeqCst)
}

/// XEN_SYSCTL_physinfo: pages of RAM, pages that are free, and of them those that are not yet clean.
fn host() -> (i64, [u64; 3]) {
    let mut request = [0u64; 18];
    request[0] = 3 | 0x15 << 32;
    let result = xen::call(xen::SYSCTL, [xen::handle(&mut request), 0, 0, 0, 0]);
    (result, [request[6], request[7], request[8]])
}

/// XEN_SYSCTL_getdomaininfolist from a domain on: how many were told; their answers stand in the page then.
fn domains(first: u64) -> (i64, usize) {
    let mut request = [0u64; 18];
    request[0] = 6 | 0x15 << 32;
    request[1] = first | (DOMAINS as u64) << 32;
    request[2] = ANSWERS.address() as u64;
    let result = xen::call(xen::SYSCTL, [xen::handle(&mut request), 0, 0, 0, 0]);
    (result, request[3] as u32 as usize)
}

/// How many domains there are and how many pages they have. A call may tell fewer than there are.
fn all_domains() -> (u64, u64) {
    let (mut count, mut pages, mut first) = (0, 0, 0);
    loop {
        let (asked, told) = domains(first);
        if told == 0 {
            report::equal("getdomaininfolist", asked, 0);
            return (count, pages);
        }
        for index in 0..told {
            pages += answer(index * INFORMATION + 8);
        }
        count += told as u64;
        first = (answer((told - 1) * INFORMATION) & 0xffff) + 1;
    }
}

/// The number in `/heap/refused` of the hypervisor's file system: how often its sealed heap was asked.
fn refused() -> (i64, u64) {
    const READ: u64 = 1;
    const PATH: &[u8] = b"/heap/refused\0";
    let mut answer = [0u64; 4];
    let (place, bytes) = (xen::handle(&mut answer), size_of_val(&answer) as u64);
    let result = xen::call(xen::HYPFS_OP, [READ, PATH.as_ptr() as u64, PATH.len() as u64, place, bytes]);
    // The entry, 12 bytes, says what follows: a number of 32 bits.
    (result, answer[1] >> 32)
}

fn main() {
    boot::interrupts_on();
    gic::enable(platform::get().timers[2]);
    timer::sleep(platform::number("bench.sleep_ms", 10_000) * 1_000);
    let (asked, [total, free, unclean]) = host();
    report::equal("physinfo", asked, 0);
    let (count, pages) = all_domains();
    for (name, value) in
        [("total_pages", total), ("free_pages", free), ("unclean_pages", unclean), ("domain_pages", pages)]
    {
        report::figure(name, value, value, value);
    }
    report::figure("domains", count, count, count);
    if platform::flag("kept.sealed") {
        let (asked, count) = refused();
        report::equal("heap_refused", asked, 0);
        report::figure("seal.allocations", count, count, count);
    }
    report::check("kept", true);
}
