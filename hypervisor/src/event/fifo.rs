//! Events told by queues: the array of event words, and the lists in each vCPU's control block.
//!
//! A word has the bits PENDING, MASKED and LINKED and the number of the next port in its list. A port that
//! becomes pending and is neither masked nor linked is linked behind the last one of the queue for its vCPU
//! and priority; if that one has left the list meanwhile, the queue was empty and the port is its new head.
//! The guest takes words out of its lists without a lock, so each change of a word is an exchange that is
//! tried again a few times; a guest that makes all tries fail loses that event.
//!
//! A vCPU may have no control block yet: its lists are then kept here and copied when it gets one.

use abi::event_channel as fifo;
use alloc::vec::Vec;
use machine::contract::{Machine, Word};
use machine::frames::GuestFrame;

use super::channel::{Channel, PortNumber};

const PENDING: u32 = 1 << fifo::EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << fifo::EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << fifo::EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << fifo::EVTCHN_FIFO_BUSY;
const QUEUES: usize = 16;
/// Event words in a page.
const WORDS: u32 = 1024;
/// Tries to change a word that the guest changes at the same time: the guest's side needs two.
const TRIES: usize = 4;
/// Tries once the word says that it is being changed, which the guest's side respects.
const BUSY_TRIES: usize = 16;
/// Bytes of a control block.
const CONTROL_BLOCK: usize = 72;

/// A vCPU's lists.
#[derive(Debug, Default)]
struct Control {
    /// The guest's control block: page and offset.
    block: Option<(GuestFrame, usize)>,
    /// What the control block would hold, without one.
    ready: u32,
    heads: [u32; QUEUES],
    /// The last port of each list.
    tails: [u32; QUEUES],
}

/// The queues of a domain.
#[derive(Debug)]
pub struct Fifo {
    /// Pages of the array, in order.
    pages: Vec<GuestFrame>,
    most_pages: usize,
    controls: Vec<Control>,
}

impl Fifo {
    /// Bytes of the tables for so many vCPUs and ports.
    pub(super) const fn bytes(vcpus: usize, ports: usize) -> usize {
        // A page holds 1024 words.
        let pages = size_of::<GuestFrame>().saturating_mul(ports.div_ceil(1024));
        size_of::<Control>().saturating_mul(vcpus).saturating_add(pages)
    }

    /// Without pages, for so many vCPUs and ports. `None` where there is no memory.
    pub(super) fn try_new(vcpus: usize, ports: usize) -> Option<Self> {
        let most_pages = ports.div_ceil(usize::try_from(WORDS).ok()?);
        let mut pages = Vec::new();
        pages.try_reserve_exact(most_pages).ok()?;
        let mut controls = Vec::new();
        controls.try_reserve_exact(vcpus).ok()?;
        controls.resize_with(vcpus, Control::default);
        Some(Fifo { pages, most_pages, controls })
    }

    /// As when it was new.
    pub(super) fn reset(&mut self) {
        self.pages.clear();
        self.controls.iter_mut().for_each(|control| *control = Control::default());
    }

    /// Whether a vCPU has a control block.
    pub(super) fn has_control(&self, vcpu: usize) -> bool {
        self.controls.get(vcpu).is_some_and(|control| control.block.is_some())
    }

    /// A vCPU's control block. Lists that there are already are put there. The offset has been checked to
    /// leave room for a control block.
    pub(super) fn set_control<M: Machine>(
        &mut self,
        machine: &M,
        vcpu: usize,
        (frame, offset): (GuestFrame, usize),
    ) {
        let Some(control) = self.controls.get_mut(vcpu) else { return };
        let mut block = [0; CONTROL_BLOCK];
        let words = [control.ready, 0].into_iter().chain(control.heads);
        for (bytes, word) in block.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        machine.write_frame(&frame, offset, &block);
        control.block = Some((frame, offset));
    }

    /// Whether the array has all pages that it can have.
    pub(super) fn is_full(&self) -> bool {
        self.pages.len() >= self.most_pages
    }

    /// The array's next page; the number of its first word.
    pub(super) fn add_page(&mut self, page: GuestFrame) -> usize {
        let first = self.pages.len().saturating_mul(usize::try_from(WORDS).unwrap_or(0));
        if !self.is_full() {
            self.pages.push(page);
        }
        first
    }

    #[inline]
    fn word<M: Machine>(&self, machine: &M, port: PortNumber, act: Word) -> Option<u32> {
        let page = self.pages.get(usize::try_from(port / WORDS).ok()?)?;
        let offset = usize::try_from((port % WORDS).checked_mul(4)?).ok()?;
        u32::try_from(machine.word(page, offset, act)?).ok()
    }

