//! `public/physdev.h`: devices, for the hardware domain. On Arm it is there for PCI alone.

use crate::layout::{constants, layout};

constants! {
    /// `PHYSDEVOP_IRQ_UNMASK_NOTIFY`: no more.
    pub PHYSDEVOP_IRQ_UNMASK_NOTIFY: u32 = 4;
    /// `PHYSDEVOP_irq_status_query`: [`PhysdevIrqStatusQuery`].
    pub PHYSDEVOP_IRQ_STATUS_QUERY as "PHYSDEVOP_irq_status_query": u32 = 5;
    /// `PHYSDEVOP_set_iopl`: PV: privilege for ports.
    pub PHYSDEVOP_SET_IOPL as "PHYSDEVOP_set_iopl": u32 = 6;
    /// `PHYSDEVOP_set_iobitmap`: PV: ports for user mode.
    pub PHYSDEVOP_SET_IOBITMAP as "PHYSDEVOP_set_iobitmap": u32 = 7;
    /// `PHYSDEVOP_apic_read`: an IO-APIC's register.
    pub PHYSDEVOP_APIC_READ as "PHYSDEVOP_apic_read": u32 = 8;
    /// `PHYSDEVOP_apic_write`: an IO-APIC's register.
    pub PHYSDEVOP_APIC_WRITE as "PHYSDEVOP_apic_write": u32 = 9;
    /// `PHYSDEVOP_alloc_irq_vector`: no longer of meaning.
    pub PHYSDEVOP_ALLOC_IRQ_VECTOR as "PHYSDEVOP_alloc_irq_vector": u32 = 10;
    /// `PHYSDEVOP_free_irq_vector`: no longer of meaning.
    pub PHYSDEVOP_FREE_IRQ_VECTOR as "PHYSDEVOP_free_irq_vector": u32 = 11;
    /// `PHYSDEVOP_eoi`: [`PhysdevEoi`].
    pub PHYSDEVOP_EOI as "PHYSDEVOP_eoi": u32 = 12;
    /// `PHYSDEVOP_map_pirq`: [`PhysdevMapPirq`].
    pub PHYSDEVOP_MAP_PIRQ as "PHYSDEVOP_map_pirq": u32 = 13;
    /// `PHYSDEVOP_unmap_pirq`: [`PhysdevUnmapPirq`].
    pub PHYSDEVOP_UNMAP_PIRQ as "PHYSDEVOP_unmap_pirq": u32 = 14;
    /// `PHYSDEVOP_manage_pci_add`: a device, as it once was told.
    pub PHYSDEVOP_MANAGE_PCI_ADD as "PHYSDEVOP_manage_pci_add": u32 = 15;
    /// `PHYSDEVOP_manage_pci_remove`: the device is gone.
    pub PHYSDEVOP_MANAGE_PCI_REMOVE as "PHYSDEVOP_manage_pci_remove": u32 = 16;
    /// `PHYSDEVOP_pirq_eoi_gmfn_v1`: a shared bitmap of interrupts that want an end.
    pub PHYSDEVOP_PIRQ_EOI_GMFN_V1 as "PHYSDEVOP_pirq_eoi_gmfn_v1": u32 = 17;
    /// `PHYSDEVOP_restore_msi`: an MSI after a sleep.
    pub PHYSDEVOP_RESTORE_MSI as "PHYSDEVOP_restore_msi": u32 = 19;
    /// `PHYSDEVOP_manage_pci_add_ext`: a device with functions, as it once was told.
    pub PHYSDEVOP_MANAGE_PCI_ADD_EXT as "PHYSDEVOP_manage_pci_add_ext": u32 = 20;
    /// `PHYSDEVOP_setup_gsi`: trigger and polarity of a line.
    pub PHYSDEVOP_SETUP_GSI as "PHYSDEVOP_setup_gsi": u32 = 21;
    /// `PHYSDEVOP_get_free_pirq`: an interrupt number that is free.
    pub PHYSDEVOP_GET_FREE_PIRQ as "PHYSDEVOP_get_free_pirq": u32 = 23;
    /// `PHYSDEVOP_pci_mmcfg_reserved`: where PCI's configuration space is.
    pub PHYSDEVOP_PCI_MMCFG_RESERVED as "PHYSDEVOP_pci_mmcfg_reserved": u32 = 24;
    /// `PHYSDEVOP_pci_device_add`: [`PhysdevPciDeviceAdd`].
    pub PHYSDEVOP_PCI_DEVICE_ADD as "PHYSDEVOP_pci_device_add": u32 = 25;
    /// `PHYSDEVOP_pci_device_remove`: [`PhysdevPciDevice`].
    pub PHYSDEVOP_PCI_DEVICE_REMOVE as "PHYSDEVOP_pci_device_remove": u32 = 26;
    /// `PHYSDEVOP_restore_msi_ext`: [`PhysdevPciDevice`].
    pub PHYSDEVOP_RESTORE_MSI_EXT as "PHYSDEVOP_restore_msi_ext": u32 = 27;
    /// `PHYSDEVOP_pirq_eoi_gmfn_v2`: a shared bitmap, of which the guest may clear bits.
    pub PHYSDEVOP_PIRQ_EOI_GMFN_V2 as "PHYSDEVOP_pirq_eoi_gmfn_v2": u32 = 28;
    /// `PHYSDEVOP_dbgp_op`: the debug port of USB.
    pub PHYSDEVOP_DBGP_OP as "PHYSDEVOP_dbgp_op": u32 = 29;
    /// `PHYSDEVOP_prepare_msix`: [`PhysdevPciDevice`].
    pub PHYSDEVOP_PREPARE_MSIX as "PHYSDEVOP_prepare_msix": u32 = 30;
    /// `PHYSDEVOP_release_msix`: [`PhysdevPciDevice`].
    pub PHYSDEVOP_RELEASE_MSIX as "PHYSDEVOP_release_msix": u32 = 31;
    /// `XENIRQSTAT_needs_eoi`: physdev_irq_status_query.flags.
    pub XENIRQSTAT_NEEDS_EOI as "XENIRQSTAT_needs_eoi": u32 = 1;
    /// `XENIRQSTAT_shared`: physdev_irq_status_query.flags.
    pub XENIRQSTAT_SHARED as "XENIRQSTAT_shared": u32 = 2;
    /// `XEN_PCI_DEV_EXTFN`: physdev_pci_device_add.flags: a function beyond the first.
    pub XEN_PCI_DEV_EXTFN: u32 = 1;
    /// `XEN_PCI_DEV_VIRTFN`: physdev_pci_device_add.flags: a virtual function.
    pub XEN_PCI_DEV_VIRTFN: u32 = 2;
    /// `XEN_PCI_DEV_PXM`: physdev_pci_device_add.flags: the proximity domain stands behind.
    pub XEN_PCI_DEV_PXM: u32 = 4;
    /// `MAP_PIRQ_TYPE_MSI`: an MSI.
    pub MAP_PIRQ_TYPE_MSI: i32 = 0;
    /// `MAP_PIRQ_TYPE_GSI`: a line.
    pub MAP_PIRQ_TYPE_GSI: i32 = 1;
    /// `MAP_PIRQ_TYPE_UNKNOWN`: a number that is free.
    pub MAP_PIRQ_TYPE_UNKNOWN: i32 = 2;
    /// `MAP_PIRQ_TYPE_MSI_SEG`: an MSI, with the segment.
    pub MAP_PIRQ_TYPE_MSI_SEG: i32 = 3;
    /// `MAP_PIRQ_TYPE_MULTI_MSI`: several MSI.
    pub MAP_PIRQ_TYPE_MULTI_MSI: i32 = 4;
}

