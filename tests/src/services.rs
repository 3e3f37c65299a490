//! Debian's own services in dom0: xenstored, xenconsoled, init-dom0less and `xl`, with guests that the device tree
//! started and that then get PV disks and PV networks.
//!
//! What `xl` prints is compared with what it prints on Debian's Xen. The guests need no keyboard: their `init` waits for
//! the devices, uses them and says what came of it (`xtask/src/dom0/pv.sh`).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::packages::Part;
use xtask::system::{Bus, Domain, Gic};

use crate::dom0::{self, Dom0};
use crate::linux::LINUX;
use crate::{Scenario, Setup};

/// How long 64 MiB may take through a PV disk and back, on a computer that plays four processors on two.
const TRANSFER: Duration = Duration::from_secs(240);
/// How long a command may take that changes devices: longer than the tools themselves wait.
const CHANGE: Duration = Duration::from_secs(120);

/// What dom0 and its guests are.
#[derive(Clone, Copy)]
struct Shape {
    /// The kernel of all of them.
    kernel: Part,
    gic: Gic,
    /// The machine's, for each of which dom0 has a vCPU.
    processors: u32,
    /// Each guest's.
    vcpus: u32,
}

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios =
        vec![Scenario::new("services: xl shows, pauses, unpauses and destroys dom0less guests", commands)];
    for (version, shape) in [
        ("6.1.", Shape { kernel: Part::Linux6_1, gic: Gic::V3, processors: 4, vcpus: 2 }),
        ("6.12.", Shape { kernel: Part::Linux6_12, gic: Gic::V2, processors: 2, vcpus: 1 }),
    ] {
        let (gic, vcpus, processors) = (shape.gic.version(), shape.vcpus, shape.processors);
        let name = format!(
            "services: {version}x with GICv{gic} has a PV disk and a PV network for {vcpus} vCPUs from a dom0 of {processors}"
        );
        scenarios.push(Scenario::new(name, move |setup| devices(setup, shape)));
    }
    scenarios
}

/// Starts dom0 with guests, and the services once the guests are up.
fn start(setup: &Setup, shape: Shape, words: &[&str]) -> Result<Dom0> {
    let mut system = dom0::debian(setup, shape.kernel, Bus::Mmio)?;
    (system.machine.gic, system.machine.cpus) = (shape.gic, shape.processors);
    for words in words {
        system.domains.push(Domain::debian_enhanced(shape.kernel, shape.vcpus, 192, words)?);
    }
    let mut dom0 = Dom0::start(&system)?;
    ensure!(dom0.ready.contains(&format!(" cpus={} ", shape.processors)), "{}", dom0.ready);
    let vcpus = shape.vcpus.to_string();
    for domain in (1..).take(words.len()) {
        // A guest may be up before dom0 is.
        let ready = report(&mut dom0, domain, "XENITE-READY", LINUX)?;
        ensure!(ready.get(1) == Some(&vcpus), "guest {domain} has not {vcpus} vCPUs: {ready:?}");
    }
    let said = dom0.ask_patiently("services", CHANGE)?;
    for service in ["xenstored", "xen-init-dom0", "xenconsoled", "init-dom0less"] {
        let wanted = format!("XENITE-SERVICE {service} result=0");
        ensure!(said.contains(&wanted), "{service} did not start: {said}");
    }
    Ok(dom0)
}

/// One row of `xl list`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    name: String,
    domain: u32,
    memory_mib: u64,
    vcpus: u32,
    state: String,
}

fn list(dom0: &mut Dom0) -> Result<Vec<Row>> {
    let text = dom0.ask("xl list")?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().context("xl list says nothing")?.split_whitespace().collect();
    ensure!(header == ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"], "xl list begins with {header:?}");
    lines.map(|line| row(line).with_context(|| format!("xl list has the line: {line}"))).collect()
}

fn row(line: &str) -> Result<Row> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().context("a word is missing");
    let row = Row {
        name: next()?.to_owned(),
        domain: next()?.parse()?,
        memory_mib: next()?.parse()?,
        vcpus: next()?.parse()?,
        state: next()?.to_owned(),
    };
    let seconds: f64 = next()?.parse()?;
    ensure!(seconds > 0.0, "it has not run");
    Ok(row)
}

/// Starts the services, and has most of what Debian's tools can ask asked, whatever they are answered.
///
/// # Errors
/// When a command does not come to its end.
pub fn show(dom0: &mut Dom0) -> Result<()> {
    for command in [
        "services",
        "xl info; xl list -l; xl vcpu-list; xl dmesg | tail -n 3; xenhypfs tree",
        "dd if=/dev/zero of=/tmp/disk1 bs=1M seek=80 count=0; mke2fs -F /tmp/disk1",
        "xl block-attach 1 format=raw,vdev=xvda,target=/tmp/disk1",
        "xl pause 1; xl unpause 1; xl destroy 1",
    ] {
        dom0.ask_patiently(&format!("{{ {command}; }} || true"), CHANGE)?;
    }
    Ok(())
}

