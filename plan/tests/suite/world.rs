//! A board to experiment on: QEMU's `virt` tree in an editable form, files in memory, and facts.

use plan::fdt::{self, Fdt, Writer};
use plan::{Facts, Input, Modules, Plan, Range, Refusal, Sizes};

/// The tree of `qemu-system-aarch64 -M virt,virtualization=on,gic-version=3 -cpu cortex-a57 -smp 2 -m 1G`.
pub(crate) const VIRT_GICV3: &[u8] = include_bytes!("../data/virt-gicv3.bin");
/// The same with `gic-version=2`.
pub(crate) const VIRT_GICV2: &[u8] = include_bytes!("../data/virt-gicv2.bin");

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const RAM_BASE: u64 = 0x4000_0000;

/// A node in an editable form.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) properties: Vec<(String, Vec<u8>)>,
    pub(crate) children: Vec<Node>,
}

impl Node {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), properties: Vec::new(), children: Vec::new() }
    }

    fn copy(node: &fdt::Node<'_>) -> Self {
        Self {
            name: node.name().into(),
            properties: node.properties().map(|entry| (entry.name().into(), entry.value.to_vec())).collect(),
            children: node.children().map(|child| Self::copy(&child)).collect(),
        }
    }

    /// The node at a path below this one.
    pub(crate) fn at(&mut self, path: &str) -> &mut Node {
        path.split('/').filter(|name| !name.is_empty()).fold(self, |node, name| {
            let position = node.children.iter().position(|child| child.name == name);
            let position = position.unwrap_or_else(|| panic!("no node {name} of {path}"));
            &mut node.children[position]
        })
    }

    pub(crate) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.set(name, value);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.properties.retain(|(known, _)| known != name);
        self.properties.push((name.into(), value.to_vec()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let before = self.properties.len();
        self.properties.retain(|(known, _)| known != name);
        assert!(self.properties.len() < before, "no property {name}");
    }

    pub(crate) fn remove_child(&mut self, name: &str) {
        let before = self.children.len();
        self.children.retain(|child| child.name != name);
        assert!(self.children.len() < before, "no child {name}");
    }

    pub(crate) fn cells(self, name: &str, cells: &[u32]) -> Self {
        self.bytes(name, &cells.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>())
    }

    pub(crate) fn numbers(self, name: &str, numbers: &[u64]) -> Self {
        self.bytes(name, &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>())
    }

    pub(crate) fn texts(self, name: &str, texts: &[&str]) -> Self {
        self.bytes(name, &texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect::<Vec<u8>>())
    }

    pub(crate) fn child(mut self, child: Node) -> Self {
        self.children.push(child);
        self
    }

    /// The blob of a tree of its own.
    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin(&self.name);
        self.properties.iter().for_each(|(name, value)| writer.property(name, value));
        self.children.iter().for_each(|child| child.write(writer));
        writer.end();
    }
}

/// Files in memory: base, size, first bytes, last bytes; the rest is zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    pub(crate) files: Vec<File>,
    /// Registers of devices, with their addresses.
    pub(crate) registers: Vec<(u64, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
}

impl Modules for Files {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        let end = at + into.len() as u64;
        let Some(file) = self.files.iter().find(|file| file.base <= at && end <= file.base + file.size)
        else {
            return false;
        };
        for (offset, byte) in (at - file.base..).zip(into) {
            let from_end = (file.size - offset) as usize;
            *byte = file.head.get(offset as usize).copied().unwrap_or(0);
            if from_end <= file.tail.len() {
                *byte = file.tail[file.tail.len() - from_end];
            }
        }
        true
    }

    fn register(&self, at: u64) -> Option<u32> {
        self.registers.iter().find(|(address, _)| *address == at).map(|(_, value)| *value)
    }
}

/// The header of an Image.
pub(crate) fn image_header(text_offset: u64, image_size: u64) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[8..16].copy_from_slice(&text_offset.to_le_bytes());
    header[16..24].copy_from_slice(&image_size.to_le_bytes());
    header[0x38..0x3c].copy_from_slice(b"ARM\x64");
    header
}

/// `content` as a gzip file.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    file.extend(miniz_oxide::deflate::compress_to_vec(content, 6));
    file.extend(plan::gzip::crc32(0, content).to_le_bytes());
    file.extend((content.len() as u32).to_le_bytes());
    file
}

pub(crate) const KERNEL_AT: u64 = 0x5000_0000;
pub(crate) const KERNEL_BYTES: u64 = 30 * MIB + 0x1200;
pub(crate) const RAMDISK_AT: u64 = 0x5800_0000;
pub(crate) const RAMDISK_BYTES: u64 = 0x11_801d;

pub(crate) fn kernel_node(base: u64, size: u64) -> Node {
    Node::new(&format!("module@{base:x}"))
        .texts("compatible", &["multiboot,kernel", "multiboot,module"])
        .numbers("reg", &[base, size])
        .texts("bootargs", &["console=ttyAMA0 dtdump"])
}

pub(crate) fn ramdisk_node(base: u64, size: u64) -> Node {
    Node::new(&format!("module@{base:x}"))
        .texts("compatible", &["multiboot,ramdisk", "multiboot,module"])
        .numbers("reg", &[base, size])
}

