//! Records the hypercalls that guests make: seeds for the fuzzing on the simulated machine.
//!
//! A breakpoint of QEMU's, set by its stub for debuggers, stands on every `hvc #0xea1` of a guest's kernel. At each one
//! the arguments are read, and with them the memory that they point to, and the memory that this points to. So neither the
//! hypervisor nor the guests know of it. A call that has been seen often enough in one form is not written down again.
//!
//! A line of a record is `NUMBER ARGUMENT...` in hexadecimal, then for each block of memory `|` and its words of 64 bits;
//! `@N` is the address of block N, and `WORD*N` is N times the word. `hypervisor/tests/scenarios/recorded.rs` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::packages::Part;
use xtask::paths;
use xtask::qemu::Prepared;
use xtask::system::{Bus, Domain, System};

use crate::dom0::{self, Dom0};
use crate::{Setup, services};

/// `hvc #0xea1`.
const CALL: [u8; 4] = 0xd401_d422_u32.to_le_bytes();
/// Where Debian's kernels see themselves with `nokaslr`.
const LINUX: [(Part, &str, u64); 2] = [
    (Part::Linux6_1, "linux-6.1", 0xffff_8000_0800_0000),
    (Part::Linux6_12, "linux-6.12", 0xffff_8000_8000_0000),
];
/// Where the own guests see themselves, which is where they are.
const OWN: u64 = 0x4008_0000;
/// Below it nothing is an address.
const RAM: u64 = 0x4000_0000;
/// Calls of one sub-operation that are written down of one system.
const OF_A_KIND: usize = 5;
/// The interface without dom0.
const ALONE: &str = "\t\t\txen,enhanced = \"no-xenstore\";\n";
/// Words of a block that an argument points to, and of one that a block points to.
const WORDS: [u64; 2] = [16, 8];
/// Blocks of a call.
const BLOCKS: usize = 6;
/// The own guests that know the interface.
const GUESTS: [&str; 4] = ["hypercalls", "events", "memory", "grants"];
const LIMIT: Duration = Duration::from_secs(300);

/// Records guests' calls into files of `hypervisor/tests/corpus`: those whose names contain one of the words, or all.
///
/// # Errors
/// When a guest does not do what it does in the tests.
pub fn run(setup: &Setup, words: &[String]) -> Result<()> {
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let folder = paths::root().join("hypervisor/tests/corpus");
    std::fs::create_dir_all(&folder)?;
    for guest in GUESTS.into_iter().filter(|guest| wanted(guest)) {
        let image = setup.guest(guest)?;
        let mut system = setup.system();
        let cpus = if guest == "hypercalls" || guest == "events" { 2 } else { 1 };
        let mut domain = Domain::plain(image.clone(), cpus, 64);
        domain.kernel.bootargs = Some(String::new());
        domain.extra = ALONE.to_owned();
        system.domains.push(domain);
        record(system, &sites(&image, OWN)?, &folder.join(guest), |prepared| {
            prepared.start()?.expect("DONE ", LIMIT)
        })?;
    }
    for (part, name, base) in LINUX {
        let sites = sites(&part.path(), base)?;
        if wanted(name) {
            let mut domain = Domain::debian_enhanced(part, 1, 192, "nokaslr")?;
            domain.extra = ALONE.to_owned();
            let mut system = setup.system();
            system.domains.push(domain);
            record(system, &sites, &folder.join(name), |prepared| {
                prepared.start()?.expect("XENITE-READY ", LIMIT)
            })?;
        }
        let name = format!("dom0-{name}");
        if wanted(&name) {
            let mut system = dom0::debian(setup, part, Bus::Mmio)?;
            let words = system.dom0.as_mut().and_then(|dom0| dom0.kernel.bootargs.as_mut());
            words.context("dom0 has no words")?.push_str(" nokaslr");
            system.domains.push(Domain::debian_enhanced(part, 1, 192, "nokaslr xenite.disk")?);
            record(system, &sites, &folder.join(name), |prepared| {
                services::show(&mut Dom0::of(prepared.start()?)?)
            })?;
        }
    }
    Ok(())
}

/// The addresses of a kernel's calls.
fn sites(image: &Path, base: u64) -> Result<Vec<u64>> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let words = (0..).step_by(4).zip(bytes.chunks_exact(4));
    let sites: Vec<u64> = words.filter(|(_, word)| *word == CALL).map(|(at, _)| base + at).collect();
    ensure!(!sites.is_empty(), "{} makes no hypercalls", image.display());
    Ok(sites)
}

