//! `docs/hypercalls.md` says what is served of Xen's interface; here it is compared with the code.
//!
//! A row of that page is `| number | name | kind | ... |`, with Xen's name between backquotes. Its kind says whether the
//! tables in `hypervisor/src/hypercall*` have an arm for it: `served` and `refused` have one, `unknown` falls to the last
//! arm. Numbers and names are those that `abi` declares, which two C compilers compare with Xen's headers; so no
//! operation can be left out, misnamed, served without a row, or promised without an arm.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, has_word};

/// The page.
const PAGE: &str = "docs/hypercalls.md";

/// Operations that are told apart by one number.
struct Family {
    /// The file of `abi` that declares them.
    file: &'static str,
    /// What Xen's names of them begin with; what follows is in small letters.
    prefix: &'static str,
    /// What stands before such a constant in the code, where its own name would be ambiguous.
    path: &'static str,
}

const FAMILIES: [Family; 14] = [
    Family { file: "hypercall", prefix: "__HYPERVISOR_", path: "number::" },
    Family { file: "version", prefix: "XENVER_", path: "" },
    Family { file: "event_channel", prefix: "EVTCHNOP_", path: "" },
    Family { file: "grant_table", prefix: "GNTTABOP_", path: "" },
    Family { file: "sched", prefix: "SCHEDOP_", path: "" },
    Family { file: "xen", prefix: "CONSOLEIO_", path: "" },
    Family { file: "xen", prefix: "VMASST_CMD_", path: "" },
    Family { file: "vcpu", prefix: "VCPUOP_", path: "" },
    Family { file: "hvm_op", prefix: "HVMOP_", path: "" },
    Family { file: "memory", prefix: "XENMEM_", path: "" },
    Family { file: "platform", prefix: "XENPF_", path: "" },
    Family { file: "hypfs", prefix: "XEN_HYPFS_OP_", path: "" },
    Family { file: "domctl", prefix: "XEN_DOMCTL_", path: "" },
    Family { file: "sysctl", prefix: "XEN_SYSCTL_", path: "" },
];
/// Names that begin like an operation of `memory_op` and are none.
const NO_OPERATION: &str = "XENMEM_resource_";

/// An operation that `abi` declares.
#[derive(Debug, PartialEq, Eq)]
struct Operation<'s> {
    number: &'s str,
    /// Its constant, as the code names it.
    constant: String,
}

/// Compares the page with `abi` and the hypervisor.
pub fn check(sources: &[Source], broken: &mut Vec<String>) {
    let operations = operations(sources);
    let handlers = handlers(sources);
    let page = sources.iter().find(|source| source.path == PAGE);
    let mut rows = BTreeSet::new();
    for (index, line) in page.map_or("", |page| page.text.as_str()).lines().enumerate() {
        let Some((number, name, kind)) = row(line) else { continue };
        let mut wrong = |what: String| broken.push(format!("{PAGE}:{}: {what}", index + 1));
        if !rows.insert(name) {
            wrong(format!("a second row for `{name}`"));
        }
        let Some(operation) = operations.get(name) else {
            wrong(format!("`abi` has no operation `{name}`"));
            continue;
        };
        if operation.number != number {
            wrong(format!("`{name}` has the number {}", operation.number));
        }
        let has_arm = has_word(&handlers, &operation.constant);
        match kind {
            "served" | "refused" if !has_arm => wrong(format!("`{name}` is {kind}, but has no arm")),
            "unknown" if has_arm => wrong(format!("`{name}` is unknown, but has an arm")),
            "served" | "refused" | "unknown" => {}
            _ => wrong(format!("`{name}` is `{kind}`: neither served, nor refused, nor unknown")),
        }
    }
    for name in operations.keys().filter(|name| !rows.contains(*name)) {
        broken.push(format!("{PAGE}: lacks a row for `{name}`"));
    }
}

