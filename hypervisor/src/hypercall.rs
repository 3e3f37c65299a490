//! The table of hypercalls: what is served, by number.
//!
//! Convention (`public/arch-arm.h`): HVC #0xEA1, the number in X16, arguments in X0 to X4, the result in X0; no
//! other register changes. A number that is not served answers -ENOSYS, as the interface demands.
//!
//! A handler reads what it needs, checks it, acts, and answers. One with more to do than a vCPU may do at a
//! stretch changes its arguments to what is left and answers `ERESTART`: the guest then executes the
//! instruction again, and interrupts are taken in between. Nothing else of a call outlives it.

mod assist;
mod console;
mod domctl;
mod event;
mod grant;
mod hvm;
mod hypfs;
mod memory;
mod multicall;
mod platform;
mod schedule;
mod sysctl;
mod vcpu;
mod version;

use abi::errno::Errno;
use abi::hypercall as number;
use machine::contract::Machine;

use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;

/// Where the number is.
const NUMBER: u8 = 16;
/// No hypercall has this number or one above (`__HYPERVISOR_arch_7` is 55).
const NUMBERS: usize = 64;

/// A handler's result, or its error.
pub type Answer = Result<u64, Errno>;

/// A call as its handler sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The arguments; a handler that is to be called again changes them.
    pub arguments: [u64; 5],
}

impl Call {
    /// An argument of 32 bits; what the register holds beyond them does not count.
    pub fn word(&self, index: usize) -> u32 {
        low_word(self.argument(index))
    }

    /// An argument.
    pub fn argument(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or(0)
    }
}

impl<'h, M: Machine> Local<'h, M> {
    /// The vCPU that calls.
    ///
    /// # Errors
    /// `ENOSYS` where none is loaded, which a call excludes.
    #[inline]
    pub fn caller(&self) -> Result<&Current<'h, M>, Errno> {
        self.current.as_ref().ok_or(Errno::NoSys)
    }
}

/// The lower 32 bits.
fn low_word(number: u64) -> u32 {
    let [b0, b1, b2, b3, ..] = number.to_le_bytes();
    u32::from_le_bytes([b0, b1, b2, b3])
}

/// Serves the hypercall of the loaded vCPU.
#[inline]
pub fn handle<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>) {
    let Some(current) = local.current.as_mut() else { return };
    let registers = &mut current.state.registers;
    let which = registers.general(NUMBER);
    let arguments = [0, 1, 2, 3, 4].map(|number| registers.general(number));
    let mut call = Call { arguments };
    let answer = serve(hypervisor, local, which, &mut call);
    let Some(current) = local.current.as_mut() else { return };
    let registers = &mut current.state.registers;
    match answer {
        Ok(value) => registers.set_general(0, value),
        Err(Errno::Restart) => {
            for (number, argument) in (0_u8..).zip(call.arguments) {
                registers.set_general(number, argument);
            }
            registers.pc = registers.pc.wrapping_sub(4);
        }
        Err(error) => registers.set_general(0, error.result()),
    }
}

/// A handler is a function of its own, so that a call pays for no other's variables.
type Handler<M> = fn(&Hypervisor<M>, &mut Local<'_, M>, &mut Call) -> Answer;

impl<M: Machine> Hypervisor<M> {
    /// The table, by number.
    #[expect(clippy::indexing_slicing, reason = "evaluated while compiling")]
    const HANDLERS: [Handler<M>; NUMBERS] = {
        let unknown: Handler<M> = |_, _, _| Err(Errno::NoSys);
        let (mut all, mut place, mut which) = ([unknown; NUMBERS], 0, 0);
        while place < NUMBERS {
            all[place] = match which {
                number::XEN_VERSION => version::xen_version,
                number::EVENT_CHANNEL_OP => event::event_channel_op,
                number::GRANT_TABLE_OP => grant::grant_table_op,
                number::SCHED_OP => schedule::sched_op,
                number::CONSOLE_IO => console::console_io,
                number::VCPU_OP => vcpu::vcpu_op,
                number::HVM_OP => hvm::hvm_op,
                number::MEMORY_OP => memory::memory_op,
                number::PLATFORM_OP => platform::platform_op,
                number::HYPFS_OP => hypfs::hypfs_op,
                number::VM_ASSIST => assist::vm_assist,
                number::DOMCTL => domctl::domctl,
                number::SYSCTL => sysctl::sysctl,
                number::MULTICALL => multicall::multicall,
                _ => unknown,
            };
            (place, which) = (place.wrapping_add(1), which.wrapping_add(1));
        }
        all
    };
}

#[inline]
fn serve<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    which: u64,
    call: &mut Call,
) -> Answer {
    let place = usize::try_from(which).unwrap_or(usize::MAX);
    Hypervisor::HANDLERS.get(place).ok_or(Errno::NoSys)?(hypervisor, local, call)
}

/// The domain that a caller names: itself, or another by its id.
///
/// # Errors
/// `ESRCH` where there is no such domain.
pub fn named<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &'h Domain<M>,
    id: u16,
) -> Result<&'h Domain<M>, Errno> {
    if id == abi::xen::DOMID_SELF || id == caller.id {
        return Ok(caller);
    }
    hypervisor.domain_of(id).ok_or(Errno::Srch)
}

/// The domain that a caller names, if it is the caller's own or the caller controls it.
///
/// # Errors
/// `ESRCH` where there is no such domain, `EPERM` where it is another one's business.
pub fn own_or_controlled<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &'h Domain<M>,
    id: u16,
) -> Result<&'h Domain<M>, Errno> {
    let target = named(hypervisor, caller, id)?;
    if target.index != caller.index {
        control(caller, target)?;
    }
    Ok(target)
}

/// The right to control another domain: the control domain has it over all, and nobody else.
///
/// # Errors
/// `EPERM`.
pub fn control<'d, M: Machine>(
    caller: &Domain<M>,
    target: &'d Domain<M>,
) -> Result<crate::domain::Controlled<'d, M>, Errno> {
    target.controlled_by(caller).ok_or(Errno::Perm)
}
