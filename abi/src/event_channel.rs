//! `public/event_channel.h`: event channels, of two levels and as queues (FIFO).

use crate::layout::{constants, layout};

constants! {
    /// `EVTCHNOP_bind_interdomain`: a channel to a port that another domain has left open.
    pub EVTCHNOP_BIND_INTERDOMAIN as "EVTCHNOP_bind_interdomain": u32 = 0;
    /// `EVTCHNOP_bind_virq`: a channel for a virtual interrupt.
    pub EVTCHNOP_BIND_VIRQ as "EVTCHNOP_bind_virq": u32 = 1;
    /// `EVTCHNOP_bind_pirq`: a channel for a device's interrupt.
    pub EVTCHNOP_BIND_PIRQ as "EVTCHNOP_bind_pirq": u32 = 2;
    /// `EVTCHNOP_close`: the end of a channel.
    pub EVTCHNOP_CLOSE as "EVTCHNOP_close": u32 = 3;
    /// `EVTCHNOP_send`: an event.
    pub EVTCHNOP_SEND as "EVTCHNOP_send": u32 = 4;
    /// `EVTCHNOP_status`: what a channel is.
    pub EVTCHNOP_STATUS as "EVTCHNOP_status": u32 = 5;
    /// `EVTCHNOP_alloc_unbound`: a channel that a certain domain may bind.
    pub EVTCHNOP_ALLOC_UNBOUND as "EVTCHNOP_alloc_unbound": u32 = 6;
    /// `EVTCHNOP_bind_ipi`: a channel to a vCPU of one's own.
    pub EVTCHNOP_BIND_IPI as "EVTCHNOP_bind_ipi": u32 = 7;
    /// `EVTCHNOP_bind_vcpu`: the vCPU that a channel tells.
    pub EVTCHNOP_BIND_VCPU as "EVTCHNOP_bind_vcpu": u32 = 8;
    /// `EVTCHNOP_unmask`: clears a mask and tells what was pending.
    pub EVTCHNOP_UNMASK as "EVTCHNOP_unmask": u32 = 9;
    /// `EVTCHNOP_reset`: closes all channels.
    pub EVTCHNOP_RESET as "EVTCHNOP_reset": u32 = 10;
    /// `EVTCHNOP_init_control`: the control block of a vCPU's queues.
    pub EVTCHNOP_INIT_CONTROL as "EVTCHNOP_init_control": u32 = 11;
    /// `EVTCHNOP_expand_array`: one more page of event words.
    pub EVTCHNOP_EXPAND_ARRAY as "EVTCHNOP_expand_array": u32 = 12;
    /// `EVTCHNOP_set_priority`: a channel's queue.
    pub EVTCHNOP_SET_PRIORITY as "EVTCHNOP_set_priority": u32 = 13;

    // evtchn_status.status.
    /// `EVTCHNSTAT_closed`: not in use.
    pub EVTCHNSTAT_CLOSED as "EVTCHNSTAT_closed": u32 = 0;
    /// `EVTCHNSTAT_unbound`: waiting for the other end.
    pub EVTCHNSTAT_UNBOUND as "EVTCHNSTAT_unbound": u32 = 1;
    /// `EVTCHNSTAT_interdomain`: connected to another domain.
    pub EVTCHNSTAT_INTERDOMAIN as "EVTCHNSTAT_interdomain": u32 = 2;
    /// `EVTCHNSTAT_pirq`: bound to a device's interrupt.
    pub EVTCHNSTAT_PIRQ as "EVTCHNSTAT_pirq": u32 = 3;
    /// `EVTCHNSTAT_virq`: bound to a virtual interrupt.
    pub EVTCHNSTAT_VIRQ as "EVTCHNSTAT_virq": u32 = 4;
    /// `EVTCHNSTAT_ipi`: bound to a vCPU.
    pub EVTCHNSTAT_IPI as "EVTCHNSTAT_ipi": u32 = 5;
    /// `BIND_PIRQ__WILL_SHARE`: evtchn_bind_pirq.flags: others may have this interrupt, too.
    pub BIND_PIRQ__WILL_SHARE: u32 = 1;
    /// `EVTCHN_2L_NR_CHANNELS`: channels of two levels, with words of 64 bits.
    pub EVTCHN_2L_NR_CHANNELS: u32 = 4096;

    // Queues.
    /// `EVTCHN_FIFO_PRIORITY_MAX`: the first queue to be served.
    pub EVTCHN_FIFO_PRIORITY_MAX: u32 = 0;
    /// `EVTCHN_FIFO_PRIORITY_DEFAULT`: the queue of a new channel.
    pub EVTCHN_FIFO_PRIORITY_DEFAULT: u32 = 7;
    /// `EVTCHN_FIFO_PRIORITY_MIN`: the last.
    pub EVTCHN_FIFO_PRIORITY_MIN: u32 = 15;
    /// `EVTCHN_FIFO_MAX_QUEUES`: queues of a vCPU.
    pub EVTCHN_FIFO_MAX_QUEUES: u32 = 16;
    /// `EVTCHN_FIFO_PENDING`: number of the bit of an event word: an event has come.
    pub EVTCHN_FIFO_PENDING: u32 = 31;
    /// `EVTCHN_FIFO_MASKED`: number of the bit of an event word: it is not to be told.
    pub EVTCHN_FIFO_MASKED: u32 = 30;
    /// `EVTCHN_FIFO_LINKED`: number of the bit of an event word: it is in a queue.
    pub EVTCHN_FIFO_LINKED: u32 = 29;
    /// `EVTCHN_FIFO_BUSY`: number of the bit of an event word: it is being unmasked.
    pub EVTCHN_FIFO_BUSY: u32 = 28;
    /// `EVTCHN_FIFO_LINK_BITS`: low bits of an event word that are the next port.
    pub EVTCHN_FIFO_LINK_BITS: u32 = 17;
    /// `EVTCHN_FIFO_LINK_MASK`: those bits.
    pub EVTCHN_FIFO_LINK_MASK: u32 = 0x1ffff;
    /// `EVTCHN_FIFO_NR_CHANNELS`: channels with queues.
    pub EVTCHN_FIFO_NR_CHANNELS: u32 = 0x20000;
    /// `offsetof(struct evtchn_fifo_control_block, ready)`: where the bitmap of queues with events is.
    pub FIFO_CONTROL_BLOCK_READY as "offsetof(struct evtchn_fifo_control_block, ready)": usize = 0;
    /// `offsetof(struct evtchn_fifo_control_block, head)`: where the queues' first ports are.
    pub FIFO_CONTROL_BLOCK_HEAD as "offsetof(struct evtchn_fifo_control_block, head)": usize = 8;
    /// `offsetof(struct evtchn_status, u)`: where the rest of the status is.
    pub EVTCHN_STATUS_U as "offsetof(struct evtchn_status, u)": usize = 16;
}

