//! How a domain is told of its events: by bits of two levels, or by queues.
//!
//! With two levels a port is a bit in the shared information page, and another one in each vCPU's own
//! `vcpu_info` says in which word to look. With queues a port is a word in an array that the guest has given
//! page by page; words of ports that are pending are linked, and each vCPU's control block has a list for
//! each priority. Either way the last step is the same: `evtchn_upcall_pending`, and the event interrupt if
//! that was not set.
//!
//! All these pages are a guest's to scribble on. What it does there can lose its own events and nothing else:
//! nothing read there is used as an index without a check, and no loop depends on it.
//!
//! Source: `public/event_channel.h`.

use abi::arch_arm as offset;
use alloc::vec::Vec;
use machine::contract::{Machine, Word};
use machine::frames::GuestFrame;

use super::channel::{Channel, PortNumber};
use super::fifo::Fifo;

/// Where a vCPU's `vcpu_info` is.
#[derive(Debug)]
pub struct InfoPlace {
    /// The page.
    pub frame: GuestFrame,
    /// The offset in it.
    pub offset: usize,
}

impl InfoPlace {
    /// Sets `evtchn_upcall_pending` of this vCPU; news if it was not.
    #[inline]
    fn mark<M: Machine>(&self, machine: &M, vcpu: u16) -> News {
        let at = self.offset.wrapping_add(offset::VCPU_INFO_EVTCHN_UPCALL_PENDING);
        match machine.word(&self.frame, at, Word::Swap8(1)) {
            Some(0) => News::Upcall(vcpu),
            _ => News::None,
        }
    }
}

/// What a vCPU has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing: it knows already, or does not want to.
    None,
    /// This vCPU's event interrupt is to be raised.
    Upcall(u16),
}

/// The pages of a domain in which its events are told.
#[derive(Debug)]
pub struct Delivery {
    /// The shared information page.
    shared_info: GuestFrame,
    /// Each vCPU's `vcpu_info`; without one events only wait.
    places: Vec<Option<InfoPlace>>,
    /// The queues, where the domain has asked for them.
    pub(super) fifo: Option<Fifo>,
    /// Room for them.
    pub(super) spare: Option<Fifo>,
}

impl Delivery {
    /// Bytes of the tables for so many vCPUs and ports.
    pub(super) const fn bytes(vcpus: usize, ports: usize) -> usize {
        size_of::<Option<InfoPlace>>().saturating_mul(vcpus).saturating_add(Fifo::bytes(vcpus, ports))
    }

    /// By two levels, for so many vCPUs; the first one's place is in the shared page. `None` where there is
    /// no memory.
    pub fn try_new(shared_info: &GuestFrame, vcpus: usize, ports: usize) -> Option<Self> {
        let mut places = Vec::new();
        places.try_reserve_exact(vcpus).ok()?;
        places.resize_with(vcpus, || None);
        let first = InfoPlace { frame: shared_info.try_clone()?, offset: offset::SHARED_INFO_VCPU_INFO };
        *places.first_mut()? = Some(first);
        let spare = Fifo::try_new(vcpus, ports)?;
        Some(Delivery { shared_info: shared_info.try_clone()?, places, fifo: None, spare: Some(spare) })
    }

    /// Whether a vCPU's place was chosen by the guest.
    pub fn is_placed(&self, vcpu: usize) -> bool {
        let frame = |place: &InfoPlace| place.frame.address() != self.shared_info.address();
        self.places.get(vcpu).and_then(Option::as_ref).is_some_and(frame)
    }

    /// Puts a vCPU's `vcpu_info` there: it has everything to look at, and is to be told so.
    pub fn place<M: Machine>(&mut self, machine: &M, vcpu: usize, new: InfoPlace) -> bool {
        let Some(place) = self.places.get_mut(vcpu) else { return false };
        machine.write_frame(&new.frame, new.offset, &[0; offset::VCPU_INFO_SIZE]);
        let at = |field: usize| new.offset.saturating_add(field);
        machine.word(&new.frame, at(offset::VCPU_INFO_EVTCHN_PENDING_SEL), Word::Set64(u64::MAX));
        machine.word(&new.frame, at(offset::VCPU_INFO_EVTCHN_UPCALL_PENDING), Word::Swap8(1));
        *place = Some(new);
        true
    }

    /// Gives all places back that the guest chose; the first vCPU's is in the shared page again.
    pub fn forget_places(&mut self) {
        for place in self.places.iter_mut() {
            *place = None;
        }
        if let (Some(first), Some(frame)) = (self.places.first_mut(), self.shared_info.try_clone()) {
            *first = Some(InfoPlace { frame, offset: offset::SHARED_INFO_VCPU_INFO });
        }
    }

    /// `evtchn_upcall_pending` and `evtchn_upcall_mask` of a vCPU.
    pub fn upcall_state<M: Machine>(&self, machine: &M, vcpu: usize) -> (bool, bool) {
        let Some(place) = self.places.get(vcpu).and_then(Option::as_ref) else { return (false, false) };
        let mut bytes = [0; 2];
        machine.read_frame(&place.frame, place.offset, &mut bytes);
        let [pending, mask] = bytes;
        (pending != 0, mask != 0)
    }

