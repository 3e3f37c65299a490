//! Of `public/domctl.h`: what devices a domain may use.

use crate::layout::{Handle, constants, layout};

constants! {
    /// `XEN_DOMCTL_DEV_PCI`: assign_device.dev: of PCI.
    pub XEN_DOMCTL_DEV_PCI: u32 = 0;
    /// `XEN_DOMCTL_DEV_DT`: assign_device.dev: of the device tree.
    pub XEN_DOMCTL_DEV_DT: u32 = 1;
    /// `XEN_DOMCTL_DEV_RDM_RELAXED`: assign_device.flags: a conflict of its memory is no error.
    pub XEN_DOMCTL_DEV_RDM_RELAXED: u32 = 1;
    /// `DPCI_ADD_MAPPING`: add_mapping: maps.
    pub DPCI_ADD_MAPPING: u32 = 1;
    /// `DPCI_REMOVE_MAPPING`: add_mapping: unmaps.
    pub DPCI_REMOVE_MAPPING: u32 = 0;

    // bind_pt_irq.irq_type.
    /// `PT_IRQ_TYPE_PCI`: a PCI device's line.
    pub PT_IRQ_TYPE_PCI: u32 = 0;
    /// `PT_IRQ_TYPE_ISA`: an ISA line.
    pub PT_IRQ_TYPE_ISA: u32 = 1;
    /// `PT_IRQ_TYPE_MSI`: an MSI.
    pub PT_IRQ_TYPE_MSI: u32 = 2;
    /// `PT_IRQ_TYPE_MSI_TRANSLATE`: an MSI that becomes a line.
    pub PT_IRQ_TYPE_MSI_TRANSLATE: u32 = 3;
    /// `PT_IRQ_TYPE_SPI`: a shared interrupt of Arm.
    pub PT_IRQ_TYPE_SPI: u32 = 4;
    /// `XEN_DOMCTL_VUART_OP_INIT`: vuart_op.cmd: makes it.
    pub XEN_DOMCTL_VUART_OP_INIT: u32 = 0;
    /// `XEN_DOMCTL_VUART_TYPE_VPL011`: vuart_op.type: a PL011.
    pub XEN_DOMCTL_VUART_TYPE_VPL011: u32 = 0;
}

layout! {
    /// `struct xen_domctl_irq_permission`: an interrupt.
    pub struct IrqPermission: "struct xen_domctl_irq_permission", 8 {
        /// IN: its number.
        0 => pub pirq: u32,
        /// IN: not zero to allow.
        4 => pub allow_access: u8,
        /// C's padding.
        5 => pub pad: [u8; 3],
    }

    /// `struct xen_domctl_iomem_permission`: registers.
    pub struct IomemPermission: "struct xen_domctl_iomem_permission", 24 {
        /// IN: the first page.
        0 => pub first_mfn: u64,
        /// IN: how many.
        8 => pub nr_mfns: u64,
        /// IN: not zero to allow.
        16 => pub allow_access: u8,
    }

    /// `struct xen_domctl_ioport_permission`: ports.
    pub struct IoportPermission: "struct xen_domctl_ioport_permission", 12 {
        /// IN: the first.
        0 => pub first_port: u32,
        /// IN: how many.
        4 => pub nr_ports: u32,
        /// IN: not zero to allow.
        8 => pub allow_access: u8,
    }

    /// `struct xen_domctl_memory_mapping`: registers in its map.
    pub struct MemoryMapping: "struct xen_domctl_memory_mapping", 32 {
        /// IN: where.
        0 => pub first_gfn: u64,
        /// IN: the first page.
        8 => pub first_mfn: u64,
        /// IN: how many.
        16 => pub nr_mfns: u64,
        /// IN: [`DPCI_ADD_MAPPING`] or [`DPCI_REMOVE_MAPPING`].
        24 => pub add_mapping: u32,
        /// Zero.
        28 => pub padding: u32,
    }

    /// `struct xen_domctl_ioport_mapping`: ports in its map.
    pub struct IoportMapping: "struct xen_domctl_ioport_mapping", 16 {
        /// IN: where.
        0 => pub first_gport: u32,
        /// IN: the first.
        4 => pub first_mport: u32,
        /// IN: how many.
        8 => pub nr_ports: u32,
        /// IN: [`DPCI_ADD_MAPPING`] or [`DPCI_REMOVE_MAPPING`].
        12 => pub add_mapping: u32,
    }

    /// `struct xen_domctl_assign_device`: a device for a domain.
    pub struct AssignDevice: "struct xen_domctl_assign_device", 24 {
        /// IN: `XEN_DOMCTL_DEV_*`.
        0 => pub dev: u32,
        /// IN: [`XEN_DOMCTL_DEV_RDM_RELAXED`].
        4 => pub flags: u32,
        /// IN: [`AssignDeviceTree`], or in the first four bytes segment, bus, device and function.
        8 => pub u: [u8; 16],
    }

    /// `struct xen_domctl_assign_device.u.dt`: a node of the device tree.
    pub struct AssignDeviceTree: "__typeof__(((struct xen_domctl_assign_device *)0)->u.dt)", 16 {
        /// IN: bytes of the path.
        0 => pub size: u32,
        /// IN: the path.
        8 => pub path: Handle<u8>,
    }

    /// `struct xen_domctl_get_device_group`: devices that cannot be parted.
    pub struct GetDeviceGroup: "struct xen_domctl_get_device_group", 24 {
        /// IN: one of them.
        0 => pub machine_sbdf: u32,
        /// IN: room.
        4 => pub max_sdevs: u32,
        /// OUT: how many there are.
        8 => pub num_sdevs: u32,
        /// OUT: the devices.
        16 => pub sdev_array: Handle<u32>,
    }

    /// `struct xen_domctl_bind_pt_irq`: a device's interrupt for a domain.
    pub struct BindPtIrq: "struct xen_domctl_bind_pt_irq", 24 {
        /// IN: the host's.
        0 => pub machine_irq: u32,
        /// IN: `PT_IRQ_TYPE_*`.
        4 => pub irq_type: u32,
        /// IN: the type's own part; for an SPI its number in the first two bytes.
        8 => pub u: [u8; 16],
    }

    /// `struct xen_domctl_vuart_op`: a UART that a console daemon serves.
    pub struct VuartOp: "struct xen_domctl_vuart_op", 24 {
        /// IN: [`XEN_DOMCTL_VUART_OP_INIT`].
        0 => pub cmd: u32,
        /// IN: [`XEN_DOMCTL_VUART_TYPE_VPL011`].
        4 => pub kind as "type": u32,
        /// IN: the frame of its ring.
        8 => pub gfn: u64,
        /// IN: the daemon's domain.
        16 => pub console_domid: u16,
        /// C's padding.
        18 => pub pad: [u8; 2],
        /// OUT: the port that the daemon binds.
        20 => pub evtchn: u32,
    }
}