fn commands(setup: &Setup) -> Result<()> {
    let shape = Shape { kernel: Part::Linux6_1, gic: Gic::V3, processors: 2, vcpus: 1 };
    let mut dom0 = start(setup, shape, &["xenite.tick", "xenite.tick"])?;
    info(&mut dom0)?;
    let rows = list(&mut dom0)?;
    let short: Vec<_> =
        rows.iter().map(|row| (row.name.as_str(), row.domain, row.memory_mib, row.vcpus)).collect();
    let wanted = [("Domain-0", 0, 512, 2), ("dom0less-1", 1, 192, 1), ("dom0less-2", 2, 192, 1)];
    ensure!(short == wanted, "xl list says {rows:?}");
    ensure!(rows[0].state.starts_with('r'), "dom0 asks and does not run: {rows:?}");
    vcpus(&mut dom0, shape, 2)?;
    scheduling(&mut dom0)?;
    // Of the hypervisor or of a guest; Xen puts its own name in front of a guest's.
    let lines: u32 = dom0.ask("xl dmesg | grep -cE '^([(]XEN[)]|DOM[12]:) '")?.trim().parse()?;
    ensure!(lines > 20, "xl dmesg has {lines} lines of the hypervisor and the guests");
    let minor = dom0.ask("xenhypfs cat /buildinfo/version/minor && xenhypfs tree")?;
    ensure!(minor.starts_with("17") && minor.contains("sched-gran"), "xenhypfs says: {minor}");
    let refused = dom0.ask("xenhypfs cat /heap/refused")?;
    ensure!(refused.trim() == "0", "the sealed heap has refused {refused} requests");
    pausing(&mut dom0)?;
    destroying(&mut dom0)
}

/// `xl info` says what the machine is: Xen's version, two processors, all of the memory, and what guests may have.
fn info(dom0: &mut Dom0) -> Result<()> {
    let text = dom0.ask("xl info")?;
    let value = |key: &str| {
        let pair = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key);
        pair.map(|(_, value)| value.trim().to_owned())
            .with_context(|| format!("xl info has no {key}: {text}"))
    };
    let wanted = [
        ("nr_cpus", "2"),
        ("max_cpu_id", "1"),
        ("nr_nodes", "1"),
        ("cores_per_socket", "1"),
        ("threads_per_core", "1"),
        ("cpu_mhz", "62.500"),
        ("hw_caps", "00000000:00000000:00000000:00000000:00000000:00000000:00000000:00000000"),
        ("total_memory", "2048"),
        ("sharing_freed_memory", "0"),
        ("outstanding_claims", "0"),
        ("free_cpus", "0"),
        ("xen_major", "4"),
        ("xen_minor", "17"),
        ("xen_pagesize", "4096"),
        ("platform_params", "virt_start=0x200000"),
    ];
    for (key, wanted) in wanted {
        let is = value(key)?;
        ensure!(is == wanted, "xl info says {key} = {is}, Xen says {wanted}");
    }
    ensure!(value("virt_caps")?.starts_with("hvm hap"), "{text}");
    ensure!(value("virt_caps")?.contains("gnttab-v1"), "{text}");
    ensure!(value("xen_caps")?.starts_with("xen-3.0-aarch64"), "{text}");
    ensure!(value("xen_commandline")?.contains("dom0_mem=512M"), "{text}");
    // 896 MiB are the domains'; Xen itself takes some 60, and nobody may take all the rest.
    let free: u64 = value("free_memory")?.parse()?;
    ensure!((900..1152).contains(&free), "xl info says free_memory = {free}");
    Ok(())
}

/// `xl vcpu-list` has all vCPUs of dom0 and so many guests, each on a processor that there is, and free to run on all;
/// and all have run.
fn vcpus(dom0: &mut Dom0, shape: Shape, guests: u32) -> Result<()> {
    let text = dom0.ask("xl vcpu-list")?;
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 9, "xl vcpu-list has the line: {line}");
        let is_there = |cpu: &str| cpu.parse().is_ok_and(|cpu: u32| cpu < shape.processors);
        ensure!(words[3] == "-" || is_there(words[3]), "no such processor: {line}");
        ensure!(words[5].parse().is_ok_and(|seconds: f64| seconds > 0.0), "it has not run: {line}");
        ensure!(words[6..] == ["all", "/", "all"], "not free to run on all: {line}");
        found.push((words[0].to_owned(), words[2].parse()?));
    }
    let mut wanted: Vec<_> = (0..shape.processors).map(|vcpu| ("Domain-0".to_owned(), vcpu)).collect();
    for guest in 1..=guests {
        wanted.extend((0..shape.vcpus).map(|vcpu| (format!("dom0less-{guest}"), vcpu)));
    }
    ensure!(found == wanted, "xl vcpu-list says: {text}");
    Ok(())
}

