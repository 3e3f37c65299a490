//! xen_version: which Xen this is, in what it looks like to a guest.
//!
//! Source: `public/version.h`; what each answers, and to whom, was seen on 4.17.

use abi::errno::Errno;
use abi::features as feature;
use abi::layout::{Handle, Layout};
use abi::version::{self, CompileInfo, FeatureInfo, PlatformParameters};
use machine::contract::Machine;
use machine::frames::FRAME_SIZE;

use super::{Answer, Call};
use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;

/// `EXTRAVERSION`: what follows 4.17.
pub(super) const EXTRAVERSION: &[u8] = b".xenite";
/// There is no such thing as a changeset of a release.
pub(super) const CHANGESET: &[u8] = b"unavailable";
/// Who built the image with what; a release says no more than that.
pub(super) const COMPILED_BY: &[u8] = b"xenite";
/// See there.
pub(super) const COMPILER: &[u8] = b"rustc";
/// Where Xen's own address space begins on Arm64 (`HYPERVISOR_VIRT_START`); guests have no use for it.
const VIRT_START: u64 = 0x20_0000;
/// The kinds of guests that there can be.
const CAPABILITIES: &[u8] = b"xen-3.0-aarch64 ";
/// What a guest reads that must not know.
const DENIED: &[u8] = b"<denied>\0";

/// `HYPERVISOR_xen_version(cmd, buffer)`.
///
/// # Errors
/// `ENOSYS` for an unknown sub-operation, `EFAULT`; others where the sub-operation says so.
#[inline]
pub(super) fn xen_version<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let command = u64::from(call.word(0));
    if command == version::XENVER_VERSION {
        return Ok(version::VERSION);
    }
    let current = local.current.as_mut().ok_or(Errno::NoSys)?;
    buffered(hypervisor, current, command, call.argument(1))
}

/// The sub-operations that write to a buffer.
#[inline(never)]
fn buffered<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &mut Current<'_, M>,
    command: u64,
    buffer: u64,
) -> Answer {
    let write = |bytes: &[u8]| hypervisor.write_bytes(current, buffer, bytes);
    match command {
        version::XENVER_EXTRAVERSION => write(&padded::<{ version::EXTRAVERSION_LEN }>(EXTRAVERSION))?,
        version::XENVER_COMPILE_INFO => write(&compile_info().to_bytes())?,
        version::XENVER_CAPABILITIES => {
            write(&padded::<{ version::CAPABILITIES_INFO_LEN }>(CAPABILITIES))?;
        }
        version::XENVER_CHANGESET => write(&padded::<{ version::CHANGESET_INFO_LEN }>(CHANGESET))?,
        version::XENVER_PLATFORM_PARAMETERS => {
            write(&PlatformParameters { virt_start: VIRT_START }.to_bytes())?;
        }
        version::XENVER_GET_FEATURES => return features(hypervisor, current, Handle::new(buffer)),
        version::XENVER_PAGESIZE => return Ok(FRAME_SIZE),
        // Domains that the device tree made have no name but zero.
        version::XENVER_GUEST_HANDLE => write(&[0; version::DOMAIN_HANDLE_LEN])?,
        version::XENVER_COMMANDLINE if current.domain.is_control() => {
            let words = hypervisor.options.words.as_bytes();
            write(&padded::<{ version::COMMANDLINE_LEN }>(words))?;
        }
        version::XENVER_COMMANDLINE => write(DENIED)?,
        // The image has no build id.
        version::XENVER_BUILD_ID if current.domain.is_control() => return Err(Errno::NoData),
        version::XENVER_BUILD_ID => return Err(Errno::Perm),
        _ => return Err(Errno::NoSys),
    }
    Ok(0)
}

/// A text in a field of so many bytes: cut so that a NUL follows, and filled with NULs.
fn padded<const LENGTH: usize>(words: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let room = LENGTH.saturating_sub(1).min(words.len());
    if let (Some(to), Some(from)) = (bytes.get_mut(..room), words.get(..room)) {
        to.copy_from_slice(from);
    }
    bytes
}

fn compile_info() -> CompileInfo {
    CompileInfo {
        compiler: padded(COMPILER),
        compile_by: padded(COMPILED_BY),
        compile_domain: padded(COMPILED_BY),
        compile_date: padded(crate::VERSION.as_bytes()),
    }
}

/// What the domain can rely on.
fn features<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    handle: Handle<FeatureInfo>,
) -> Answer {
    let mut info = hypervisor.read(current, handle)?;
    if info.submap_idx != 0 {
        return Err(Errno::Inval);
    }
    info.submap = feature_bits(current.domain);
    hypervisor.write(current, handle, &info)?;
    Ok(0)
}

fn feature_bits<M: Machine>(domain: &Domain<M>) -> u32 {
    let always = [
        feature::XENFEAT_WRITABLE_PAGE_TABLES,
        feature::XENFEAT_AUTO_TRANSLATED_PHYSMAP,
        feature::XENFEAT_MEMORY_OP_VNODE_SUPPORTED,
        feature::XENFEAT_ARM_SMCCC_SUPPORTED,
    ];
    let mapped =
        if domain.direct_map { feature::XENFEAT_DIRECT_MAPPED } else { feature::XENFEAT_NOT_DIRECT_MAPPED };
    let control = domain.is_control().then_some(feature::XENFEAT_DOM0);
    let all = always.into_iter().chain([mapped]).chain(control);
    all.fold(0, |bits, number| bits | 1_u32.checked_shl(number).unwrap_or(0))
}
