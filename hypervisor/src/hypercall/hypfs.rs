//! hypfs_op: a few facts in the form of files, for those who look with `xenhypfs`. Dom0 alone may look; nothing
//! can be written.
//!
//! Source: `public/hypfs.h`.

use abi::errno::Errno;
use abi::hypfs::{
    HYPFS_DIRLISTENTRY_NAME, HypfsDirentry, HypfsDirlistentry, XEN_HYPFS_ENC_PLAIN, XEN_HYPFS_MAX_PATHLEN,
    XEN_HYPFS_OP_GET_VERSION, XEN_HYPFS_OP_READ, XEN_HYPFS_OP_WRITE_CONTENTS, XEN_HYPFS_TYPE_DIR,
    XEN_HYPFS_TYPE_STRING, XEN_HYPFS_TYPE_UINT, XEN_HYPFS_VERSION,
};
use abi::layout::{Field, Handle, Layout};
use machine::contract::Machine;

use super::{Answer, Call, version};
use crate::cpu::{Current, Local};
use crate::hypervisor::Hypervisor;

/// What a file holds.
#[derive(Clone, Copy)]
enum Content {
    Folder(&'static [Entry]),
    Text(&'static [u8]),
    Number(u32),
    /// How often the hypervisor's sealed heap has refused memory.
    Refused,
}

/// A file or a folder.
#[derive(Clone, Copy)]
struct Entry {
    name: &'static str,
    content: Content,
}

const fn entry(name: &'static str, content: Content) -> Entry {
    Entry { name, content }
}

const ROOT: Content = Content::Folder(&[
    entry("buildinfo", Content::Folder(BUILD)),
    entry("heap", Content::Folder(&[entry("refused", Content::Refused)])),
    entry("cpupool", Content::Folder(&[entry("0", Content::Folder(POOL))])),
]);
const BUILD: &[Entry] = &[
    entry("changeset", Content::Text(version::CHANGESET)),
    entry("compileinfo", Content::Folder(COMPILE)),
    entry("version", Content::Folder(VERSION)),
];
const COMPILE: &[Entry] = &[
    entry("compile_by", Content::Text(version::COMPILED_BY)),
    entry("compile_date", Content::Text(crate::VERSION.as_bytes())),
    entry("compile_domain", Content::Text(version::COMPILED_BY)),
    entry("compiler", Content::Text(version::COMPILER)),
];
const VERSION: &[Entry] = &[
    entry("extra", Content::Text(version::EXTRAVERSION)),
    entry("major", Content::Number(4)),
    entry("minor", Content::Number(17)),
];
/// Each processor is scheduled by itself.
const POOL: &[Entry] = &[entry("sched-gran", Content::Text(b"cpu"))];

/// Bytes of the longest path that can lead anywhere, and of the largest content; both with room.
const LONGEST_PATH: usize = 64;
const LARGEST: usize = 256;

/// `HYPERVISOR_hypfs_op(cmd, path, path length, buffer, size)`.
///
/// # Errors
/// `EPERM` for anybody but dom0, `ENOENT`, `ENOBUFS` where the buffer is too small, `EACCES` for writing,
/// `EINVAL`, `EFAULT`.
#[inline(never)]
pub(super) fn hypfs_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let current = local.caller()?;
    if !current.domain.is_control() {
        return Err(Errno::Perm);
    }
    match call.word(0) {
        XEN_HYPFS_OP_GET_VERSION if call.arguments == [0; 5] => Ok(XEN_HYPFS_VERSION),
        XEN_HYPFS_OP_GET_VERSION => Err(Errno::Inval),
        XEN_HYPFS_OP_READ => read(hypervisor, current, call),
        XEN_HYPFS_OP_WRITE_CONTENTS => {
            find(hypervisor, current, call)?;
            Err(Errno::Acces)
        }
        _ => Err(Errno::OpNotSupp),
    }
}

/// The content at the path of a call.
fn find<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    call: &Call,
) -> Result<Content, Errno> {
    let length = call.argument(2);
    if length == 0 || length > XEN_HYPFS_MAX_PATHLEN {
        return Err(Errno::Inval);
    }
    // No path of this length leads anywhere.
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_PATH).ok_or(Errno::NoEnt)?;
    let mut bytes = [0; LONGEST_PATH];
    let bytes = bytes.get_mut(..length).ok_or(Errno::NoEnt)?;
    hypervisor.read_bytes(current, call.argument(1), bytes)?;
    let path = match bytes {
        [b'/', path @ .., 0] => path,
        _ => return Err(Errno::Inval),
    };
    let mut content = ROOT;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let Content::Folder(entries) = content else { return Err(Errno::NoEnt) };
        let found = entries.iter().find(|entry| entry.name.as_bytes() == name).ok_or(Errno::NoEnt)?;
        content = found.content;
    }
    Ok(match content {
        Content::Refused => {
            let count = hypervisor.machine.refused_allocations();
            Content::Number(u32::try_from(count).unwrap_or(u32::MAX))
        }
        content => content,
    })
}

