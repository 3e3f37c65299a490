//! Whether the tables of `abi` are what Xen's public headers say: every constant, every structure's size, every field's
//! place, size and sign, and that no field is left out, for arm64 and x86-64.
//!
//! Nothing is executed. The tables become a C file of `_Static_assert` lines, and a compiler for each architecture reads
//! it together with Debian's headers: that it compiles is the proof. A line that does not hold names its item. What no
//! such line can say, the optimiser does: it must find that a call which does not compile is never reached.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use abi::layout::{Constant, Structure, View};

/// A module of `abi`: its name and its tables.
struct Module {
    name: &'static str,
    constants: &'static [Constant],
    structures: &'static [Structure],
    view: View,
}

/// `module: tables, architecture` for each module.
macro_rules! modules {
    ($($($name:ident)::+: $($table:ident)+, $view:ident;)*) => {
        const MODULES: &[Module] = &[$(modules!(one $view ($($name)::+) $($table)+)),*];
    };
    (one $view:ident ($($name:ident)::+) CONSTANTS STRUCTURES) => {
        Module {
            name: stringify!($($name)::+),
            constants: abi::$($name)::+::CONSTANTS,
            structures: abi::$($name)::+::STRUCTURES,
            view: View::$view,
        }
    };
    (one $view:ident ($($name:ident)::+) CONSTANTS) => {
        Module {
            name: stringify!($($name)::+),
            constants: abi::$($name)::+::CONSTANTS,
            structures: &[],
            view: View::$view,
        }
    };
}

modules! {
    arch_arm: CONSTANTS STRUCTURES, Arm64;
    arch_x86_64: CONSTANTS STRUCTURES, X86;
    arch_x86_64::paravirtual: CONSTANTS STRUCTURES, X86;
    arch_x86_64::start: CONSTANTS STRUCTURES, X86;
    callback: CONSTANTS STRUCTURES, Both;
    device_tree_defs: CONSTANTS, Both;
    dm_op: CONSTANTS STRUCTURES, Both;
    domctl: CONSTANTS STRUCTURES, Both;
    domctl::device: CONSTANTS STRUCTURES, Both;
    domctl::domain: CONSTANTS STRUCTURES, Both;
    domctl::memory: CONSTANTS STRUCTURES, Both;
    domctl::vcpu: CONSTANTS STRUCTURES, Both;
    elfnote: CONSTANTS, Both;
    errno: CONSTANTS, Both;
    event_channel: CONSTANTS STRUCTURES, Both;
    features: CONSTANTS, Both;
    flask_op: CONSTANTS STRUCTURES, Both;
    grant_table: CONSTANTS STRUCTURES, Both;
    hvm_op: CONSTANTS STRUCTURES, Both;
    hvm_params: CONSTANTS, Both;
    hypercall: CONSTANTS, Both;
    hypfs: CONSTANTS STRUCTURES, Both;
    io_console: CONSTANTS, Both;
    ioreq: CONSTANTS STRUCTURES, Both;
    memory: CONSTANTS STRUCTURES, Both;
    physdev: CONSTANTS STRUCTURES, Both;
    platform: CONSTANTS STRUCTURES, Both;
    sched: CONSTANTS STRUCTURES, Both;
    sysctl: CONSTANTS STRUCTURES, Both;
    trace: CONSTANTS STRUCTURES, Both;
    vcpu: CONSTANTS STRUCTURES, Both;
    version: CONSTANTS STRUCTURES, Both;
    xen: CONSTANTS STRUCTURES, Both;
    xs_wire: CONSTANTS, Both;
}

/// What has to be there, and where Debian has it.
const PACKAGES: &str =
    "apt-get install gcc libc6-dev libxen-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross (Debian 12)";

/// The headers. `errno.h` comes last and apart: two of its numbers are for the hypervisor alone.
const PREAMBLE: &str = r#"
#include <stddef.h>
#include <stdint.h>
#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/device_tree_defs.h>
#include <xen/domctl.h>
#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/hypfs.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/trace.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/xsm/flask_op.h>
#ifdef __x86_64__
#include <xen/arch-x86/hvm/start_info.h>
#endif
#define SIGNED(x) _Generic((x), int8_t: 1, int16_t: 1, int32_t: 1, int64_t: 1, default: 0)
#define __XEN__ 1
#define XEN_ERRNO(name, value) XEN_##name = value,
enum every_errno {
#include <xen/errno.h>
};
"#;

