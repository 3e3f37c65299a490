//! `public/vcpu.h`: what a domain can ask of its own vCPUs.

use crate::layout::{constants, layout};

constants! {
    /// `VCPUOP_initialise`: sets a vCPU's registers.
    pub VCPUOP_INITIALISE as "VCPUOP_initialise": u32 = 0;
    /// `VCPUOP_up`: lets it run.
    pub VCPUOP_UP as "VCPUOP_up": u32 = 1;
    /// `VCPUOP_down`: stops it.
    pub VCPUOP_DOWN as "VCPUOP_down": u32 = 2;
    /// `VCPUOP_is_up`: tells whether it runs.
    pub VCPUOP_IS_UP as "VCPUOP_is_up": u32 = 3;
    /// `VCPUOP_get_runstate_info`: tells how it spent its time.
    pub VCPUOP_GET_RUNSTATE_INFO as "VCPUOP_get_runstate_info": u32 = 4;
    /// `VCPUOP_register_runstate_memory_area`: keeps that up to date in the guest's memory.
    pub VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA as "VCPUOP_register_runstate_memory_area": u32 = 5;
    /// `VCPUOP_set_periodic_timer`: a timer again and again.
    pub VCPUOP_SET_PERIODIC_TIMER as "VCPUOP_set_periodic_timer": u32 = 6;
    /// `VCPUOP_stop_periodic_timer`: no more.
    pub VCPUOP_STOP_PERIODIC_TIMER as "VCPUOP_stop_periodic_timer": u32 = 7;
    /// `VCPUOP_set_singleshot_timer`: a timer once.
    pub VCPUOP_SET_SINGLESHOT_TIMER as "VCPUOP_set_singleshot_timer": u32 = 8;
    /// `VCPUOP_stop_singleshot_timer`: no more.
    pub VCPUOP_STOP_SINGLESHOT_TIMER as "VCPUOP_stop_singleshot_timer": u32 = 9;
    /// `VCPUOP_register_vcpu_info`: moves vcpu_info into the guest's memory.
    pub VCPUOP_REGISTER_VCPU_INFO as "VCPUOP_register_vcpu_info": u32 = 10;
    /// `VCPUOP_send_nmi`: a non-maskable interrupt.
    pub VCPUOP_SEND_NMI as "VCPUOP_send_nmi": u32 = 11;
    /// `VCPUOP_get_physid`: the processor's own id, for the hardware domain.
    pub VCPUOP_GET_PHYSID as "VCPUOP_get_physid": u32 = 12;
    /// `VCPUOP_register_vcpu_time_memory_area`: keeps the clock up to date in the guest's memory.
    pub VCPUOP_REGISTER_VCPU_TIME_MEMORY_AREA as "VCPUOP_register_vcpu_time_memory_area": u32 = 13;
    /// `VCPU_SSHOTTMR_future`: vcpu_set_singleshot_timer.flags: -ETIME if the time is past.
    pub VCPU_SSHOTTMR_FUTURE as "VCPU_SSHOTTMR_future": u32 = 1;

    // vcpu_runstate_info.state, and index of its time.
    /// `RUNSTATE_running`: it runs.
    pub RUNSTATE_RUNNING as "RUNSTATE_running": i32 = 0;
    /// `RUNSTATE_runnable`: it could run.
    pub RUNSTATE_RUNNABLE as "RUNSTATE_runnable": i32 = 1;
    /// `RUNSTATE_blocked`: it waits.
    pub RUNSTATE_BLOCKED as "RUNSTATE_blocked": i32 = 2;
    /// `RUNSTATE_offline`: it is stopped.
    pub RUNSTATE_OFFLINE as "RUNSTATE_offline": i32 = 3;
    /// `XEN_RUNSTATE_UPDATE`: in state_entry_time: the record is being written.
    pub XEN_RUNSTATE_UPDATE: u64 = 1 << 63;
}

layout! {
    /// `struct vcpu_runstate_info`: how a vCPU spent its time.
    pub struct VcpuRunstateInfo: "struct vcpu_runstate_info", 48 {
        /// `RUNSTATE_*`.
        0 => pub state: i32,
        /// Nanoseconds of system time at which that began.
        8 => pub state_entry_time: u64,
        /// Nanoseconds spent in each state.
        16 => pub time: [u64; 4],
    }

    /// `struct vcpu_register_runstate_memory_area`: where a runstate is wanted.
    pub struct VcpuRegisterRunstateMemoryArea: "struct vcpu_register_runstate_memory_area", 8 {
        /// IN: virtual address of a [`VcpuRunstateInfo`].
        0 => pub addr: u64,
    }

    /// `struct vcpu_set_periodic_timer`: for [`VCPUOP_SET_PERIODIC_TIMER`].
    pub struct VcpuSetPeriodicTimer: "struct vcpu_set_periodic_timer", 8 {
        /// IN: nanoseconds.
        0 => pub period_ns: u64,
    }

    /// `struct vcpu_set_singleshot_timer`: for [`VCPUOP_SET_SINGLESHOT_TIMER`].
    pub struct VcpuSetSingleshotTimer: "struct vcpu_set_singleshot_timer", 16 {
        /// IN: nanoseconds of system time.
        0 => pub timeout_abs_ns: u64,
        /// IN: [`VCPU_SSHOTTMR_FUTURE`].
        8 => pub flags: u32,
    }

    /// `struct vcpu_register_vcpu_info`: for [`VCPUOP_REGISTER_VCPU_INFO`].
    pub struct VcpuRegisterVcpuInfo: "struct vcpu_register_vcpu_info", 16 {
        /// IN: the guest's frame.
        0 => pub mfn: u64,
        /// IN: where in it.
        8 => pub offset: u32,
        /// Unused.
        12 => pub rsvd: u32,
    }

    /// `struct vcpu_get_physid`: for [`VCPUOP_GET_PHYSID`].
    pub struct VcpuGetPhysid: "struct vcpu_get_physid", 8 {
        /// OUT: the id.
        0 => pub phys_id: u64,
    }

    /// `struct vcpu_register_time_memory_area`: for [`VCPUOP_REGISTER_VCPU_TIME_MEMORY_AREA`].
    pub struct VcpuRegisterTimeMemoryArea: "struct vcpu_register_time_memory_area", 8 {
        /// IN: virtual address of a [`crate::xen::VcpuTimeInfo`].
        0 => pub addr: u64,
    }
}
