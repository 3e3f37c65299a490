//! Everything that a packed system consists of, and the folder that it goes into.
//!
//! `boot/` is what a boot loader loads from, `flash.img` the same as one file, `run.toml` what `xenite run` reads. A folder
//! that holds an older pack is emptied of what that pack wrote, by its own list; any other folder must be empty.

use std::fmt::Write as _;
use std::path::Path;

use plan::{Bytes, Plan};

use super::board::{Ground, QEMU};
use super::description::Description;
use super::files::{Files, IMAGE, SCRIPT, SCRIPT_SOURCE, TREE};
use super::place::{GRANULE, Places};
use super::{start, u_boot};
use crate::run::{self, RUN, Running};

/// The raw image.
const FLASH: &str = "flash.img";
/// Its first bytes alone.
const START: &str = "start.bin";
/// QEMU's command as a script.
const SHELL: &str = "qemu.sh";
/// What is where, for people.
const README: &str = "README.txt";
/// Where U-Boot finds its files.
const BOOT: &str = "boot";

/// The flash that QEMU's machine starts in; what is larger begins in RAM.
const LARGEST_FLASH: u64 = 64 << 20;

/// What the files are made from.
pub(crate) struct System<'a> {
    pub(crate) description: &'a Description,
    pub(crate) ground: &'a Ground,
    pub(crate) files: &'a Files,
    pub(crate) places: &'a Places,
    pub(crate) tree: &'a [u8],
    pub(crate) plan: &'a Plan,
}

/// A file of the folder.
type File = (String, Vec<u8>);

/// Makes all files.
pub(crate) fn make(system: &System<'_>) -> Vec<File> {
    let System { description, files, places, tree, .. } = *system;
    let script = u_boot::script(description, files, places, tree);
    let mut list: Vec<File> = vec![
        (format!("{BOOT}/{SCRIPT}"), u_boot::wrap(&script)),
        (format!("{BOOT}/{SCRIPT_SOURCE}"), script.into_bytes()),
        (format!("{BOOT}/{IMAGE}"), files.image.clone()),
        (format!("{BOOT}/{TREE}"), tree.to_vec()),
    ];
    list.extend(
        files.modules.iter().map(|module| (format!("{BOOT}/{}", module.name), module.content.clone())),
    );
    list.push((FLASH.to_owned(), flash(system)));
    list.push((README.to_owned(), readme(system).into_bytes()));
    let mut running = Running { files: Vec::new(), qemu: None };
    if let Some(machine) = &system.ground.qemu {
        let qemu = words(machine, files, places);
        list.push((START.to_owned(), start::head(places)));
        list.push((SHELL.to_owned(), qemu.shell().into_bytes()));
        running.qemu = Some(qemu);
    }
    running.files = list.iter().map(|(name, _)| name.clone()).chain([RUN.to_owned()]).collect();
    // First, so that a pack which could not be written to its end can be made anew.
    list.insert(0, (RUN.to_owned(), running.to_text().into_bytes()));
    list
}

/// The raw image: each part at its address minus that of the first.
fn flash(system: &System<'_>) -> Vec<u8> {
    let System { files, places, tree, .. } = *system;
    let mut image = vec![0; usize::try_from(places.bytes).unwrap_or(0)];
    let mut put = |at: u64, bytes: &[u8]| {
        let from = usize::try_from(at - places.start).unwrap_or(0);
        image[from..from + bytes.len()].copy_from_slice(bytes);
    };
    put(places.start, &start::head(places));
    put(places.tree, tree);
    put(places.image, &files.image);
    files.modules.iter().zip(&places.modules).for_each(|(module, (_, at))| put(*at, &module.content));
    image
}

/// QEMU's words for each way to boot.
fn words(machine: &[String], files: &Files, places: &Places) -> run::Qemu {
    let mut direct = Vec::new();
    let mut load = |file: &str, at: u64, more: &str| {
        direct.extend(["-device".to_owned(), format!("loader,file={file},addr={at:#x},force-raw=on{more}")]);
    };
    load(&format!("{BOOT}/{IMAGE}"), places.image, "");
    load(&format!("{BOOT}/{TREE}"), places.tree, "");
    for (module, (_, at)) in files.modules.iter().zip(&places.modules) {
        load(&format!("{BOOT}/{}", module.name), *at, "");
    }
    load(START, places.start, ",cpu-num=0");
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    run::Qemu {
        program: QEMU.to_owned(),
        machine: machine.to_vec(),
        direct,
        u_boot: owned(&[
            "-drive",
            &format!("if=none,id=boot,format=raw,readonly=on,file=fat:{BOOT}"),
            "-device",
            "virtio-blk-device,drive=boot",
        ]),
        flash: if places.bytes <= LARGEST_FLASH {
            owned(&["-bios", FLASH])
        } else {
            owned(&[
                "-device",
                &format!("loader,file={FLASH},addr={:#x},force-raw=on,cpu-num=0", places.start),
            ])
        },
    }
}

