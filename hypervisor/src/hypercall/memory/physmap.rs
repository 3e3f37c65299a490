//! What is where in a domain's memory: pages of the hypervisor's, and of other domains.

use abi::errno::Errno;
use abi::layout::Handle;
use abi::memory::{
    self as op, AddToPhysmap, AddToPhysmapBatch, MemAcquireResource, RemoveFromPhysmap,
    XENMEM_ACQUIRE_RESOURCE, XENMEM_ADD_TO_PHYSMAP_BATCH,
};
use abi::xen::{DOMID_IO, DOMID_SELF, DOMID_XEN};
use machine::contract::{Machine, Showing};
use machine::stage2::Kind;

use super::super::{Answer, Call, control, own_or_controlled};
use super::{FRAME, again};
use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::memory::SharedPage;

/// `XENMEM_add_to_physmap`.
///
/// # Errors
/// `ENOSYS` for a space that is none, `EACCES` for devices; others where the space says so.
pub(super) fn add<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &Call,
    start: u64,
) -> Answer {
    let current = local.caller()?;
    let handle: Handle<AddToPhysmap> = Handle::new(call.argument(1));
    let order = hypervisor.read(current, handle)?;
    let domain = own_or_controlled(hypervisor, current.domain, order.domid)?;
    match order.space {
        op::XENMAPSPACE_GMFN_RANGE if u64::from(order.size) == start => Ok(0),
        op::XENMAPSPACE_DEV_MMIO => Err(Errno::Acces),
        // Another domain is named in batches only.
        op::XENMAPSPACE_GMFN_FOREIGN => Err(Errno::NoSys),
        space => add_page(hypervisor, domain, (space, order.idx), order.gpfn).map(|()| 0),
    }
}

/// Shows a domain one of the hypervisor's pages.
fn add_page<M: Machine>(
    hypervisor: &Hypervisor<M>,
    domain: &Domain<M>,
    (space, index): (u32, u64),
    number: u64,
) -> Result<(), Errno> {
    let page = match space {
        op::XENMAPSPACE_SHARED_INFO if index == 0 => SharedPage::Info,
        op::XENMAPSPACE_SHARED_INFO => return Err(Errno::Inval),
        op::XENMAPSPACE_GRANT_TABLE => {
            // 32 bits of it count.
            let index = index & u64::from(u32::MAX);
            SharedPage::GrantTable(usize::try_from(index).map_err(|_| Errno::Inval)?)
        }
        _ => return Err(Errno::NoSys),
    };
    hypervisor.show_page(domain, page, number)
}

/// `XENMEM_add_to_physmap_batch`: an error for each item, and one for all only where there is no item to
/// speak of.
///
/// # Errors
/// `EOPNOTSUPP` for ranges, `EACCES` for devices, `EFAULT`.
pub(super) fn add_batch<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &mut Call,
    start: u64,
) -> Answer {
    let current = local.caller()?;
    let handle: Handle<AddToPhysmapBatch> = Handle::new(call.argument(1));
    let order = hypervisor.read(current, handle)?;
    let domain = own_or_controlled(hypervisor, current.domain, order.domid)?;
    let space = u32::from(order.space);
    match space {
        op::XENMAPSPACE_GMFN_RANGE => return Err(Errno::OpNotSupp),
        op::XENMAPSPACE_DEV_MMIO => return Err(Errno::Acces),
        _ => {}
    }
    for item in start..u64::from(order.size) {
        if item > start && hypervisor.must_look(local) {
            return again(call, XENMEM_ADD_TO_PHYSMAP_BATCH, item);
        }
        let index = hypervisor.read_element(current, order.idxs, item)?;
        let number = hypervisor.read_element(current, order.gpfns, item)?;
        let added = if space == op::XENMAPSPACE_GMFN_FOREIGN {
            add_foreign(hypervisor, current, domain, (order.u, index), number)
        } else {
            add_page(hypervisor, domain, (space, index), number)
        };
        let error = added.err().map_or(0, |error| i32::from(error.number()).saturating_neg());
        hypervisor.write_element(current, (order.errs, item), &error)?;
    }
    Ok(0)
}