/// A domain with a UART and the world's two modules.
pub(crate) fn domain(name: &str, memory_kib: u64, cpus: u32) -> Node {
    Node::new(name)
        .texts("compatible", &["xen,domain"])
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .numbers("memory", &[memory_kib])
        .cells("cpus", &[cpus])
        .bytes("vpl011", &[])
        .child(kernel_node(KERNEL_AT, KERNEL_BYTES))
        .child(ramdisk_node(RAMDISK_AT, RAMDISK_BYTES))
}

pub(crate) const SIZES: Sizes = Sizes {
    fixed: 96 << 10,
    processor: 28 << 10,
    stack: 20 << 10,
    seat: 24,
    domain: 8 << 10,
    vcpu: 4 << 10,
    spi: 16,
    pv_domain: 64 << 10,
    control_domain: 128 << 10,
    block: 2 << 10,
    stretch: 2 << 10,
    shared_pages: 66,
    planning: 256 << 10,
    boot_heap: 8 << 20,
};

/// A board, files and facts.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) tree: Node,
    pub(crate) reservations: Vec<(u64, u64)>,
    pub(crate) tree_at: Range,
    pub(crate) image: Range,
    pub(crate) files: Files,
    pub(crate) facts: Facts,
}

impl World {
    pub(crate) fn new(blob: &[u8]) -> Self {
        let fdt = Fdt::open(blob).expect("QEMU's tree");
        let kernel =
            File { base: KERNEL_AT, size: KERNEL_BYTES, head: image_header(0, 32 * MIB), tail: Vec::new() };
        let ramdisk = File { base: RAMDISK_AT, size: RAMDISK_BYTES, head: Vec::new(), tail: Vec::new() };
        Self {
            tree: Node::copy(&fdt.root()),
            reservations: Vec::new(),
            tree_at: Range { base: 0x4800_0000, size: 1 << 20 },
            image: Range { base: RAM_BASE + 2 * MIB, size: 512 << 10 },
            files: Files { files: vec![kernel, ramdisk], registers: Vec::new() },
            facts: Facts { boot_mpidr: 0x8000_0000, physical_bits: 44, spis: 256, sizes: SIZES },
        }
    }

    /// A GICv3 board with 1 GiB and one domain of 128 MiB, `/chosen/domU1`.
    pub(crate) fn with_a_domain() -> Self {
        let mut world = Self::new(VIRT_GICV3);
        world.add(domain("domU1", 128 << 10, 1));
        world
    }

    pub(crate) fn add(&mut self, domain: Node) {
        self.tree.at("/chosen").children.push(domain);
    }

    /// Adds a dom0 of 128 MiB, with a kernel of its own like that of the domains.
    pub(crate) fn add_dom0(&mut self) {
        const KERNEL: u64 = 0x5400_0000;
        self.chosen().set("#address-cells", &2_u32.to_be_bytes());
        self.chosen().set("#size-cells", &2_u32.to_be_bytes());
        let kernel = File { base: KERNEL, ..self.files.files[0].clone() };
        self.files.files.push(kernel);
        self.add(kernel_node(KERNEL, KERNEL_BYTES));
        self.command_line("dom0_mem=128M");
    }

    pub(crate) fn domain(&mut self) -> &mut Node {
        self.tree.at("/chosen/domU1")
    }

    pub(crate) fn kernel(&mut self) -> &mut Node {
        self.tree.at("/chosen/domU1/module@50000000")
    }

    pub(crate) fn chosen(&mut self) -> &mut Node {
        self.tree.at("/chosen")
    }

    pub(crate) fn ram(&mut self, banks: &[(u64, u64)]) {
        let numbers: Vec<u64> = banks.iter().flat_map(|(base, size)| [*base, *size]).collect();
        let node = self.tree.at("/memory@40000000");
        *node = Node::new("memory@40000000").texts("device_type", &["memory"]).numbers("reg", &numbers);
    }

    pub(crate) fn command_line(&mut self, line: &str) {
        self.chosen().set("xen,xen-bootargs", &[line.as_bytes(), &[0]].concat());
    }

    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.reservations.iter().for_each(|(base, size)| writer.reserve(*base, *size));
        self.tree.write(&mut writer);
        writer.finish()
    }

    pub(crate) fn read_blob(&self, blob: &[u8]) -> Result<Plan, Vec<Refusal>> {
        self.read_blob_with(blob, &self.files)
    }

    pub(crate) fn read_blob_with(&self, blob: &[u8], modules: &dyn Modules) -> Result<Plan, Vec<Refusal>> {
        let (tree_at, image, facts) = (self.tree_at, self.image, self.facts);
        plan::read(&Input { tree: blob, tree_at, image, modules, facts })
    }

    pub(crate) fn read(&self) -> Result<Plan, Vec<Refusal>> {
        self.read_blob(&self.blob())
    }

    /// The plan, which must be there.
    pub(crate) fn plan(&self) -> Plan {
        self.read().unwrap_or_else(|refusals| panic!("refused: {}", words(&refusals)))
    }

    /// What the refusals say, which must be there.
    pub(crate) fn refusals(&self) -> String {
        match self.read() {
            Ok(_) => panic!("not refused"),
            Err(refusals) => words(&refusals),
        }
    }

    /// All warnings of the plan, one on a line.
    pub(crate) fn warnings(&self) -> String {
        self.plan().warnings.iter().map(|warning| format!("{warning}\n")).collect()
    }
}

pub(crate) fn words(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| format!("{refusal}\n")).collect()
}
