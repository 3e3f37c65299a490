//! The table itself: its size, its version, its entries.

use abi::errno::Errno;
use abi::grant_table::{
    GNTST_BAD_VIRT_ADDR, GNTST_GENERAL_ERROR, GNTST_OKAY, GnttabGetStatusFrames, GnttabGetVersion,
    GnttabQuerySize, GnttabSetVersion, GnttabSetupTable, GnttabSwapGrantRef,
};
use abi::layout::Handle;
use machine::contract::Machine;

use super::super::{Answer, Call, own_or_controlled};
use super::{status, table_of};
use crate::cpu::{Current, Local};
use crate::grant::FRAMES;
use crate::hypervisor::Hypervisor;

/// What is said of a frame of the table that the guest does not see anywhere.
const NOWHERE: u64 = u64::MAX;

/// `GNTTABOP_query_size`.
pub(super) fn query_size<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabQuerySize,
) -> Result<(), Errno> {
    let table = table_of(hypervisor, current.domain, order.dom);
    order.status = match table.map(|domain| domain.pv.as_ref().map_or(0, |pv| pv.grants.frames())) {
        Ok(frames) => {
            order.nr_frames = u32::try_from(frames).unwrap_or(0);
            order.max_nr_frames = u32::try_from(FRAMES).unwrap_or(0);
            GNTST_OKAY
        }
        Err(refused) => refused,
    };
    Ok(())
}

/// `GNTTABOP_setup_table`: makes the table larger, and says where its frames are seen.
pub(super) fn setup<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabSetupTable,
) -> Result<(), Errno> {
    order.status = status(try_setup(hypervisor, current, order));
    Ok(())
}

fn try_setup<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &GnttabSetupTable,
) -> Result<(), i16> {
    let domain = table_of(hypervisor, current.domain, order.dom)?;
    let pv = domain.pv.as_ref().ok_or(GNTST_GENERAL_ERROR)?;
    let frames = usize::try_from(order.nr_frames).map_err(|_| GNTST_GENERAL_ERROR)?;
    if frames.checked_sub(1).is_some_and(|last| !pv.grants.grow_to(last)) {
        return Err(GNTST_GENERAL_ERROR);
    }
    for index in 0..frames {
        let element = u64::try_from(index).map_err(|_| GNTST_BAD_VIRT_ADDR)?;
        let place: Handle<u64> = order.frame_list.element(element).ok_or(GNTST_BAD_VIRT_ADDR)?;
        let number = pv.grant_frame_place(index).unwrap_or(NOWHERE);
        hypervisor.write(current, place, &number).map_err(|_| GNTST_BAD_VIRT_ADDR)?;
    }
    Ok(())
}

/// `GNTTABOP_get_status_frames`: version 1 has none.
pub(super) fn status_frames<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabGetStatusFrames,
) -> Result<(), Errno> {
    let table = table_of(hypervisor, current.domain, order.dom);
    order.status = table.err().unwrap_or(GNTST_GENERAL_ERROR);
    Ok(())
}

/// `GNTTABOP_swap_grant_ref`.
pub(super) fn swap<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabSwapGrantRef,
) -> Result<(), Errno> {
    order.status = status(hypervisor.swap_grants(current.domain, (order.ref_a, order.ref_b)));
    Ok(())
}

/// `GNTTABOP_set_version`: there is version 1, whatever is asked for, and the guest is told so.
///
/// # Errors
/// `ENOSYS` for version 2, `EINVAL` for others.
#[inline(never)]
pub(super) fn set_version<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &Call,
) -> Answer {
    let current = local.caller()?;
    let place: Handle<GnttabSetVersion> = Handle::new(call.argument(1));
    let asked = hypervisor.read(current, place)?.version;
    hypervisor.write(current, place, &GnttabSetVersion { version: 1 })?;
    match asked {
        1 => Ok(0),
        2 => Err(Errno::NoSys),
        _ => Err(Errno::Inval),
    }
}

/// `GNTTABOP_get_version`.
///
/// # Errors
/// `ESRCH`, `EPERM`.
#[inline(never)]
pub(super) fn get_version<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &Call,
) -> Answer {
    let current = local.caller()?;
    let place: Handle<GnttabGetVersion> = Handle::new(call.argument(1));
    let mut order = hypervisor.read(current, place)?;
    own_or_controlled(hypervisor, current.domain, order.dom)?;
    order.version = 1;
    hypervisor.write(current, place, &order)?;
    Ok(0)
}
