//! xen_version: which Xen this is, for those who ask without a buffer.

use abi::errno::Errno;
use abi::version;

/// `HYPERVISOR_xen_version(cmd, buffer)`. The sub-operations that write to a buffer come with the rest of
/// the guest's interface.
///
/// # Errors
/// `ENOSYS` for any other sub-operation.
pub(super) fn xen_version(arguments: [u64; 2]) -> Result<u64, Errno> {
    let [command, _buffer] = arguments;
    match command {
        version::XENVER_VERSION => Ok(version::VERSION),
        _ => Err(Errno::NoSys),
    }
}
