//! The console's UART and the wire behind it.

use std::collections::VecDeque;

/// Bytes that the receive FIFO holds.
const RECEIVE_DEPTH: usize = 32;

/// The UART, and what somebody at the other end types and sees.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// All that was sent.
    pub(super) output: Vec<u8>,
    /// Bytes that the transmit FIFO holds at most; `None`: any number.
    pub(super) depth: Option<usize>,
    /// Bytes in the transmit FIFO.
    waiting: usize,
    /// An interrupt is wanted when there is room.
    pub(super) wanted: bool,
    received: VecDeque<u8>,
    typed: VecDeque<u8>,
    /// Bytes have arrived since the last acknowledge.
    arrived: bool,
}

impl Wire {
    pub(super) fn send(&mut self, bytes: &[u8]) -> usize {
        let room = self.depth.map_or(bytes.len(), |depth| depth.saturating_sub(self.waiting));
        let count = room.min(bytes.len());
        self.output.extend(&bytes[..count]);
        if self.depth.is_some() {
            self.waiting += count;
        }
        count
    }

    /// The wire carries so many bytes away.
    pub(super) fn carry(&mut self, count: usize) {
        self.waiting = self.waiting.saturating_sub(count);
    }

    pub(super) fn type_in(&mut self, bytes: &[u8]) {
        self.typed.extend(bytes);
        self.fill();
    }

    pub(super) fn receive(&mut self) -> Option<u8> {
        let byte = self.received.pop_front();
        self.fill();
        byte
    }

    fn fill(&mut self) {
        while self.received.len() < RECEIVE_DEPTH
            && let Some(byte) = self.typed.pop_front()
        {
            self.received.push_back(byte);
            self.arrived = true;
        }
    }

    pub(super) fn interrupts(&self) -> bool {
        let room = self.depth.is_none_or(|depth| self.waiting <= depth / 2);
        self.arrived || self.wanted && room
    }

    /// Clears what has been said of received bytes; room is a level.
    pub(super) fn acknowledge(&mut self) {
        self.arrived = false;
    }
}