/// One of the two architectures: its view and its compiler.
#[derive(Clone, Copy)]
struct Target {
    view: View,
    compiler: &'static str,
}

const ARM64: Target = Target { view: View::Arm64, compiler: "aarch64-linux-gnu-gcc" };
const X86: Target = Target { view: View::X86, compiler: "x86_64-linux-gnu-gcc" };

impl Target {
    fn sees(self, view: View) -> bool {
        view == View::Both || view == self.view
    }

    /// The lines of C for what this target sees of `modules`.
    fn assertions(self, modules: &[Module]) -> String {
        let mut text = String::new();
        for module in modules.iter().filter(|module| self.sees(module.view)) {
            for constant in module.constants.iter().filter(|constant| self.sees(constant.view)) {
                constant_line(&mut text, module.name, constant);
            }
            for structure in module.structures.iter().filter(|structure| self.sees(structure.view)) {
                structure_lines(&mut text, module.name, structure);
            }
        }
        text
    }

    /// Looks at the headers with these lines behind. The error is what the compiler says.
    fn compile(self, lines: &str, name: &str) -> Result<(), String> {
        self.compile_by(&["-fsyntax-only"], lines, name)
    }

    /// Compiles them with these options.
    fn compile_by(self, options: &[&str], lines: &str, name: &str) -> Result<(), String> {
        let file = scratch(&format!("{name}-{:?}.c", self.view));
        std::fs::write(&file, format!("{PREAMBLE}{lines}")).unwrap();
        let include = headers();
        let mut compiler = Command::new(self.compiler);
        compiler.args(["-std=gnu11", "-w", "-I"]).arg(&include).args(options).arg(&file);
        let output = compiler.output().unwrap_or_else(|error| {
            panic!("{} is needed and cannot be started ({error}): {PACKAGES}", self.compiler)
        });
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.contains("error")).collect();
        Err(errors.join("\n"))
    }
}

fn constant_line(text: &mut String, module: &str, constant: &Constant) {
    let (name, value) = (constant.name, i128::from(constant.value));
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    writeln!(
        text,
        "_Static_assert((__int128)({name}) == {sign}(__int128){size:#x}ull, \"{module}: {name} is not {value}\");"
    )
    .unwrap();
}

fn structure_lines(text: &mut String, module: &str, structure: &Structure) {
    let Structure { name, size, fields, .. } = structure;
    writeln!(text, "_Static_assert(sizeof({name}) == {size}, \"{module}: size of {name} is not {size}\");")
        .unwrap();
    for field in fields.iter().filter(|field| !field.name.is_empty()) {
        let (of, offset, size, sign) = (field.name, field.offset, field.size, u8::from(field.signed));
        writeln!(
            text,
            "_Static_assert(offsetof({name}, {of}) == {offset}, \"{module}: {name}: {of} is not at {offset}\");\n\
             _Static_assert(sizeof((({name} *)0)->{of}) == {size}, \"{module}: {name}: {of} has not {size} bytes\");\n\
             _Static_assert(SIGNED((({name} *)0)->{of}) == {sign}, \"{module}: {name}: the sign of {of}\");"
        )
        .unwrap();
    }
}

