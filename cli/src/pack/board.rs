//! The board that a system is packed for: its device tree, what `plan` reads in it, and QEMU's words for it.

use std::path::Path;
use std::process::Command;

use plan::{Board, Facts, Sizes};

use super::complaint::Complaint;
use super::description::{self, Spanned};
use crate::desk;

/// The one machine that is known by name.
const MACHINE: &str = "qemu-virt";
/// The program that plays it.
pub(crate) const QEMU: &str = "qemu-system-aarch64";

/// A board that was looked at.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Its tree.
    pub(crate) blob: Vec<u8>,
    /// What the tree says.
    pub(crate) board: Board,
    /// What is assumed of its processors.
    pub(crate) facts: Facts,
    /// What makes QEMU play it; `None` for a board that QEMU does not play.
    pub(crate) qemu: Option<Vec<String>>,
}

/// Looks at the board of a description; paths are relative to `folder`.
pub(crate) fn survey(wanted: &Spanned<description::Board>, folder: &Path) -> Result<Ground, Vec<Complaint>> {
    let (blob, qemu) = tree(wanted, folder).map_err(|complaint| vec![complaint])?;
    let boot_mpidr = desk::first_cpu(&blob);
    let facts = Facts { boot_mpidr, physical_bits: 40, spis: 256, sizes: Sizes::BUILT };
    match plan::board(&blob, boot_mpidr) {
        Ok(board) => Ok(Ground { blob, board, facts, qemu }),
        Err(refusals) => Err(refusals
            .iter()
            .map(|refusal| {
                let span = match &wanted.get_ref().tree {
                    Some(tree) => tree.span(),
                    None => wanted.span(),
                };
                Complaint::new(
                    format!("{}: {}: {}", refusal.node, refusal.property, refusal.reason),
                    span,
                    "in the tree of this board",
                )
                .help(refusal.hint.as_str())
            })
            .collect()),
    }
}

/// The board's tree, and QEMU's words for it.
fn tree(
    wanted: &Spanned<description::Board>,
    folder: &Path,
) -> Result<(Vec<u8>, Option<Vec<String>>), Complaint> {
    let board = wanted.get_ref();
    match (&board.machine, &board.tree) {
        (Some(machine), Some(tree)) => {
            let title = "a board has a tree of its own or is a machine that is known by name, not both";
            Err(Complaint::new(title, tree.span(), "the tree").also(machine.span(), "the machine"))
        }
        (None, None) => {
            let complaint = Complaint::new("it is not said what board this is", wanted.span(), "here");
            Err(complaint.help("tree = \"board.dtb\", or machine = \"qemu-virt\""))
        }
        (Some(machine), None) => of_machine(board, machine),
        (None, Some(tree)) => {
            let only = [
                board.cpu.as_ref().map(Spanned::span),
                board.cpus.as_ref().map(Spanned::span),
                board.memory.as_ref().map(Spanned::span),
                board.gic.as_ref().map(Spanned::span),
            ];
            if let Some(span) = only.into_iter().flatten().next() {
                let complaint = Complaint::new(
                    "the board's tree says this",
                    span,
                    "is for machines that are known by name",
                );
                return Err(complaint.also(tree.span(), "the tree"));
            }
            Ok((read(tree, folder)?, board.qemu.as_ref().map(|words| words.get_ref().clone())))
        }
    }
}

fn read(tree: &Spanned<std::path::PathBuf>, folder: &Path) -> Result<Vec<u8>, Complaint> {
    let path = folder.join(tree.get_ref());
    let source = path.extension().is_some_and(|extension| extension == "dts");
    // A source that is not there is no matter for dtc.
    let blob = std::fs::read(&path).map_err(|error| error.to_string());
    let blob = blob.and_then(|blob| if source { desk::compile(&path) } else { Ok(blob) });
    blob.map_err(|error| {
        Complaint::new(format!("{}: {error}", path.display()), tree.span(), "this tree cannot be read")
    })
}

fn of_machine(
    board: &description::Board,
    machine: &Spanned<String>,
) -> Result<(Vec<u8>, Option<Vec<String>>), Complaint> {
    if machine.get_ref() != MACHINE {
        let title = format!("no machine is known as {:?}", machine.get_ref());
        let help = format!("machine = \"{MACHINE}\"; other boards have a tree = \"board.dtb\"");
        return Err(Complaint::new(title, machine.span(), "is not known").help(help));
    }
    let gic = board.gic.as_ref().map_or(3, |gic| *gic.get_ref());
    if let Some(wrong) = board.gic.as_ref().filter(|gic| !matches!(gic.get_ref(), 2 | 3)) {
        let complaint = Complaint::new(format!("there is no GICv{gic}"), wrong.span(), "this version");
        return Err(complaint.help("gic = 2 or gic = 3"));
    }
    let bytes = board.memory.as_ref().map_or(2 << 30, |memory| memory.get_ref().0);
    if let Some(memory) = board.memory.as_ref().filter(|_| !bytes.is_multiple_of(1 << 20)) {
        return Err(Complaint::new("QEMU counts memory in MiB", memory.span(), "is not whole MiB"));
    }
    let cpu = board.cpu.as_ref().map_or("cortex-a57", |cpu| cpu.get_ref().as_str());
    let cpus = board.cpus.as_ref().map_or(2, |cpus| *cpus.get_ref()).to_string();
    let memory = (bytes >> 20).to_string();
    let words = |option: &str| -> Vec<String> {
        let machine = format!("virt,virtualization=on,gic-version={gic}{option}");
        let fixed = [
            "-machine", &machine, "-cpu", cpu, "-smp", &cpus, "-m", &memory, "-display", "none", "-nic",
            "none",
        ];
        fixed.into_iter().map(str::to_owned).collect()
    };
    let blob = dump(&words).map_err(|error| {
        Complaint::new(
            format!("{QEMU} does not tell this machine's tree: {error}"),
            machine.span(),
            "asked for",
        )
        .help("QEMU 8 or newer must be installed (Debian: qemu-system-arm)")
    })?;
    let mut qemu = words("");
    qemu.extend(board.qemu.iter().flat_map(|more| more.get_ref().clone()));
    Ok((blob, Some(qemu)))
}

/// QEMU's own tree of a machine.
fn dump(words: &dyn Fn(&str) -> Vec<String>) -> Result<Vec<u8>, String> {
    let file = std::env::temp_dir().join(format!("xenite-machine-{}.dtb", std::process::id()));
    let name =
        file.to_str().filter(|name| !name.contains(',')).ok_or("TMPDIR has a name that QEMU cannot take")?;
    let output = Command::new(QEMU).args(words(&format!(",dumpdtb={name}"))).output();
    let result = match output {
        Ok(output) if output.status.success() => std::fs::read(&file).map_err(|error| error.to_string()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let _ = std::fs::remove_file(&file);
    result
}
