//! All figures: what each is called, which scenarios it comes from, and what it means.

use super::scenarios::{SCENARIOS, Subject};

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name, which is the baseline's where that has it.
    pub name: &'static str,
    /// The scenarios that it is made of, between spaces.
    pub scenarios: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What is measured.
    pub meaning: &'static str,
    /// Whether the README shows it.
    pub shown: bool,
}

/// A figure that stands in the complete table alone.
const fn row(name: &'static str, scenarios: &'static str, unit: &'static str, meaning: &'static str) -> Row {
    Row { name, scenarios, unit, meaning, shown: false }
}

/// A figure that the README shows.
const fn shown(
    name: &'static str,
    scenarios: &'static str,
    unit: &'static str,
    meaning: &'static str,
) -> Row {
    Row { name, scenarios, unit, meaning, shown: true }
}

/// Instructions at all exception levels.
const COUNT: &str = "instructions";

impl Row {
    /// Whether a hypervisor must have it: it runs all scenarios that the figure is made of. A bare machine has no hypercalls,
    /// so that it must have none.
    #[must_use]
    pub fn is_of(&self, subject: Subject) -> bool {
        let runs = |name: &str| {
            SCENARIOS.iter().any(|scenario| scenario.name == name && scenario.subjects.contains(&subject))
        };
        subject != Subject::Bare && self.scenarios.split(' ').all(runs)
    }

    /// Whether the name on the command line means this figure: it is its name, the start of it up to a dot, or the name
    /// of a scenario.
    #[must_use]
    pub fn is_meant_by(&self, name: &str) -> bool {
        let rest = self.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || name.ends_with('.'))
            || self.scenarios.split(' ').any(|scenario| scenario == name)
    }
}

