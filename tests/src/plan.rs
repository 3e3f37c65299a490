//! The owner's tool against the running hypervisor: what `xenite plan` says of a boot, boot says, to the byte; and what
//! `xenite guest-tree` writes, a guest finds, to the byte.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::command;
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Dom0, Domain, Entry, Gic, System};
use xtask::tree;

use crate::boot::TINY;
use crate::{Scenario, Setup};

/// Pieces of a domain's memory behind the first.
const PIECES: u64 = 300;

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let on = |gic: Gic| {
        let name = format!(
            "plan: the desk says what boot says with GICv{}, and the trees that domains find",
            gic.version()
        );
        Scenario::new(name, move |setup| domains(setup, gic))
    };
    vec![
        on(Gic::V2),
        on(Gic::V3),
        Scenario::new("plan: the desk writes the tree that dom0 finds", dom0),
        Scenario::new("plan: as much memory is free for dom0 as the desk says, to the page", free),
        Scenario::new("plan: the desk says what boot says of a console nine nodes deep", deep),
    ]
}

/// `xenite` on the desk with all that is known of a machine.
fn xenite(action: &str, prepared: &Prepared, hypervisor: &Path) -> Command {
    let mut xenite = command::cargo();
    xenite.args(["run", "--quiet", "--package", "xenite", "--", action]);
    xenite.arg(&prepared.tree().file).arg("--image").arg(hypervisor);
    xenite.args([format!("--image-at={:#x}", tree::IMAGE), format!("--tree-at={:#x}", tree::TREE)]);
    for module in &prepared.tree().modules {
        xenite.arg(format!("--module={:#x}={}", module.address, module.file.display()));
    }
    xenite
}

/// What the desk says of a system.
struct Desk {
    console: Vec<String>,
    /// The tree of each domain in hexadecimal digits, with its id.
    trees: Vec<(u32, String)>,
}

impl Desk {
    /// The console's lines are those of the section of the text that has them.
    fn new(prepared: &Prepared, hypervisor: &Path, domains: &[u32]) -> Result<Self> {
        let text = command::output(&mut xenite("plan", prepared, hypervisor))?;
        let lines = text.lines().map(str::trim_start);
        let console = lines.filter(|line| line.starts_with("(XEN) ")).map(str::to_owned).collect();
        let mut trees = Vec::new();
        for id in domains {
            let mut guest_tree = xenite("guest-tree", prepared, hypervisor);
            let output =
                guest_tree.args([&id.to_string(), "--dtb"]).output().context("cannot start cargo")?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let digits = output.stdout.iter().map(|byte| format!("{byte:02x}")).collect();
            trees.push((*id, digits));
        }
        Ok(Self { console, trees })
    }

    /// Whether the running machine agrees.
    fn compare(&self, machine: &mut Qemu) -> Result<()> {
        machine.expect("the plan's fingerprint is ", TINY)?;
        machine.expect_end(TINY)?;
        let said = machine.output().replace('\r', "");
        let lines: Vec<&str> = said.lines().skip_while(|line| line.trim().is_empty()).collect();
        let boot = lines.get(..self.console.len()).unwrap_or(&lines);
        ensure!(
            boot == self.console,
            "the desk said:\n{}\nboot said:\n{}",
            self.console.join("\n"),
            boot.join("\n")
        );
        for (id, tree) in &self.trees {
            let prefix = if *id == 0 { String::new() } else { format!("DOM{id}: ") };
            let found: String = lines.iter().filter_map(|line| digits(line.strip_prefix(&prefix)?)).collect();
            ensure!(!found.is_empty(), "domain {id} printed no tree; {}", machine.last_lines());
            ensure!(found == *tree, "domain {id} found another tree:\n{found}\nthe desk wrote:\n{tree}");
        }
        Ok(())
    }
}

/// The digits of a line of a tree.
fn digits(line: &str) -> Option<&str> {
    let (offset, digits) = line.strip_prefix("tree ")?.split_once(' ')?;
    let is_number = offset.len() == 6 && offset.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then_some(digits.trim_end())
}

/// A machine whose tree arrives as it was made: QEMU's loader would write into it.
fn system(setup: &Setup) -> System {
    let mut system = setup.system();
    system.entry = Entry::Bare;
    system.arguments.push_str(" colour=red");
    system
}

