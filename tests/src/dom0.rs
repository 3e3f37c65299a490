//! Dom0: Debian's kernels with the machine's devices, from the hypervisor's first instruction to a shell on the disk.
//!
//! Dom0's console is the hypervisor's, as `hvc0`. [`Dom0`] types commands there and reads the answers between two marks;
//! what the hypervisor and other domains say in between, even in the middle of a word, is cut out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::packages::Part;
use xtask::qemu::{Prepared, Qemu};
use xtask::rootfs;
use xtask::system::{self, Bus, Device, Gic, Module, System};

use crate::linux::LINUX;
use crate::{Scenario, Setup, own};

/// How long a command that only looks may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How many characters of a command are typed before dom0 has to acknowledge them: less than any console's buffer.
const TYPED: usize = 60;
/// What begins a line of the hypervisor; Xen puts it in front of the lines of other domains, too.
const FOREIGN: &str = "(XEN) ";
/// What begins a line of another domain under Xenite.
const OTHER_DOMAINS: [&str; 2] = ["DOM1: ", "DOM2: "];

/// What the hypervisor says when dom0 has given itself up.
const CRASHED: &str = "Hardware Dom0 crashed";

/// How dom0 ends.
#[derive(Clone, Copy)]
enum Ending {
    PowerOff,
    Reboot,
    Panic,
}

/// The scenarios: each kernel on each interrupt controller, the disks in turn on both buses, with one ending each, and one of them with
/// more vCPUs.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let systems = [
        (Part::Linux6_1, "6.1.", Gic::V3, Bus::Mmio, Ending::PowerOff, "powers the machine off"),
        (Part::Linux6_12, "6.12.", Gic::V3, Bus::Pci, Ending::Reboot, "resets the machine"),
        (Part::Linux6_1, "6.1.", Gic::V2, Bus::Pci, Ending::Panic, "resets the machine when it panics"),
        (Part::Linux6_12, "6.12.", Gic::V2, Bus::Mmio, Ending::PowerOff, "powers the machine off"),
    ];
    let mut scenarios = Vec::new();
    for (kernel, version, gic, bus, ending, end) in systems {
        let bus_name = if bus == Bus::Mmio { "virtio-mmio" } else { "virtio-pci" };
        let gic_version = gic.version();
        let processors = if (kernel, gic) == (Part::Linux6_12, Gic::V2) { 4 } else { 2 };
        let name = format!(
            "dom0: {version}x with GICv{gic_version} and {processors} vCPUs runs from a {bus_name} disk, drives all devices and {end}"
        );
        let kernel = (kernel, version, processors);
        scenarios.push(Scenario::new(name, move |setup| boots(setup, kernel, gic, bus, ending)));
    }
    scenarios.push(Scenario::new("dom0: its crash resets the machine", |setup| {
        // The second crash is that of the machine's second life.
        crash(setup, "")?.expect(CRASHED, ANSWER)
    }));
    scenarios.push(Scenario::new("dom0: with noreboot its crash does not reset the machine", |setup| {
        let machine = crash(setup, "noreboot")?;
        std::thread::sleep(Duration::from_secs(12));
        let crashes = machine.output().matches(CRASHED).count();
        ensure!(crashes == 1, "the machine was reset: {}", machine.last_lines());
        Ok(())
    }));
    scenarios
}

/// A system with dom0 on a disk and no other domains.
///
/// # Errors
/// When a package cannot be had or the disk cannot be made.
pub fn debian(setup: &Setup, kernel: Part, bus: Bus) -> Result<System> {
    let mut system = setup.system();
    // Without the word a kernel that panics waits for ever, and nobody else hears of it.
    system.dom0 = Some(system::Dom0::debian(kernel, 512, "panic=1 xenite.typed")?);
    system.machine.devices.push(Device::Disk(rootfs::disk()?, bus));
    Ok(system)
}