/// The figures in the order in which they are shown.
pub const FIGURES: [Row; 152] = [
    shown("hvc.xen_version", "solo", COUNT, "the shortest hypercall that does something"),
    shown("hvc.bad_number", "solo", COUNT, "a hypercall that there is not"),
    row("hvc.extraversion", "solo", COUNT, "a hypercall that writes 16 bytes"),
    row("hvc.get_features", "solo", COUNT, "a hypercall that reads and writes a structure"),
    row("hvc.hvm_get_param", "solo", COUNT, "a parameter of the own domain"),
    row("hvc.multicall1", "solo", COUNT, "a list of one `xen_version`"),
    shown("hvc.multicall8", "solo", COUNT, "a list of eight `xen_version`"),
    shown("sysreg.id_aa64mmfr0", "solo", COUNT, "reading an identification register"),
    row("sysreg.id_aa64zfr0", "solo", COUNT, "reading an identification register that reads as zero"),
    row("sysreg.actlr", "solo", COUNT, "reading ACTLR_EL1"),
    row("sysreg.cntp_ctl_rd", "solo", COUNT, "reading the physical timer's control"),
    row("sysreg.cntp_tval_wr", "solo", COUNT, "arming the physical timer"),
    row("sysreg.cntv_set", "solo", COUNT, "arming the virtual timer, which does not trap"),
    row("tlbi.vmalle1is", "solo", COUNT, "dropping all translations, which does not trap"),
    row("mmio.gicd_ctlr_rd", "solo", COUNT, "reading the distributor's control"),
    shown("mmio.gicd_typer_rd", "solo", COUNT, "reading the distributor's type"),
    row("mmio.gicd_isenabler_rd", "solo", COUNT, "reading which shared interrupts are enabled"),
    row("mmio.gicd_isenabler_wr", "solo", COUNT, "enabling a shared interrupt"),
    row("mmio.gicd_ipriorityr_rd", "solo", COUNT, "reading priorities"),
    row("mmio.gicr_waker_rd", "solo", COUNT, "reading the redistributor's GICR_WAKER"),
    shown("mmio.gicr_typer_rd", "solo", COUNT, "reading the redistributor's type"),
    row("mmio.gicr_isenabler_wr", "solo", COUNT, "enabling a private interrupt"),
    shown("mmio.vpl011_fr_rd", "solo", COUNT, "reading the UART's flags"),
    row("mmio.vpl011_imsc_wr", "solo", COUNT, "writing the UART's interrupt mask"),
    shown("psci.version", "solo", COUNT, "PSCI_VERSION"),
    row("psci.affinity_info", "solo", COUNT, "AFFINITY_INFO"),
    row("smccc.version", "solo", COUNT, "SMCCC_VERSION"),
    row("smccc.arch_features", "solo", COUNT, "SMCCC_ARCH_FEATURES"),
    row("psci.cpu_on.call", "smp.1p", COUNT, "CPU_ON, until the call returns"),
    shown(
        "psci.cpu_on.entry",
        "smp.1p",
        COUNT,
        "CPU_ON, until the second vCPU's first instruction on the same processor",
    ),
    row(
        "psci.cpu_on.call.2p",
        "smp.2p",
        COUNT,
        "CPU_ON with a processor for each vCPU, until the call returns",
    ),
    row(
        "psci.cpu_on.entry.2p",
        "smp.2p",
        COUNT,
        "until the second vCPU's first instruction: the sum of both processors",
    ),
    shown("sgi.self.entry", "solo", COUNT, "an SGI to oneself, until the handler's first instruction"),
    row("sgi.self.eoi", "solo", COUNT, "until after the end of the interrupt"),
    row("sgi.send_only", "solo", COUNT, "sending it, interrupts masked"),
    shown(
        "sgi.cross_entry_wfi",
        "smp.1p",
        COUNT,
        "an SGI to a vCPU that sleeps, on the same processor, until it runs",
    ),
    row("sgi.cross_roundtrip_wfi", "smp.1p", COUNT, "until its answer is there"),
    row(
        "sgi.cross_entry_wfi.2p",
        "smp.2p",
        COUNT,
        "the same with a processor for each vCPU: the sum of both",
    ),
    row("sgi.cross_roundtrip_wfi.2p", "smp.2p", COUNT, "until its answer is there"),
    shown(
        "sgi.cross_entry_running.2p",
        "smp.2p",
        COUNT,
        "an SGI to a vCPU that runs on another processor: the sum of both",
    ),
    shown(
        "timer.busy.entry",
        "solo",
        COUNT,
        "a timer's deadline while the vCPU is busy, until the handler's first instruction",
    ),
    row("timer.busy.eoi", "solo", COUNT, "until after the end of the interrupt"),
    shown("timer.wfi.entry", "solo", COUNT, "the same while the vCPU sleeps"),
    row("timer.wfi.eoi", "solo", COUNT, "until after the end of the interrupt"),
    shown(
        "evtchn.self_ipi.entry",
        "solo",
        COUNT,
        "an event to oneself, until the handler's first instruction",
    ),
    row("evtchn.self_ipi.eoi", "solo", COUNT, "until after the end of the interrupt"),
    shown("evtchn.send_masked", "solo", COUNT, "sending to a port that is masked"),
    row("evtchn.send_pending", "solo", COUNT, "sending to a port that is pending already"),
    row("evtchn.unmask", "solo", COUNT, "unmasking a port"),
    row("evtchn.bind_close", "solo", COUNT, "making a port and closing it"),
    shown("evtchn.send_remote", "pair.1p", COUNT, "sending to a domain that sleeps, on the same processor"),
    shown(
        "evtchn.pingpong_wfi",
        "pair.1p",
        COUNT,
        "there and back between two domains that sleep in turn on one processor",
    ),
    row("evtchn.send_remote.2p", "pair.2p", COUNT, "sending to a domain that sleeps, on another processor"),
    row(
        "evtchn.pingpong_wfi.2p",
        "pair.2p",
        COUNT,
        "there and back with a processor for each: the sum of both",
    ),
    shown(
        "evtchn.static_running.2p",
        "pair.2p.running",
        COUNT,
        "an event over a static channel to a vCPU that runs on another processor, until the handler's first instruction: the sum of both",
    ),
    row("evtchn.send_remote.silo", "pair.1p.silo", COUNT, "with domains that may not share memory"),
    row(
        "evtchn.pingpong_wfi.silo",
        "pair.1p.silo",
        COUNT,
        "there and back between domains that may not share memory",
    ),
    shown("sched.yield_alone", "solo", COUNT, "yielding with nobody else there"),
    shown("sched.yield_pair", "pair.1p", COUNT, "yielding to another domain, which yields back"),
    row("sched.block_pending", "solo", COUNT, "blocking with an event pending"),
    row("sched.poll_ready", "solo", COUNT, "polling a port that is pending"),
    shown("mem.decrease_4k", "solo", COUNT, "giving up a page"),
    shown("mem.populate_4k", "solo", COUNT, "getting a page"),
    shown("mem.decrease_64x4k", "solo", COUNT, "giving up 64 pages"),
    shown("mem.populate_64x4k", "solo", COUNT, "getting 64 pages"),
    row("mem.decrease_512x4k", "solo", COUNT, "giving up 512 pages"),
    row("mem.populate_512x4k", "solo", COUNT, "getting 512 pages"),
    shown("mem.decrease_2m", "solo", COUNT, "giving up 2 MiB in one extent"),
    shown("mem.populate_2m", "solo", COUNT, "getting 2 MiB in one extent"),
    row("mem.map_shared", "solo", COUNT, "mapping shared_info"),
    row("mem.unmap_shared", "solo", COUNT, "unmapping it"),
    shown(
        "irqlate.decrease_2m",
        "solo",
        COUNT,
        "an interrupt that is due after a tenth of it (giving up 2 MiB in one extent), until its handler",
    ),
    row("irqlate.decrease_2m.worst", "solo", COUNT, "the same, the worst of all positions"),
    row(
        "irqlate.populate_2m",
        "solo",
        COUNT,
        "an interrupt that is due after a tenth of it (getting 2 MiB in one extent), until its handler",
    ),
    row("irqlate.populate_2m.worst", "solo", COUNT, "the same, the worst of all positions"),
    row(
        "irqlate.decrease_512x4k",
        "solo",
        COUNT,
        "an interrupt that is due after a tenth of it (giving up 512 pages), until its handler",
    ),
    row("irqlate.decrease_512x4k.worst", "solo", COUNT, "the same, the worst of all positions"),
    row(
        "irqlate.populate_512x4k",
        "solo",
        COUNT,
        "an interrupt that is due after a tenth of it (getting 512 pages), until its handler",
    ),
    row("irqlate.populate_512x4k.worst", "solo", COUNT, "the same, the worst of all positions"),
    row(
        "irqlate.multicall64",
        "solo",
        COUNT,
        "an interrupt that is due after a tenth of it (a list of 64 `xen_version`), until its handler",
    ),
    row("irqlate.multicall64.worst", "solo", COUNT, "the same, the worst of all positions"),
    shown("irqlate.worst", "solo", COUNT, "the longest that an interrupt waits in any of these"),
    shown("gnttab.map_self", "solo", COUNT, "mapping a grant of the own domain"),
    shown("gnttab.unmap_self", "solo", COUNT, "unmapping it"),
    shown("gnttab.map16_self", "solo", COUNT, "mapping 16 in one call"),
    shown("gnttab.unmap16_self", "solo", COUNT, "unmapping 16 in one call"),
    row("gnttab.copy4k_frame_frame", "solo", COUNT, "copying a page of the own domain"),
    shown("gnttab.copy4k_ref_frame", "solo", COUNT, "copying 4 KiB from a grant"),
    row("gnttab.copy4k_frame_ref", "solo", COUNT, "copying 4 KiB to a grant"),
    row("gnttab.copy64_ref_frame", "solo", COUNT, "copying 64 bytes from a grant"),
    row("gnttab.get_version", "solo", COUNT, "asking for the version of the table"),
    row("gnttab.query_size", "solo", COUNT, "asking for its size"),
    shown("gnttab.map_remote", "pair.1p", COUNT, "mapping a grant of another domain"),
    shown("gnttab.unmap_remote", "pair.1p", COUNT, "unmapping it"),
    row("gnttab.map16_remote", "pair.1p", COUNT, "mapping 16 of another domain in one call"),
    row("gnttab.unmap16_remote", "pair.1p", COUNT, "unmapping 16 of another domain in one call"),
    shown("gnttab.copy4k_from_remote", "pair.1p", COUNT, "copying 4 KiB from another domain's grant"),
    row("gnttab.copy4k_to_remote", "pair.1p", COUNT, "copying 4 KiB to another domain's grant"),
    row(
        "boot1.first_entry",
        "boot1",
        COUNT,
        "from reset to the first instruction of the first of 1 domains of 64 MiB",
    ),
    shown("boot1.last_entry", "boot1", COUNT, "and of the last"),
    row(
        "boot2.first_entry",
        "boot2",
        COUNT,
        "from reset to the first instruction of the first of 2 domains of 64 MiB",
    ),
    row("boot2.last_entry", "boot2", COUNT, "and of the last"),
    row(
        "boot4.first_entry",
        "boot4",
        COUNT,
        "from reset to the first instruction of the first of 4 domains of 64 MiB",
    ),
    row("boot4.last_entry", "boot4", COUNT, "and of the last"),
    row(
        "boot8.first_entry",
        "boot8",
        COUNT,
        "from reset to the first instruction of the first of 8 domains of 64 MiB",
    ),
    row("boot8.last_entry", "boot8", COUNT, "and of the last"),
    shown("boot.each_further", "boot1 boot8", COUNT, "each further domain"),
    shown("foot0.hyp_kib", "foot0", "KiB", "kept by the hypervisor: 1 GiB, dom0 alone"),
    row("foot1.hyp_kib", "foot1", "KiB", "kept with one domain of 64 MiB beside it"),
    row("foot2.hyp_kib", "foot2", "KiB", "with two"),
    row("foot4.hyp_kib", "foot4", "KiB", "with four"),
    row("foot8.hyp_kib", "foot8", "KiB", "with eight"),
    row("foot8.4vcpu.hyp_kib", "foot8.4vcpu", "KiB", "with eight that have four vCPUs each"),
    shown("foot0.m4096.hyp_kib", "foot0.m4096", "KiB", "kept by the hypervisor: 4 GiB, dom0 alone"),
    shown("foot.per_domain_kib", "foot0 foot8", "KiB", "each domain of 64 MiB with one vCPU"),
    shown("foot.per_vcpu_kib", "foot8 foot8.4vcpu", "KiB", "each further vCPU"),
    shown("image.file", "image", "bytes", "the image as a file"),
    row("image.memory", "image", "bytes", "the image in memory"),
    shown(
        "spin1.1p.overhead_ppm",
        "spin1.1p",
        "ppm",
        "a compute loop: taken from one busy domain on one processor",
    ),
    row(
        "spin1.1p.steal_per_s",
        "spin1.1p",
        COUNT,
        "a compute loop: instructions of the hypervisor in a second",
    ),
    shown(
        "spin2.1p.overhead_ppm",
        "spin2.1p",
        "ppm",
        "a compute loop: taken from two busy domains on one processor",
    ),
    row(
        "spin2.1p.steal_per_s",
        "spin2.1p",
        COUNT,
        "a compute loop: instructions of the hypervisor in a second",
    ),
    shown(
        "spin4.1p.overhead_ppm",
        "spin4.1p",
        "ppm",
        "a compute loop: taken from four busy domains on one processor",
    ),
    row(
        "spin4.1p.steal_per_s",
        "spin4.1p",
        COUNT,
        "a compute loop: instructions of the hypervisor in a second",
    ),
    shown(
        "stream1.1p.overhead_ppm",
        "stream1.1p",
        "ppm",
        "a loop through memory: taken from one busy domain on one processor",
    ),
    row(
        "stream1.1p.steal_per_s",
        "stream1.1p",
        COUNT,
        "a loop through memory: instructions of the hypervisor in a second",
    ),
    shown(
        "stream2.1p.overhead_ppm",
        "stream2.1p",
        "ppm",
        "a loop through memory: taken from two busy domains on one processor",
    ),
    row(
        "stream2.1p.steal_per_s",
        "stream2.1p",
        COUNT,
        "a loop through memory: instructions of the hypervisor in a second",
    ),
    shown(
        "stream4.1p.overhead_ppm",
        "stream4.1p",
        "ppm",
        "a loop through memory: taken from four busy domains on one processor",
    ),
    row(
        "stream4.1p.steal_per_s",
        "stream4.1p",
        COUNT,
        "a loop through memory: instructions of the hypervisor in a second",
    ),
    row("sched.yield_alone.null", "solo.null", COUNT, "`sched=null`: yielding"),
    row("timer.wfi.entry.null", "solo.null", COUNT, "`sched=null`: a timer's deadline while the vCPU sleeps"),
    row("sgi.self.entry.null", "solo.null", COUNT, "`sched=null`: an SGI to oneself"),
    row("spin1.1p.null.overhead_ppm", "spin1.1p.null", "ppm", "`sched=null`: taken from one busy domain"),
    row(
        "spin1.1p.null.steal_per_s",
        "spin1.1p.null",
        COUNT,
        "`sched=null`: instructions of the hypervisor in a second",
    ),
    row("psci.cpu_on.call.2p.null", "smp.2p.null", COUNT, "`sched=null`: CPU_ON, until the call returns"),
    row(
        "psci.cpu_on.entry.2p.null",
        "smp.2p.null",
        COUNT,
        "`sched=null`: until the second vCPU's first instruction: the sum of both processors",
    ),
    row(
        "sgi.cross_entry_wfi.2p.null",
        "smp.2p.null",
        COUNT,
        "`sched=null`: an SGI to a vCPU that sleeps, until it runs: the sum of both",
    ),
    row("sgi.cross_roundtrip_wfi.2p.null", "smp.2p.null", COUNT, "`sched=null`: until its answer is there"),
    row(
        "sgi.cross_entry_running.2p.null",
        "smp.2p.null",
        COUNT,
        "`sched=null`: an SGI to a vCPU that runs: the sum of both",
    ),
    row(
        "evtchn.send_remote.2p.null",
        "pair.2p.null",
        COUNT,
        "`sched=null`: sending to a domain that sleeps, on another processor",
    ),
    row(
        "evtchn.pingpong_wfi.2p.null",
        "pair.2p.null",
        COUNT,
        "`sched=null`: there and back with a processor for each: the sum of both",
    ),
    row(
        "evtchn.send_remote.pools",
        "pools",
        COUNT,
        "sending to a domain that sleeps, in another pool with another scheduler",
    ),
    row(
        "evtchn.pingpong_wfi.pools",
        "pools",
        COUNT,
        "there and back between two pools with different schedulers: the sum of both",
    ),
    shown(
        "evtchn.static_running.pools",
        "pools",
        COUNT,
        "an event over a static channel to a vCPU that runs in another pool, until the handler's first instruction: the sum of both",
    ),
    row(
        "evtchn.pingpong_wfi.pool",
        "pool",
        COUNT,
        "there and back on one processor, in a pool of its own beside a busy one",
    ),
    row(
        "sched.yield_pair.pool",
        "pool",
        COUNT,
        "yielding to another domain, which yields back, in a pool of its own beside a busy one",
    ),
    row(
        "boot8.static.first_entry",
        "boot8.static",
        COUNT,
        "from reset to the first instruction of the first of 8 domains with 64 MiB of `xen,static-mem`",
    ),
    shown(
        "boot8.static.last_entry",
        "boot8.static",
        COUNT,
        "from reset to the first instruction of the last of 8 domains with 64 MiB of `xen,static-mem`",
    ),
    row("foot8.static.hyp_kib", "foot8.static", "KiB", "kept with eight that have `xen,static-mem`"),
    shown(
        "foot.per_static_domain_kib",
        "foot0 foot8.static",
        "KiB",
        "each domain of 64 MiB of `xen,static-mem` with one vCPU",
    ),
    shown(
        "seal.allocations",
        "sealed",
        "requests",
        "memory that the hypervisor asks for after its heap is sealed, while a guest measures all of the above that one can",
    ),
];