    /// Clears `evtchn_upcall_mask` of a vCPU.
    pub fn allow_upcalls<M: Machine>(&self, machine: &M, vcpu: usize) {
        if let Some(place) = self.places.get(vcpu).and_then(Option::as_ref) {
            let at = place.offset.saturating_add(offset::VCPU_INFO_EVTCHN_UPCALL_MASK);
            machine.word(&place.frame, at, Word::Swap8(0));
        }
    }

    /// Makes a port pending.
    #[inline]
    pub fn set_pending<M: Machine>(&mut self, machine: &M, port: PortNumber, channel: &mut Channel) -> News {
        if self.fifo.is_some() {
            return self.queue(machine, port, channel);
        }
        let Some((at, bit)) = word_of(port) else { return News::None };
        let pending = offset::SHARED_INFO_EVTCHN_PENDING.saturating_add(at);
        if machine.word(&self.shared_info, pending, Word::Set64(bit)).is_none_or(|before| before & bit != 0) {
            return News::None;
        }
        let mask = offset::SHARED_INFO_EVTCHN_MASK.saturating_add(at);
        if machine.word(&self.shared_info, mask, Word::Load64).is_none_or(|mask| mask & bit != 0) {
            return News::None;
        }
        self.select(machine, port, channel.vcpu)
    }

    /// Makes a port pending in its queue.
    #[inline(never)]
    fn queue<M: Machine>(&mut self, machine: &M, port: PortNumber, channel: &mut Channel) -> News {
        let linked = self.fifo.as_mut().is_some_and(|fifo| fifo.set_pending(machine, port, channel));
        if linked { self.mark(machine, channel.vcpu) } else { News::None }
    }

    /// Sets the bit of a port's word in the vCPU's selector, and tells it.
    fn select<M: Machine>(&self, machine: &M, port: PortNumber, vcpu: u16) -> News {
        let selected = 1_u64.checked_shl(port >> 6).unwrap_or(0);
        let Some(place) = self.places.get(usize::from(vcpu)).and_then(Option::as_ref) else {
            return News::None;
        };
        let at = place.offset.wrapping_add(offset::VCPU_INFO_EVTCHN_PENDING_SEL);
        match machine.word(&place.frame, at, Word::Set64(selected)) {
            Some(before) if before & selected == 0 => place.mark(machine, vcpu),
            _ => News::None,
        }
    }

    /// Sets `evtchn_upcall_pending`; news if it was not.
    pub fn mark<M: Machine>(&self, machine: &M, vcpu: u16) -> News {
        match self.places.get(usize::from(vcpu)) {
            Some(Some(place)) => place.mark(machine, vcpu),
            _ => News::None,
        }
    }

    /// `EVTCHNOP_unmask`: an event that has come meanwhile is told.
    pub fn unmask<M: Machine>(&mut self, machine: &M, port: PortNumber, channel: &mut Channel) -> News {
        if let Some(fifo) = &mut self.fifo {
            let linked = fifo.unmask(machine, port, channel);
            return if linked { self.mark(machine, channel.vcpu) } else { News::None };
        }
        let Some((at, bit)) = word_of(port) else { return News::None };
        let mask = offset::SHARED_INFO_EVTCHN_MASK.saturating_add(at);
        let masked = machine.word(&self.shared_info, mask, Word::Clear64(bit)).unwrap_or(0) & bit != 0;
        let pending = offset::SHARED_INFO_EVTCHN_PENDING.saturating_add(at);
        let is_pending = machine.word(&self.shared_info, pending, Word::Load64).unwrap_or(0) & bit != 0;
        if masked && is_pending { self.select(machine, port, channel.vcpu) } else { News::None }
    }

    /// Is an event pending at this port? And masked?
    pub fn state<M: Machine>(&self, machine: &M, port: PortNumber, channel: &Channel) -> (bool, bool) {
        if let Some(fifo) = &self.fifo {
            return fifo.state(machine, port, channel);
        }
        let Some((at, bit)) = word_of(port) else { return (false, false) };
        let read = |base: usize| {
            machine.word(&self.shared_info, base.saturating_add(at), Word::Load64).unwrap_or(0) & bit != 0
        };
        (read(offset::SHARED_INFO_EVTCHN_PENDING), read(offset::SHARED_INFO_EVTCHN_MASK))
    }

    /// A port is bound to nothing any more: what is pending there is nobody's.
    pub fn clear<M: Machine>(&mut self, machine: &M, port: PortNumber, channel: &mut Channel) {
        channel.pending = false;
        if let Some(fifo) = &mut self.fifo {
            fifo.clear_pending(machine, port);
        } else if let Some((at, bit)) = word_of(port) {
            let pending = offset::SHARED_INFO_EVTCHN_PENDING.saturating_add(at);
            machine.word(&self.shared_info, pending, Word::Clear64(bit));
        }
    }
}

/// Byte offset of the 64-bit word of a port's bit, and the bit.
#[inline]
fn word_of(port: PortNumber) -> Option<(usize, u64)> {
    let word = usize::try_from(port >> 6).ok().filter(|word| *word < 64)?;
    Some((word.checked_mul(8)?, 1_u64.checked_shl(port & 63)?))
}
