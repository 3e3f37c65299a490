//! GNTTABOP_copy: bytes from page to page, each a frame of the caller's or something that it has been granted.

use abi::errno::Errno;
use abi::grant_table::{
    GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF, GNTST_BAD_COPY_ARG, GNTST_BAD_PAGE, GNTST_GENERAL_ERROR,
    GNTST_PERMISSION_DENIED, GnttabCopy, GnttabCopyPtr,
};
use abi::xen::DOMID_SELF;
use machine::contract::Machine;
use machine::frames::{FRAME_BYTES as FRAME, GuestFrame};

use super::super::low_word;
use super::status;
use crate::cpu::Current;
use crate::domain::Domain;
use crate::grant::{Pin, Refused, Use, Way};
use crate::hypervisor::Hypervisor;

/// One end of a copy, with what lets the caller use it.
enum End<'h, M: Machine> {
    Own(GuestFrame),
    Granted(Pin<'h, M>),
}

impl<M: Machine> End<'_, M> {
    fn frame(&self) -> &GuestFrame {
        match self {
            End::Own(frame) => frame,
            End::Granted(pin) => &pin.frame,
        }
    }
}

/// `GNTTABOP_copy`.
pub(super) fn copy<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &mut GnttabCopy,
) -> Result<(), Errno> {
    order.status = status(try_copy(hypervisor, current.domain, order));
    Ok(())
}

fn try_copy<M: Machine>(
    hypervisor: &Hypervisor<M>,
    caller: &Domain<M>,
    order: &GnttabCopy,
) -> Result<(), i16> {
    // Who is who comes before anything else, for both ends.
    let source_of = side(hypervisor, caller, &order.source, order.flags & GNTCOPY_SOURCE_GREF != 0)?;
    let dest_of = side(hypervisor, caller, &order.dest, order.flags & GNTCOPY_DEST_GREF != 0)?;
    let bytes = usize::from(order.len);
    let (from, to) = (usize::from(order.source.offset), usize::from(order.dest.offset));
    if from.max(to).saturating_add(bytes) > FRAME {
        return Err(GNTST_BAD_COPY_ARG);
    }
    let source = end(hypervisor, caller, (source_of, order.source.u), false)?;
    let dest = end(hypervisor, caller, (dest_of, order.dest.u), true)?;
    let copied = hypervisor.machine.copy_frame((dest.frame(), to), (source.frame(), from), bytes);
    if copied { Ok(()) } else { Err(GNTST_GENERAL_ERROR) }
}

/// Whose grant an end is, or `None` for a frame of the caller's own: a frame's number is for nobody else to say.
fn side<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &Domain<M>,
    end: &GnttabCopyPtr,
    by_reference: bool,
) -> Result<Option<&'h Domain<M>>, i16> {
    let id = if end.domid == DOMID_SELF { caller.id } else { end.domid };
    if !by_reference && end.domid == DOMID_SELF {
        return Ok(None);
    }
    let domain = super::granter(hypervisor, caller, id)?;
    if by_reference { Ok(Some(domain)) } else { Err(GNTST_PERMISSION_DENIED) }
}

/// Takes hold of an end.
fn end<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &Domain<M>,
    (granter, what): (Option<&'h Domain<M>>, u64),
    write: bool,
) -> Result<End<'h, M>, Refused> {
    let Some(granter) = granter else {
        return Ok(End::Own(hypervisor.own_frame(caller, what).ok_or(GNTST_BAD_PAGE)?));
    };
    Ok(End::Granted(hypervisor.pin(granter, low_word(what), (caller, Use { way: Way::Copy, write }))?))
}
