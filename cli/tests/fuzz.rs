//! Trees that nobody wrote: the tables' trees, changed at random, are checked as the board would.
//!
//! Changes are of meaning (cells, properties, nodes, pieces of other trees) and of bytes. What must hold: the check
//! comes to an end soon, refuses or plans, says so in printable words; and what it plans keeps everybody's memory
//! apart. `XENITE_FUZZ_SECONDS` says how long it goes on, `XENITE_STORM_SEED` that the trees are others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use plan::fdt::{Fdt, Writer};
use plan::{Facts, Findings, Input, Modules, Plan, Range, Sizes};

#[path = "../../tests/wrong/expected.rs"]
#[expect(dead_code, reason = "only the lists of trees are needed here")]
mod expected;

const BOARD: &[u8] = include_bytes!("../../plan/tests/data/virt-gicv3.bin");
const IMAGE: Range = Range { base: 0x4020_0000, size: 0x20_0000 };
/// No tree may take longer, on whatever computer this is.
const LONGEST: Duration = Duration::from_secs(5);

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }
}

/// A tree that can be changed.
#[derive(Clone, Default)]
struct Node {
    name: String,
    properties: Vec<(String, Vec<u8>)>,
    children: Vec<Node>,
}

impl Node {
    fn of(node: &plan::fdt::Node<'_>) -> Self {
        Self {
            name: node.name().to_owned(),
            properties: node.properties().map(|one| (one.name().to_owned(), one.value.to_vec())).collect(),
            children: node.children().map(|child| Self::of(&child)).collect(),
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin(&self.name);
        self.properties.iter().for_each(|(name, value)| writer.property(name, value));
        self.children.iter().for_each(|child| child.write(writer));
        writer.end();
    }

    fn count(&self) -> usize {
        self.children.iter().fold(1, |sum, child| sum + child.count())
    }

    /// The node with this number in the order of the tree.
    fn at(&mut self, number: usize) -> &mut Node {
        let mut left = number;
        if left == 0 {
            return self;
        }
        left -= 1;
        let mut position = 0;
        while left >= self.children[position].count() {
            left -= self.children[position].count();
            position += 1;
        }
        self.children[position].at(left)
    }

    /// A node somewhere, more often in /chosen.
    fn somewhere(&mut self, random: &mut Random) -> &mut Node {
        let chosen = self.children.iter().position(|child| child.name == "chosen");
        match chosen.filter(|_| random.below(4) > 0) {
            Some(position) => {
                let chosen = &mut self.children[position];
                let number = random.below(chosen.count());
                chosen.at(number)
            }
            None => {
                let number = random.below(self.count());
                self.at(number)
            }
        }
    }
}

const WORDS: [u32; 16] = [
    0,
    1,
    2,
    3,
    0xfff,
    0x1000,
    0x20_0000,
    0x4000_0000,
    0x4020_0000,
    0x4800_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_f000,
    0xffff_ffff,
    0x100,
    0x6000_0000,
];
const NAMES: [&str; 18] = [
    "compatible",
    "memory",
    "cpus",
    "vpl011",
    "nr_spis",
    "#address-cells",
    "#size-cells",
    "direct-map",
    "xen,static-mem",
    "xen,enhanced",
    "reg",
    "ranges",
    "interrupts",
    "interrupt-parent",
    "xen,evtchn",
    "phandle",
    "status",
    "xen,xen-bootargs",
];
const TEXTS: [&str; 12] = [
    "xen,domain",
    "multiboot,kernel",
    "multiboot,ramdisk",
    "multiboot,module",
    "xen,evtchn-v1",
    "no-xenstore",
    "enabled",
    "disabled",
    "arm,gic-v3",
    "dom0_mem=128M sched=null maxcpus=1",
    "memory",
    "simple-bus",
];

/// Changes a value, as a list of cells or as bytes.
fn change_value(value: &mut Vec<u8>, random: &mut Random) {
    match random.below(6) {
        0 => value.truncate(random.below(value.len() + 1)),
        1 => value.extend(random.of(&WORDS).to_be_bytes()),
        2 => *value = [random.of(&TEXTS).as_bytes(), &[0]].concat(),
        _ if value.len() >= 4 => {
            let at = random.below(value.len() / 4) * 4;
            let old = u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
            let new = match random.below(4) {
                0 => *random.of(&WORDS),
                1 => old.wrapping_add(*random.of(&WORDS)),
                2 => old ^ (1 << random.below(32)),
                _ => random.next() as u32,
            };
            value[at..at + 4].copy_from_slice(&new.to_be_bytes());
        }
        _ => value.push(random.next() as u8),
    }
}

/// Changes a tree in one place.
fn change(tree: &mut Node, seeds: &[Node], random: &mut Random) {
    let donor = random.of(seeds).clone().somewhere(random).clone();
    let may_grow = tree.count() < 2000;
    let node = tree.somewhere(random);
    let (property, child) = (random.below(node.properties.len()), random.below(node.children.len()));
    match random.below(12) {
        0 if !node.properties.is_empty() => drop(node.properties.remove(property)),
        1 if !node.children.is_empty() => drop(node.children.remove(child)),
        2 if !node.children.is_empty() && may_grow => node.children.push(node.children[child].clone()),
        3 if may_grow => node.children.push(donor),
        4 => node.properties.extend(donor.properties.into_iter().take(3)),
        5 => {
            let value = random.of(&WORDS).to_be_bytes().repeat(random.below(9));
            node.properties.push(((*random.of(&NAMES)).to_owned(), value));
        }
        6 if node.name.contains('@') => {
            let unit = random.of(&WORDS);
            node.name = format!("{}@{unit:x}", node.name.split('@').next().unwrap_or("node"));
        }
        _ if !node.properties.is_empty() => change_value(&mut node.properties[property].1, random),
        _ => {}
    }
}

/// A file wherever one is looked for: a partial device tree at its place, else an Image of 1 MiB; or nothing that can be
/// read.
struct Files<'p>(bool, &'p [u8]);

