//! A configuration of Xen's ImageBuilder as a description.
//!
//! The format is a shell script that sets variables. No shell runs here: a line sets one variable to one word, and what
//! would make a shell do more (`$`, backquotes, backslashes, commands) is refused, as is every variable that is not
//! understood. The meaning of each, and what holds where it is missing, is that of ImageBuilder's README.

use std::collections::BTreeMap;
use std::ops::Range as Span;
use std::path::PathBuf;

use super::complaint::Complaint;
use super::description::{
    Board, Channel, Description, Dom0, Domain, Enhanced, Hypervisor, Loader, Memory, Piece, Pool, Processor,
    Shared, Size, Spanned, Window,
};

/// Variables that are understood, without their indexes.
const KNOWN: [&str; 34] = [
    "MEMORY_START",
    "MEMORY_END",
    "LOAD_CMD",
    "BOOT_CMD",
    "DEVICE_TREE",
    "XEN",
    "XEN_CMD",
    "XEN_STATIC_HEAP",
    "DOM0_KERNEL",
    "DOM0_CMD",
    "DOM0_RAMDISK",
    "DOM0_MEM",
    "DOM0_VCPUS",
    "NUM_DOMUS",
    "DOMU_KERNEL",
    "DOMU_CMD",
    "DOMU_RAMDISK",
    "DOMU_MEM",
    "DOMU_VCPUS",
    "DOMU_STATIC_MEM",
    "DOMU_DIRECT_MAP",
    "DOMU_ENHANCED",
    "DOMU_VPL011",
    "DOMU_SHARED_MEM",
    "DOMU_CPUPOOL",
    "DOMU_PASSTHROUGH_DTB",
    "DOMU_PASSTHROUGH_PATHS",
    "NUM_CPUPOOLS",
    "CPUPOOL",
    "UBOOT_SOURCE",
    "UBOOT_SCRIPT",
    "NUM_DT_OVERLAY",
    "NUM_BOOT_AUX_FILE",
    "DOMU_DRIVER_DOMAIN",
];

/// Variables of ImageBuilder that ask for what is not there, by their beginning, and what that is.
const NOT_THERE: [(&str, &str); 16] = [
    ("XEN_COLORS", "cache colouring"),
    ("DOM0_COLORS", "cache colouring"),
    ("DOMU_COLORS", "cache colouring"),
    ("XEN_LOAD", "a load command for each file"),
    ("DOM0_LOAD", "a load command for each file"),
    ("DOMU_LOAD", "a load command for each file"),
    ("PASSTHROUGH_DTS", "a store of partial device trees"),
    ("LOPPER", "partial device trees made by lopper"),
    ("DOMU_NOBOOT", "a domain that dom0 creates later"),
    ("DOMU_GRANT", "limits of grant tables"),
    ("DOMU_MAPTRACK", "limits of grant tables"),
    ("DT_OVERLAY", "overlays"),
    ("LINUX", "a system without a hypervisor"),
    ("BITSTREAM", "programmable logic"),
    ("FIT", "FIT images"),
    ("FDTEDIT", "a second tree"),
];

/// One assignment.
#[derive(Clone, Debug)]
struct Value {
    text: String,
    span: Span<usize>,
}

impl Value {
    fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned::new(self.span.clone(), value)
    }
}

/// The variables by name and index, and what is wrong with them.
#[derive(Default)]
struct Variables {
    values: BTreeMap<(String, Option<u32>), Value>,
    complaints: Vec<Complaint>,
}

/// Reads a configuration.
pub(crate) fn read(text: &str) -> Result<Description, Vec<Complaint>> {
    let mut variables = Variables::default();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Err(complaint) = variables.line(line, at) {
            variables.complaints.push(complaint);
        }
        at += line.len();
    }
    variables.known();
    let description = variables.description();
    match description {
        Some(description) if variables.complaints.is_empty() => Ok(description),
        _ => Err(variables.complaints),
    }
}