/// The pool and its parameters are told; a share that is changed is told as it is then; a vCPU that is bound runs
/// there alone.
fn scheduling(dom0: &mut Dom0) -> Result<()> {
    let has = |text: &str, wanted: &[&str]| {
        text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == wanted)
    };
    let pools = dom0.ask("xl cpupool-list")?;
    ensure!(has(&pools, &["Pool-0", "2", "credit2", "y", "3"]), "xl cpupool-list says: {pools}");
    dom0.ask("xl sched-credit2 -s -p Pool-0 -r 400")?;
    dom0.ask("xl sched-credit2 -d 1 -w 512 -c 50")?;
    let shares = dom0.ask("xl sched-credit2")?;
    ensure!(shares.contains("Cpupool Pool-0: ratelimit=400us"), "xl sched-credit2 says: {shares}");
    for wanted in
        [["Domain-0", "0", "256", "0"], ["dom0less-1", "1", "512", "50"], ["dom0less-2", "2", "256", "0"]]
    {
        ensure!(has(&shares, &wanted), "xl sched-credit2 has no {wanted:?}: {shares}");
    }
    for (cpu, hard) in [("1", "1"), ("0", "0"), ("0,1", "all")] {
        dom0.ask(&format!("xl vcpu-pin 1 0 {cpu}"))?;
        dom0.ask("usleep 1500000")?;
        let text = dom0.ask("xl vcpu-list 1")?;
        let line = text.lines().nth(1).context("xl vcpu-list has no vCPU")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 9 && words[6..] == [hard, "/", "all"], "bound to {cpu}: {line}");
        ensure!(hard == "all" || [hard, "-"].contains(&words[3]), "bound to {cpu} it runs elsewhere: {line}");
    }
    let refused = dom0.ask("xl vcpu-pin 1 0 7 2>&1 || echo refused")?;
    ensure!(refused.contains("refused"), "a processor that is not there: {refused}");
    Ok(())
}

/// How often a guest has ticked.
fn ticks(dom0: &Dom0, domain: u32) -> usize {
    dom0.machine.output().matches(&format!("DOM{domain}: XENITE-TICK ")).count()
}

/// A paused guest stands still and its neighbour does not; unpaused it goes on.
fn pausing(dom0: &mut Dom0) -> Result<()> {
    dom0.ask("xl pause 1")?;
    // What it had said before may still be on its way.
    std::thread::sleep(Duration::from_secs(1));
    let before = (ticks(dom0, 1), ticks(dom0, 2));
    let rows = list(dom0)?;
    ensure!(rows[1].state == "--p---" || rows[1].state == "-bp---", "the guest is not paused: {rows:?}");
    std::thread::sleep(Duration::from_secs(4));
    let after = (ticks(dom0, 1), ticks(dom0, 2));
    ensure!(after.0 == before.0, "the paused guest has ticked");
    ensure!(after.1 > before.1, "its neighbour has not ticked");
    dom0.ask("xl unpause 1")?;
    dom0.ask("usleep 4000000")?;
    ensure!(ticks(dom0, 1) > after.0, "the guest has not gone on: {}", dom0.machine.last_lines());
    Ok(())
}

/// A destroyed guest is gone with all its memory, which its neighbour does not notice.
fn destroying(dom0: &mut Dom0) -> Result<()> {
    let free = |dom0: &mut Dom0| -> Result<u64> {
        let text = dom0.ask("xl info free_memory")?;
        text.trim().parse().with_context(|| format!("xl info free_memory says {text}"))
    };
    let before = free(dom0)?;
    dom0.ask_patiently("xl destroy 1", CHANGE)?;
    dom0.ask("n=0; while [ $(xl list | grep -c dom0less-1) != 0 ] && [ $n -lt 50 ]; do n=$((n+1)); usleep 200000; done")?;
    let names: Vec<String> = list(dom0)?.into_iter().map(|row| row.name).collect();
    ensure!(names == ["Domain-0", "dom0less-2"], "xl list has {names:?}");
    let after = free(dom0)?;
    ensure!(after >= before + 192, "{before} MiB were free and now {after}");
    let count = ticks(dom0, 2);
    dom0.ask("usleep 4000000")?;
    ensure!(ticks(dom0, 2) > count, "the neighbour stands still: {}", dom0.machine.last_lines());
    dom0.ask_patiently("xl destroy 2", CHANGE)?;
    let rows = list(dom0)?;
    ensure!(rows.len() == 1, "xl list has {rows:?}");
    Ok(())
}