impl Modules for Files<'_> {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        into.fill(0);
        if at == expected::PARTIAL_AT {
            into.iter_mut().zip(self.1).for_each(|(to, from)| *to = *from);
            return self.0;
        }
        for (at, bytes) in [(16, &0x10_0000_u64.to_le_bytes()[..]), (0x38, b"ARM\x64")] {
            if let Some(place) = into.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        self.0
    }
}

fn examine(blob: &[u8], partial: &[u8], readable: bool) -> Findings {
    let facts = Facts { boot_mpidr: 0, physical_bits: 40, spis: 256, sizes: Sizes::BUILT };
    let tree_at = Range { base: 0x4800_0000, size: blob.len().max(1) as u64 };
    let started = Instant::now();
    let modules = &Files(readable, partial);
    let findings = plan::examine(&Input { tree: blob, tree_at, image: IMAGE, modules, facts });
    assert!(started.elapsed() < LONGEST, "a tree took {:?}", started.elapsed());
    findings
}

/// What must hold of whatever is said.
fn is_sound(findings: &Findings) {
    assert_eq!(findings.plan.is_some(), findings.refusals.is_empty());
    let words = findings.refusals.iter().map(ToString::to_string);
    for text in words.chain(findings.warnings.iter().map(ToString::to_string)) {
        assert!(text.len() < 2048 && text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{text:?}");
    }
    if let Some(plan) = &findings.plan {
        keeps_apart(plan);
    }
}

/// All memory that somebody owns, with the owner's name, is RAM and nobody else's.
fn keeps_apart(plan: &Plan) {
    let mut owned: Vec<(Range, String)> = vec![(IMAGE, "image".to_owned()), (plan.heap, "heap".to_owned())];
    for domain in &plan.domains {
        for piece in &domain.memory {
            owned.push((Range { base: piece.host, size: piece.size }, domain.path.clone()));
        }
        assert!(Fdt::open(&domain.tree).is_ok(), "the tree of {} is none", domain.path);
        let images = [Some(domain.kernel.placed), domain.ramdisk].into_iter().flatten();
        for place in
            images.map(|image| (image.guest, image.size)).chain([(domain.tree_at, domain.tree.len() as u64)])
        {
            assert!(inside(domain, place), "{place:x?} is not in the memory of {}", domain.path);
        }
    }
    let is_ram = |range: &Range| plan.board.memory.iter().any(|bank| bank.contains(range));
    for (range, owner) in &owned {
        assert!(is_ram(range), "{owner} has {range}, which is no RAM");
        let reserved = plan.board.reserved.iter().find(|reserved| reserved.overlaps(range));
        assert!(reserved.is_none(), "{owner} has {range}, which is reserved");
    }
    devices_are_apart(plan);
    owned.sort_by_key(|(range, _)| range.base);
    for pair in owned.windows(2) {
        assert!(!pair[0].0.overlaps(&pair[1].0), "{pair:?}");
    }
    for free in &plan.free {
        let owner = owned.iter().find(|(range, _)| range.overlaps(free));
        assert!(owner.is_none(), "{free} is free and {owner:?}'s");
    }
}

/// No two domains have the same registers or interrupts, none has the console's, and no registers hide a guest's RAM.
fn devices_are_apart(plan: &Plan) {
    let mut frames: Vec<(Range, u16)> =
        plan.board.uart.iter().map(|uart| (uart.registers, u16::MAX)).collect();
    let mut intids = std::collections::BTreeSet::new();
    for domain in &plan.domains {
        for one in domain.hardware.iter().flat_map(|hardware| &hardware.mmio) {
            let seen = Range { base: one.guest, size: one.size };
            let mut ram = domain.memory.iter().map(|piece| Range { base: piece.guest, size: piece.size });
            assert!(
                !ram.any(|piece| piece.overlaps(&seen)),
                "{} has registers in its RAM at {seen}",
                domain.path
            );
            let at = Range { base: one.host, size: one.size };
            let other = frames.iter().find(|(other, id)| *id != domain.id && other.overlaps(&at));
            assert!(other.is_none(), "{} has {at}, and so has {other:?}", domain.path);
            let reserved = plan.board.reserved.iter().any(|reserved| reserved.overlaps(&at));
            let is_ram = plan.board.memory.iter().any(|bank| bank.overlaps(&at));
            assert!(reserved || !is_ram, "{} has RAM for registers: {at}", domain.path);
            frames.push((at, domain.id));
        }
        for interrupt in domain.hardware.iter().flat_map(|hardware| &hardware.interrupts) {
            assert!(intids.insert(interrupt.intid), "two domains have interrupt {}", interrupt.intid);
        }
    }
}

/// Whether guest addresses are memory of the domain, piece after piece.
fn inside(domain: &plan::Domain, (start, size): (u64, u64)) -> bool {
    let (mut at, end) = (start, start + size);
    for piece in &domain.memory {
        if (piece.guest..piece.guest + piece.size).contains(&at) {
            at = piece.guest + piece.size;
        }
    }
    at >= end
}

/// The trees of the tables over QEMU's board, and the board alone.
fn seeds() -> Vec<Node> {
    let mut seeds = vec![Node::of(&Fdt::open(BOARD).unwrap().root())];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz/wrong");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["good.dtsi", "devices.dtsi"] {
        std::fs::copy(root.join("tests/wrong").join(name), folder.join(name)).unwrap();
    }
    let board = root.join("plan/tests/data/virt-gicv3.bin");
    let Ok(board) = Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(board).output() else {
        return seeds;
    };
    let board = String::from_utf8(board.stdout).unwrap();
    for table in ["wrong", "odd"] {
        for tree in expected::trees(&root.join("tests").join(table)) {
            let source =
                std::fs::read_to_string(tree).unwrap().replace("/dts-v1/;", "").replace("../wrong/", "");
            let file = folder.join("tree.dts");
            std::fs::write(&file, format!("{board}{source}")).unwrap();
            let blob = Command::new("dtc").args(["-q", "-O", "dtb"]).arg(&file).output().unwrap();
            assert!(blob.status.success(), "{}", String::from_utf8_lossy(&blob.stderr));
            seeds.push(Node::of(&Fdt::open(&blob.stdout).unwrap().root()));
        }
    }
    seeds
}