impl Variables {
    /// Reads a line that begins at a byte of the text.
    fn line(&mut self, line: &str, begin: usize) -> Result<(), Complaint> {
        let bare = line.trim();
        let from = begin + (line.len() - line.trim_start().len());
        if bare.is_empty() || bare.starts_with('#') {
            return Ok(());
        }
        let whole = from..from + bare.len();
        let refuse = |what: &str| {
            Complaint::new("this line is more than an assignment of one word", whole.clone(), what)
        };
        let Some((target, value)) = bare.split_once('=') else {
            return Err(refuse("is not NAME=VALUE").help("no shell runs: write values as they are"));
        };
        let (name, index) = match target.split_once('[') {
            None => (target, None),
            Some((name, rest)) => {
                let index = rest.strip_suffix(']').and_then(|digits| digits.parse().ok());
                (name, Some(index.ok_or_else(|| refuse("has no number between [ and ]"))?))
            }
        };
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return Err(refuse("has no name before ="));
        }
        let value_at = from + target.len() + 1;
        let (text, rest, quote) = word(value).map_err(&refuse)?;
        let comment = rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#');
        if !comment && !rest.trim().is_empty() {
            return Err(refuse("has something behind its value"));
        }
        let span = value_at + quote..value_at + quote + text.len();
        // As in a shell, the last one counts.
        self.values.insert((name.to_owned(), index), Value { text: text.to_owned(), span });
        Ok(())
    }

    /// Refuses variables that are not understood.
    fn known(&mut self) {
        for ((name, _), value) in &self.values {
            if KNOWN.contains(&name.as_str()) {
                continue;
            }
            let about = NOT_THERE.iter().find(|(begin, _)| name.starts_with(begin));
            let complaint = match about {
                Some((_, what)) => Complaint::new(
                    format!("{name} is not supported: there is no {what}"),
                    value.span.clone(),
                    "asks for it",
                ),
                None => {
                    Complaint::new(format!("{name} is not known"), value.span.clone(), "means nothing here")
                }
            };
            self.complaints
                .push(complaint.help("leave it out; docs/static-configuration.md lists what is understood"));
        }
    }

    fn get(&self, name: &str, index: Option<u32>) -> Option<Value> {
        self.values.get(&(name.to_owned(), index)).cloned()
    }

    fn text(&self, name: &str, index: Option<u32>) -> Option<Spanned<String>> {
        self.get(name, index).map(|value| value.spanned(value.text.clone()))
    }

    fn path(&self, name: &str, index: Option<u32>) -> Option<Spanned<PathBuf>> {
        self.get(name, index).map(|value| value.spanned(PathBuf::from(&value.text)))
    }

    fn required(&mut self, name: &str, index: Option<u32>) -> Option<Spanned<PathBuf>> {
        let path = self.path(name, index);
        if path.is_none() {
            let index = index.map_or_else(String::new, |index| format!("[{index}]"));
            self.complaints.push(Complaint::bare(format!("{name}{index} is missing")));
        }
        path
    }

    fn parsed<T>(
        &mut self,
        value: &Value,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let parsed = parse(&value.text);
        if parsed.is_none() {
            self.complaints.push(Complaint::new(
                format!("{:?} is not {what}", value.text),
                value.span.clone(),
                "is not",
            ));
        }
        parsed.map(|parsed| value.spanned(parsed))
    }

    fn number(&mut self, name: &str, index: Option<u32>) -> Option<Spanned<u32>> {
        let value = self.get(name, index)?;
        self.parsed(&value, "a number", |text| number(text).and_then(|number| u32::try_from(number).ok()))
    }

    fn flag(&mut self, name: &str, index: Option<u32>) -> Option<Spanned<bool>> {
        let value = self.get(name, index)?;
        self.parsed(&value, "1 or 0", |text| match text {
            "1" => Some(true),
            "0" => Some(false),
            _ => None,
        })
    }

    fn mebibytes(&mut self, name: &str, index: Option<u32>) -> Option<Spanned<Size>> {
        let value = self.get(name, index)?;
        self.parsed(&value, "a number of MiB", |text| {
            number(text)?.checked_mul(1 << 20).filter(|bytes| *bytes > 0).map(Size)
        })
    }

    fn ranges(&mut self, name: &str, index: Option<u32>) -> Option<Spanned<Vec<Piece>>> {
        let value = self.get(name, index)?;
        self.parsed(&value, "a list of addresses and sizes", |text| {
            let numbers: Vec<u64> = text.split_whitespace().map(number).collect::<Option<_>>()?;
            let whole = !numbers.is_empty() && numbers.len().is_multiple_of(2);
            let pieces = numbers.chunks_exact(2).map(|pair| Piece { at: Some(pair[0]), size: Size(pair[1]) });
            whole.then(|| pieces.collect())
        })
    }

    fn description(&mut self) -> Option<Description> {
        if let Some(value) = self.get("BOOT_CMD", None).filter(|value| value.text != "booti") {
            self.complaints.push(Complaint::new(
                "the script boots by booti",
                value.span,
                "is another command",
            ));
        }
        for name in ["NUM_DT_OVERLAY", "NUM_BOOT_AUX_FILE", "DOMU_DRIVER_DOMAIN"] {
            let some = self.values.range((name.to_owned(), None)..=(name.to_owned(), Some(u32::MAX)));
            let some: Vec<Value> =
                some.map(|(_, value)| value.clone()).filter(|value| value.text != "0").collect();
            self.complaints.extend(some.into_iter().map(|value| {
                Complaint::new(format!("{name} is not supported"), value.span, "is more than none")
                    .help("leave it out")
            }));
        }
        let tree = self.required("DEVICE_TREE", None);
        let image = self.required("XEN", None);
        let dom0 = self.dom0();
        let count = self.number("NUM_DOMUS", None).map_or(0, |count| *count.get_ref());
        self.surplus("DOMU_", count);
        let domains: Vec<Domain> =
            (0..count).filter_map(|index| self.domain(index, dom0.is_some())).collect();
        let shared = self.shared(count);
        let pools = self.pools();
        let board = Board { tree, load_window: self.window(), ..Board::default() };
        let span = board.tree.as_ref().map_or(0..0, Spanned::span);
        let heap = self.ranges("XEN_STATIC_HEAP", None);
        let channels: Vec<Channel> = Vec::new();
        Some(Description {
            board: Spanned::new(span, board),
            hypervisor: Hypervisor {
                image: image?,
                command_line: Some(
                    self.text("XEN_CMD", None)
                        .unwrap_or_else(|| Spanned::new(0..0, "console=dtuart".to_owned())),
                ),
                heap: heap.map(|heap| Spanned::new(heap.span(), Memory::Pieces(heap.into_inner()))),
            },
            u_boot: self.text("LOAD_CMD", None).map(|load| Loader { load: Some(load) }),
            dom0,
            domains,
            channels,
            shared,
            pools,
        })
    }

    /// Where files may be loaded.
    fn window(&mut self) -> Option<Spanned<Window>> {
        let [start, end] = ["MEMORY_START", "MEMORY_END"].map(|name| self.get(name, None));
        let (start, end) = (start?, end?);
        let from = self.parsed(&start, "an address", number)?;
        let to = self.parsed(&end, "an address", number)?;
        let Some(size) = to.get_ref().checked_sub(*from.get_ref()).filter(|size| *size > 0) else {
            self.complaints.push(
                Complaint::new("memory ends before it starts", end.span, "the end")
                    .also(start.span, "the start"),
            );
            return None;
        };
        Some(start.spanned(Window { at: *from.get_ref(), size: Size(size) }))
    }

    fn dom0(&mut self) -> Option<Spanned<Dom0>> {
        let kernel = self.path("DOM0_KERNEL", None)?;
        // Memory and vCPUs count only where the whole command line is not stated.
        let stated = self.get("XEN_CMD", None).is_some();
        let memory =
            self.mebibytes("DOM0_MEM", None).unwrap_or_else(|| Spanned::new(kernel.span(), Size(1 << 30)));
        let cpus = self.number("DOM0_VCPUS", None).unwrap_or_else(|| Spanned::new(kernel.span(), 1));
        let line = self.text("DOM0_CMD", None);
        Some(Spanned::new(
            kernel.span(),
            Dom0 {
                ramdisk: self.path("DOM0_RAMDISK", None),
                command_line: Some(
                    line.unwrap_or_else(|| Spanned::new(kernel.span(), "console=hvc0".to_owned())),
                ),
                memory: (!stated).then_some(memory),
                cpus: (!stated).then_some(cpus),
                weight: None,
                cap: None,
                kernel,
            },
        ))
    }

    /// Refuses variables of domains that are not counted.
    fn surplus(&mut self, begin: &str, count: u32) {
        for ((name, index), value) in &self.values {
            let of_none = match index {
                Some(index) => *index >= count,
                None => true,
            };
            if name.starts_with(begin) && of_none {
                let title = format!("{name} is of no domain: NUM_DOMUS is {count}");
                self.complaints.push(Complaint::new(title, value.span.clone(), "counts from 0"));
            }
        }
    }

    fn domain(&mut self, number: u32, has_dom0: bool) -> Option<Domain> {
        let index = Some(number);
        let kernel = self.required("DOMU_KERNEL", index)?;
        let here = kernel.span();
        let fixed = self.ranges("DOMU_STATIC_MEM", index);
        let sum = fixed.as_ref().map(|fixed| {
            let sum = fixed.get_ref().iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.size.0));
            Spanned::new(fixed.span(), Size(sum))
        });
        let memory = self.mebibytes("DOMU_MEM", index).or(sum);
        let direct = self.flag("DOMU_DIRECT_MAP", index);
        let direct = fixed.as_ref().map(|fixed| direct.unwrap_or_else(|| Spanned::new(fixed.span(), true)));
        let uart = self.flag("DOMU_VPL011", index);
        let has_uart = uart.as_ref().is_none_or(|uart| *uart.get_ref());
        let line = self.text("DOMU_CMD", index);
        let enhanced =
            self.flag("DOMU_ENHANCED", index).unwrap_or_else(|| Spanned::new(here.clone(), has_dom0));
        let which = if *enhanced.get_ref() { Enhanced::Yes } else { Enhanced::No };
        Some(Domain {
            name: Spanned::new(here.clone(), format!("domU{number}")),
            ramdisk: self.path("DOMU_RAMDISK", index),
            command_line: line
                .or_else(|| has_uart.then(|| Spanned::new(here.clone(), "console=ttyAMA0".to_owned()))),
            memory: memory.unwrap_or_else(|| Spanned::new(here.clone(), Size(512 << 20))),
            cpus: self.number("DOMU_VCPUS", index).unwrap_or_else(|| Spanned::new(here, 1)),
            fixed: fixed.map(|fixed| Spanned::new(fixed.span(), Memory::Pieces(fixed.into_inner()))),
            direct_map: direct,
            vpl011: uart,
            enhanced: Some(Spanned::new(enhanced.span(), which)),
            interrupts: None,
            devices: self.get("DOMU_PASSTHROUGH_PATHS", index).map(|value| {
                let paths = value.text.split_whitespace().map(|path| value.spanned(path.to_owned()));
                value.spanned(paths.collect())
            }),
            device_tree: self.path("DOMU_PASSTHROUGH_DTB", index),
            page_tables: None,
            pool: self.text("DOMU_CPUPOOL", index),
            weight: None,
            cap: None,
            kernel,
        })
    }

    /// Shared memory: one entry for each name, with all domains that state it.
    fn shared(&mut self, count: u32) -> Vec<Shared> {
        let mut list: Vec<Shared> = Vec::new();
        for index in 0..count {
            let Some(value) = self.get("DOMU_SHARED_MEM", Some(index)) else { continue };
            let user = value.spanned(format!("domU{index}"));
            let words = self.parsed(&value, "a name, host address, guest address and size", |text| {
                let words: Vec<&str> = text.split_whitespace().collect();
                let [name, numbers @ ..] = words.as_slice() else { return None };
                let numbers: Vec<u64> = numbers.iter().map(|word| number(word)).collect::<Option<_>>()?;
                Some(((*name).to_owned(), <[u64; 3]>::try_from(numbers).ok()?))
            });
            let Some((name, [host, guest, size])) = words.map(Spanned::into_inner) else { continue };
            match list.iter_mut().find(|shared| *shared.name.get_ref() == name) {
                None => list.push(Shared {
                    name: value.spanned(name),
                    size: value.spanned(Size(size)),
                    host_at: Some(value.spanned(host)),
                    guest_at: Some(value.spanned(guest)),
                    owner: None,
                    borrowers: value.spanned(vec![user]),
                }),
                Some(shared) => {
                    let same = |stated: &Option<Spanned<u64>>, number: u64| {
                        stated.as_ref().is_some_and(|stated| *stated.get_ref() == number)
                    };
                    if same(&shared.host_at, host)
                        && same(&shared.guest_at, guest)
                        && shared.size.get_ref().0 == size
                    {
                        shared.borrowers.get_mut().push(user);
                    } else {
                        let title = format!("shared memory {name:?} is stated in two ways");
                        let complaint = Complaint::new(title, value.span.clone(), "differs");
                        self.complaints.push(complaint.also(shared.name.span(), "from this"));
                    }
                }
            }
        }
        list
    }

    fn pools(&mut self) -> Vec<Pool> {
        let count = self.number("NUM_CPUPOOLS", None).map_or(0, |count| *count.get_ref());
        let mut pools = Vec::new();
        for index in 0..count {
            let Some(value) = self.get("CPUPOOL", Some(index)) else {
                self.complaints.push(Complaint::bare(format!("CPUPOOL[{index}] is missing")));
                continue;
            };
            let mut words = value.text.split_whitespace();
            let cpus = words
                .next()
                .unwrap_or_default()
                .split(',')
                .map(|name| Processor::Name(name.to_owned()))
                .collect();
            let scheduler = words.next().map(|word| value.spanned(word.to_owned()));
            if words.next().is_some() {
                self.complaints.push(Complaint::new(
                    "a pool is a list of processors and a scheduler",
                    value.span.clone(),
                    "is more",
                ));
            }
            pools.push(Pool { name: value.spanned(index.to_string()), cpus: value.spanned(cpus), scheduler });
        }
        pools
    }
}

/// The first word of a value, what follows it, and how many bytes its quotation mark takes.
fn word(value: &str) -> Result<(&str, &str, usize), &'static str> {
    let (text, rest, quote) = match value.chars().next() {
        Some(mark @ ('"' | '\'')) => {
            let inside = value.get(1..).unwrap_or_default();
            let (text, rest) = inside.split_once(mark).ok_or("has no second quotation mark on its line")?;
            (text, rest, 1)
        }
        _ => {
            let end = value.find([' ', '\t']).unwrap_or(value.len());
            let (text, rest) = value.split_at(end);
            (text, rest, 0)
        }
    };
    let literal = value.starts_with('\'');
    let special = |letter: char| match letter {
        '$' | '`' | '\\' => !literal,
        ';' | '&' | '|' | '<' | '>' | '(' | ')' | '"' | '\'' => quote == 0,
        _ => false,
    };
    if text.contains(special) { Err("would make a shell do something") } else { Ok((text, rest, quote)) }
}

/// A number: decimal, or hexadecimal behind `0x`.
fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    digits.map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests;