/// Waits for what a guest says behind a word and gives the values of its `name=value` words.
fn report(dom0: &mut Dom0, domain: u32, word: &str, limit: Duration) -> Result<Vec<String>> {
    let prefix = format!("DOM{domain}: {word} ");
    let known = dom0.machine.output();
    let line = match known.split_once(&prefix).and_then(|(_, rest)| rest.split_once('\n')) {
        Some((line, _)) => line.to_owned(),
        None => dom0.machine.expect_line(&prefix, limit)?,
    };
    Ok(line.split_whitespace().filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())).collect())
}

/// Gives a guest a file of dom0's as its first PV disk.
fn attach_disk(dom0: &mut Dom0, domain: u32) -> Result<()> {
    // In memory: what is asked here is the way through the grants, and dom0's own disk has its own scenarios.
    let file = format!("/tmp/disk{domain}");
    dom0.ask(&format!(
        "dd if=/dev/zero of={file} bs=1M seek=80 count=0 2>/dev/null && mke2fs -F {file} >/dev/null"
    ))?;
    dom0.ask_patiently(&format!("xl block-attach {domain} format=raw,vdev=xvda,target={file}"), CHANGE)?;
    Ok(())
}

fn disk_was_right(dom0: &mut Dom0, domain: u32) -> Result<()> {
    let values = report(dom0, domain, "XENITE-DISK", TRANSFER)?;
    let [bytes, wrote, read] = values.as_slice() else {
        bail!("guest {domain} says of its disk {values:?}; {}", dom0.machine.last_lines());
    };
    ensure!(bytes == "67108864", "guest {domain} has {bytes} bytes on its disk");
    ensure!(wrote.len() == 8 && wrote == read, "guest {domain} wrote {wrote} and read {read}");
    Ok(())
}

fn devices(setup: &Setup, shape: Shape) -> Result<()> {
    let mut dom0 = start(setup, shape, &["xenite.disk xenite.net=10.0.0.2"])?;
    vcpus(&mut dom0, shape, 1)?;
    attach_disk(&mut dom0, 1)?;
    disk_was_right(&mut dom0, 1)?;
    let disks = dom0.ask("xl block-list 1")?;
    ensure!(disks.contains("/local/domain/0/backend/vbd/1/51712"), "xl block-list says: {disks}");
    network(&mut dom0)?;
    dom0.ask_patiently("xl network-detach 1 0", CHANGE)?;
    dom0.ask_patiently("xl block-detach 1 xvda", CHANGE)?;
    let left = dom0.ask("xl block-list 1; xl network-list 1")?;
    ensure!(!left.contains("/local/domain/0/backend"), "devices are left: {left}");
    dom0.ask_patiently("xl destroy 1", CHANGE)?;
    Ok(())
}

/// The guest pings dom0 over a bridge, fetches 16 MiB from it and sends it as many.
fn network(dom0: &mut Dom0) -> Result<()> {
    dom0.ask(
        "ip link add xenbr0 type bridge && ip addr add 10.0.0.1/24 dev xenbr0 && ip link set xenbr0 up",
    )?;
    let offered = dom0.ask_patiently(
        "dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null; crc32 </tmp/data; httpd -h /tmp",
        CHANGE,
    )?;
    // On its own nc would hang up at once: what runs in the background has no input.
    dom0.ask("{ nc -l -p 5002 -e sh -c 'cat >/tmp/received' & }")?;
    dom0.ask_patiently("xl network-attach 1 bridge=xenbr0", CHANGE)?;
    let values = report(dom0, 1, "XENITE-NET", TRANSFER)?;
    let [answers, got, sent, bytes] = values.as_slice() else {
        bail!("the guest says of its network {values:?}; {}", dom0.machine.last_lines());
    };
    ensure!(answers == "5", "{answers} of 5 pings were answered");
    ensure!(got.len() == 8 && offered.trim() == got, "dom0 offered {offered} and the guest got {got}");
    // The sender ends when its last bytes are on their way.
    let received = dom0.ask_patiently("wait; crc32 </tmp/received; ls -l /tmp/received", CHANGE)?;
    ensure!(bytes == "16777216", "the guest sent {bytes} bytes");
    ensure!(received.contains(bytes), "dom0 received not {bytes} bytes: {received}");
    ensure!(received.starts_with(sent.as_str()), "the guest sent {sent} and dom0 received {received}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_xl_list_is_read_as_xen_prints_it() {
        let line = "dom0less-1                                   1   256     1     -b----       4.0";
        let read = row(line).unwrap();
        assert_eq!((read.name.as_str(), read.domain, read.memory_mib), ("dom0less-1", 1, 256));
        assert_eq!((read.vcpus, read.state.as_str()), (1, "-b----"));
        assert!(row("(null)  1 256").is_err());
    }
}