/// A running machine whose console takes commands for dom0.
#[derive(Debug)]
pub struct Dom0 {
    /// The machine.
    pub machine: Qemu,
    /// What dom0 said of itself when it was ready.
    pub ready: String,
    questions: u32,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it printed, without the last end of line.
    pub text: String,
    /// Its exit status.
    pub status: i32,
}

impl Dom0 {
    /// Starts a system and waits until dom0 takes commands.
    ///
    /// # Errors
    /// When it cannot be started or does not come so far.
    pub fn start(system: &System) -> Result<Self> {
        Self::of(Prepared::new(system)?.start()?)
    }

    /// Waits until a machine's dom0 takes commands.
    ///
    /// # Errors
    /// When it does not come so far.
    pub fn of(mut machine: Qemu) -> Result<Self> {
        let ready = machine.expect_whole_line("XENITE-DOM0-READY ", LINUX)?;
        machine.expect("XENITE-TYPE\n", LINUX)?;
        Ok(Self { machine, ready, questions: 0 })
    }

    /// Types a command, however long it is.
    ///
    /// # Errors
    /// When the machine has ended or does not take all of it.
    pub fn send(&mut self, command: &str) -> Result<()> {
        let mut rest = command;
        while rest.len() > TYPED {
            let fits = |at: &usize| rest.is_char_boundary(*at) && !rest[..*at].ends_with('\\');
            let end = (1..=TYPED).rev().find(fits).context("a command of backslashes cannot be typed")?;
            let start = self.machine.output().len();
            self.machine.send(&format!("{}\\\n", &rest[..end]))?;
            self.wait_for(start, ANSWER, |text| text.contains("XENITE-MORE\n").then_some(()))
                .with_context(|| format!("`{command}` could not be typed"))?;
            rest = &rest[end..];
        }
        self.machine.send(&format!("{rest}\n"))
    }

    /// Waits until something is found in what dom0 has said since.
    fn wait_for<T>(&mut self, start: usize, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            // What it says last may come with its end.
            let running = self.machine.is_running()?;
            let output = self.machine.output();
            if let Some(found) = find(&without_foreign(output.get(start..).unwrap_or_default())) {
                return Ok(found);
            }
            if Instant::now() >= deadline || !running {
                bail!("no answer came in {limit:.0?}; {}", self.machine.last_lines());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Has dom0 run a command and gives what came of it.
    ///
    /// # Errors
    /// When it does not end in time; the message shows the console's last lines.
    pub fn ask_for(&mut self, command: &str, limit: Duration) -> Result<Answer> {
        self.questions += 1;
        // The quotes are not in what echo prints, so that the marks are found in no echo of what was typed.
        let (begin, end) =
            (format!("XENITE-BEGIN-{}\n", self.questions), format!("XENITE-END-{}:", self.questions));
        let start = self.machine.output().len();
        self.send(&format!(
            "echo XENITE-BEG\"\"IN-{0}; {command}; echo XENITE-E\"\"ND-{0}:$?",
            self.questions
        ))?;
        let answer = self.wait_for(start, limit, |text| between(text, &begin, &end));
        answer.with_context(|| format!("`{command}` did not end"))?
    }

    /// Has dom0 run a command that must succeed and gives what it printed.
    ///
    /// # Errors
    /// When it fails or does not end in time.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.ask_patiently(command, ANSWER)
    }

    /// The same with a limit of its own.
    ///
    /// # Errors
    /// When it fails or does not end in time.
    pub fn ask_patiently(&mut self, command: &str, limit: Duration) -> Result<String> {
        let Answer { text, status } = self.ask_for(command, limit)?;
        ensure!(status == 0, "`{command}` exited with {status} and said: {text}");
        Ok(text)
    }
}

/// What stands between two marks, with the number behind the second; nothing until all of it is there.
fn between(text: &str, begin: &str, end: &str) -> Option<Result<Answer>> {
    let (_, rest) = text.split_once(begin)?;
    let (answer, rest) = rest.split_once(end)?;
    let (status, _) = rest.split_once('\n')?;
    let status = status.trim().parse().with_context(|| format!("`{status}` is no exit status"));
    Some(status.map(|status| Answer { text: answer.trim_end_matches('\n').to_owned(), status }))
}

/// Cuts out what the hypervisor says: from its prefix to the end of that line.
fn without_foreign(text: &str) -> String {
    OTHER_DOMAINS.iter().fold(without_lines_of(text, FOREIGN), |text, domain| without_lines_of(&text, domain))
}

/// A text without what follows a prefix up to the end of its line.
fn without_lines_of(text: &str, prefix: &str) -> String {
    let mut own = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, foreign)) = rest.split_once(prefix) {
        own.push_str(before);
        rest = foreign.split_once('\n').map_or("", |(_, rest)| rest);
    }
    own.push_str(rest);
    own
}