    /// Makes a port pending; whether it was linked into a list that was empty before.
    pub(super) fn set_pending<M: Machine>(
        &mut self,
        machine: &M,
        port: PortNumber,
        channel: &mut Channel,
    ) -> bool {
        let Some(before) = self.word(machine, port, Word::Set32(PENDING)) else {
            // There is no word yet: it becomes pending with the page.
            channel.pending = true;
            return false;
        };
        before & (PENDING | MASKED | LINKED) == 0 && self.link(machine, port, channel)
    }

    /// Clears MASKED; whether a pending port was linked into a list that was empty before.
    pub(super) fn unmask<M: Machine>(
        &mut self,
        machine: &M,
        port: PortNumber,
        channel: &mut Channel,
    ) -> bool {
        let before = self.word(machine, port, Word::Clear32(MASKED)).unwrap_or(0);
        before & (PENDING | LINKED) == PENDING && self.link(machine, port, channel)
    }

    pub(super) fn clear_pending<M: Machine>(&self, machine: &M, port: PortNumber) {
        let _ = self.word(machine, port, Word::Clear32(PENDING));
    }

    /// Pending? Masked?
    pub(super) fn state<M: Machine>(&self, machine: &M, port: PortNumber, channel: &Channel) -> (bool, bool) {
        match self.word(machine, port, Word::Load32) {
            Some(word) => (word & PENDING != 0, word & MASKED != 0),
            None => (channel.pending, true),
        }
    }

    /// Links a port behind the last of its queue; whether the vCPU is to be told.
    fn link<M: Machine>(&mut self, machine: &M, port: PortNumber, channel: &mut Channel) -> bool {
        if self.word(machine, port, Word::Set32(LINKED)).is_none_or(|before| before & LINKED != 0) {
            return false;
        }
        let queue = (channel.vcpu, channel.priority);
        // A domain has 128 vCPUs at most.
        let short = (u8::try_from(queue.0).unwrap_or(u8::MAX), queue.1);
        if let Some((vcpu, priority)) = channel.queue.replace(short).filter(|old| *old != short) {
            // It is no longer the last one of its former list, whatever its word says.
            if let Some(tail) = self.tail(vcpu.into(), priority).filter(|tail| **tail == port) {
                *tail = 0;
            }
        }
        let Some(tail) = self.tail(queue.0, queue.1) else { return false };
        let last = core::mem::replace(tail, port);
        if last != 0 && last != port && self.set_link(machine, last, port) {
            return self.set_ready(machine, queue);
        }
        self.set_head(machine, queue, port);
        self.set_ready(machine, queue)
    }

    fn tail(&mut self, vcpu: u16, priority: u8) -> Option<&mut u32> {
        self.controls.get_mut(usize::from(vcpu))?.tails.get_mut(usize::from(priority))
    }

    /// Puts `port` behind `last`; false if that one is in no list any more.
    fn set_link<M: Machine>(&self, machine: &M, last: PortNumber, port: PortNumber) -> bool {
        for attempt in 0..TRIES.saturating_add(BUSY_TRIES) {
            if attempt == TRIES {
                let _ = self.word(machine, last, Word::Set32(BUSY));
            }
            let Some(word) = self.word(machine, last, Word::Load32) else { return false };
            if word & LINKED == 0 {
                let _ = self.word(machine, last, Word::Clear32(BUSY));
                return false;
            }
            let linked = word & !(BUSY | fifo::EVTCHN_FIFO_LINK_MASK) | port;
            if self.word(machine, last, Word::Exchange32(word, linked)) == Some(word) {
                return true;
            }
        }
        let _ = self.word(machine, last, Word::Clear32(BUSY));
        false
    }

    fn set_head<M: Machine>(&mut self, machine: &M, (vcpu, priority): (u16, u8), port: PortNumber) {
        let Some(control) = self.controls.get_mut(usize::from(vcpu)) else { return };
        let index = usize::from(priority);
        if let Some((frame, offset)) = &control.block {
            let at = index.saturating_mul(4).saturating_add(fifo::FIFO_CONTROL_BLOCK_HEAD);
            machine.word(frame, offset.saturating_add(at), Word::Store32(port));
        } else if let Some(head) = control.heads.get_mut(index) {
            *head = port;
        }
    }

    /// Says that a list holds something; true if it did not before.
    fn set_ready<M: Machine>(&mut self, machine: &M, (vcpu, priority): (u16, u8)) -> bool {
        let Some(control) = self.controls.get_mut(usize::from(vcpu)) else { return false };
        let bit = 1_u32.checked_shl(u32::from(priority)).unwrap_or(0);
        let before = match &control.block {
            Some((frame, offset)) => {
                let at = offset.saturating_add(fifo::FIFO_CONTROL_BLOCK_READY);
                let before = machine.word(frame, at, Word::Set32(bit));
                before.and_then(|before| u32::try_from(before).ok()).unwrap_or(bit)
            }
            None => {
                let before = control.ready;
                control.ready |= bit;
                before
            }
        };
        before & bit == 0
    }
}
