//! Mapping grants into the caller's memory, and unmapping them.

use abi::errno::Errno;
use abi::grant_table::{
    GNTMAP_APPLICATION_MAP, GNTMAP_CONTAINS_PTE, GNTMAP_DEVICE_MAP, GNTMAP_HOST_MAP, GNTMAP_READONLY,
    GNTST_BAD_GNTREF, GNTST_GENERAL_ERROR, GNTST_OKAY, GnttabMapGrantRef, GnttabUnmapAndReplace,
    GnttabUnmapGrantRef,
};
use machine::contract::Machine;

use super::status;
use crate::cpu::Current;
use crate::grant::Wanted;
use crate::hypervisor::Hypervisor;

/// `GNTTABOP_map_grant_ref`.
pub(super) fn map<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabMapGrantRef,
) -> Result<(), Errno> {
    match try_map(hypervisor, current, order) {
        Ok((handle, host)) => {
            order.status = GNTST_OKAY;
            order.handle = handle;
            order.dev_bus_addr = host;
        }
        Err(refused) => order.status = refused,
    }
    Ok(())
}

fn try_map<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &GnttabMapGrantRef,
) -> Result<(u32, u64), i16> {
    let domain = current.domain;
    if order.flags & (GNTMAP_HOST_MAP | GNTMAP_DEVICE_MAP) == 0 {
        return Err(GNTST_BAD_GNTREF);
    }
    // A device would have to be told by an IOMMU, and page tables of guests are their own.
    if order.flags & (GNTMAP_DEVICE_MAP | GNTMAP_APPLICATION_MAP | GNTMAP_CONTAINS_PTE) != 0 {
        return Err(GNTST_GENERAL_ERROR);
    }
    let granter = super::granter(hypervisor, domain, order.dom)?;
    if order.flags & !(GNTMAP_HOST_MAP | GNTMAP_READONLY) != 0 {
        hypervisor.pass_handle(domain);
        return Err(GNTST_GENERAL_ERROR);
    }
    let writable = order.flags & GNTMAP_READONLY == 0;
    let wanted = Wanted { reference: order.reference, at: order.host_addr, writable };
    hypervisor.map_grant(domain, granter, wanted)
}

/// `GNTTABOP_unmap_grant_ref`: without an address there is nothing to do.
pub(super) fn unmap<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabUnmapGrantRef,
) -> Result<(), Errno> {
    order.status = status(hypervisor.unmap_grant(current.domain, order.handle, order.host_addr));
    Ok(())
}

/// `GNTTABOP_unmap_and_replace`: only for nothing in the mapping's place.
pub(super) fn replace<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabUnmapAndReplace,
) -> Result<(), Errno> {
    order.status = if order.new_addr == 0 {
        status(hypervisor.unmap_grant(current.domain, order.handle, order.host_addr))
    } else {
        GNTST_GENERAL_ERROR
    };
    Ok(())
}
