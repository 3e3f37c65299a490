//! Running a system in QEMU: its console as a stream of text, with an end in any case.
//!
//! A thread reads what the machine says; [`Qemu::expect`] waits for a text in it. Whoever drops a [`Qemu`] ends it, so
//! that a test which fails leaves nothing running.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::system::{Entry, System};
use crate::tree::Tree;
use crate::{paths, tools, tree, uboot};

/// How many of the last lines an error shows.
const LAST_LINES: usize = 40;
/// The streams that a console is read from: standard output and error output.
const STREAMS: u32 = 2;

/// A QEMU that is ready to start, with the folder of its files.
#[derive(Debug)]
pub struct Prepared {
    command: Command,
    /// The words for the serial lines behind the console's.
    serials: Vec<String>,
    folder: PathBuf,
    tree: Tree,
}

impl Prepared {
    /// Makes the files of a system and QEMU's words for it; the console is not connected yet.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn new(system: &System) -> Result<Self> {
        tools::ensure(&[tools::Need::Qemu, tools::Need::TreeCompiler])?;
        let folder = scratch()?;
        let tree = tree::build(system, &folder)?;
        let mut command = system.machine.qemu("");
        let load = |file: &Path, address: u64| {
            format!("loader,file={},addr={address:#x},force-raw=on", file.display())
        };
        match &system.entry {
            Entry::Kernel => {
                command.arg("-kernel").arg(system.hypervisor.file()).arg("-dtb").arg(&tree.file);
            }
            Entry::Bare | Entry::BareWith(_) => {
                let blob = match &system.entry {
                    Entry::BareWith(bytes) => {
                        let file = folder.join("given.dtb");
                        std::fs::write(&file, bytes)?;
                        file
                    }
                    _ => tree.file.clone(),
                };
                let start = folder.join("start.bin");
                std::fs::write(&start, start_code())?;
                command.args(["-device", &load(system.hypervisor.file(), tree::IMAGE)]);
                command.args(["-device", &load(&blob, tree::TREE)]);
                command.args(["-device", &format!("{},cpu-num=0", load(&start, START))]);
            }
            Entry::UBoot => uboot::prepare(system, &tree, &folder, &mut command)?,
        }
        if system.entry != Entry::UBoot {
            for module in &tree.modules {
                command.args(["-device", &load(&module.file, module.address)]);
            }
        }
        let serials = system.machine.serial_words("").split_off(2);
        Ok(Self { command, serials, folder, tree })
    }

    /// The system's device tree and the places of its modules. The file lives as long as the machine.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The command as one would type it.
    #[must_use]
    pub fn line(&self) -> String {
        let words = self.command.get_args().map(|word| word.to_string_lossy().into_owned());
        format!("{} {}", self.command.get_program().to_string_lossy(), words.collect::<Vec<_>>().join(" "))
    }

    /// Starts it with its console on ours, until it ends. Every key goes to the machine but QEMU's own escape, Ctrl-].
    ///
    /// # Errors
    /// When it cannot be started or ends with an error.
    pub fn interact(mut self) -> Result<()> {
        let console = "stdio,id=console,mux=on,signal=off";
        self.command.args(["-chardev", console, "-serial", "chardev:console", "-mon", "chardev=console"]);
        self.command.args(&self.serials);
        self.command.args(["-echr", "0x1d"]);
        let terminal = Terminal::save();
        let result = crate::command::run(&mut self.command);
        drop(terminal);
        let _ = std::fs::remove_dir_all(&self.folder);
        result
    }

    /// Starts it with its console in our hands.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut self) -> Result<Qemu> {
        self.command.args(["-serial", "stdio", "-monitor", "none"]).args(&self.serials);
        Qemu::watch(&self.command, self.folder)
    }
}

/// Where the first instructions lie when we are the boot loader.
const START: u64 = tree::TREE - 0x1000;

