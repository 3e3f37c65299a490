//! The UART: registers by width, flags, interrupts of both directions.
//!
//! `uart.input` asks for a typed line (prints `input?`); `uart.flood` writes 10,000 numbered lines.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use guests::exception::probe_read;
use guests::uart::{self, DR, FR, ICR, IMSC, INT_RT, INT_RX, INT_TX, MIS, RIS, RSR};
use guests::{boot, gic, mmio, platform, registers, report, say, timer};

guests::guest!(main, irq);

static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// MIS as the last handler saw it.
static CAUSE: AtomicU32 = AtomicU32::new(0);

fn irq(_cpu: usize) {
    let raw = gic::acknowledge();
    let intid = gic::intid_of(raw);
    if intid == gic::SPURIOUS {
        return;
    }
    if intid == platform::get().uart.intid {
        let cause = read(MIS);
        CAUSE.fetch_or(cause, Ordering::SeqCst);
        INTERRUPTS.fetch_add(1, Ordering::SeqCst);
        // Received bytes are taken by the main line; the interrupt is switched off until then.
        if cause & (INT_RX | INT_RT) != 0 {
            write(IMSC, read(IMSC) & !(INT_RX | INT_RT));
        }
        write(ICR, cause);
    } else {
        timer::disarm();
    }
    gic::end(raw);
}

fn read(offset: usize) -> u32 {
    mmio::read32(uart::register(offset))
}

fn write(offset: usize, value: u32) {
    mmio::write32(uart::register(offset), value);
}

fn main() {
    report::fact("uart.intid", platform::get().uart.intid);
    idle();
    widths();
    data();
    transmit_interrupt();
    if platform::flag("uart.input") {
        input();
    }
    if platform::flag("uart.flood") {
        for number in 0..10_000 {
            say!("flood {number:05}");
        }
        report::check("uart.flood", true);
    }
}

fn idle() {
    let quiet = timer::wait_for(1_000_000, || read(FR) & uart::FR_BUSY == 0);
    report::check("uart.becomes_idle", quiet);
    let flags = read(FR);
    report::equal("uart.transmit_queue_not_full", flags & uart::FR_TXFF, 0);
    // Xen 4.17 reports the transmit queue as neither full nor empty.
    report::strict("uart.transmit_queue_empty", flags & uart::FR_TXFE != 0);
    report::equal("uart.receive_queue_empty", flags & uart::FR_RXFE, uart::FR_RXFE);
    report::equal("uart.receive_queue_not_full", flags & uart::FR_RXFF, 0);
    report::equal("uart.no_interrupt_enabled", read(IMSC), 0);
    report::equal("uart.no_interrupt_signalled", read(MIS), 0);
    report::equal("uart.no_receive_error", read(RSR) & 15, 0);
}

fn widths() {
    for offset in [FR, IMSC, MIS, RSR] {
        let address = uart::register(offset);
        let word = mmio::read32(address);
        report::equal(
            format_args!("uart.read16.{offset:#x}"),
            u32::from(mmio::read16(address)),
            word & 0xffff,
        );
        report::equal(format_args!("uart.read8.{offset:#x}"), u32::from(mmio::read8(address)), word & 0xff);
    }
    // The receive bits only: nothing is received meanwhile, so no interrupt follows.
    let address = uart::register(IMSC);
    mmio::write32(address, INT_RX | INT_RT);
    report::equal("uart.write32", mmio::read32(address), INT_RX | INT_RT);
    mmio::write16(address, INT_RX as u16);
    report::equal("uart.write16", mmio::read32(address), INT_RX);
    mmio::write8(address, INT_RT as u8);
    report::equal("uart.write8", mmio::read32(address), INT_RT);
    mmio::write32(address, 0);
    report::equal("uart.write_zero", mmio::read32(address), 0);
    mmio::write32(address, u32::MAX);
    guests::say!("note uart.imsc_all_ones_reads_back {:#x}", mmio::read32(address));
    mmio::write32(address, 0);
    write(FR, u32::MAX);
    report::equal("uart.flags_are_read_only", read(FR) & uart::FR_RXFF, 0);
    for offset in [0x100usize, 0x200, 0xffc] {
        let seen = probe_read(uart::register(offset));
        say!(
            "note uart.unused_offset {offset:#x} {}",
            seen.map_or("faults", |value| if value == 0 { "is zero" } else { "has a value" })
        );
    }
}

/// A line written by accesses of each width.
fn data() {
    let address = uart::register(DR);
    for byte in b"fact uart.data_by_8_16_32_bits arrives\r\n" {
        match byte % 3 {
            0 => mmio::write8(address, *byte),
            1 => mmio::write16(address, u16::from(*byte)),
            _ => mmio::write32(address, u32::from(*byte)),
        }
        timer::wait_for(100_000, || read(FR) & uart::FR_TXFF == 0);
    }
}

fn transmit_interrupt() {
    let intid = platform::get().uart.intid;
    gic::start_distributor();
    gic::route(intid, 0);
    gic::enable(intid);
    boot::interrupts_on();
    write(ICR, 0x7ff);
    INTERRUPTS.store(0, Ordering::SeqCst);
    CAUSE.store(0, Ordering::SeqCst);
    write(IMSC, INT_TX);
    for byte in b"note a line that raises transmit interrupts\r\n" {
        uart::send(*byte);
    }
    let came = timer::wait_for(1_000_000, || INTERRUPTS.load(Ordering::SeqCst) > 0);
    write(IMSC, 0);
    report::check("uart.transmit_interrupt", came);
    report::equal("uart.transmit_interrupt_cause", CAUSE.load(Ordering::SeqCst), INT_TX);
    write(ICR, 0x7ff);
    report::equal("uart.interrupt_cleared", read(MIS), 0);
    let before = INTERRUPTS.load(Ordering::SeqCst);
    timer::spin(2_000);
    report::equal("uart.masked_does_not_interrupt", INTERRUPTS.load(Ordering::SeqCst), before);
}

fn input() {
    INTERRUPTS.store(0, Ordering::SeqCst);
    CAUSE.store(0, Ordering::SeqCst);
    write(ICR, 0x7ff);
    write(IMSC, INT_RX | INT_RT);
    say!("input?");
    let mut line = [0u8; 64];
    let mut length = 0;
    let complete = timer::wait_for(platform::number("uart.input_seconds", 60) * 1_000_000, || {
        while let Some(byte) = uart::receive() {
            if byte == b'\r' || byte == b'\n' {
                return length > 0;
            }
            if let Some(slot) = line.get_mut(length) {
                *slot = byte;
                length += 1;
            }
            write(IMSC, INT_RX | INT_RT);
        }
        registers::yield_hint();
        false
    });
    write(IMSC, 0);
    report::check("uart.input_complete", complete);
    report::fact("uart.input", core::str::from_utf8(&line[..length]).unwrap_or("(not text)"));
    report::check("uart.receive_interrupt", INTERRUPTS.load(Ordering::SeqCst) > 0);
    report::equal("uart.receive_interrupt_cause", CAUSE.load(Ordering::SeqCst) & !(INT_RX | INT_RT), 0);
    report::equal("uart.receive_queue_empty_again", read(FR) & uart::FR_RXFE, uart::FR_RXFE);
    report::equal("uart.receive_raw_status_clear", read(RIS) & INT_RX, 0);
}