/// The folder that holds `xen/xen.h`.
fn headers() -> PathBuf {
    let folder = PathBuf::from("/usr/include");
    assert!(folder.join("xen/domctl.h").is_file(), "Xen's public headers are needed: {PACKAGES}");
    // A cross compiler does not look there, and must not find the host's libc there.
    let apart = scratch("include");
    std::fs::create_dir_all(&apart).unwrap();
    let link = apart.join("xen");
    if !link.exists() {
        // Another test may be faster: what counts is that it is there afterwards.
        let _ = std::os::unix::fs::symlink(folder.join("xen"), &link);
        assert!(link.exists(), "cannot make {}", link.display());
    }
    apart
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn arm64_headers_agree() {
    ARM64.compile(&ARM64.assertions(MODULES), "all").unwrap_or_else(|errors| panic!("\n{errors}"));
}

#[test]
fn x86_headers_agree() {
    X86.compile(&X86.assertions(MODULES), "all").unwrap_or_else(|errors| panic!("\n{errors}"));
}

/// C that does not compile unless the compiler says of each byte that belongs to no field of ours that it is padding.
fn gap_lines(target: Target, modules: &[Module]) -> String {
    let mut text = String::new();
    let modules = modules.iter().filter(|module| target.sees(module.view));
    let structures = modules.flat_map(|module| module.structures);
    let structures = structures.filter(|one| target.sees(one.view) && !FLEXIBLE.contains(&one.name));
    for (index, structure) in structures.enumerate() {
        let name = structure.name;
        let mut gaps = BTreeSet::from_iter(0..structure.size);
        for field in structure.fields {
            gaps.retain(|byte| !(field.offset..field.offset + field.size).contains(byte));
        }
        writeln!(
            text,
            "extern void wrong_{index}(void) __attribute__((error(\"a field of {name} is left out\")));\n\
             void check_{index}(void) {{\n\
                 {name} value;\n\
                 unsigned char *bytes = (unsigned char *)&value;\n\
                 __builtin_memset(&value, 0xff, sizeof(value));\n\
                 __builtin_clear_padding(&value);"
        )
        .unwrap();
        for gap in gaps {
            writeln!(text, "if (bytes[{gap}]) wrong_{index}();").unwrap();
        }
        text.push_str("}\n");
    }
    text
}

/// Structures that end with an array without a length, of which no padding can be asked. The
/// array is what is left out.
const FLEXIBLE: [&str; 4] = [
    "struct xen_build_id",
    "struct xen_hypfs_dirlistentry",
    "struct physdev_pci_device_add",
    "struct t_info",
];

#[test]
fn no_field_of_c_is_left_out() {
    for target in [ARM64, X86] {
        let lines = gap_lines(target, MODULES);
        target.compile_by(&OPTIMISE, &lines, "gaps").unwrap_or_else(|errors| panic!("\n{errors}"));
    }
}

#[test]
fn a_field_that_is_left_out_is_found_and_its_structure_named() {
    use abi::layout::FieldEntry;
    const WRONG: &[Module] = &[Module {
        name: "wrong",
        constants: &[],
        structures: &[Structure {
            name: "struct gnttab_query_size",
            size: 16,
            view: View::Both,
            fields: &[
                FieldEntry { name: "dom", offset: 0, size: 2, signed: false },
                FieldEntry { name: "nr_frames", offset: 4, size: 4, signed: false },
                FieldEntry { name: "max_nr_frames", offset: 8, size: 4, signed: false },
            ],
        }],
        view: View::Both,
    }];
    for target in [ARM64, X86] {
        let errors = target.compile_by(&OPTIMISE, &gap_lines(target, WRONG), "wrong-gaps").unwrap_err();
        assert!(errors.contains("a field of struct gnttab_query_size is left out"), "{errors}");
    }
}

/// C that does not compile unless each of these bit fields, all ones, makes this word of its structure's bytes.
fn bit_field_lines(fields: &[(&str, &str, usize, u32)]) -> String {
    let mut text = String::new();
    for (index, (structure, field, offset, bits)) in fields.iter().enumerate() {
        writeln!(
            text,
            "extern void wrong_{index}(void) __attribute__((error(\"{structure}: {field} is not {bits:#x}\")));\n\
             void check_{index}(void) {{\n\
                 {structure} value = {{ .{field} = ~0 }};\n\
                 uint32_t word;\n\
                 __builtin_memcpy(&word, (char *)&value + {offset}, 4);\n\
                 if (word != {bits:#x}u) wrong_{index}();\n\
             }}"
        )
        .unwrap();
    }
    text
}

/// `offsetof` knows no bit fields, but an optimiser does: it drops the call of the function that must not be called.
const OPTIMISE: [&str; 4] = ["-O2", "-S", "-o", "/dev/null"];

#[test]
fn bit_fields_are_where_the_constants_say() {
    use abi::ioreq::{IOREQ_DATA_IS_PTR, IOREQ_DF, IOREQ_DIR_SHIFT, IOREQ_STATE, IOREQ_STATE_MASK};
    let word = IOREQ_STATE & !3;
    let place = |bits: u8| u32::from(bits) << (8 * (IOREQ_STATE % 4));
    let lines = bit_field_lines(&[
        ("struct ioreq", "state", word, place(IOREQ_STATE_MASK)),
        ("struct ioreq", "data_is_ptr", word, place(IOREQ_DATA_IS_PTR)),
        ("struct ioreq", "dir", word, place(1 << IOREQ_DIR_SHIFT)),
        ("struct ioreq", "df", word, place(IOREQ_DF)),
        ("struct buf_ioreq", "type", 0, 0xff),
        ("struct buf_ioreq", "dir", 0, 1 << 9),
        ("struct buf_ioreq", "size", 0, 3 << 10),
        ("struct buf_ioreq", "addr", 0, 0xfffff << 12),
    ]);
    for target in [ARM64, X86] {
        target.compile_by(&OPTIMISE, &lines, "bits").unwrap_or_else(|errors| panic!("\n{errors}"));
    }
}

#[test]
fn a_bit_field_at_a_wrong_place_is_found_and_named() {
    let lines = bit_field_lines(&[("struct ioreq", "df", 28, 1 << 21)]);
    for target in [ARM64, X86] {
        let errors = target.compile_by(&OPTIMISE, &lines, "wrong-bits").unwrap_err();
        assert!(errors.contains("struct ioreq: df is not 0x200000"), "{errors}");
    }
}

#[test]
fn every_module_with_a_table_is_proven() {
    let listed: BTreeSet<String> = MODULES.iter().map(|module| module.name.replace(" :: ", "::")).collect();
    let mut found = BTreeSet::new();
    modules_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    assert_eq!(listed, found);
}

/// Names of the modules whose files declare a table, other than by defining the macro for it.
fn modules_below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            modules_below(&path, &format!("{prefix}{stem}::"), found);
            continue;
        }
        // What tests declare is no interface.
        if stem == "tests" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let declares = ["layout! {", "constants! {", "errors! {"];
        if declares.iter().any(|begin| text.lines().any(|line| line == *begin)) {
            found.insert(format!("{prefix}{stem}"));
        }
    }
}

