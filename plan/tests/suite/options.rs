//! The hypervisor's command line.

use plan::{Options, Scheduler, Xsm};

use crate::world::World;

fn options(line: &str) -> Options {
    let mut world = World::with_a_domain();
    world.command_line(line);
    world.plan().options
}

fn warnings(line: &str) -> String {
    let mut world = World::with_a_domain();
    world.command_line(line);
    world.warnings()
}

#[test]
fn without_a_command_line_the_defaults_hold() {
    let plan = World::with_a_domain().plan();
    assert_eq!(plan.options, Options { words: plan.options.words.clone(), ..Options::default() });
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn every_known_option_is_read() {
    let all = "console=dtuart dtuart=/pl011@9000000:115200n8 noreboot sched=null maxcpus=1 console_timestamps=boot \
               loglvl=all guest_loglvl=debug/all conswitch=bx vwfi=native bootscrub=0 sync_console \
               ext_regions=off xsm=dummy hmp-unsafe=1";
    let expected = Options {
        words: all.to_owned(),
        noreboot: true,
        scheduler: Scheduler::Null,
        hmp_unsafe: true,
        max_cpus: Some(1),
        console_timestamps: true,
        log_level: 3,
        guest_log_level: 3,
        console_switch: Some(2),
        native_wfi: true,
        ext_regions: false,
        xsm: Xsm::Dummy,
        dom0_memory: None,
        dom0_vcpus: None,
    };
    assert_eq!(options(all), expected);
    assert_eq!(warnings(all), "");
    let words = "ext_regions xsm=silo sched=credit vwfi=trap loglvl=none conswitch=`".to_owned();
    assert_eq!(options(&words), Options { words, log_level: 0, console_switch: None, ..Options::default() });
    assert_eq!(options("loglvl=error/warning guest_loglvl=info").guest_log_level, 2);
}

#[test]
fn switches_have_all_of_the_usual_forms() {
    for on in ["noreboot", "noreboot=1", "noreboot=yes", "noreboot=on", "noreboot=true", "noreboot=enable"] {
        assert!(options(on).noreboot, "{on}");
    }
    for off in
        ["no-noreboot", "noreboot=0", "noreboot=no", "noreboot=off", "noreboot=false", "noreboot=disable"]
    {
        assert!(!options(&format!("noreboot {off}")).noreboot, "{off}");
    }
    assert!(!options("console_timestamps console_timestamps=none").console_timestamps);
}

#[test]
fn an_unknown_option_is_named_in_a_warning() {
    let text = warnings("flask=enforcing noreboot console=com1 no-such");
    assert_eq!(text.lines().count(), 3, "{text}");
    for word in ["\"flask=enforcing\"", "\"console=com1\"", "\"no-such\""] {
        assert!(
            text.contains(&format!("/chosen: xen,xen-bootargs: unknown option {word} is ignored")),
            "{text}"
        );
    }
}

#[test]
fn options_for_dom0_are_warned_of() {
    let text = warnings("dom0_mem=512M dom0_max_vcpus=2");
    assert_eq!(text.matches("there is no dom0").count(), 2, "{text}");
}

#[test]
fn sizes_of_dom0_have_units_and_bounds() {
    for (value, bytes) in [
        ("1G", 1 << 30),
        ("524288", 512 << 20),
        ("512m", 512 << 20),
        ("536870912B", 512 << 20),
        ("2097153b", 4 << 20),
        ("0x", 0),
        ("4G,max:1G", 1 << 30),
        ("min:1T", 1 << 40),
        ("max:256M", 256 << 20),
        ("64M,min:128M,max:1G", 128 << 20),
    ] {
        let mut world = World::with_a_domain();
        world.command_line(&format!("dom0_mem={value}"));
        let memory = world.read().ok().and_then(|plan| plan.options.dom0_memory);
        assert_eq!(memory.unwrap_or(0), bytes, "{value}");
    }
    for (value, bounds) in [("2", (2, 2)), ("1-4", (1, 4)), ("3-", (3, 128)), ("-5", (1, 5))] {
        assert_eq!(options(&format!("dom0_max_vcpus={value}")).dom0_vcpus, Some(bounds), "{value}");
    }
}

#[test]
fn impossible_values_are_refused() {
    for line in [
        "sched=rtds",
        "maxcpus=0",
        "maxcpus=many",
        "vwfi=perhaps",
        "loglvl=loud",
        "guest_loglvl=",
        "conswitch=%%",
        "conswitch=",
        "noreboot=perhaps",
        "ext_regions=perhaps",
        "xsm=flask",
        "dom0_mem=",
        "dom0_mem=0",
        "dom0_mem=1X",
        "dom0_mem=max:1G,min:2G",
        "dom0_mem=least:1G",
        "dom0_mem=16777216T",
        "dom0_max_vcpus=0",
        "dom0_max_vcpus=129",
        "dom0_max_vcpus=-",
        "dom0_max_vcpus=",
        "dom0_max_vcpus=4-2",
    ] {
        let mut world = World::with_a_domain();
        world.command_line(line);
        let text = world.refusals();
        assert!(text.contains(&format!("/chosen: xen,xen-bootargs: option \"{line}\"")), "{text}");
    }
}

#[test]
fn bootargs_are_the_hypervisors_only_beside_dom0s() {
    let mut world = World::with_a_domain();
    world.chosen().set("bootargs", b"noreboot\0");
    assert!(!world.plan().options.noreboot);
    assert!(world.warnings().contains("/chosen: bootargs is dom0's command line"));
    world.chosen().set("xen,dom0-bootargs", b"console=hvc0\0");
    assert!(world.plan().options.noreboot);
    world.command_line("sched=null");
    assert!(!world.plan().options.noreboot);
}

#[test]
fn a_command_line_that_is_no_text_or_endless_is_refused() {
    let mut world = World::with_a_domain();
    world.chosen().set("xen,xen-bootargs", b"noreboot");
    assert!(world.refusals().contains("/chosen: xen,xen-bootargs: is not one text"));
    world.command_line(&"x".repeat(4097));
    assert!(world.refusals().contains("/chosen: xen,xen-bootargs: has 4097 characters"));
}

#[test]
fn a_dtuart_that_leads_nowhere_is_refused() {
    let mut world = World::with_a_domain();
    world.command_line("dtuart=/no/where");
    let text = world.refusals();
    assert!(text.contains("/chosen: xen,xen-bootargs: \"/no/where\" leads to no node"), "{text}");
}