layout! {
    /// `struct physdev_eoi`: the end of an interrupt.
    pub struct PhysdevEoi: "struct physdev_eoi", 4 {
        /// IN: which one.
        0 => pub irq: u32,
    }

    /// `struct physdev_irq_status_query`: what an interrupt needs.
    pub struct PhysdevIrqStatusQuery: "struct physdev_irq_status_query", 8 {
        /// IN: which one.
        0 => pub irq: u32,
        /// OUT: `XENIRQSTAT_*`.
        4 => pub flags: u32,
    }

    /// `struct physdev_map_pirq`: an interrupt for a domain.
    pub struct PhysdevMapPirq: "struct physdev_map_pirq", 40 {
        /// IN: the domain.
        0 => pub domid: u16,
        /// IN: `MAP_PIRQ_TYPE_*`.
        4 => pub kind as "type": i32,
        /// IN: the line.
        8 => pub index: i32,
        /// IN or OUT: the number.
        12 => pub pirq: i32,
        /// IN: bus and segment.
        16 => pub bus: i32,
        /// IN: device and function.
        20 => pub devfn: i32,
        /// IN: entry or number of entries.
        24 => pub entry_nr: i32,
        /// IN: the MSI-X table.
        32 => pub table_base: u64,
    }

    /// `struct physdev_unmap_pirq`: the domain no longer has it.
    pub struct PhysdevUnmapPirq: "struct physdev_unmap_pirq", 8 {
        /// IN: the domain.
        0 => pub domid: u16,
        /// IN: the number.
        4 => pub pirq: i32,
    }

    /// `struct physdev_pci_device_add`: a PCI device is there.
    pub struct PhysdevPciDeviceAdd: "struct physdev_pci_device_add", 12 {
        /// IN: segment.
        0 => pub seg: u16,
        /// IN: bus.
        2 => pub bus: u8,
        /// IN: device and function.
        3 => pub devfn: u8,
        /// IN: `XEN_PCI_DEV_*`.
        4 => pub flags: u32,
        /// IN: of the physical function.
        8 => pub physfn_bus as "physfn.bus": u8,
        /// IN: of the physical function.
        9 => pub physfn_devfn as "physfn.devfn": u8,
    }

    /// `struct physdev_pci_device`: a PCI device.
    pub struct PhysdevPciDevice: "struct physdev_pci_device", 4 {
        /// IN: segment.
        0 => pub seg: u16,
        /// IN: bus.
        2 => pub bus: u8,
        /// IN: device and function.
        3 => pub devfn: u8,
    }
}