/// Loads the tree's address into x0, zeroes x1 to x3 and goes to the image, as the boot protocol asks.
fn start_code() -> Vec<u8> {
    let code: [u32; 6] = [
        0x5800_00c0, // ldr x0, tree
        0xd280_0001, // mov x1, #0
        0xd280_0002, // mov x2, #0
        0xd280_0003, // mov x3, #0
        0x5800_0084, // ldr x4, image
        0xd61f_0080, // br x4
    ];
    let words = [tree::TREE, tree::IMAGE];
    let code = code.into_iter().flat_map(u32::to_le_bytes);
    code.chain(words.into_iter().flat_map(u64::to_le_bytes)).collect()
}

/// The terminal's settings, set again on drop: a QEMU that is killed leaves them as it needed them.
struct Terminal {
    settings: Option<String>,
}

impl Terminal {
    fn save() -> Self {
        let settings = Command::new("stty").arg("-g").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
        let settings = settings.ok().filter(|output| output.status.success());
        Self { settings: settings.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.settings {
            let _ = Command::new("stty").arg(settings).stdin(Stdio::inherit()).status();
        }
    }
}

/// A new folder for the files of one run.
///
/// # Errors
/// When it cannot be made.
pub fn scratch() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = paths::target().join("runs").join(format!("{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// What the machine has said so far.
#[derive(Default, Debug)]
struct Console {
    text: Mutex<Text>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct Text {
    bytes: Vec<u8>,
    /// What QEMU itself says, which would otherwise come in the middle of a line.
    complaints: Vec<u8>,
    /// Streams that came to their end.
    ended: u32,
}

fn listen(
    mut stream: impl Read + Send + 'static,
    console: &Arc<Console>,
    place: fn(&mut Text) -> &mut Vec<u8>,
) {
    let console = Arc::clone(console);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).unwrap_or(0);
            let mut text = console.text.lock().unwrap_or_else(PoisonError::into_inner);
            // Carriage returns say nothing and would stand between a text and the end of its line.
            place(&mut text).extend(buffer[..count].iter().filter(|byte| **byte != b'\r'));
            text.ended += u32::from(count == 0);
            console.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    });
}

/// A running machine.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    input: ChildStdin,
    console: Arc<Console>,
    /// Up to here the console has been read by [`Qemu::expect`].
    position: usize,
    started: Instant,
    folder: PathBuf,
}

