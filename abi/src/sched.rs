//! `public/sched.h`: yielding, blocking, shutting down, the watchdog.

use crate::layout::{Handle, constants, layout};

constants! {
    /// `SCHEDOP_yield`: others may run.
    pub SCHEDOP_YIELD as "SCHEDOP_yield": u32 = 0;
    /// `SCHEDOP_block`: unmasks events and waits for one.
    pub SCHEDOP_BLOCK as "SCHEDOP_block": u32 = 1;
    /// `SCHEDOP_shutdown`: [`SchedShutdown`]: the domain's end.
    pub SCHEDOP_SHUTDOWN as "SCHEDOP_shutdown": u32 = 2;
    /// `SCHEDOP_poll`: [`SchedPoll`]: waits for some ports.
    pub SCHEDOP_POLL as "SCHEDOP_poll": u32 = 3;
    /// `SCHEDOP_remote_shutdown`: [`SchedRemoteShutdown`]: another domain's end.
    pub SCHEDOP_REMOTE_SHUTDOWN as "SCHEDOP_remote_shutdown": u32 = 4;
    /// `SCHEDOP_shutdown_code`: [`SchedShutdown`]: the reason, ahead of the end.
    pub SCHEDOP_SHUTDOWN_CODE as "SCHEDOP_shutdown_code": u32 = 5;
    /// `SCHEDOP_watchdog`: [`SchedWatchdog`].
    pub SCHEDOP_WATCHDOG as "SCHEDOP_watchdog": u32 = 6;
    /// `SCHEDOP_pin_override`: [`SchedPinOverride`].
    pub SCHEDOP_PIN_OVERRIDE as "SCHEDOP_pin_override": u32 = 7;

    // Reasons.
    /// `SHUTDOWN_poweroff`: it is done.
    pub SHUTDOWN_POWEROFF as "SHUTDOWN_poweroff": u32 = 0;
    /// `SHUTDOWN_reboot`: it wants to begin anew.
    pub SHUTDOWN_REBOOT as "SHUTDOWN_reboot": u32 = 1;
    /// `SHUTDOWN_suspend`: it wants to be saved.
    pub SHUTDOWN_SUSPEND as "SHUTDOWN_suspend": u32 = 2;
    /// `SHUTDOWN_crash`: it has failed.
    pub SHUTDOWN_CRASH as "SHUTDOWN_crash": u32 = 3;
    /// `SHUTDOWN_watchdog`: it has not spoken for too long.
    pub SHUTDOWN_WATCHDOG as "SHUTDOWN_watchdog": u32 = 4;
    /// `SHUTDOWN_soft_reset`: it wants a fresh state with its memory kept.
    pub SHUTDOWN_SOFT_RESET as "SHUTDOWN_soft_reset": u32 = 5;
    /// `SHUTDOWN_MAX`: the largest reason.
    pub SHUTDOWN_MAX: u32 = 5;
}

layout! {
    /// `struct sched_shutdown`: a reason.
    pub struct SchedShutdown: "struct sched_shutdown", 4 {
        /// IN: `SHUTDOWN_*`.
        0 => pub reason: u32,
    }

    /// `struct sched_poll`: ports to wait for.
    pub struct SchedPoll: "struct sched_poll", 24 {
        /// IN: the ports.
        0 => pub ports: Handle<u32>,
        /// IN: how many.
        8 => pub nr_ports: u32,
        /// IN: system time in nanoseconds at which to give up; 0 for never.
        16 => pub timeout: u64,
    }

    /// `struct sched_remote_shutdown`: a domain and a reason.
    pub struct SchedRemoteShutdown: "struct sched_remote_shutdown", 8 {
        /// IN: the domain.
        0 => pub domain_id: u16,
        /// IN: `SHUTDOWN_*`.
        4 => pub reason: u32,
    }

    /// `struct sched_watchdog`: one of two watchdogs.
    pub struct SchedWatchdog: "struct sched_watchdog", 8 {
        /// IN: 0 for a new one, else which one.
        0 => pub id: u32,
        /// IN: seconds; 0 disarms.
        4 => pub timeout: u32,
    }

    /// `struct sched_pin_override`: a processor for the calling vCPU.
    pub struct SchedPinOverride: "struct sched_pin_override", 4 {
        /// IN: the processor; negative gives the right back.
        0 => pub pcpu: i32,
    }
}