/// What an entry says of itself.
fn describe(content: Content) -> HypfsDirentry {
    let kind = match content {
        Content::Folder(_) => XEN_HYPFS_TYPE_DIR,
        Content::Text(_) => XEN_HYPFS_TYPE_STRING,
        Content::Number(_) | Content::Refused => XEN_HYPFS_TYPE_UINT,
    };
    let mut bytes = [0; LARGEST];
    let length = u32::try_from(fill(content, &mut bytes)).unwrap_or(0);
    HypfsDirentry { kind, encoding: XEN_HYPFS_ENC_PLAIN, pad: 0, content_len: length, max_write_len: 0 }
}

/// Bytes that an entry of a folder takes in its list: what it says, its name with a zero, and up to the next
/// word.
fn room_of(name: &str) -> usize {
    HYPFS_DIRLISTENTRY_NAME.saturating_add(name.len()).saturating_add(4) & !3
}

/// Writes a content; its length.
fn fill(content: Content, into: &mut [u8; LARGEST]) -> usize {
    match content {
        Content::Text(text) => {
            for (to, from) in into.iter_mut().zip(text) {
                *to = *from;
            }
            text.len().saturating_add(1).min(LARGEST)
        }
        Content::Number(number) => {
            number.store(into);
            size_of::<u32>()
        }
        // Its number is in its place when somebody reads it.
        Content::Refused => size_of::<u32>(),
        Content::Folder(entries) => {
            let mut rest = &mut into[..];
            let mut length = 0_usize;
            let mut left = entries.len();
            for item in entries {
                left = left.saturating_sub(1);
                let room = room_of(item.name);
                let Some((place, behind)) = rest.split_at_mut_checked(room) else { break };
                write_entry(item, left == 0, place);
                rest = behind;
                length = length.saturating_add(room);
            }
            length
        }
    }
}

/// Writes an entry of a folder into its place.
fn write_entry(item: &Entry, last: bool, place: &mut [u8]) {
    let next = if last { 0 } else { u16::try_from(place.len()).unwrap_or(0) };
    // What a folder within holds is seen when that is read.
    let e = match item.content {
        Content::Folder(_) => HypfsDirentry { kind: XEN_HYPFS_TYPE_DIR, ..HypfsDirentry::default() },
        other => describe(other),
    };
    e.store(place);
    let Some((_, behind)) = place.split_at_mut_checked(HypfsDirentry::SIZE) else { return };
    next.store(behind);
    let name = item.name.as_bytes();
    for (to, from) in place.iter_mut().skip(HYPFS_DIRLISTENTRY_NAME).zip(name) {
        *to = *from;
    }
}

fn read<M: Machine>(hypervisor: &Hypervisor<M>, current: &Current<'_, M>, call: &Call) -> Answer {
    let content = find(hypervisor, current, call)?;
    let (buffer, size) = (call.argument(3), call.argument(4));
    let head = describe(content);
    let head_bytes = u64::try_from(HypfsDirentry::SIZE).map_err(|_| Errno::Inval)?;
    if size < head_bytes {
        return Err(Errno::Inval);
    }
    hypervisor.write(current, Handle::new(buffer), &head)?;
    if size < head_bytes.saturating_add(u64::from(head.content_len)) {
        return Err(Errno::NoBufs);
    }
    let mut bytes = [0; LARGEST];
    let length = fill(content, &mut bytes);
    let bytes = bytes.get(..length).ok_or(Errno::NoBufs)?;
    hypervisor.write_bytes(current, buffer.wrapping_add(head_bytes), bytes)?;
    Ok(0)
}

const _: () = assert!(HypfsDirlistentry::SIZE == 16, "the list's entries lie as the header has them");