/// The partial trees of the tables.
fn partial_seeds() -> Vec<Node> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    if Command::new("dtc").arg("--version").output().is_err() {
        return vec![Node::default()];
    }
    let trees =
        ["wrong", "odd"].into_iter().flat_map(|table| expected::trees(&root.join("tests").join(table)));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let blobs = trees.filter_map(|tree| std::fs::read(expected::partial(&tree, folder)?).ok());
    blobs.map(|blob| Node::of(&Fdt::open(&blob).unwrap().root())).collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_tree_however_changed_is_more_than_refused_or_planned() {
    let (seeds, partial_seeds) = (seeds(), partial_seeds());
    let seed = number("XENITE_STORM_SEED").unwrap_or(0);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let end = Instant::now() + Duration::from_secs(number("XENITE_FUZZ_SECONDS").unwrap_or(2));
    let (mut trees, mut planned, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    let mut kinds = std::collections::BTreeSet::new();
    while Instant::now() < end {
        let mut tree = random.of(&seeds).clone();
        for _ in 0..=random.below(4) {
            change(&mut tree, &seeds, &mut random);
        }
        let mut writer = Writer::new();
        tree.write(&mut writer);
        let mut blob = writer.finish();
        // Some are damaged as bytes, too.
        for _ in 0..if random.below(8) == 0 { random.below(5) } else { 0 } {
            let at = random.below(blob.len());
            blob[at] = random.next() as u8;
        }
        let mut partial = random.of(&partial_seeds).clone();
        for _ in 0..random.below(3) {
            change(&mut partial, &partial_seeds, &mut random);
        }
        let mut writer = Writer::new();
        partial.write(&mut writer);
        let mut partial = writer.finish();
        for _ in 0..if random.below(8) == 0 { random.below(5) } else { 0 } {
            let at = random.below(partial.len());
            partial[at] = random.next() as u8;
        }
        let readable = random.below(2) == 0;
        let started = Instant::now();
        let findings = examine(&blob, &partial, readable);
        let mut taken = started.elapsed();
        // Others run on this computer, too: what took long is asked again.
        for _ in 0..if taken > slowest { 3 } else { 0 } {
            let started = Instant::now();
            let _ = examine(&blob, &partial, readable);
            taken = taken.min(started.elapsed());
        }
        slowest = slowest.max(taken);
        is_sound(&findings);
        trees += 1;
        planned += u64::from(findings.plan.is_some());
        let letters =
            |text: &str| text.chars().filter(|c| !c.is_ascii_hexdigit()).take(24).collect::<String>();
        kinds.extend(
            findings.refusals.iter().map(|refusal| (refusal.property.clone(), letters(&refusal.reason))),
        );
    }
    println!(
        "{trees} trees, {planned} planned, {} kinds of refusals, the slowest took {slowest:?}",
        kinds.len()
    );
    // Both happen often, or the changes test nothing.
    assert!(
        seeds.len() == 1 || trees < 500 || (planned > trees / 50 && planned < trees),
        "{planned} of {trees} were planned"
    );
}
