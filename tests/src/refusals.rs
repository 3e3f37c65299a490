//! Bad device trees: boot stops before any guest runs, and says where and why.
//!
//! Each case lays a wrong piece over a good tree of one domain, or of two where it speaks of a second. What must be said: the path of the node, what is wrong
//! in words, and how many errors there are. What must not happen: that a guest runs, or that the hypervisor faults.

use std::time::Duration;

use anyhow::{Result, ensure};
use xtask::qemu::Prepared;
use xtask::system::{Domain, Entry};
use xtask::tree;

use crate::boot::TINY;
use crate::{Scenario, Setup, own};

/// A wrong tree.
struct Case {
    /// What is wrong, for the name of the scenario.
    what: &'static str,
    /// Source laid over the good tree.
    overlay: &'static str,
    /// All of these must be on the line of the refusal.
    said: &'static [&'static str],
}

const CASES: [Case; 16] = [
    Case {
        what: "a domain without memory",
        overlay: "/ { chosen { domU1 { /delete-property/ memory; }; }; };",
        said: &["/chosen/domU1", "memory"],
    },
    Case {
        what: "a domain without cpus",
        overlay: "/ { chosen { domU1 { /delete-property/ cpus; }; }; };",
        said: &["/chosen/domU1", "cpus"],
    },
    Case {
        what: "a domain of no processors",
        overlay: "/ { chosen { domU1 { cpus = <0>; }; }; };",
        said: &["/chosen/domU1", "cpus"],
    },
    Case {
        what: "a domain of too many processors",
        overlay: "/ { chosen { domU1 { cpus = <129>; }; }; };",
        said: &["/chosen/domU1", "cpus"],
    },
    Case {
        what: "more memory than the machine has",
        overlay: "/ { chosen { domU1 { memory = <0x0 0x4000000>; }; }; };",
        said: &["/chosen/domU1", "memory"],
    },
    Case {
        what: "a memory size of one cell",
        overlay: "/ { chosen { domU1 { memory = <0x10000>; }; }; };",
        said: &["/chosen/domU1", "memory"],
    },
    Case {
        what: "a domain without a kernel",
        overlay: "/ { chosen { domU1 { /delete-node/ module@4a000000; }; }; };",
        said: &["/chosen/domU1", "kernel"],
    },
    Case {
        what: "a module without reg",
        overlay: "/ { chosen { domU1 { module@4a000000 { /delete-property/ reg; }; }; }; };",
        said: &["/chosen/domU1/module@4a000000", "reg"],
    },
    Case {
        what: "a module with a short reg",
        overlay: "/ { chosen { domU1 { module@4a000000 { reg = <0x0 0x4a000000 0x0>; }; }; }; };",
        said: &["/chosen/domU1/module@4a000000", "reg"],
    },
    Case {
        what: "a module outside of memory",
        overlay: "/ { chosen { domU1 { module@4a000000 { reg = <0x0 0x1000000 0x0 0x1000>; }; }; }; };",
        said: &["/chosen/domU1/module@4a000000", "reg"],
    },
    Case {
        what: "modules that overlap",
        overlay:
            "/ { chosen { domU1 { module@4a001000 { compatible = \"multiboot,ramdisk\", \"multiboot,module\";
                  reg = <0x0 0x4a001000 0x0 0x1000>; }; }; }; };",
        said: &["/chosen/domU1/module@4a00", "reg"],
    },
    Case {
        what: "a direct map without static memory",
        overlay: "/ { chosen { domU1 { direct-map; }; }; };",
        said: &["/chosen/domU1", "direct-map"],
    },
    Case {
        what: "static memory of another size than the domain's memory",
        overlay: "/ { chosen { domU1 { xen,static-mem = <0x0 0x60000000 0x0 0x2000000>; }; }; };",
        said: &["/chosen/domU1", "xen,static-mem"],
    },
    Case {
        what: "static memory that is not aligned",
        overlay: "/ { chosen { domU1 { xen,static-mem = <0x0 0x60000100 0x0 0x4000000>; }; }; };",
        said: &["/chosen/domU1", "xen,static-mem"],
    },
    Case {
        what: "static memory that is no memory",
        overlay: "/ { chosen { domU1 { xen,static-mem = <0x0 0x8000000 0x0 0x4000000>; }; }; };",
        said: &["/chosen/domU1", "xen,static-mem"],
    },
    Case {
        what: "one static memory for two domains",
        overlay: "/ { chosen { domU1 { xen,static-mem = <0x0 0x60000000 0x0 0x4000000>; };
                  domU2 { xen,static-mem = <0x0 0x62000000 0x0 0x4000000>; }; }; };",
        said: &["/chosen/domU", "xen,static-mem"],
    },
];

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for case in &CASES {
        let name = format!("refusal: {}", case.what);
        scenarios.push(Scenario::new(name, move |setup| refuse(setup, case)));
    }
    scenarios.push(Scenario::new("refusal: two errors are both told", two_errors));
    scenarios.push(Scenario::new("refusal: a kernel that is not a kernel", not_a_kernel));
    for (what, change) in BROKEN {
        let name = format!("refusal: a tree {what}");
        scenarios.push(Scenario::new(name, move |setup| broken(setup, change)));
    }
    scenarios
}