/// All operations that `abi` declares, by Xen's names.
fn operations(sources: &[Source]) -> BTreeMap<&str, Operation<'_>> {
    let mut operations = BTreeMap::new();
    for family in FAMILIES {
        let path = format!("abi/src/{}.rs", family.file);
        let text =
            sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str());
        for (constant, name, number) in text.lines().filter_map(declaration) {
            let rest = name.strip_prefix(family.prefix).unwrap_or("A");
            if !rest.contains(|letter: char| letter.is_ascii_uppercase()) && !name.starts_with(NO_OPERATION) {
                operations.insert(name, Operation { number, constant: format!("{}{constant}", family.path) });
            }
        }
    }
    operations
}

/// Constant, Xen's name and number of a line `pub CONSTANT as "name": type = number;`.
fn declaration(line: &str) -> Option<(&str, &str, &str)> {
    let (constant, rest) = line.trim().strip_prefix("pub ")?.split_once(" as \"")?;
    let (name, rest) = rest.split_once("\": ")?;
    let number = rest.split_once(" = ")?.1.split([',', ';']).next()?;
    Some((constant, name, number))
}

/// The code of the tables, without what is only imported.
fn handlers(sources: &[Source]) -> String {
    let mut code = String::new();
    for source in sources.iter().filter(|source| source.path.starts_with("hypervisor/src/hypercall")) {
        let mut imports = false;
        for line in source.code().lines() {
            imports |= line.trim_start().starts_with("use ");
            if !imports {
                code.push_str(line);
                code.push('\n');
            }
            imports &= !line.contains(';');
        }
    }
    code
}

/// Number, name and kind of a row.
fn row(line: &str) -> Option<(&str, &str, &str)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let (number, name, kind) = (cells.next()?, cells.next()?, cells.next()?);
    let name = name.strip_prefix('`')?.strip_suffix('`')?;
    number.starts_with(|first: char| first.is_ascii_digit()).then_some((number, name, kind.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found wrong where a page has these rows, and `SCHEDOP_yield` and `SCHEDOP_block` exist.
    fn wrong(rows: &str) -> Vec<String> {
        let declared = "pub SCHEDOP_YIELD as \"SCHEDOP_yield\": u32 = 0;\n    pub SCHEDOP_BLOCK as \"SCHEDOP_block\": u32 = 1;";
        let code = "use abi::sched::{\n    SCHEDOP_BLOCK,\n};\nfn f() { match c { SCHEDOP_YIELD => g() } }";
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let mut broken = Vec::new();
        let sources = [
            source("abi/src/sched.rs", declared),
            source("docs/hypercalls.md", rows),
            source("hypervisor/src/hypercall/schedule.rs", code),
        ];
        check(&sources, &mut broken);
        broken
    }

    #[test]
    fn rows_that_say_what_the_code_does_are_right() {
        let found = wrong("| 0 | `SCHEDOP_yield` | served | yes |\n| 1 | `SCHEDOP_block` | unknown | no |");
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_operation_without_a_row_is_found() {
        assert_eq!(
            wrong("| 0 | `SCHEDOP_yield` | refused | |"),
            ["docs/hypercalls.md: lacks a row for `SCHEDOP_block`"]
        );
    }

    #[test]
    fn promises_without_an_arm_and_arms_that_are_denied_are_found() {
        let found = wrong("| 0 | `SCHEDOP_yield` | unknown | |\n| 1 | `SCHEDOP_block` | served | |");
        assert_eq!(
            found,
            [
                "docs/hypercalls.md:1: `SCHEDOP_yield` is unknown, but has an arm",
                "docs/hypercalls.md:2: `SCHEDOP_block` is served, but has no arm",
            ]
        );
    }

    #[test]
    fn wrong_numbers_foreign_names_and_second_rows_are_found() {
        let rows = "| 3 | `SCHEDOP_yield` | served | |\n| 1 | `SCHEDOP_block` | unknown | |\n\
                    | 1 | `SCHEDOP_block` | unknown | |\n| 9 | `SCHEDOP_dance` | unknown | |";
        assert_eq!(wrong(rows).len(), 3, "{:?}", wrong(rows));
    }
}
