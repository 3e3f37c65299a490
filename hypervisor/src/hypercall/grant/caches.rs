//! GNTTABOP_cache_flush: what is in the caches of a frame goes to memory, for a device.
//!
//! The frame is named by its host address, which mapping a grant gives, and must be the caller's own or mapped
//! by it. Nobody can drop what another one has written: an invalidation writes back first.

use abi::errno::Errno;
use abi::grant_table::{GNTTAB_CACHE_CLEAN, GNTTAB_CACHE_INVAL, GnttabCacheFlush};
use machine::contract::{CacheAct, Machine};
use machine::frames::{FRAME_BYTES, FRAME_SIZE};

use crate::cpu::Current;
use crate::hypervisor::Hypervisor;

/// `GNTTABOP_cache_flush`.
///
/// # Errors
/// `EINVAL` for an unknown operation, a range that is not in one page, or what is no memory; `EPERM` for
/// memory that the caller does not have.
pub(super) fn flush<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabCacheFlush,
) -> Result<(), Errno> {
    let (offset, bytes) = (usize::from(order.offset), usize::from(order.length));
    let known = order.op & !(GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL) == 0;
    if !known || offset >= FRAME_BYTES || offset.saturating_add(bytes) > FRAME_BYTES {
        return Err(Errno::Inval);
    }
    if order.op == 0 || bytes == 0 {
        return Ok(());
    }
    let act = if order.op & GNTTAB_CACHE_INVAL == 0 { CacheAct::Clean } else { CacheAct::CleanInvalidate };
    let (domain, host) = (current.domain, order.a & !FRAME_SIZE.wrapping_sub(1));
    let frames = hypervisor.machine.frames();
    let Some(frame) = frames.hold(host) else {
        let is_ram = frames.ranges().any(|range| host.wrapping_sub(range.base) < range.size);
        return Err(if is_ram { Errno::Perm } else { Errno::Inval });
    };
    let own = frame.owner() == Some(domain.id);
    if !own && !domain.pv.as_ref().is_some_and(|pv| pv.grants.maps(host)) {
        return Err(Errno::Perm);
    }
    if hypervisor.machine.maintain(&frame, offset, bytes, act) { Ok(()) } else { Err(Errno::Inval) }
}