impl Qemu {
    /// Starts a command that plays a machine, or that becomes a QEMU which does, with its console on standard input and
    /// output. The folder goes with the machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn watch(command: &Command, folder: PathBuf) -> Result<Self> {
        let (program, words) = (command.get_program(), command.get_args());
        // A QEMU whose owner is ended without a word must not live on.
        let mut command = match tools::find("setpriv") {
            Some(setpriv) => {
                let mut outer = crate::command::new(setpriv);
                outer.args(["--pdeathsig", "KILL"]).arg(program).args(words);
                outer
            }
            None => {
                let mut bare = crate::command::new(program);
                bare.args(words);
                bare
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start QEMU")?;
        let console = Arc::new(Console::default());
        let input = child.stdin.take().context("QEMU has no input")?;
        listen(child.stdout.take().context("QEMU has no output")?, &console, |text| &mut text.bytes);
        listen(child.stderr.take().context("QEMU has no error output")?, &console, |text| {
            &mut text.complaints
        });
        let started = Instant::now();
        Ok(Self { child, input, console, position: 0, started, folder })
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// All that the machine has said.
    #[must_use]
    pub fn output(&self) -> String {
        let text = self.console.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text.bytes).into_owned()
    }

    /// Waits until a text appears behind what was expected last.
    ///
    /// # Errors
    /// When it does not appear in time, or the machine ends first; the message shows the last lines.
    pub fn expect(&mut self, wanted: &str, limit: Duration) -> Result<()> {
        self.expect_any(&[wanted], limit).map(|_| ())
    }

    /// Waits until a text appears and gives what follows it on its line.
    ///
    /// # Errors
    /// As [`Qemu::expect`].
    pub fn expect_line(&mut self, wanted: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        self.expect(wanted, limit)?;
        let start = self.position;
        self.expect("\n", deadline.saturating_duration_since(Instant::now()))?;
        let text = self.console.text.lock().unwrap_or_else(PoisonError::into_inner);
        let line = text.bytes.get(start..self.position - 1).unwrap_or_default();
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// Waits until a text appears and gives the whole line that it is in.
    ///
    /// # Errors
    /// As [`Qemu::expect`].
    pub fn expect_whole_line(&mut self, wanted: &str, limit: Duration) -> Result<String> {
        let rest = self.expect_line(wanted, limit)?;
        let text = self.console.text.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.position - rest.len() - 1;
        let before = text.bytes.get(..end).unwrap_or_default();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        Ok(String::from_utf8_lossy(before.get(start..).unwrap_or_default()).into_owned() + &rest)
    }

    /// Waits for one of several texts and gives the index of the one that comes first.
    ///
    /// # Errors
    /// As [`Qemu::expect`].
    pub fn expect_any(&mut self, wanted: &[&str], limit: Duration) -> Result<usize> {
        let deadline = Instant::now() + limit;
        let longest = wanted.iter().map(|text| text.len()).max().unwrap_or(0);
        let console = Arc::clone(&self.console);
        let mut text = console.text.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.position;
        loop {
            if let Some((start, index)) = first_of(text.bytes.get(seen..).unwrap_or_default(), wanted) {
                self.position = seen + start + wanted[index].len();
                return Ok(index);
            }
            // What has been searched need not be searched again, but for a text that has come in part.
            seen = text.bytes.len().saturating_sub(longest).max(self.position);
            let now = Instant::now();
            let names = wanted.join("` or `");
            if text.ended == STREAMS {
                bail!("the machine ended before it said `{names}`; {}", last_lines(&text));
            }
            if now >= deadline {
                bail!("`{names}` did not come in {limit:.0?}; {}", last_lines(&text));
            }
            text =
                console.changed.wait_timeout(text, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until all texts have appeared, in any order, behind what was expected last.
    ///
    /// # Errors
    /// As [`Qemu::expect`], naming the first that is missing.
    pub fn expect_all(&mut self, wanted: &[&str], limit: Duration) -> Result<()> {
        let (start, deadline) = (self.position, Instant::now() + limit);
        let mut furthest = start;
        for text in wanted {
            self.position = start;
            self.expect(text, deadline.saturating_duration_since(Instant::now()))?;
            furthest = furthest.max(self.position);
        }
        self.position = furthest;
        Ok(())
    }

    /// Types on the console.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let typed = self.input.write_all(text.as_bytes()).and_then(|()| self.input.flush());
        typed.context("cannot type: the machine has ended")
    }

    /// Waits until the machine powers itself off.
    ///
    /// # Errors
    /// When it still runs after the limit, or ends with an error.
    pub fn expect_end(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("QEMU ended with {status}; {}", self.last_lines());
            }
            if Instant::now() >= deadline {
                bail!("the machine did not power off in {limit:.0?}; {}", self.last_lines());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the machine still runs.
    ///
    /// # Errors
    /// When the process cannot be asked.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The last lines of the console, for a message.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let text = self.console.text.lock().unwrap_or_else(PoisonError::into_inner);
        last_lines(&text)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Where the first of the texts begins, and which it is.
fn first_of(bytes: &[u8], wanted: &[&str]) -> Option<(usize, usize)> {
    let find = |text: &str| bytes.windows(text.len()).position(|window| window == text.as_bytes());
    wanted.iter().enumerate().filter_map(|(index, text)| Some((find(text)?, index))).min()
}

fn last_lines(said: &Text) -> String {
    let text = [&said.bytes[..], &said.complaints].map(String::from_utf8_lossy).join("\n");
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    format!("the console's last lines:\n    | {}", shown.join("\n    | "))
}