fn refuse(setup: &Setup, case: &Case) -> Result<()> {
    let mut system = setup.system();
    system.domains.push(setup.hello()?);
    if case.overlay.contains("domU2") {
        system.domains.push(setup.hello()?);
    }
    system.overlay = case.overlay.to_owned();
    let mut machine = Prepared::new(&system)?.start()?;
    let refusal = machine.expect_line("refused: ", TINY)?;
    for word in case.said {
        ensure!(refusal.contains(word), "the refusal does not say `{word}`: {refusal}");
    }
    machine.expect("hint: ", TINY)?;
    machine.expect("Boot stops: 1 error", TINY)?;
    no_guest_ran(&machine.output())
}

/// Says nothing of how long: the errors are the last thing that boot prints.
fn no_guest_ran(output: &str) -> Result<()> {
    ensure!(!output.contains("hello from"), "a guest ran:\n{output}");
    ensure!(!output.to_lowercase().contains("panic"), "the hypervisor panicked:\n{output}");
    Ok(())
}

fn two_errors(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.domains = vec![setup.hello()?, setup.hello()?];
    system.overlay =
        "/ { chosen { domU1 { cpus = <0>; }; domU2 { /delete-property/ memory; }; }; };".to_owned();
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect_all(&["refused: /chosen/domU1", "refused: /chosen/domU2"], TINY)?;
    machine.expect("Boot stops: 2 errors", TINY)?;
    no_guest_ran(&machine.output())
}

fn not_a_kernel(setup: &Setup) -> Result<()> {
    let file = own::image("zeroes", &[])?;
    std::fs::write(&file, vec![0_u8; 8192])?;
    let mut system = setup.system();
    system.domains = vec![setup.hello()?, Domain::plain(file, 1, 64)];
    let mut machine = Prepared::new(&system)?.start()?;
    let refusal = machine.expect_line("refused: ", TINY)?;
    ensure!(refusal.contains("/chosen/domU2"), "another node is named: {refusal}");
    machine.expect("Boot stops: 1 error", TINY)?;
    no_guest_ran(&machine.output())
}

/// What is done to the bytes of a good tree.
type Change = fn(&mut Vec<u8>);

/// Trees that cannot be read, so that there is no node to name and perhaps no console to say it on.
const BROKEN: [(&str, Change); 6] = [
    ("that is cut off", |tree| tree.truncate(tree.len() / 2)),
    ("with a wrong magic", |tree| tree[0] = 0),
    ("that says it is larger than it may be", |tree| tree[4..8].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff])),
    ("whose structure lies behind its end", |tree| tree[8..12].copy_from_slice(&[0x00, 0xff, 0xff, 0xf0])),
    ("whose strings lie behind its end", |tree| tree[12..16].copy_from_slice(&[0x00, 0xff, 0xff, 0xf0])),
    ("of zeroes", |tree| tree.fill(0)),
];

fn broken(setup: &Setup, change: Change) -> Result<()> {
    let mut system = setup.system();
    system.domains.push(setup.hello()?);
    let folder =
        xtask::paths::target().join("made").join(format!("broken-{:?}", std::thread::current().id()));
    std::fs::create_dir_all(&folder)?;
    let mut bytes = std::fs::read(tree::build(&system, &folder)?.file)?;
    change(&mut bytes);
    system.entry = Entry::BareWith(bytes);
    let machine = Prepared::new(&system)?.start()?;
    std::thread::sleep(Duration::from_secs(4));
    no_guest_ran(&machine.output())
}
