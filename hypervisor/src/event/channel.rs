//! Event channels of a domain: ports, and what each is bound to.

use alloc::vec::Vec;

use abi::errno::Errno;
use abi::event_channel::EVTCHN_FIFO_PRIORITY_DEFAULT;

/// Number of an event channel in its domain.
pub type PortNumber = u32;

/// What a port is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    Free,
    /// Nothing yet: it is about to be bound.
    Reserved,
    /// It waits for this domain (an id) to bind to it.
    Unbound(u16),
    /// A port of another domain, or of its own.
    Interdomain {
        /// Index of the domain.
        domain: u16,
        /// Its port.
        port: PortNumber,
    },
    /// A virtual interrupt.
    Virq(u32),
    /// An interrupt between the domain's own vCPUs.
    Ipi,
}

impl Binding {
    /// To a port of the domain with this index.
    pub fn to(index: usize, port: PortNumber) -> Self {
        // There are fewer domains.
        Binding::Interdomain { domain: u16::try_from(index).unwrap_or(u16::MAX), port }
    }

    /// The domain (its index) and the port at the other end.
    #[inline]
    pub fn peer(self) -> Option<(usize, PortNumber)> {
        if let Binding::Interdomain { domain, port } = self {
            Some((usize::from(domain), port))
        } else {
            None
        }
    }
}

/// One event channel. There are very many: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// What it is bound to.
    pub binding: Binding,
    /// The vCPU that is told.
    pub vcpu: u16,
    /// Its queue; for queues only.
    pub priority: u8,
    /// It is pending, but has no event word yet; for queues only.
    pub pending: bool,
    /// The queue that it was linked into last: vCPU and priority.
    pub queue: Option<(u8, u8)>,
}

const _: () = assert!(size_of::<Channel>() == 16);

impl Channel {
    const FREE: Channel = Channel {
        binding: Binding::Free,
        vcpu: 0,
        priority: EVTCHN_FIFO_PRIORITY_DEFAULT.to_le_bytes()[0],
        pending: false,
        queue: None,
    };
}

/// The ports of a domain. Port 0 is never used.
#[derive(Debug)]
pub struct Channels {
    channels: Vec<Channel>,
    /// Ports in use.
    used: usize,
    /// No port below is free.
    first_free: usize,
}

impl Channels {
    /// So many ports, all of them free. `None` where there is no memory.
    pub fn try_new(ports: usize) -> Option<Self> {
        let mut channels = Vec::new();
        channels.try_reserve_exact(ports).ok()?;
        channels.resize(ports, Channel::FREE);
        Some(Channels { channels, used: 0, first_free: 1 })
    }

    /// Ports, with port 0.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// There is no port in use.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// A port, in use or not; `None` for port 0 and beyond the last.
    #[inline]
    pub fn get(&self, port: PortNumber) -> Option<&Channel> {
        self.channels.get(usize::try_from(port).ok()?).filter(|_| port != 0)
    }

    /// Port 0, which is never used, but is a port where it is only asked about.
    pub fn zeroth(&self, port: PortNumber) -> Option<&Channel> {
        self.channels.first().filter(|_| port == 0)
    }

    /// A port that is in use.
    #[inline]
    pub fn used(&self, port: PortNumber) -> Option<&Channel> {
        self.get(port).filter(|channel| channel.binding != Binding::Free)
    }

    /// A port to change.
    #[inline]
    pub fn get_mut(&mut self, port: PortNumber) -> Option<&mut Channel> {
        self.channels.get_mut(usize::try_from(port).ok()?).filter(|_| port != 0)
    }

    /// Takes the lowest free port.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn take(&mut self, binding: Binding, vcpu: u16) -> Result<PortNumber, Errno> {
        let rest = self.channels.get(self.first_free..).unwrap_or_default();
        let free = rest.iter().position(|channel| channel.binding == Binding::Free);
        let Some(port) = free.map(|ahead| self.first_free.saturating_add(ahead)) else {
            self.first_free = self.channels.len();
            return Err(Errno::NoSpc);
        };
        self.first_free = port.saturating_add(1);
        self.used = self.used.saturating_add(1);
        if let Some(channel) = self.channels.get_mut(port) {
            // Where it was queued last stays known: its word may still be in that queue.
            *channel = Channel { binding, vcpu, queue: channel.queue, ..Channel::FREE };
        }
        u32::try_from(port).map_err(|_| Errno::NoSpc)
    }

    /// Takes this port.
    ///
    /// # Errors
    /// `EINVAL` for no port, `EBUSY` for one in use.
    pub fn take_this(&mut self, port: PortNumber, binding: Binding) -> Result<(), Errno> {
        let channel = self.get_mut(port).ok_or(Errno::Inval)?;
        if channel.binding != Binding::Free {
            return Err(Errno::Busy);
        }
        *channel = Channel { binding, queue: channel.queue, ..Channel::FREE };
        self.used = self.used.saturating_add(1);
        Ok(())
    }

    /// Sets a port free.
    pub fn free(&mut self, port: PortNumber) {
        let Some(channel) = self.get_mut(port).filter(|channel| channel.binding != Binding::Free) else {
            return;
        };
        *channel = Channel { queue: channel.queue, ..Channel::FREE };
        self.used = self.used.saturating_sub(1);
        self.first_free = self.first_free.min(usize::try_from(port).unwrap_or(usize::MAX));
    }

    /// The first port in use from this one on.
    pub fn next_used(&self, from: PortNumber) -> Option<PortNumber> {
        let from = usize::try_from(from).ok()?.max(1);
        let mut found = self.channels.iter().enumerate().skip(from);
        let (port, _) = found.find(|(_, channel)| channel.binding != Binding::Free)?;
        u32::try_from(port).ok()
    }

    /// The port that is bound to this virtual interrupt of this vCPU (of any vCPU for a global one).
    pub fn of_virq(&self, virq: u32, vcpu: Option<u16>) -> Option<PortNumber> {
        let bound = |channel: &Channel| {
            channel.binding == Binding::Virq(virq) && vcpu.is_none_or(|vcpu| channel.vcpu == vcpu)
        };
        u32::try_from(self.channels.iter().position(bound)?).ok()
    }

    /// Forgets in which queue any port was.
    pub fn forget_queues(&mut self) {
        for channel in &mut self.channels {
            channel.queue = None;
            channel.pending = false;
            channel.priority = Channel::FREE.priority;
        }
    }

    /// All ports, to change.
    pub fn range_mut(
        &mut self,
        from: usize,
        count: usize,
    ) -> impl Iterator<Item = (PortNumber, &mut Channel)> {
        let mut next = u32::try_from(from).unwrap_or(u32::MAX);
        let channels = self.channels.get_mut(from..).unwrap_or_default();
        channels.iter_mut().take(count).map(move |channel| {
            let port = next;
            next = next.wrapping_add(1);
            (port, channel)
        })
    }
}
