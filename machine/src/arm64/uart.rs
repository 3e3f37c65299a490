//! The console's PL011 (Arm DDI 0183), as firmware has set it up.

use super::device::Registers;

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const LINE_CONTROL: usize = 0x2c;
const CONTROL: usize = 0x30;
const FIFO_LEVELS: usize = 0x34;
const INTERRUPT_MASK: usize = 0x38;
const INTERRUPT_CLEAR: usize = 0x44;

const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
const RECEIVE: u32 = 1 << 4;
const TRANSMIT: u32 = 1 << 5;
const RECEIVE_TIMEOUT: u32 = 1 << 6;

/// A PL011.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uart(Registers);

impl Uart {
    /// Takes the device: eight bits, FIFOs on, interrupts off, speed left as it is.
    pub(crate) fn new(registers: Registers) -> Self {
        let uart = Uart(registers);
        registers.write(INTERRUPT_MASK, 0);
        registers.write(LINE_CONTROL, 0x70);
        registers.write(FIFO_LEVELS, 0);
        registers.write(INTERRUPT_CLEAR, 0x7ff);
        registers.write(CONTROL, registers.read(CONTROL) | 0x301);
        uart
    }

    /// Interrupts for received bytes, on from now.
    pub(crate) fn listen(&self) {
        self.0.write(INTERRUPT_MASK, RECEIVE | RECEIVE_TIMEOUT);
    }

    /// Sends what fits without waiting; returns how many bytes.
    pub(crate) fn send(&self, bytes: &[u8]) -> usize {
        for (sent, byte) in (0..bytes.len()).zip(bytes) {
            if self.0.read(FLAGS) & TRANSMIT_FULL != 0 {
                return sent;
            }
            self.0.write(DATA, u32::from(*byte));
        }
        bytes.len()
    }

    /// One received byte.
    pub(crate) fn receive(&self) -> Option<u8> {
        if self.0.read(FLAGS) & RECEIVE_EMPTY != 0 {
            return None;
        }
        Some((self.0.read(DATA) & 0xff) as u8)
    }

    /// Asks, or stops asking, for an interrupt when there is room to send.
    pub(crate) fn wait_for_room(&self, waiting: bool) {
        let transmit = if waiting { TRANSMIT } else { 0 };
        self.0.write(INTERRUPT_MASK, RECEIVE | RECEIVE_TIMEOUT | transmit);
    }
}
