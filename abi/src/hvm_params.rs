//! `public/hvm/params.h`: numbers of a domain's parameters.

use crate::layout::constants;

constants! {
    /// `HVM_PARAM_CALLBACK_IRQ`: by which interrupt events are told.
    pub HVM_PARAM_CALLBACK_IRQ: u32 = 0;
    /// `HVM_PARAM_STORE_PFN`: frame of xenstore's ring.
    pub HVM_PARAM_STORE_PFN: u32 = 1;
    /// `HVM_PARAM_STORE_EVTCHN`: port of xenstore's ring.
    pub HVM_PARAM_STORE_EVTCHN: u32 = 2;
    /// `HVM_PARAM_PAE_ENABLED`: PAE may be used.
    pub HVM_PARAM_PAE_ENABLED: u32 = 4;
    /// `HVM_PARAM_IOREQ_PFN`: the old device model's page.
    pub HVM_PARAM_IOREQ_PFN: u32 = 5;
    /// `HVM_PARAM_BUFIOREQ_PFN`: the old device model's buffered page.
    pub HVM_PARAM_BUFIOREQ_PFN: u32 = 6;
    /// `HVM_PARAM_TIMER_MODE`: what becomes of ticks that were missed.
    pub HVM_PARAM_TIMER_MODE: u32 = 10;
    /// `HVM_PARAM_HPET_ENABLED`: there is an HPET.
    pub HVM_PARAM_HPET_ENABLED: u32 = 11;
    /// `HVM_PARAM_IDENT_PT`: page of an identity page table.
    pub HVM_PARAM_IDENT_PT: u32 = 12;
    /// `HVM_PARAM_DM_DOMAIN`: the device model's domain.
    pub HVM_PARAM_DM_DOMAIN: u32 = 13;
    /// `HVM_PARAM_ACPI_S_STATE`: sleep state.
    pub HVM_PARAM_ACPI_S_STATE: u32 = 14;
    /// `HVM_PARAM_VM86_TSS`: a TSS for real mode.
    pub HVM_PARAM_VM86_TSS: u32 = 15;
    /// `HVM_PARAM_VPT_ALIGN`: timers are aligned.
    pub HVM_PARAM_VPT_ALIGN: u32 = 16;
    /// `HVM_PARAM_CONSOLE_PFN`: frame of the console's ring.
    pub HVM_PARAM_CONSOLE_PFN: u32 = 17;
    /// `HVM_PARAM_CONSOLE_EVTCHN`: port of the console's ring.
    pub HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;
    /// `HVM_PARAM_ACPI_IOPORTS_LOCATION`: where ACPI's ports are.
    pub HVM_PARAM_ACPI_IOPORTS_LOCATION: u32 = 19;
    /// `HVM_PARAM_MEMORY_EVENT_CR0`: no more.
    pub HVM_PARAM_MEMORY_EVENT_CR0: u32 = 20;
    /// `HVM_PARAM_MEMORY_EVENT_CR3`: no more.
    pub HVM_PARAM_MEMORY_EVENT_CR3: u32 = 21;
    /// `HVM_PARAM_MEMORY_EVENT_CR4`: no more.
    pub HVM_PARAM_MEMORY_EVENT_CR4: u32 = 22;
    /// `HVM_PARAM_MEMORY_EVENT_INT3`: no more.
    pub HVM_PARAM_MEMORY_EVENT_INT3: u32 = 23;
    /// `HVM_PARAM_NESTEDHVM`: no more.
    pub HVM_PARAM_NESTEDHVM: u32 = 24;
    /// `HVM_PARAM_MEMORY_EVENT_SINGLE_STEP`: no more.
    pub HVM_PARAM_MEMORY_EVENT_SINGLE_STEP: u32 = 25;
    /// `HVM_PARAM_BUFIOREQ_EVTCHN`: port of the old device model.
    pub HVM_PARAM_BUFIOREQ_EVTCHN: u32 = 26;
    /// `HVM_PARAM_PAGING_RING_PFN`: frame of the pager's ring.
    pub HVM_PARAM_PAGING_RING_PFN: u32 = 27;
    /// `HVM_PARAM_MONITOR_RING_PFN`: frame of the monitor's ring.
    pub HVM_PARAM_MONITOR_RING_PFN: u32 = 28;
    /// `HVM_PARAM_SHARING_RING_PFN`: frame of the sharer's ring.
    pub HVM_PARAM_SHARING_RING_PFN: u32 = 29;
    /// `HVM_PARAM_MEMORY_EVENT_MSR`: no more.
    pub HVM_PARAM_MEMORY_EVENT_MSR: u32 = 30;
    /// `HVM_PARAM_TRIPLE_FAULT_REASON`: as what a triple fault ends the domain.
    pub HVM_PARAM_TRIPLE_FAULT_REASON: u32 = 31;
    /// `HVM_PARAM_IOREQ_SERVER_PFN`: first frame for device models.
    pub HVM_PARAM_IOREQ_SERVER_PFN: u32 = 32;
    /// `HVM_PARAM_NR_IOREQ_SERVER_PAGES`: how many there are.
    pub HVM_PARAM_NR_IOREQ_SERVER_PAGES: u32 = 33;
    /// `HVM_PARAM_VM_GENERATION_ID_ADDR`: where the generation id is.
    pub HVM_PARAM_VM_GENERATION_ID_ADDR: u32 = 34;
    /// `HVM_PARAM_ALTP2M`: alternative maps.
    pub HVM_PARAM_ALTP2M: u32 = 35;
    /// `HVM_PARAM_X87_FIP_WIDTH`: how the FPU is saved.
    pub HVM_PARAM_X87_FIP_WIDTH: u32 = 36;
    /// `HVM_PARAM_VM86_TSS_SIZED`: a TSS for real mode, with its size.
    pub HVM_PARAM_VM86_TSS_SIZED: u32 = 37;
    /// `HVM_PARAM_MCA_CAP`: machine check features.
    pub HVM_PARAM_MCA_CAP: u32 = 38;
    /// `HVM_NR_PARAMS`: one more than the last.
    pub HVM_NR_PARAMS: u32 = 39;
    /// `HVM_PARAM_VIRIDIAN`: Hyper-V's interface.
    pub HVM_PARAM_VIRIDIAN: u32 = 9, X86;

    // Bits 63:56 of HVM_PARAM_CALLBACK_IRQ.
    /// `HVM_PARAM_CALLBACK_TYPE_GSI`: an IO-APIC's line.
    pub HVM_PARAM_CALLBACK_TYPE_GSI: u64 = 0;
    /// `HVM_PARAM_CALLBACK_TYPE_PCI_INTX`: a PCI device's line.
    pub HVM_PARAM_CALLBACK_TYPE_PCI_INTX: u64 = 1;
    /// `HVM_PARAM_CALLBACK_TYPE_VECTOR`: a vector.
    pub HVM_PARAM_CALLBACK_TYPE_VECTOR: u64 = 2, X86;
    /// `HVM_PARAM_CALLBACK_TYPE_PPI`: a private interrupt: its number in bits 7:0, flags in 15:8.
    pub HVM_PARAM_CALLBACK_TYPE_PPI: u64 = 2, Arm64;
    /// `HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_MASK`: its flags.
    pub HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_MASK: u64 = 0xff00, Arm64;
    /// `HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL`: of those: active low, level-triggered.
    pub HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL: u64 = 2, Arm64;
    /// `HVM_PARAM_CALLBACK_IRQ_TYPE_MASK`: the type's bits.
    pub HVM_PARAM_CALLBACK_IRQ_TYPE_MASK: u64 = 0xff00_0000_0000_0000;
    /// `XEN_HVM_MCA_CAP_LMCE`: of [`HVM_PARAM_MCA_CAP`].
    pub XEN_HVM_MCA_CAP_LMCE: u64 = 1;

    // HVM_PARAM_TIMER_MODE.
    /// `HVMPTM_delay_for_missed_ticks`: the guest's time is delayed.
    pub HVMPTM_DELAY_FOR_MISSED_TICKS as "HVMPTM_delay_for_missed_ticks": u32 = 0;
    /// `HVMPTM_no_delay_for_missed_ticks`: missed ticks come late.
    pub HVMPTM_NO_DELAY_FOR_MISSED_TICKS as "HVMPTM_no_delay_for_missed_ticks": u32 = 1;
    /// `HVMPTM_no_missed_ticks_pending`: missed ticks do not come.
    pub HVMPTM_NO_MISSED_TICKS_PENDING as "HVMPTM_no_missed_ticks_pending": u32 = 2;
    /// `HVMPTM_one_missed_tick_pending`: one of them comes.
    pub HVMPTM_ONE_MISSED_TICK_PENDING as "HVMPTM_one_missed_tick_pending": u32 = 3;

    // HVM_PARAM_ALTP2M.
    /// `XEN_ALTP2M_disabled`: none.
    pub XEN_ALTP2M_DISABLED as "XEN_ALTP2M_disabled": u32 = 0;
    /// `XEN_ALTP2M_mixed`: for the guest and for tools.
    pub XEN_ALTP2M_MIXED as "XEN_ALTP2M_mixed": u32 = 1;
    /// `XEN_ALTP2M_external`: for tools.
    pub XEN_ALTP2M_EXTERNAL as "XEN_ALTP2M_external": u32 = 2;
    /// `XEN_ALTP2M_limited`: for the guest, with less rights.
    pub XEN_ALTP2M_LIMITED as "XEN_ALTP2M_limited": u32 = 3;
}
