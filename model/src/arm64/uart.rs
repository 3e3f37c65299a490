//! The UART that a guest sees: the SBSA subset of Arm's PL011.
//!
//! Source: the PL011 manual (DDI 0183) and SBSA, appendix on the generic UART. Transmission takes no time:
//! a byte that the guest writes is handed to the owner at once. The transmit FIFO is "full" while the owner
//! says that it cannot take more. Receive interrupts are levels here: the timeout interrupt is raised
//! while there is a byte at all, the receive interrupt while the FIFO is at least half full; neither can
//! be cleared but by reading. The transmit interrupt is set when there is room again after a byte, as in a
//! PL011 whose FIFO drained below its mark, and is cleared by the guest or when the FIFO is full.

use super::AccessSize;
use crate::bits::{low_u8, low_u16};

/// Bytes that the receive FIFO holds.
pub const RECEIVE_DEPTH: usize = 32;

/// Data.
pub const DR: u64 = 0x00;
/// Flags.
const FR: u64 = 0x18;
/// Interrupt mask.
const IMSC: u64 = 0x38;
/// Raw interrupt status.
const RIS: u64 = 0x3c;
/// Masked interrupt status.
const MIS: u64 = 0x40;
/// Interrupt clear.
const ICR: u64 = 0x44;

/// FR: transmit FIFO empty.
const TXFE: u16 = 1 << 7;
/// FR: receive FIFO full.
const RXFF: u16 = 1 << 6;
/// FR: transmit FIFO full.
const TXFF: u16 = 1 << 5;
/// FR: receive FIFO empty.
const RXFE: u16 = 1 << 4;
/// FR: busy transmitting.
const BUSY: u16 = 1 << 3;

/// Receive timeout interrupt.
const RECEIVE_TIMEOUT: u16 = 1 << 6;
/// Transmit interrupt.
const TRANSMIT: u16 = 1 << 5;
/// Receive interrupt.
const RECEIVE: u16 = 1 << 4;
/// The interrupts of the SBSA subset.
const INTERRUPTS: u16 = 0x7f0;

/// A UART.
#[derive(Clone, Debug)]
pub struct Uart {
    received: [u8; RECEIVE_DEPTH],
    first: usize,
    count: usize,
    mask: u16,
    transmit_interrupt: bool,
    transmit_full: bool,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// A UART as after reset: nothing received, all interrupts masked.
    pub const fn new() -> Self {
        Self {
            received: [0; RECEIVE_DEPTH],
            first: 0,
            count: 0,
            mask: 0,
            transmit_interrupt: false,
            transmit_full: false,
        }
    }

    /// What the guest reads. Unknown registers and accesses of 64 bits read as zero. Reading [`DR`] takes a byte out of the receive FIFO, so the output may change; nothing else changes anything.
    #[inline]
    pub fn read(&mut self, offset: u64, size: AccessSize) -> u64 {
        if size == AccessSize::Double {
            return 0;
        }
        let value = match offset {
            FR => self.flags(),
            DR => return u64::from(self.take().unwrap_or(0)),
            IMSC => self.mask,
            RIS => self.raw(),
            MIS => self.raw() & self.mask,
            _ => 0,
        };
        u64::from(value) & size.mask()
    }

    /// The guest writes. Returns the byte that it sends, if it sends one; the output may change. A byte
    /// sent while the transmit FIFO is full is lost, as in a real one.
    pub fn write(&mut self, offset: u64, size: AccessSize, value: u64) -> Option<u8> {
        if size == AccessSize::Double {
            return None;
        }
        match offset {
            DR => return self.transmit(low_u8(value)),
            IMSC => self.mask = low_u16(value & size.mask()) & INTERRUPTS,
            ICR if low_u16(value & size.mask()) & TRANSMIT != 0 => self.transmit_interrupt = false,
            _ => {}
        }
        None
    }

    /// A byte for the guest. False: the FIFO is full, keep it and try again when the guest has read. The
    /// output may change.
    #[must_use]
    pub fn receive(&mut self, byte: u8) -> bool {
        if self.count >= RECEIVE_DEPTH {
            return false;
        }
        let place = self.first.wrapping_add(self.count) & (RECEIVE_DEPTH - 1);
        if let Some(slot) = self.received.get_mut(place) {
            *slot = byte;
        }
        self.count = self.count.saturating_add(1);
        true
    }

    /// Whether [`Self::receive`] would take a byte.
    pub const fn can_receive(&self) -> bool {
        self.count < RECEIVE_DEPTH
    }

    /// The owner can take no more bytes (`true`), or can again (`false`). The output may change.
    pub const fn set_transmit_full(&mut self, full: bool) {
        if full {
            self.transmit_interrupt = false;
        } else if self.transmit_full {
            self.transmit_interrupt = true;
        }
        self.transmit_full = full;
    }

    /// The level of the interrupt line.
    #[inline]
    pub const fn output(&self) -> bool {
        self.raw() & self.mask != 0
    }

    const fn transmit(&mut self, byte: u8) -> Option<u8> {
        if self.transmit_full {
            return None;
        }
        self.transmit_interrupt = true;
        Some(byte)
    }