/// A domain without PV interfaces, one with a channel to the third, and that one directly mapped in static memory.
fn domains(setup: &Setup, gic: Gic) -> Result<()> {
    let mut system = system(setup);
    system.machine.gic = gic;
    let guest = setup.guest("tree")?;
    let nodes = [
        "",
        "\t\t\txen,enhanced = \"no-xenstore\";\n\
         first: evtchn@1 { compatible = \"xen,evtchn-v1\"; xen,evtchn = <10 &second>; };\n",
        &format!(
            "\t\t\txen,enhanced = \"no-xenstore\"; direct-map; xen,static-mem = <{}>;\n\
             second: evtchn@1 {{ compatible = \"xen,evtchn-v1\"; xen,evtchn = <11 &first>; }};\n",
            pieces()
        ),
    ];
    for (cpus, nodes) in (1..).zip(nodes) {
        let mut domain = Domain::plain(guest.clone(), cpus, 64);
        domain.kernel.bootargs = Some(format!("a command line for {cpus}"));
        domain.extra = nodes.to_owned();
        system.domains.push(domain);
    }
    let prepared = Prepared::new(&system)?;
    let desk = Desk::new(&prepared, setup.hypervisor.file(), &[1, 2, 3])?;
    ensure!(desk.console.len() > 6, "the desk says little: {}", desk.console.join("\n"));
    let longest = desk.trees.iter().map(|(_, digits)| digits.len() / 2).max().unwrap_or(0);
    ensure!(longest > 4_096, "no tree is longer than Xen could have made it: {longest} bytes");
    desk.compare(&mut prepared.start()?)
}

/// The console below a bus in a bus in a bus; Xen looks no further down than three nodes.
fn deep(setup: &Setup) -> Result<()> {
    const BUSES: usize = 8;
    let mut system = system(setup);
    let bus = "bus { compatible = \"simple-bus\"; #address-cells = <2>; #size-cells = <2>; ranges; ";
    let uart = "pl011@9000000 { compatible = \"arm,pl011\", \"arm,primecell\"; reg = <0 0x9000000 0 0x1000>; \
                interrupts = <0 1 4>; };";
    system.overlay = format!(
        "/delete-node/ &{{/pl011@9000000}};\n/ {{ {}{uart}{} chosen {{ /delete-property/ stdout-path; }}; \
         aliases {{ /delete-property/ serial0; }}; }};\n",
        bus.repeat(BUSES),
        "};".repeat(BUSES)
    );
    let path = format!("dtuart={}/pl011@9000000", "/bus".repeat(BUSES));
    system.arguments = system.arguments.replace("dtuart=/pl011@9000000", &path);
    let mut domain = Domain::plain(setup.guest("tree")?, 1, 64);
    domain.kernel.bootargs = Some("a command line".to_owned());
    system.domains.push(domain);
    let prepared = Prepared::new(&system)?;
    let desk = Desk::new(&prepared, setup.hypervisor.file(), &[1])?;
    ensure!(!desk.console.iter().any(|line| line.contains("console")), "no console: {:#?}", desk.console);
    desk.compare(&mut prepared.start()?)
}

/// 64 MiB in more pieces than Xen's 256 banks, each of which is a bank of its own.
fn pieces() -> String {
    let first = "0x0 0x90000000 0x0 0x2000000".to_owned();
    let others = (1..=PIECES).map(|piece| {
        let base = 0x9200_0000 + piece * 0x4_0000;
        let size = if piece == PIECES { 0x200_0000 - (PIECES - 1) * 0x1_0000 } else { 0x1_0000 };
        format!(" 0x0 {base:#x} 0x0 {size:#x}")
    });
    others.fold(first, |all, one| all + &one)
}

/// What the plan leaves free, and what modules and planning itself give back.
fn free(setup: &Setup) -> Result<()> {
    const FREE: [&str; 3] = ["free", "kernel of domain 0", "image, for planning"];
    let mut system = system(setup);
    system.dom0 = Some(Dom0::plain(setup.guest("kept")?, 64, "bench.sleep_ms=1"));
    let prepared = Prepared::new(&system)?;
    let text = command::output(&mut xenite("plan", &prepared, setup.hypervisor.file()))?;
    let memory = text.lines().skip_while(|line| !line.starts_with("host memory")).skip(1);
    let (mut bytes, mut found) = (0, 0);
    for line in memory.take_while(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let mut address = || {
            let digits = words.next().and_then(|word| word.strip_prefix("0x")).context("no address")?;
            u64::from_str_radix(digits, 16).context("no address")
        };
        let (base, end) = (address()?, address()?);
        if FREE.iter().any(|owner| line.ends_with(&format!("  {owner}"))) {
            (bytes, found) = (bytes + end - base, found + 1);
        }
    }
    ensure!(found >= FREE.len(), "the desk finds little that is free:\n{text}");
    let told = prepared.start()?.expect_line("figure free_pages ", TINY)?;
    let pages: u64 = told.split_whitespace().next().context("no number")?.parse()?;
    ensure!(
        pages * 4096 == bytes,
        "dom0 is told of {pages} free pages; {} on the desk:\n{text}",
        bytes / 4096
    );
    Ok(())
}

fn dom0(setup: &Setup) -> Result<()> {
    let mut system = system(setup);
    system.dom0 = Some(Dom0::plain(setup.guest("tree")?, 128, "a command line"));
    let prepared = Prepared::new(&system)?;
    let desk = Desk::new(&prepared, setup.hypervisor.file(), &[0])?;
    desk.compare(&mut prepared.start()?)
}
