//! Event channels: one bit from here to there, between domains, from the hypervisor to a domain, between
//! vCPUs of one domain.
//!
//! [`channel`] says what a port is bound to, [`delivery`] and [`fifo`] how a domain is told. What changes a
//! binding takes the lock over all bindings first, so two ends never disagree about each other; it is held
//! for a few steps. Sending takes only the lock of one domain after the other: it reads where the sender's
//! port leads, and then believes the other side only if that leads back.

pub mod channel;
pub mod delivery;
pub mod fifo;

use core::sync::atomic::{AtomicU32, Ordering};

use abi::errno::Errno;
use channel::{Binding, Channels, PortNumber};
use delivery::{Delivery, News};
use machine::contract::{CpuIndex, Machine};
use machine::frames::GuestFrame;
use machine::lock::{Lock, Rank};
use model::arm64::gic::Raise;

use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::pv::Pv;
use crate::vcpu::Vcpu;

/// Ports of a domain that is not dom0, port 0 with them.
pub const DOMAIN_PORTS: usize = with_port_0(plan::MOST_DOMAIN_PORTS);
/// Ports of dom0.
pub const CONTROL_PORTS: usize = with_port_0(plan::MOST_DOM0_PORTS);

#[expect(clippy::as_conversions, clippy::arithmetic_side_effects, reason = "evaluated while compiling")]
const fn with_port_0(last: u32) -> usize {
    last as usize + 1
}

/// Virtual interrupts (`NR_VIRQS`).
const VIRQS: usize = 24;

/// The event channels of a domain.
#[derive(Debug)]
pub struct Events {
    state: Lock<State>,
    /// vCPUs that poll.
    pollers: AtomicU32,
}

/// What the lock on a domain's events protects.
#[derive(Debug)]
pub struct State {
    /// The ports.
    pub channels: Channels,
    /// How events are told.
    pub delivery: Delivery,
    /// The port of each virtual interrupt that is the whole domain's, or 0.
    virqs: [PortNumber; VIRQS],
}

impl Events {
    /// Bytes of the tables for so many vCPUs and ports.
    pub const fn bytes(vcpus: usize, ports: usize) -> usize {
        let channels = size_of::<channel::Channel>().saturating_mul(ports);
        channels.saturating_add(Delivery::bytes(vcpus, ports))
    }

    /// No event channels, for so many vCPUs and ports. `None` where there is no memory.
    pub fn try_new(shared_info: &GuestFrame, vcpus: usize, ports: usize) -> Option<Self> {
        let state = State {
            channels: Channels::try_new(ports)?,
            delivery: Delivery::try_new(shared_info, vcpus, ports)?,
            virqs: [0; VIRQS],
        };
        Some(Events { state: Lock::new(Rank::Events, state), pollers: AtomicU32::new(0) })
    }