    fn take(&mut self) -> Option<u8> {
        self.count = self.count.checked_sub(1)?;
        let byte = self.received.get(self.first).copied();
        self.first = self.first.wrapping_add(1) & (RECEIVE_DEPTH - 1);
        byte
    }

    const fn flags(&self) -> u16 {
        let transmit = if self.transmit_full { TXFF | BUSY } else { TXFE };
        let receive = match self.count {
            0 => RXFE,
            RECEIVE_DEPTH.. => RXFF,
            _ => 0,
        };
        transmit | receive
    }

    const fn raw(&self) -> u16 {
        let mut raw = 0;
        if self.count > 0 {
            raw |= RECEIVE_TIMEOUT;
        }
        if self.count >= RECEIVE_DEPTH / 2 {
            raw |= RECEIVE;
        }
        if self.transmit_interrupt {
            raw |= TRANSMIT;
        }
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const WORD: AccessSize = AccessSize::Word;

    #[test]
    fn what_is_written_comes_out_at_once() {
        let mut uart = Uart::new();
        assert_eq!(uart.read(FR, WORD), u64::from(TXFE | RXFE));
        for size in [AccessSize::Byte, AccessSize::Half, WORD] {
            assert_eq!(uart.write(DR, size, 0x1_2341), Some(b'A'));
        }
        assert_eq!(uart.write(DR, AccessSize::Double, 0x41), None);
        assert_eq!(uart.write(0x4, WORD, 0x41), None);
    }

    #[test]
    fn the_guest_hears_when_there_is_room_again() {
        let mut uart = Uart::new();
        uart.write(IMSC, WORD, u64::from(TRANSMIT));
        assert!(!uart.output(), "nothing was sent yet");
        uart.set_transmit_full(true);
        assert_eq!(uart.read(FR, WORD) & u64::from(TXFF | TXFE), u64::from(TXFF));
        assert_eq!(uart.write(DR, WORD, 0x41), None);
        assert!(!uart.output());
        uart.set_transmit_full(false);
        assert!(uart.output());
        assert_eq!(uart.read(MIS, WORD), u64::from(TRANSMIT));
        uart.write(ICR, WORD, u64::from(TRANSMIT));
        assert!(!uart.output());
        uart.set_transmit_full(false);
        assert!(!uart.output(), "it was not full");
        uart.write(DR, WORD, 0x41);
        assert!(uart.output(), "a byte left and there is room for the next");
    }

    #[test]
    fn received_bytes_raise_the_line_until_they_are_read() {
        let mut uart = Uart::new();
        uart.write(IMSC, WORD, u64::from(RECEIVE_TIMEOUT | RECEIVE));
        assert!(uart.receive(b'x'));
        assert!(uart.output());
        uart.write(ICR, WORD, 0x7ff);
        assert!(uart.output(), "the byte is still there");
        assert_eq!(uart.read(RIS, WORD), u64::from(RECEIVE_TIMEOUT));
        assert_eq!(uart.read(DR, WORD), u64::from(b'x'));
        assert!(!uart.output());
        assert_eq!(uart.read(DR, WORD), 0);
    }

    #[test]
    fn a_full_fifo_refuses_and_loses_nothing() {
        let mut uart = Uart::new();
        for byte in 0..32 {
            assert!(uart.can_receive());
            assert!(uart.receive(byte));
        }
        assert!(!uart.can_receive());
        assert!(!uart.receive(99));
        assert_eq!(uart.read(FR, AccessSize::Byte), u64::from(RXFF | TXFE));
        assert_eq!(uart.read(RIS, WORD), u64::from(RECEIVE | RECEIVE_TIMEOUT));
        for byte in 0..32 {
            assert_eq!(uart.read(DR, WORD), byte);
        }
        assert_eq!(uart.read(RIS, WORD), 0);
    }

    #[test]
    fn the_mask_keeps_only_interrupts_that_exist() {
        let mut uart = Uart::new();
        uart.write(IMSC, WORD, u64::MAX);
        assert_eq!(uart.read(IMSC, WORD), 0x7f0);
        assert_eq!(uart.read(IMSC, AccessSize::Byte), 0xf0);
        assert_eq!(uart.read(IMSC, AccessSize::Double), 0);
    }

    proptest! {
        #[test]
        fn the_fifo_is_a_queue_whatever_else_happens(
            steps in proptest::collection::vec((any::<bool>(), any::<u8>(), 0_u64..0x1100, any::<u64>()), 0..400),
        ) {
            let mut uart = Uart::new();
            let mut queue = VecDeque::new();
            for (receive, byte, offset, value) in steps {
                if receive {
                    let taken = uart.receive(byte);
                    prop_assert_eq!(taken, queue.len() < RECEIVE_DEPTH);
                    if taken {
                        queue.push_back(byte);
                    }
                } else if value & 1 == 0 {
                    let expected = queue.pop_front().unwrap_or(0);
                    prop_assert_eq!(uart.read(DR, WORD), u64::from(expected));
                } else {
                    uart.write(offset, WORD, value);
                    if offset != DR {
                        uart.read(offset, WORD);
                    }
                }
                prop_assert_eq!(uart.read(FR, WORD) & u64::from(RXFE) != 0, queue.is_empty());
            }
        }
    }
}
