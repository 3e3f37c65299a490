//! Output and input through the UART that the device tree names (an SBSA UART or a PL011).
//!
//! Dom0 has none, for the hypervisor keeps the machine's: its lines go out by hypercall, one for each line, since parts of
//! lines would mix with what others say.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::{mmio, platform, registers, xen};

/// Data register.
pub const DR: usize = 0x00;
/// Receive status, error clear.
pub const RSR: usize = 0x04;
/// Flags.
pub const FR: usize = 0x18;
/// Interrupt mask.
pub const IMSC: usize = 0x38;
/// Raw interrupt status.
pub const RIS: usize = 0x3c;
/// Masked interrupt status.
pub const MIS: usize = 0x40;
/// Interrupt clear.
pub const ICR: usize = 0x44;

/// FR: the transmit queue is empty.
pub const FR_TXFE: u32 = 1 << 7;
/// FR: the receive queue is full.
pub const FR_RXFF: u32 = 1 << 6;
/// FR: the transmit queue is full.
pub const FR_TXFF: u32 = 1 << 5;
/// FR: the receive queue is empty.
pub const FR_RXFE: u32 = 1 << 4;
/// FR: busy.
pub const FR_BUSY: u32 = 1 << 3;

/// Interrupt bit of the receive queue.
pub const INT_RX: u32 = 1 << 4;
/// Interrupt bit of the transmit queue.
pub const INT_TX: u32 = 1 << 5;
/// Interrupt bit of the receive time-out.
pub const INT_RT: u32 = 1 << 6;

static LOCK: AtomicBool = AtomicBool::new(false);

/// The address of a register of the UART.
#[must_use]
pub fn register(offset: usize) -> usize {
    platform::get().uart.base + offset
}

/// Sends one byte, waiting for room.
pub fn send(byte: u8) {
    if platform::get().uart.base == 0 {
        return;
    }
    while mmio::read32(register(FR)) & FR_TXFF != 0 {
        registers::yield_hint();
    }
    mmio::write32(register(DR), u32::from(byte));
}

/// A byte that has been received, if there is one.
#[must_use]
pub fn receive() -> Option<u8> {
    let empty = mmio::read32(register(FR)) & FR_RXFE != 0;
    if empty { None } else { Some(mmio::read32(register(DR)).to_le_bytes()[0]) }
}

struct Line;

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                send(b'\r');
            }
            send(byte);
        }
        Ok(())
    }
}

/// A line for the hypervisor's console; what is too long is cut off.
struct Whole {
    bytes: [u8; 512],
    length: usize,
}

impl Write for Whole {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte is for the end of the line.
        let room = self.bytes.len() - 1 - self.length;
        let text = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
        Ok(())
    }
}

impl Whole {
    /// CONSOLEIO_write.
    fn send(mut self) {
        self.bytes[self.length] = b'\n';
        let (count, address) = (self.length as u64 + 1, self.bytes.as_ptr() as u64);
        xen::call(xen::CONSOLE_IO, [0, count, address, 0, 0]);
    }
}

/// Writes one line; lines of several vCPUs do not mix.
pub fn line(text: fmt::Arguments<'_>) {
    while LOCK.swap(true, Ordering::Acquire) {
        registers::yield_hint();
    }
    if platform::get().uart.base == 0 && xen::is_there() {
        let mut whole = Whole { bytes: [0; 512], length: 0 };
        let _ = whole.write_fmt(text);
        whole.send();
    } else {
        let _ = Line.write_fmt(text);
        let _ = Line.write_str("\n");
    }
    LOCK.store(false, Ordering::Release);
}

/// For the panic handler: the line is free, whoever had it.
pub fn break_lock() {
    LOCK.store(false, Ordering::Release);
}

/// Prints one line.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::uart::line(format_args!($($text)*)) };
}
