//! The hypervisor's command line: Xen's names, Xen's forms.
//!
//! Which property it is (contract of Xen 4.17): `/chosen/xen,xen-bootargs`; without that, `bootargs`, but
//! only if `xen,dom0-bootargs`, or `bootargs` in the module of dom0's kernel, shows that `bootargs` is not
//! dom0's. A known option with an impossible value is refused; an unknown option is named in a warning.

use alloc::format;
use alloc::string::String;

use crate::domains::{MOST_VCPUS, dom0};
use crate::fdt::{Fdt, Node};
use crate::range::{BLOCK_2_MIB, align_up};
use crate::report::{Report, quoted};
use crate::shape::{Options, Scheduler, Xsm};

/// Most characters of a command line that are looked at.
pub const LONGEST_COMMAND_LINE_BYTES: usize = 4096;

const NODE: &str = "/chosen";

impl Default for Options {
    fn default() -> Self {
        Self {
            words: String::new(),
            noreboot: false,
            scheduler: Scheduler::Fair,
            hmp_unsafe: false,
            max_cpus: None,
            console_timestamps: false,
            log_level: 2,
            guest_log_level: 1,
            console_switch: Some(1),
            native_wfi: false,
            ext_regions: true,
            xsm: Xsm::Silo,
            dom0_memory: None,
            dom0_vcpus: None,
        }
    }
}

/// The command line as it stands in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine<'a> {
    /// The property that it comes from.
    pub(crate) property: &'static str,
    pub(crate) text: &'a str,
}

impl<'a> CommandLine<'a> {
    /// Value of the last `name=value` among the words.
    pub(crate) fn value_of(&self, name: &str) -> Option<&'a str> {
        let value = |word: &'a str| {
            crate::text::split_once(word, b'=').filter(|(key, _)| *key == name).map(|(_, value)| value)
        };
        self.text.split_ascii_whitespace().rev().find_map(value)
    }
}

/// Finds the hypervisor's command line; empty where there is none.
pub(crate) fn command_line<'a>(fdt: &Fdt<'a>) -> CommandLine<'a> {
    let chosen = fdt.chosen();
    let text = |name: &str| chosen.and_then(|node: Node<'a>| node.property(name)).map(|value| value.text());
    if let Some(own) = text("xen,xen-bootargs") {
        return CommandLine { property: "xen,xen-bootargs", text: own.unwrap_or("") };
    }
    let kernel_has_its_own = || dom0::kernel(fdt).is_some_and(|node| node.property("bootargs").is_some());
    if text("xen,dom0-bootargs").is_some() || kernel_has_its_own() {
        return CommandLine { property: "bootargs", text: text("bootargs").flatten().unwrap_or("") };
    }
    CommandLine { property: "xen,xen-bootargs", text: "" }
}

/// Says what is odd about the properties that carry command lines.
pub(crate) fn check_properties(fdt: &Fdt<'_>, report: &mut Report) {
    let Some(chosen) = fdt.chosen() else { return };
    for name in ["xen,xen-bootargs", "xen,dom0-bootargs", "bootargs"] {
        let Some(property) = chosen.property(name) else { continue };
        match property.text() {
            None => report.refuse(NODE, name, "is not one text", "write one quoted string"),
            Some(text) if text.len() > LONGEST_COMMAND_LINE_BYTES => {
                let reason = format!("has {} characters", text.len());
                report.refuse(NODE, name, reason, "at most 4096 are read");
            }
            Some(_) => {}
        }
    }
    let has = |name| chosen.property(name).is_some();
    let bootargs = chosen.property("bootargs").and_then(|value| value.text()).unwrap_or("");
    if dom0::kernel(fdt).is_some() {
        return;
    }
    if !has("xen,xen-bootargs") && !has("xen,dom0-bootargs") && !bootargs.is_empty() {
        report.warn_of(
            NODE,
            "bootargs",
            "bootargs is dom0's command line and there is no dom0: it is ignored; \
             the hypervisor's options belong in xen,xen-bootargs",
        );
    }
    if has("xen,dom0-bootargs") {
        report.warn_of(NODE, "xen,dom0-bootargs", "xen,dom0-bootargs is ignored: there is no dom0");
    }
}