/// Shows a domain a page of another one's RAM.
///
/// # Errors
/// `ESRCH` for no domain, `EPERM` without the right to it, `EINVAL` for a page that is none.
fn add_foreign<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    domain: &Domain<M>,
    (owner, index): (u16, u64),
    number: u64,
) -> Result<(), Errno> {
    match owner {
        DOMID_SELF => return Err(Errno::Inval),
        DOMID_IO | DOMID_XEN => return Err(Errno::Perm),
        own if own == current.domain.id => return Err(Errno::Srch),
        _ => {}
    }
    let owner = hypervisor.domain_of(owner).ok_or(Errno::Srch)?;
    let owner = control(current.domain, owner)?.domain;
    if owner.index == domain.index {
        return Err(Errno::Inval);
    }
    let ipa = index.checked_mul(FRAME).ok_or(Errno::Inval)?;
    match hypervisor.frame_at(owner, ipa) {
        Some((frame, Kind::Ram, writable)) => {
            hypervisor.show_in(domain, number, Showing::Foreign(frame), writable)
        }
        _ => Err(Errno::Inval),
    }
}

/// `XENMEM_remove_from_physmap`.
///
/// # Errors
/// `ENOENT` where there is nothing to remove.
pub(super) fn remove<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    start: u64,
    handle: Handle<RemoveFromPhysmap>,
) -> Answer {
    if start != 0 {
        return Err(Errno::Inval);
    }
    let order = hypervisor.read(current, handle)?;
    let domain = own_or_controlled(hypervisor, current.domain, order.domid)?;
    hypervisor.hide_in(domain, order.gpfn).map(|()| 0)
}

/// `XENMEM_acquire_resource`: shows the caller frames of another domain's grant table.
///
/// # Errors
/// `ESRCH` for no domain, `EPERM` without the right to it, `EOPNOTSUPP` for what there is not, `EINVAL`.
pub(super) fn acquire_resource<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &mut Call,
    start: u64,
) -> Answer {
    let current = local.caller()?;
    let handle: Handle<MemAcquireResource> = Handle::new(call.argument(1));
    let order = hypervisor.read(current, handle)?;
    if order.pad != 0 {
        return Err(Errno::Inval);
    }
    let owner = hypervisor.domain_of(order.domid).ok_or(Errno::Srch)?;
    let owner = control(current.domain, owner)?.domain;
    let there = match u32::from(order.kind) {
        op::XENMEM_RESOURCE_GRANT_TABLE => grant_table_frames(owner, order.id)?,
        _ => return Err(Errno::OpNotSupp),
    };
    if order.nr_frames == 0 || order.frame_list.is_null() {
        if order.nr_frames != 0 || !order.frame_list.is_null() || start != 0 {
            return Err(Errno::Inval);
        }
        let count: Handle<u32> = Handle::new(handle.address().wrapping_add(8));
        hypervisor.write(current, count, &u32::try_from(there).map_err(|_| Errno::Inval)?)?;
        return Ok(0);
    }
    let count = u64::from(order.nr_frames);
    if order.frame.checked_add(count).is_none_or(|end| end > there) || start >= count {
        return Err(Errno::Inval);
    }
    for item in start..count {
        if item > start && hypervisor.must_look(local) {
            return again(call, XENMEM_ACQUIRE_RESOURCE, item);
        }
        let number = hypervisor.read_element(current, order.frame_list, item)?;
        let index = usize::try_from(order.frame.saturating_add(item)).map_err(|_| Errno::Inval)?;
        let frame = owner.pv.as_ref().and_then(|pv| pv.grant_frame(index)).ok_or(Errno::Inval)?;
        let frame = frame.try_clone().ok_or(Errno::NoMem)?;
        hypervisor.show_in(current.domain, number, Showing::Foreign(frame), true)?;
    }
    Ok(0)
}

/// How many frames a domain's grant table has room for.
fn grant_table_frames<M: Machine>(owner: &Domain<M>, id: u32) -> Result<u64, Errno> {
    let pv = owner.pv.as_ref().ok_or(Errno::Inval)?;
    match id {
        op::XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED => {
            u64::try_from(pv.most_grant_frames()).map_err(|_| Errno::Inval)
        }
        // Those belong to a version that there is not.
        _ => Err(Errno::Inval),
    }
}