/// A disk whose sectors say their numbers.
fn numbered_disk() -> Result<PathBuf> {
    let sectors: String = (0..2048).map(|sector| format!("{:<511}\n", format!("sector {sector}"))).collect();
    let file = xtask::paths::target().join("numbered.img");
    xtask::image::write(&file, sectors.as_bytes())?;
    Ok(file)
}

fn boots(
    setup: &Setup,
    (kernel, version, processors): (Part, &str, u32),
    gic: Gic,
    bus: Bus,
    ending: Ending,
) -> Result<()> {
    let mut system = debian(setup, kernel, bus)?;
    (system.machine.gic, system.machine.cpus) = (gic, processors);
    let other = if bus == Bus::Mmio { Bus::Pci } else { Bus::Mmio };
    system.machine.devices.extend([
        Device::Disk(numbered_disk()?, other),
        Device::Network(bus),
        Device::Network(other),
    ]);
    if matches!(ending, Ending::Panic) {
        system.machine.extra.push("-no-reboot".to_owned());
    }
    let mut dom0 = Dom0::start(&system)?;
    ensure!(dom0.ready.contains(&format!("kernel={version}")), "not {version}: {}", dom0.ready);
    ensure!(dom0.ready.contains(&format!(" cpus={processors} ")), "{}", dom0.ready);
    ensure!(dom0.ready.ends_with("xen=control_d"), "{}", dom0.ready);
    disks(&mut dom0, bus)?;
    networks(&mut dom0)?;
    board(&mut dom0)?;
    let failures = dom0.machine.output().matches("XENITE-FAIL").count();
    ensure!(failures == 0, "dom0 did not start well: {}", dom0.machine.last_lines());
    end(&mut dom0, ending)
}

/// The root file system is on the one bus, the other disk on the other; both are read, and the root also written.
fn disks(dom0: &mut Dom0, root: Bus) -> Result<()> {
    let root_disk = dom0.ask("awk '$2 == \"/\" { print $1 }' /proc/mounts")?;
    let root_disk = root_disk.trim_start_matches("/dev/");
    ensure!(root_disk == "vda" || root_disk == "vdb", "the root is on {root_disk}");
    let other_disk = if root_disk == "vda" { "vdb" } else { "vda" };
    let (root_bus, other_bus) =
        if root == Bus::Mmio { ("virtio_mmio", "pci0000:00") } else { ("pci0000:00", "virtio_mmio") };
    for (disk, bus) in [(root_disk, root_bus), (other_disk, other_bus)] {
        let path = dom0.ask(&format!("readlink -f /sys/block/{disk}/device"))?;
        ensure!(path.contains(bus), "{disk} is not on {bus} but at {path}");
    }
    let sector = dom0.ask(&format!("dd if=/dev/{other_disk} bs=512 skip=1234 count=1 2>/dev/null"))?;
    ensure!(sector.trim_end() == "sector 1234", "sector 1234 of the other disk holds: {sector}");
    let sums = dom0.ask(
        "dd if=/dev/urandom of=/root/a bs=1M count=4 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches; \
         cat /root/a | tee /root/b | crc32; sync; echo 3 >/proc/sys/vm/drop_caches; crc32 </root/b",
    )?;
    let sums: Vec<&str> = sums.lines().collect();
    ensure!(sums.len() == 2 && sums[0] == sums[1], "the disk changed what was written: {sums:?}");
    Ok(())
}