layout! {
    /// `struct evtchn_alloc_unbound`: for [`EVTCHNOP_ALLOC_UNBOUND`].
    pub struct EvtchnAllocUnbound: "struct evtchn_alloc_unbound", 8 {
        /// IN: the domain that gets the port.
        0 => pub dom: u16,
        /// IN: the domain that may bind it.
        2 => pub remote_dom: u16,
        /// OUT: the port.
        4 => pub port: u32,
    }

    /// `struct evtchn_bind_interdomain`: for [`EVTCHNOP_BIND_INTERDOMAIN`].
    pub struct EvtchnBindInterdomain: "struct evtchn_bind_interdomain", 12 {
        /// IN: the other domain.
        0 => pub remote_dom: u16,
        /// IN: the port that it has left open.
        4 => pub remote_port: u32,
        /// OUT: the caller's port.
        8 => pub local_port: u32,
    }

    /// `struct evtchn_bind_virq`: for [`EVTCHNOP_BIND_VIRQ`].
    pub struct EvtchnBindVirq: "struct evtchn_bind_virq", 12 {
        /// IN: the virtual interrupt.
        0 => pub virq: u32,
        /// IN: the vCPU that is told; 0 for a global one.
        4 => pub vcpu: u32,
        /// OUT: the port.
        8 => pub port: u32,
    }

    /// `struct evtchn_bind_pirq`: for [`EVTCHNOP_BIND_PIRQ`].
    pub struct EvtchnBindPirq: "struct evtchn_bind_pirq", 12 {
        /// IN: the interrupt.
        0 => pub pirq: u32,
        /// IN: [`BIND_PIRQ__WILL_SHARE`].
        4 => pub flags: u32,
        /// OUT: the port.
        8 => pub port: u32,
    }

    /// `struct evtchn_bind_ipi`: for [`EVTCHNOP_BIND_IPI`].
    pub struct EvtchnBindIpi: "struct evtchn_bind_ipi", 8 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// OUT: the port.
        4 => pub port: u32,
    }

    /// `struct evtchn_close`: for [`EVTCHNOP_CLOSE`].
    pub struct EvtchnClose: "struct evtchn_close", 4 {
        /// IN: the port.
        0 => pub port: u32,
    }

    /// `struct evtchn_send`: for [`EVTCHNOP_SEND`].
    pub struct EvtchnSend: "struct evtchn_send", 4 {
        /// IN: the sender's port.
        0 => pub port: u32,
    }

    /// `struct evtchn_status`: for [`EVTCHNOP_STATUS`].
    pub struct EvtchnStatus: "struct evtchn_status", 24 {
        /// IN: the domain.
        0 => pub dom: u16,
        /// IN: its port.
        4 => pub port: u32,
        /// OUT: `EVTCHNSTAT_*`.
        8 => pub status: u32,
        /// OUT: the vCPU that is told.
        12 => pub vcpu: u32,
        /// OUT: [`EvtchnStatusUnbound`], [`EvtchnStatusInterdomain`], or in the first four bytes the number
        /// of the interrupt.
        16 => pub u: [u8; 8],
    }

    /// `struct evtchn_status.u.unbound`: the rest of an open port's status.
    pub struct EvtchnStatusUnbound: "__typeof__(((struct evtchn_status *)0)->u.unbound)", 2 {
        /// The domain that may bind it.
        0 => pub dom: u16,
    }

    /// `struct evtchn_status.u.interdomain`: the rest of a bound port's status.
    pub struct EvtchnStatusInterdomain: "__typeof__(((struct evtchn_status *)0)->u.interdomain)", 8 {
        /// The other domain.
        0 => pub dom: u16,
        /// Its port.
        4 => pub port: u32,
    }

    /// `struct evtchn_bind_vcpu`: for [`EVTCHNOP_BIND_VCPU`].
    pub struct EvtchnBindVcpu: "struct evtchn_bind_vcpu", 8 {
        /// IN: the port.
        0 => pub port: u32,
        /// IN: the vCPU that is told from now on.
        4 => pub vcpu: u32,
    }

    /// `struct evtchn_unmask`: for [`EVTCHNOP_UNMASK`].
    pub struct EvtchnUnmask: "struct evtchn_unmask", 4 {
        /// IN: the port.
        0 => pub port: u32,
    }

    /// `struct evtchn_reset`: for [`EVTCHNOP_RESET`].
    pub struct EvtchnReset: "struct evtchn_reset", 2 {
        /// IN: the domain.
        0 => pub dom: u16,
    }

    /// `struct evtchn_init_control`: for [`EVTCHNOP_INIT_CONTROL`].
    pub struct EvtchnInitControl: "struct evtchn_init_control", 24 {
        /// IN: the guest's frame with the control block.
        0 => pub control_gfn: u64,
        /// IN: where in it; a multiple of 8.
        8 => pub offset: u32,
        /// IN: the vCPU.
        12 => pub vcpu: u32,
        /// OUT: [`EVTCHN_FIFO_LINK_BITS`].
        16 => pub link_bits: u8,
        /// Zero.
        17 => pub pad as "_pad": [u8; 7],
    }

    /// `struct evtchn_expand_array`: for [`EVTCHNOP_EXPAND_ARRAY`].
    pub struct EvtchnExpandArray: "struct evtchn_expand_array", 8 {
        /// IN: the guest's frame with the words of the next 1024 ports.
        0 => pub array_gfn: u64,
    }

    /// `struct evtchn_set_priority`: for [`EVTCHNOP_SET_PRIORITY`].
    pub struct EvtchnSetPriority: "struct evtchn_set_priority", 8 {
        /// IN: the port.
        0 => pub port: u32,
        /// IN: its queue.
        4 => pub priority: u32,
    }

    /// `struct evtchn_fifo_control_block`: the control block that a vCPU shares with the guest.
    pub struct EvtchnFifoControlBlock: "struct evtchn_fifo_control_block", 72 {
        /// A bit for each queue that is not empty.
        0 => pub ready: u32,
        /// Zero.
        4 => pub rsvd as "_rsvd": u32,
        /// The first port of each queue.
        8 => pub head: [u32; 16],
    }
}