/// Runs a system on one processor until `story` has come to its end, and writes down what was called.
fn record(
    mut system: System,
    sites: &[u64],
    file: &Path,
    story: impl FnOnce(Prepared) -> Result<()>,
) -> Result<()> {
    let socket = std::env::temp_dir().join(format!("xenite-record-{}", std::process::id()));
    system.machine.cpus = 1;
    let listening = format!("socket,path={},server=on,wait=off,id=debugger", socket.display());
    system
        .machine
        .extra
        .extend(["-S", "-chardev", &listening, "-gdb", "chardev:debugger"].map(str::to_owned));
    let prepared = Prepared::new(&system)?;
    let sites = sites.to_vec();
    let place = socket.clone();
    let listener = std::thread::spawn(move || Debugger::connect(&place)?.listen(&sites));
    let result = story(prepared);
    let _ = std::fs::remove_file(&socket);
    let lines = listener.join().map_err(|_| anyhow::anyhow!("the recorder stopped"))??;
    result?;
    ensure!(!lines.is_empty(), "no call was made");
    println!("{}: {} calls", file.display(), lines.len());
    std::fs::write(file, lines.into_iter().collect::<Vec<_>>().join("\n") + "\n")?;
    Ok(())
}

/// QEMU's stub for debuggers (the remote protocol of GDB).
struct Debugger {
    stream: UnixStream,
}

impl Debugger {
    fn connect(socket: &Path) -> Result<Self> {
        for _ in 0..600 {
            if let Ok(stream) = UnixStream::connect(socket) {
                return Ok(Self { stream });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("QEMU does not listen")
    }

    fn send(&mut self, text: &str) -> Result<()> {
        let sum = text.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.write_all(format!("+${text}#{sum:02x}").as_bytes())?;
        Ok(())
    }

    /// The next packet; an error once QEMU has ended.
    fn receive(&mut self) -> Result<String> {
        let mut byte = [0];
        let mut next = || self.stream.read_exact(&mut byte).map(|()| byte[0]);
        while next()? != b'$' {}
        let mut text = String::new();
        loop {
            match next()? {
                b'#' => break,
                other => text.push(char::from(other)),
            }
        }
        next()?;
        next()?;
        Ok(text)
    }

    fn ask(&mut self, text: &str) -> Result<String> {
        self.send(text)?;
        self.receive()
    }

    /// Lets the machine run and stops it at each call until it ends; the lines.
    fn listen(mut self, sites: &[u64]) -> Result<BTreeSet<String>> {
        for site in sites {
            ensure!(self.ask(&format!("Z0,{site:x},4"))? == "OK", "no breakpoint at {site:#x}");
        }
        let (mut lines, mut kinds) = (BTreeSet::new(), BTreeMap::new());
        while self.ask("c").is_ok() {
            let Ok(call) = self.call() else { break };
            let kind: Vec<&str> = call.split(' ').take(2).collect();
            let count: &mut usize = kinds.entry(kind.join(" ")).or_default();
            if *count < OF_A_KIND && lines.insert(call) {
                *count += 1;
            }
            // Past the breakpoint.
            if self.ask("s").is_err() {
                break;
            }
        }
        Ok(lines)
    }

    /// The call that is about to be made.
    fn call(&mut self) -> Result<String> {
        let registers = words(&self.ask("g")?)?;
        let register = |number: usize| registers.get(number).copied().context("a register is missing");
        let mut blocks: Vec<(u64, Vec<u64>)> = Vec::new();
        let arguments = [register(0)?, register(1)?, register(2)?, register(3)?, register(4)?];
        for argument in arguments {
            self.follow(argument, WORDS[0], &mut blocks);
        }
        for word in blocks.clone().into_iter().flat_map(|(_, words)| words) {
            self.follow(word, WORDS[1], &mut blocks);
        }
        let name = |word: u64| match blocks.iter().position(|(at, _)| *at == word) {
            Some(block) => format!("@{block}"),
            None => format!("{word:x}"),
        };
        let mut line = format!("{:x}", register(16)?);
        for argument in arguments {
            write!(line, " {}", name(argument))?;
        }
        for (_, words) in &blocks {
            let end = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
            write!(line, " |")?;
            for equal in words[..end].chunk_by(|one, next| one == next) {
                write!(line, " {}", name(equal[0]))?;
                if equal.len() > 1 {
                    write!(line, "*{}", equal.len())?;
                }
            }
        }
        Ok(line)
    }

    /// If a word is an address, what is there becomes a block.
    fn follow(&mut self, word: u64, count: u64, blocks: &mut Vec<(u64, Vec<u64>)>) {
        if word < RAM || blocks.len() == BLOCKS || blocks.iter().any(|(at, _)| *at == word) {
            return;
        }
        let room = (0x1000 - word % 0x1000) / 8;
        let bytes = 8 * count.min(room.max(1));
        if let Ok(found) = self.ask(&format!("m{word:x},{bytes:x}")).and_then(|text| words(&text)) {
            blocks.push((word, found));
        }
    }
}

/// Bytes in hexadecimal as words of 64 bits; an error's packet is none.
fn words(text: &str) -> Result<Vec<u64>> {
    ensure!(text.len() >= 16 && text.is_ascii(), "no words: {text}");
    let word = |digits: &[u8]| Ok(u64::from_str_radix(std::str::from_utf8(digits)?, 16)?.swap_bytes());
    text.as_bytes().chunks_exact(16).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_words_and_errors_are_not() {
        assert_eq!(words("f07f000001000000ff00000000000000").unwrap(), [0x1_0000_7ff0, 0xff]);
        assert!(words("E14").is_err());
    }
}