#[test]
fn a_field_at_a_wrong_place_is_found_and_named() {
    use abi::layout::FieldEntry;
    const WRONG: &[Module] = &[Module {
        name: "wrong",
        constants: &[],
        structures: &[Structure {
            name: "struct evtchn_alloc_unbound",
            size: 8,
            view: View::Both,
            fields: &[
                FieldEntry { name: "dom", offset: 0, size: 2, signed: false },
                FieldEntry { name: "port", offset: 2, size: 4, signed: false },
            ],
        }],
        view: View::Both,
    }];
    for target in [ARM64, X86] {
        let errors = target.compile(&target.assertions(WRONG), "wrong-offset").unwrap_err();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains("wrong: struct evtchn_alloc_unbound: port is not at 2"), "{errors}");
    }
}

#[test]
fn a_wrong_size_or_sign_is_found_and_named() {
    use abi::layout::FieldEntry;
    const WRONG: &[Module] = &[Module {
        name: "wrong",
        constants: &[],
        structures: &[Structure {
            name: "struct evtchn_send",
            size: 8,
            view: View::Both,
            fields: &[FieldEntry { name: "port", offset: 0, size: 2, signed: true }],
        }],
        view: View::Both,
    }];
    for target in [ARM64, X86] {
        let errors = target.compile(&target.assertions(WRONG), "wrong-size").unwrap_err();
        assert_eq!(errors.lines().count(), 3, "{errors}");
        assert!(errors.contains("wrong: size of struct evtchn_send is not 8"), "{errors}");
        assert!(errors.contains("wrong: struct evtchn_send: port has not 2 bytes"), "{errors}");
        assert!(errors.contains("wrong: struct evtchn_send: the sign of port"), "{errors}");
    }
}

#[test]
fn a_wrong_constant_is_found_and_named_whatever_its_sign() {
    use abi::layout::Value;
    const WRONG: &[Module] = &[Module {
        name: "wrong",
        constants: &[
            Constant { name: "EVTCHNOP_send", value: Value::U32(5), view: View::Both },
            // The same 64 bits, but another number.
            Constant { name: "GNTST_bad_domain", value: Value::U64(u64::MAX - 1), view: View::Both },
            Constant { name: "XEN_RUNSTATE_UPDATE", value: Value::U64(1 << 63), view: View::Both },
        ],
        structures: &[],
        view: View::Both,
    }];
    for target in [ARM64, X86] {
        let errors = target.compile(&target.assertions(WRONG), "wrong-constant").unwrap_err();
        assert_eq!(errors.lines().count(), 2, "{errors}");
        assert!(errors.contains("wrong: EVTCHNOP_send is not 5"), "{errors}");
        assert!(errors.contains("wrong: GNTST_bad_domain is not 18446744073709551614"), "{errors}");
    }
}