/// Both network cards reach what QEMU plays behind them.
fn networks(dom0: &mut Dom0) -> Result<()> {
    for card in ["eth0", "eth1"] {
        dom0.ask(&format!("ip addr add 10.0.2.15/24 dev {card} && ip link set {card} up"))?;
        let pinged = dom0.ask("ping -c 1 -W 10 10.0.2.2");
        pinged.with_context(|| format!("nobody answers behind {card}"))?;
        dom0.ask(&format!("ip addr flush dev {card} && ip link set {card} down"))?;
    }
    Ok(())
}

/// The clock tells this computer's time, and QEMU's configuration and the board's GPIO answer.
fn board(dom0: &mut Dom0) -> Result<()> {
    let name = dom0.ask("cat /sys/class/rtc/rtc0/name")?;
    ensure!(name.contains("pl031"), "the clock is {name}");
    let told: u64 = dom0.ask("cat /sys/class/rtc/rtc0/since_epoch")?.trim().parse()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    ensure!(now.abs_diff(told) < 60, "the clock tells {told} and it is {now}");
    let sizes = dom0.ask(
        "cd /sys/firmware/qemu_fw_cfg/by_name/etc/smbios/smbios-anchor && cat size && wc -c <raw; cd /",
    )?;
    let sizes: Vec<&str> = sizes.lines().map(str::trim).collect();
    ensure!(sizes.len() == 2 && sizes[0] == sizes[1], "QEMU's configuration does not answer: {sizes:?}");
    let chips = dom0.ask("cat /sys/class/gpio/gpiochip*/label")?;
    ensure!(chips.contains("9030000"), "there is no GPIO of the board: {chips}");
    Ok(())
}

fn end(dom0: &mut Dom0, ending: Ending) -> Result<()> {
    match ending {
        Ending::PowerOff => {
            dom0.send("poweroff -f")?;
            dom0.machine.expect_end(ANSWER)
        }
        Ending::Reboot => {
            dom0.send("echo XENITE-G\"\"ONE; reboot -f")?;
            dom0.machine.expect("XENITE-GONE", ANSWER)?;
            // The machine comes up again, which it would not if it had been powered off.
            dom0.machine.expect("XENITE-DOM0-READY ", LINUX)
        }
        Ending::Panic => {
            dom0.send("echo c >/proc/sysrq-trigger")?;
            dom0.machine.expect_end(ANSWER)
        }
    }
}

/// Starts a dom0 of a few instructions that says that it has crashed, and waits until that is known.
fn crash(setup: &Setup, argument: &str) -> Result<Qemu> {
    let code = [
        0x1000_00a1, // adr x1, reason
        0xd280_0040, // mov x0, #2: SCHEDOP_shutdown
        0xd280_03b0, // mov x16, #29: sched_op
        0xd401_d422, // hvc #0xea1
        0x1400_0000, // b .
        3,           // reason: SHUTDOWN_crash
    ];
    let mut system = setup.system();
    system.arguments.push_str(&format!(" {argument}"));
    let kernel = Module { file: own::image("dom0-crash", &code)?, bootargs: None };
    system.dom0 = Some(system::Dom0 { memory_mib: 128, kernel, ramdisk: None });
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect(CRASHED, ANSWER)?;
    Ok(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_are_cut_out_of_the_middle_of_a_word() {
        let text = "XENITE-BEGIN-1\nab(XEN) DOM1: noise\nc\nXENITE-E(XEN) more\nND-1:0\n";
        let own = without_foreign(text);
        let answer = between(&own, "XENITE-BEGIN-1\n", "XENITE-END-1:").unwrap().unwrap();
        assert_eq!((answer.text.as_str(), answer.status), ("abc", 0));
    }

    #[test]
    fn an_answer_is_none_before_its_status_is_whole() {
        assert!(between("A\nx\nB:1", "A\n", "B:").is_none());
        assert_eq!(between("A\nx\nB:12\n", "A\n", "B:").unwrap().unwrap().status, 12);
    }
}
