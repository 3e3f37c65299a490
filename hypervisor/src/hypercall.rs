//! The table of hypercalls: what is served, by number.
//!
//! Convention (`public/arch-arm.h`): HVC #0xEA1, the number in X16, arguments in X0 to X4, the result in
//! X0. A number that is not served answers -ENOSYS, as the interface demands.

mod version;

use abi::errno::Errno;
use abi::hypercall as number;
use machine::contract::Machine;

use crate::cpu::Current;
use crate::hypervisor::Hypervisor;

/// Where the number is.
const NUMBER: u8 = 16;

/// Serves the hypercall of the loaded vCPU.
#[inline]
pub fn handle<M: Machine>(_hypervisor: &Hypervisor<M>, current: &mut Current<'_, M>) {
    let registers = &mut current.state.registers;
    let arguments = [registers.general(0), registers.general(1)];
    let result = match registers.general(NUMBER) {
        number::XEN_VERSION => version::xen_version(arguments),
        _ => Err(Errno::NoSys),
    };
    let result = match result {
        Ok(value) => value,
        Err(error) => error.result(),
    };
    registers.set_general(0, result);
}