/// What is where, and how it gets onto a board.
fn readme(system: &System<'_>) -> String {
    let System { description, ground, files, places, tree, plan } = *system;
    let mut text = String::from("A system for Xenite, made by `xenite pack`.\n\n");
    let start = places.start;
    let end = start + places.bytes;
    let bytes = places.bytes;
    let kib = bytes >> 10;
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "From files\n  Put all of {BOOT}/ on a partition that U-Boot boots from, or on a TFTP server, and let U-Boot run\n  \
         {SCRIPT}; {SCRIPT_SOURCE} is its text.\n\n\
         From flash\n  Write {FLASH} ({kib} KiB) to the device at a multiple of its erase blocks, say OFFSET (or block BLOCK):\n\n    \
         U-Boot:  sf probe; sf update ADDRESS OFFSET {bytes:#x}     with the file loaded to ADDRESS\n    \
         Linux:   flashcp {FLASH} /dev/mtdN\n    \
         a card:  dd if={FLASH} of=/dev/DEVICE bs=512 seek=BLOCK conv=fsync\n\n  \
         At boot, bring it to {start:#x} and start it:\n\n    \
         sf probe; sf read {start:#x} OFFSET {bytes:#x}; booti {start:#x} - ${{fdtcontroladdr}}\n    \
         mmc read {start:#x} BLOCK {:#x}; booti {start:#x} - ${{fdtcontroladdr}}\n\n  \
         Begun anywhere else, as from flash in which the processor starts, it moves itself there.\n\n",
        bytes >> 9,
    );
    if ground.qemu.is_some() {
        let _ = writeln!(
            text,
            "In QEMU\n  xenite run THIS-FOLDER, or sh {SHELL}; --uboot and --flash boot it by these ways.\n"
        );
    }
    let _ = write!(
        text,
        "The plan, as the board will have it\n  \
         xenite plan {BOOT}/{TREE} --image {BOOT}/{IMAGE} --image-at {:#x} --tree-at {:#x}",
        places.image, places.tree
    );
    for (module, (_, at)) in files.modules.iter().zip(&places.modules) {
        let _ = write!(text, " --module {at:#x}={BOOT}/{}", module.name);
    }
    text.push_str("\n\n");
    let _ = writeln!(
        text,
        "Loaded, from {start:#x} to {end:#x}; offsets are those in {FLASH}, in steps of {} KiB\n",
        GRANULE >> 10
    );
    let mut line = |at: u64, bytes: u64, what: &str| {
        let _ = writeln!(text, "  {at:#012x}  offset {:#010x}  {bytes:>9} bytes  {what}", at - start);
    };
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    line(start, length(&start::head(places)), "first instructions");
    line(places.tree, length(tree), TREE);
    line(places.image, length(&files.image), IMAGE);
    for (module, (path, at)) in files.modules.iter().zip(&places.modules) {
        line(*at, module.bytes(), &format!("{} (from {})", module.name, path.display()));
    }
    text.push_str(&domains(description, plan));
    text.push_str(&shares(description, places, plan));
    text
}

/// A domain's name in the description.
fn name_of(domain: &plan::Domain) -> &str {
    domain.path.rsplit('/').next().filter(|_| domain.id != 0).unwrap_or("dom0")
}

/// Who runs, and in which host memory.
fn domains(description: &Description, plan: &Plan) -> String {
    let mut text = String::from("\nDomains\n\n");
    for domain in &plan.domains {
        let name = name_of(domain);
        let bytes: u64 = domain.memory.iter().map(|piece| piece.size).sum();
        let places: Vec<String> = domain
            .memory
            .iter()
            .map(|piece| format!("{:#x}..{:#x}", piece.host, piece.host + piece.size))
            .collect();
        let wanted = description.domains.iter().find(|other| other.name.get_ref() == name);
        let fixed = if wanted.is_some_and(|wanted| wanted.fixed.is_some()) { ", static" } else { "" };
        let vcpus = domain.vcpus;
        let _ = writeln!(
            text,
            "  {} {name}: {vcpus} vCPUs, {}{fixed} at {}",
            domain.id,
            Bytes(bytes),
            places.join(" ")
        );
    }
    text
}

/// What domains have together; guests are not told ports, so their owner has to know them.
fn shares(description: &Description, places: &Places, plan: &Plan) -> String {
    let mut text = String::new();
    for (channel, ports) in description.channels.iter().zip(&places.ports) {
        let ends: Vec<String> = channel
            .ends
            .get_ref()
            .iter()
            .zip(ports)
            .map(|(end, port)| format!("{} port {port}", end.get_ref()))
            .collect();
        let _ = writeln!(text, "\nChannel {}\n\n  {}", channel.name.get_ref(), ends.join(" <-> "));
    }
    for shared in &description.shared {
        let name = shared.name.get_ref();
        let index = plan.shared.iter().position(|region| region.id == *name);
        let Some((index, region)) = index.and_then(|index| Some((index, plan.shared.get(index)?))) else {
            continue;
        };
        let seen = plan.domains.iter().flat_map(|domain| {
            let views = domain.shared.iter().filter(move |view| view.region == index);
            views.map(|view| format!("{} at {:#x}", name_of(domain), view.memory.guest))
        });
        let seen: Vec<String> = seen.collect();
        let _ = writeln!(text, "\nShared memory {name}\n\n  host {}; {}", region.host, seen.join(", "));
    }
    text
}

/// Writes the files.
pub(crate) fn write(folder: &Path, files: &[File]) -> Result<(), String> {
    let said = |what: &str, path: &Path, error: &std::io::Error| {
        format!("cannot {what} {}: {error}", path.display())
    };
    clear(folder)?;
    for (name, content) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| said("make", parent, &error))?;
        std::fs::write(&path, content).map_err(|error| said("write", &path, &error))?;
    }
    Ok(())
}

/// Takes away what an older pack has left.
fn clear(folder: &Path) -> Result<(), String> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot look into {}: {error}", folder.display())),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let old = Running::read(folder).map_err(|_| {
        format!("{} is not empty and holds no packed system: it is left alone", folder.display())
    })?;
    // The list is a file that anybody may have changed: nothing outside of the folder is touched.
    let inside = |name: &&String| !name.starts_with('/') && !name.split('/').any(|part| part == "..");
    for name in old.files.iter().filter(inside) {
        let path = folder.join(name);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(format!("cannot remove {}: {error}", path.display()));
        }
    }
    Ok(())
}