    /// The ports and how they are told.
    #[inline]
    pub fn lock(&self) -> machine::lock::Guard<'_, State> {
        self.state.lock()
    }

    /// A vCPU polls, or no longer.
    pub fn count_poller(&self, polls: bool) {
        if polls {
            self.pollers.fetch_add(1, Ordering::SeqCst);
        } else {
            self.pollers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn has_pollers(&self) -> bool {
        self.pollers.load(Ordering::SeqCst) != 0
    }
}

/// Which of a domain's vCPUs are to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewsOfAll(u128);

impl NewsOfAll {
    fn add(&mut self, news: News) {
        if let News::Upcall(vcpu) = news {
            self.0 |= 1_u128.checked_shl(u32::from(vcpu)).unwrap_or(0);
        }
    }

    /// The news one by one.
    pub fn iter(self) -> impl Iterator<Item = News> {
        (0..128_u16).filter(move |vcpu| self.0 >> vcpu & 1 != 0).map(News::Upcall)
    }
}

impl State {
    /// Makes a port pending.
    #[inline]
    pub fn set_pending<M: Machine>(&mut self, machine: &M, port: PortNumber) -> News {
        match self.channels.get_mut(port) {
            Some(channel) => self.delivery.set_pending(machine, port, channel),
            None => News::None,
        }
    }

    /// `EVTCHNOP_unmask`.
    pub fn unmask<M: Machine>(&mut self, machine: &M, port: PortNumber) -> News {
        match self.channels.get_mut(port) {
            Some(channel) => self.delivery.unmask(machine, port, channel),
            None => News::None,
        }
    }

    /// Is an event pending at this port?
    pub fn is_pending<M: Machine>(&self, machine: &M, port: PortNumber) -> bool {
        self.channels.get(port).is_some_and(|channel| self.delivery.state(machine, port, channel).0)
    }

    /// Binds a virtual interrupt of the whole domain.
    pub fn set_virq(&mut self, virq: u32, port: PortNumber) {
        if let Some(place) = usize::try_from(virq).ok().and_then(|virq| self.virqs.get_mut(virq)) {
            *place = port;
        }
    }

    /// The port of a virtual interrupt of the whole domain.
    pub fn virq(&self, virq: u32) -> Option<PortNumber> {
        let place = usize::try_from(virq).ok().and_then(|virq| self.virqs.get(virq));
        place.copied().filter(|port| *port != 0)
    }

    /// `EVTCHNOP_init_control` for a vCPU: the first one begins with queues.
    ///
    /// # Errors
    /// `EINVAL` for a vCPU that has a control block.
    pub fn init_control<M: Machine>(
        &mut self,
        machine: &M,
        vcpu: usize,
        block: (GuestFrame, usize),
    ) -> Result<(), Errno> {
        if let Some(fresh) = self.delivery.spare.take() {
            // What is pending by its bit is so by its word, once it has one.
            let delivery = &self.delivery;
            for (port, channel) in self.channels.range_mut(1, usize::MAX) {
                channel.pending =
                    channel.binding != Binding::Free && delivery.state(machine, port, channel).0;
            }
            self.delivery.fifo = Some(fresh);
        }
        let fifo = self.delivery.fifo.as_mut().ok_or(Errno::Inval)?;
        if fifo.has_control(vcpu) {
            return Err(Errno::Inval);
        }
        fifo.set_control(machine, vcpu, block);
        Ok(())
    }

    /// Whether the array of event words can have one more page.
    ///
    /// # Errors
    /// `EOPNOTSUPP` without queues, `ENOSPC`.
    pub fn can_expand(&self) -> Result<(), Errno> {
        let fifo = self.delivery.fifo.as_ref().ok_or(Errno::OpNotSupp)?;
        if fifo.is_full() { Err(Errno::NoSpc) } else { Ok(()) }
    }

    /// `EVTCHNOP_expand_array`: what has been waiting for its word becomes pending. Whom to tell.
    ///
    /// # Errors
    /// As for [`State::can_expand`].
    pub fn expand_array<M: Machine>(&mut self, machine: &M, page: GuestFrame) -> Result<NewsOfAll, Errno> {
        const WORDS: usize = 1024;
        self.can_expand()?;
        let fifo = self.delivery.fifo.as_mut().ok_or(Errno::OpNotSupp)?;
        let first = fifo.add_page(page);
        let mut news = NewsOfAll::default();
        for (port, channel) in self.channels.range_mut(first, WORDS) {
            if core::mem::take(&mut channel.pending) {
                news.add(self.delivery.set_pending(machine, port, channel));
            }
        }
        Ok(news)
    }

    /// `EVTCHNOP_set_priority`.
    ///
    /// # Errors
    /// `EINVAL` for no port or no priority, `ENOSYS` without queues, `EACCES` for a port that is not in use.
    pub fn set_priority(&mut self, port: PortNumber, priority: u32) -> Result<(), Errno> {
        let lowest = abi::event_channel::EVTCHN_FIFO_PRIORITY_MIN;
        let priority = u8::try_from(priority.min(u32::from(u8::MAX))).map_err(|_| Errno::Inval)?;
        let queues = self.delivery.fifo.is_some();
        if self.channels.zeroth(port).is_some() && !queues {
            return Err(Errno::NoSys);
        }
        let channel = self.channels.get_mut(port).ok_or(Errno::Inval)?;
        if !queues {
            return Err(Errno::NoSys);
        }
        if u32::from(priority) > lowest {
            return Err(Errno::Inval);
        }
        if channel.binding == Binding::Free {
            return Err(Errno::Acces);
        }
        channel.priority = priority;
        Ok(())
    }

    /// Back to two levels; all ports are free.
    pub fn forget_queues(&mut self) {
        if let Some(mut fifo) = self.delivery.fifo.take() {
            fifo.reset();
            self.delivery.spare = Some(fifo);
        }
        self.channels.forget_queues();
    }

    /// Sets a port free, and forgets what is pending there. What it was bound to.
    pub fn release<M: Machine>(&mut self, machine: &M, port: PortNumber) -> Option<Binding> {
        let channel = self.channels.get_mut(port)?;
        let binding = channel.binding;
        self.delivery.clear(machine, port, channel);
        if let Binding::Virq(virq) = binding
            && self.virq(virq) == Some(port)
        {
            self.set_virq(virq, 0);
        }
        self.channels.free(port);
        Some(binding)
    }
}

impl<M: Machine> Hypervisor<M> {
    /// Tells a domain that an event has come.
    #[inline]
    pub fn tell(&self, domain: &Domain<M>, news: News, cpu: CpuIndex) {
        if let News::Upcall(vcpu) = news {
            self.upcall(domain, usize::from(vcpu), cpu);
        }
    }

    /// Tells a domain, on behalf of the loaded vCPU, that an event has come.
    #[inline]
    pub fn tell_from(&self, local: &mut Local<'_, M>, of: (&Domain<M>, &Pv), news: News) {
        if let News::Upcall(vcpu) = news {
            self.upcall_on_behalf(local, of, usize::from(vcpu));
        }
    }

    #[inline(never)]
    fn upcall_on_behalf(&self, local: &mut Local<'_, M>, (domain, pv): (&Domain<M>, &Pv), vcpu: usize) {
        let own =
            |current: &Current<'_, M>| current.domain.index == domain.index && current.vcpu.index == vcpu;
        if local.current.as_ref().is_some_and(own) {
            // A vCPU that runs has nothing to wake up from.
            self.raise_here(local, Raise::Pulse(pv.event_interrupt));
        } else if let Some(vcpu) = self.vcpu_of(domain, vcpu) {
            self.upcall_from(local, vcpu);
        }
    }

    /// Raises the event interrupt of a vCPU that is not the loaded one. If it is to run here, the loaded one may go on
    /// for a while without being asked.
    #[inline]
    fn upcall_from(&self, local: &mut Local<'_, M>, vcpu: &Vcpu) {
        let running_on = vcpu.owe_upcall();
        if vcpu.unblock() {
            let Some(call) = self.runnable(vcpu) else { return };
            if call.cpu == local.index && call.by != 0 {
                local.ask_by(call.by);
            } else {
                self.answer(call, local.index);
            }
        } else if let Some(cpu) = running_on.filter(|cpu| *cpu != local.index) {
            // Who waited does not go on in its guest before the scheduler has been asked.
            self.machine.kick(cpu);
        }
    }

    /// Raises a vCPU's event interrupt.
    fn upcall(&self, domain: &Domain<M>, index: usize, cpu: CpuIndex) {
        if let Some(vcpu) = self.vcpu_of(domain, index) {
            // One that has the interrupt switched off wakes all the same if it blocks for events.
            self.notify_one(vcpu, vcpu.owe_upcall(), cpu);
        }
    }

    /// Makes a port of a domain pending, whoever sends.
    pub fn raise(&self, domain: &Domain<M>, port: PortNumber, cpu: CpuIndex) {
        let Some(pv) = &domain.pv else { return };
        let news = pv.events.lock().set_pending(&self.machine, port);
        self.told(domain, port, news, cpu);
    }

    /// What follows once a port may have become pending: the vCPU is told, and those that poll for it wake.
    #[inline]
    fn told_from(
        &self,
        local: &mut Local<'_, M>,
        (domain, pv): (&Domain<M>, &Pv),
        port: PortNumber,
        news: News,
    ) {
        if pv.events.has_pollers() {
            self.wake_pollers(domain, port, local.index);
        }
        self.tell_from(local, (domain, pv), news);
    }

    /// The same, whoever it is that makes it pending.
    fn told(&self, domain: &Domain<M>, port: PortNumber, news: News, cpu: CpuIndex) {
        self.tell(domain, news, cpu);
        if domain.pv.as_ref().is_some_and(|pv| pv.events.has_pollers()) {
            self.wake_pollers(domain, port, cpu);
        }
    }

    #[cold]
    fn wake_pollers(&self, domain: &Domain<M>, port: PortNumber, cpu: CpuIndex) {
        for vcpu in self.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
            if vcpu.polls_for(port) {
                self.end_poll(domain, vcpu);
                self.wake(vcpu, cpu);
            }
        }
    }

    /// A vCPU does not poll any more.
    pub fn end_poll(&self, domain: &Domain<M>, vcpu: &Vcpu) {
        if vcpu.end_poll()
            && let Some(pv) = &domain.pv
        {
            pv.events.count_poller(false);
        }
    }

    /// Sends an event from a port of the loaded vCPU's domain.
    ///
    /// # Errors
    /// `EINVAL` for a port from which nothing can be sent.
    #[inline]
    pub fn send(
        &self,
        local: &mut Local<'_, M>,
        (domain, pv): (&Domain<M>, &Pv),
        port: PortNumber,
    ) -> Result<(), Errno> {
        let (news, remote) = {
            let mut state = pv.events.lock();
            match state.channels.used(port).ok_or(Errno::Inval)?.binding {
                Binding::Ipi => (state.set_pending(&self.machine, port), None),
                binding @ Binding::Interdomain { .. } => (News::None, binding.peer()),
                // Nobody listens yet.
                Binding::Unbound(_) => return Ok(()),
                _ => return Err(Errno::Inval),
            }
        };
        let Some((index, remote_port)) = remote else {
            self.told_from(local, (domain, pv), port, news);
            return Ok(());
        };
        let Some(remote) = self.domains.get(index) else { return Ok(()) };
        let Some(remote_pv) = &remote.pv else { return Ok(()) };
        let news = {
            let mut state = remote_pv.events.lock();
            let back = state.channels.get(remote_port).and_then(|channel| channel.binding.peer());
            // The other side may have closed its port meanwhile.
            if back != Some((domain.index, port)) {
                return Ok(());
            }
            state.set_pending(&self.machine, remote_port)
        };
        self.told_from(local, (remote, remote_pv), remote_port, news);
        Ok(())
    }

    /// Raises a virtual interrupt that is a whole domain's, if the domain has bound it.
    pub fn raise_virq(&self, domain: &Domain<M>, virq: u32, cpu: CpuIndex) {
        let Some(pv) = &domain.pv else { return };
        let (port, news) = {
            let mut state = pv.events.lock();
            let Some(port) = state.virq(virq) else { return };
            (port, state.set_pending(&self.machine, port))
        };
        self.told(domain, port, news, cpu);
    }

    /// Closes a port of `domain`. The other end of a pair waits for the domain again.
    ///
    /// # Errors
    /// `EINVAL` for a port that is not in use.
    pub fn close(&self, domain: &Domain<M>, port: PortNumber) -> Result<(), Errno> {
        let pv = domain.pv.as_ref().ok_or(Errno::NoSys)?;
        let _bindings = self.bindings.lock();
        let binding = {
            let mut state = pv.events.lock();
            state.channels.used(port).ok_or(Errno::Inval)?;
            state.release(&self.machine, port)
        };
        if let Some((index, remote_port)) = binding.and_then(Binding::peer)
            && let Some(remote) = self.domains.get(index).and_then(|remote| remote.pv.as_ref())
            && let Some(channel) = remote.events.lock().channels.get_mut(remote_port)
            && channel.binding == Binding::to(domain.index, port)
        {
            channel.binding = Binding::Unbound(domain.id);
        }
        Ok(())
    }

    /// Binds a free port of `domain` to a port of `remote` that waits for it.
    ///
    /// # Errors
    /// `EINVAL` where nothing waits there, `ENOSPC`.
    pub fn bind_interdomain(
        &self,
        domain: &Domain<M>,
        (remote, remote_port): (&Domain<M>, PortNumber),
        cpu: CpuIndex,
    ) -> Result<PortNumber, Errno> {
        let (Some(pv), Some(remote_pv)) = (&domain.pv, &remote.pv) else { return Err(Errno::Inval) };
        let _bindings = self.bindings.lock();
        let port = pv.events.lock().channels.take(Binding::Reserved, 0)?;
        let waits = {
            let mut state = remote_pv.events.lock();
            match state.channels.get_mut(remote_port) {
                Some(channel) if channel.binding == Binding::Unbound(domain.id) => {
                    channel.binding = Binding::to(domain.index, port);
                    true
                }
                _ => false,
            }
        };
        let news = {
            let mut state = pv.events.lock();
            if !waits {
                state.channels.free(port);
                return Err(Errno::Inval);
            }
            if let Some(channel) = state.channels.get_mut(port) {
                channel.binding = Binding::to(remote.index, remote_port);
            }
            // What was sent before has been lost; the new end is to look.
            state.set_pending(&self.machine, port)
        };
        self.told(domain, port, news, cpu);
        Ok(port)
    }
}
