//! xen_version: every sub-operation.

use core::fmt::Display;

use guests::{report, say, xen};

/// A buffer with a marker in every byte.
type Buffer = [u8; 1200];

fn ask(command: u64, buffer: &mut Buffer) -> i64 {
    buffer.fill(0xa5);
    xen::op(xen::XEN_VERSION, command, buffer)
}

/// Bytes that the call wrote: those before the marker that reaches to the end.
fn written(buffer: &Buffer) -> usize {
    buffer.iter().rposition(|byte| *byte != 0xa5).map_or(0, |last| last + 1)
}

fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).unwrap_or("?")
}

fn answer(name: &str, value: impl Display) {
    report::fact(format_args!("xen_version.{name}"), value);
}

pub(super) fn all() {
    let mut buffer: Buffer = [0; 1200];
    answer("version", xen::call(xen::XEN_VERSION, [0; 5]));
    answer("version.pointer_is_ignored", ask(0, &mut buffer));
    for (command, name) in [(1u64, "extraversion"), (3, "capabilities"), (4, "changeset"), (9, "commandline")]
    {
        answer(name, ask(command, &mut buffer));
        answer_written(name, &buffer);
        let shown = text(&buffer);
        // What the hypervisor calls itself is its own matter, what it can do is not.
        if command == 3 {
            answer("capabilities.text", shown)
        } else {
            say!("note xen_version.{name} {shown}")
        }
    }
    answer("compile_info", ask(2, &mut buffer));
    answer_written("compile_info", &buffer);
    for (name, range) in [("compiler", 0..64), ("by", 64..80), ("domain", 80..112), ("date", 112..144)] {
        say!("note xen_version.compile_info.{name} {}", text(&buffer[range]));
    }
    answer("platform_parameters", ask(5, &mut buffer));
    answer_written("platform_parameters", &buffer);
    say!("note xen_version.virt_start {:02x?}", &buffer[..8]);
    for submap in [0u32, 1, 2, 0xffff_ffff] {
        let mut features = [submap, 0xdead_beef];
        answer_features(submap, xen::op(xen::XEN_VERSION, 6, &mut features), features);
    }
    answer("pagesize", xen::call(xen::XEN_VERSION, [7, 0, 0, 0, 0]));
    answer("guest_handle", ask(8, &mut buffer));
    answer_written("guest_handle", &buffer);
    say!("note xen_version.guest_handle {:02x?}", &buffer[..16]);
    build_id();
    for command in [11u64, 12, 63, 0xffff_ffff] {
        report::fact(format_args!("xen_version.unknown.{command}"), ask(command, &mut buffer));
    }
}

fn answer_written(name: &str, buffer: &Buffer) {
    report::fact(format_args!("xen_version.{name}.written"), written(buffer));
}

fn answer_features(submap: u32, result: i64, features: [u32; 2]) {
    report::fact(
        format_args!("xen_version.features.{submap}"),
        format_args!("{result} {:#x} {:#x}", features[0], features[1]),
    );
}

/// The build id: a length, and a buffer of that many bytes behind it.
fn build_id() {
    answer("build_id.null", xen::call(xen::XEN_VERSION, [10, 0, 0, 0, 0]));
    for length in [0u32, 1, 4, 19, 20, 64, 1000] {
        let mut buffer: Buffer = [0xa5; 1200];
        buffer[..4].copy_from_slice(&length.to_le_bytes());
        let result = xen::op(xen::XEN_VERSION, 10, &mut buffer);
        report::fact(
            format_args!("xen_version.build_id.{length}"),
            format_args!("{result} written {}", written(&buffer)),
        );
        say!("note xen_version.build_id.{length} {:02x?}", &buffer[..24]);
    }
}