/// Parses the words of a command line.
pub(crate) fn parse(line: &CommandLine<'_>, has_dom0: bool, report: &mut Report) -> Options {
    let mut options = Options::default();
    if line.text.len() > LONGEST_COMMAND_LINE_BYTES {
        return options;
    }
    options.words = line.text.into();
    for word in line.text.split_ascii_whitespace() {
        let outcome = match crate::text::split_once(word, b'=') {
            Some((name, value)) => valued(&mut options, name, value),
            None => bare(&mut options, word),
        };
        match outcome {
            Outcome::Taken => {}
            Outcome::Wrong(hint) => {
                let reason = format!("option {} has a value that means nothing", quoted(word));
                report.refuse(NODE, line.property, reason, hint);
            }
            Outcome::Unknown => {
                let text = format!("{}: unknown option {} is ignored", line.property, quoted(word));
                report.warn_of(NODE, line.property, &text);
            }
        }
        if word.starts_with("dom0_") && !has_dom0 {
            let text = format!("{}: option {} is ignored: there is no dom0", line.property, quoted(word));
            report.warn_of(NODE, line.property, &text);
        }
    }
    options
}

/// What became of a word.
enum Outcome {
    Taken,
    /// A known option, but not with this value; the values that it may have.
    Wrong(&'static str),
    Unknown,
}

/// Xen's words for yes and no.
fn boolean(value: &str) -> Option<bool> {
    match value {
        "yes" | "on" | "true" | "enable" | "1" => Some(true),
        "no" | "off" | "false" | "disable" | "0" => Some(false),
        _ => None,
    }
}

/// Sets the switch `name`.
fn switch(options: &mut Options, name: &str, on: bool) -> Outcome {
    match name {
        "noreboot" => options.noreboot = on,
        "console_timestamps" => options.console_timestamps = on,
        "ext_regions" => options.ext_regions = on,
        "hmp-unsafe" => options.hmp_unsafe = on,
        // Frames are always zeroed and the console is always synchronous.
        "bootscrub" | "sync_console" => {}
        _ => return Outcome::Unknown,
    }
    Outcome::Taken
}

fn bare(options: &mut Options, word: &str) -> Outcome {
    match switch(options, word, true) {
        Outcome::Unknown => match word.strip_prefix("no-") {
            Some(name) => switch(options, name, false),
            None => Outcome::Unknown,
        },
        outcome => outcome,
    }
}

fn valued(options: &mut Options, name: &str, value: &str) -> Outcome {
    match name {
        "sched" => match Scheduler::of_name(value) {
            Some(scheduler) => options.scheduler = scheduler,
            None => return Outcome::Wrong("sched= is credit, credit2 or null"),
        },
        "maxcpus" => match value.parse() {
            Ok(count) if count > 0 => options.max_cpus = Some(count),
            _ => return Outcome::Wrong("maxcpus= is a number from 1"),
        },
        "vwfi" => match value {
            "native" => options.native_wfi = true,
            "trap" => options.native_wfi = false,
            _ => return Outcome::Wrong("vwfi= is native or trap"),
        },
        "xsm" => match value {
            "silo" => options.xsm = Xsm::Silo,
            "dummy" => options.xsm = Xsm::Dummy,
            _ => return Outcome::Wrong("xsm= is silo or dummy; flask and its policies are not supported"),
        },
        "loglvl" => return set(&mut options.log_level, level(value)),
        "guest_loglvl" => return set(&mut options.guest_log_level, level(value)),
        "conswitch" => return console_switch(options, value),
        "console_timestamps" if matches!(value, "date" | "datems" | "boot" | "raw") => {
            options.console_timestamps = true;
        }
        "console_timestamps" if value == "none" => options.console_timestamps = false,
        "console" if value == "dtuart" => {}
        // Read by the board's reader, which knows the tree's paths.
        "dtuart" => {}
        "dom0_mem" => return dom0_memory(options, value),
        "dom0_max_vcpus" => return dom0_vcpus(options, value),
        _ => return valued_switch(options, name, value),
    }
    Outcome::Taken
}

fn valued_switch(options: &mut Options, name: &str, value: &str) -> Outcome {
    match boolean(value) {
        Some(on) => switch(options, name, on),
        None => match switch(&mut options.clone(), name, true) {
            Outcome::Taken => Outcome::Wrong("it is a switch: on or off"),
            _ => Outcome::Unknown,
        },
    }
}

fn set(place: &mut u8, level: Option<u8>) -> Outcome {
    match level {
        Some(level) => {
            *place = level;
            Outcome::Taken
        }
        None => Outcome::Wrong("levels are none, error, warning, info, debug and all"),
    }
}

/// A log level; what follows a slash would be Xen's level for rate-limited lines.
fn level(value: &str) -> Option<u8> {
    match crate::text::split_once(value, b'/').map_or(value, |(level, _)| level) {
        "none" | "error" => Some(0),
        "warning" => Some(1),
        "info" => Some(2),
        "debug" | "all" => Some(3),
        _ => None,
    }
}

fn console_switch(options: &mut Options, value: &str) -> Outcome {
    // Xen's trailing x keeps the focus from moving to dom0 by itself, which happens to nobody here.
    let key = value.strip_suffix('x').filter(|rest| !rest.is_empty()).unwrap_or(value);
    match key.as_bytes() {
        [b'`'] => options.console_switch = None,
        [letter] if letter.is_ascii_alphabetic() => options.console_switch = Some(letter & 0x1f),
        _ => return Outcome::Wrong("conswitch= is a letter, or a backquote for none"),
    }
    Outcome::Taken
}

/// dom0's memory where nothing else is said, as in Xen.
pub(crate) const DOM0_MEMORY: u64 = 512 << 20;

/// A size with its unit: B, K, M, G or T; KiB where there is none.
fn size(text: &str) -> Option<u64> {
    let units = [('b', 0), ('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = text.as_bytes().last()?.to_ascii_lowercase();
    let known = units.into_iter().find(|(letter, _)| u8::try_from(*letter) == Ok(unit));
    let (digits, shift) = match known {
        Some((_, shift)) => (text.get(..text.len().checked_sub(1)?)?, shift),
        None => (text, 10),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1_u64.checked_shl(shift)?)
}

/// `dom0_mem=`: a size, `min:` and `max:` in any order, between commas.
fn dom0_memory(options: &mut Options, value: &str) -> Outcome {
    const HINT: &str = "dom0_mem= is a size such as 1G, and min:<size> and max:<size> between commas";
    let (mut wanted, mut least, mut most) = (DOM0_MEMORY, 0, u64::MAX);
    for part in value.as_bytes().split(|byte| *byte == b',') {
        let part = core::str::from_utf8(part).unwrap_or("");
        let (place, text) = match crate::text::split_once(part, b':') {
            Some(("min", text)) => (&mut least, text),
            Some(("max", text)) => (&mut most, text),
            Some(_) => return Outcome::Wrong(HINT),
            None => (&mut wanted, part),
        };
        match size(text).filter(|size| *size > 0) {
            Some(size) => *place = size,
            None => return Outcome::Wrong(HINT),
        }
    }
    let bytes = align_up(wanted.max(least).min(most), BLOCK_2_MIB);
    if bytes.is_none() || least > most {
        return Outcome::Wrong(HINT);
    }
    options.dom0_memory = bytes;
    Outcome::Taken
}

/// `dom0_max_vcpus=`: a number, or the least and the most with a dash between; one of both may be missing.
fn dom0_vcpus(options: &mut Options, value: &str) -> Outcome {
    let number = |text: &str, otherwise: u16| match text {
        "" => Some(otherwise),
        text => text.parse().ok().filter(|count: &u16| (1..=MOST_VCPUS).contains(&u32::from(*count))),
    };
    let bounds = match crate::text::split_once(value, b'-') {
        Some(("", "")) => None,
        Some((least, most)) => number(least, 1).zip(number(most, 128)),
        None if value.is_empty() => None,
        None => number(value, 1).map(|count| (count, count)),
    };
    match bounds.filter(|(least, most)| least <= most) {
        Some(bounds) => {
            options.dom0_vcpus = Some(bounds);
            Outcome::Taken
        }
        None => Outcome::Wrong("dom0_max_vcpus= is a number from 1 to 128, or two with a dash between"),
    }
}
