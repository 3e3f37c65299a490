//! Memory that domains share from their first instruction on (`xen,domain-shared-memory-v1`).
//!
//! Each use is a node of its own below the domain that has it, or below `/chosen` for dom0: which region (by a name
//! that the owner chooses), where it lies in the host, and where the domain sees it. One of the users may be the
//! owner; else nobody is. All nodes are read first, wherever they stand, and then joined by their regions' names.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::domains::{CHOSEN, Chosen, MOST_DOMAINS, Wanted, dom0};
use crate::fdt::{Cells, Fdt, Node, Property};
use crate::layout;
use crate::pv::Interface;
use crate::range::{BLOCK_2_MIB, FRAME_BYTES, is_aligned};
use crate::report::{Report, quoted};
use crate::shape::{Board, GuestMemory, Layout, Range, SharedRegion, SharedView};

pub(crate) const COMPATIBLE: &str = "xen,domain-shared-memory-v1";
pub(crate) const PLACE: &str = "xen,shared-mem";
const ID: &str = "xen,shm-id";
const ROLE: &str = "role";
/// Characters of a region's name: 16 with the zero behind them.
const LONGEST_ID: usize = 15;

/// Bytes that a use takes in the plan: its path and its region's name, its places in lists, its nodes in trees.
const USE_BYTES: u64 = 768;

/// What a domain is for a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Owner,
    Borrower,
    /// The node does not say: the region is nobody's.
    Unsaid,
}

/// A node as it stands in the tree.
#[derive(Debug)]
struct Use<'a> {
    path: String,
    /// Path of the domain.
    domain: String,
    id: &'a str,
    host: Range,
    guest: u64,
    role: Role,
}

/// A region, with what is said of it first.
#[derive(Debug)]
pub(crate) struct Region<'a> {
    pub(crate) id: &'a str,
    pub(crate) host: Range,
    /// The first node that names it.
    pub(crate) path: String,
    /// Position of the use that owns it.
    owner: Option<usize>,
    /// Position of a use that says nothing of ownership, and of one that borrows.
    unsaid: Option<usize>,
    borrower: Option<usize>,
    uses: usize,
}

/// All shared memory.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory<'a> {
    pub(crate) regions: Vec<Region<'a>>,
    uses: Vec<Use<'a>>,
}

/// Reads all of it. Faults are reported.
pub(crate) fn read<'a>(fdt: &Fdt<'a>, chosen: &mut Chosen<'_>, report: &mut Report) -> SharedMemory<'a> {
    let mut shared = SharedMemory::default();
    let Some(node) = fdt.chosen() else { return shared };
    let cells = node.cells(fdt.root().cells(Cells::DEFAULT));
    let has_dom0 = dom0::kernel(fdt).is_some();
    let mut count: usize = 0;
    let mut whole = true;
    for child in node.children() {
        if child.is_compatible(COMPATIBLE) {
            if has_dom0 {
                whole &= shared.add(&child, (CHOSEN, cells), chosen, report);
            } else {
                let path = format!("{CHOSEN}/{}", child.name());
                let reason = "is shared memory of dom0, and there is no dom0";
                report.refuse(&path, "compatible", reason, "it belongs into the node of a domain");
            }
        } else if child.is_compatible("xen,domain") {
            count = count.saturating_add(1);
            let path = format!("{CHOSEN}/{}", child.name());
            let cells = child.cells(cells);
            let known = child.children().filter(|_| count <= MOST_DOMAINS);
            for grandchild in known.filter(|node| node.is_compatible(COMPATIBLE)) {
                whole &= shared.add(&grandchild, (&path, cells), chosen, report);
            }
        }
    }
    // What a faulty node would have said of its region is not missed.
    if whole {
        shared.check_owners(report);
    }
    shared
}

impl<'a> SharedMemory<'a> {
    /// Adds the use that `node` is; false if it is faulty (reported), or the plan becomes too large.
    fn add(
        &mut self,
        node: &Node<'a>,
        (domain, cells): (&str, Cells),
        chosen: &mut Chosen<'_>,
        report: &mut Report,
    ) -> bool {
        let path_bytes = domain.len().saturating_mul(2).saturating_add(node.name().len());
        if !chosen.spend(USE_BYTES.saturating_add(u64::try_from(path_bytes).unwrap_or(u64::MAX)), report) {
            return false;
        }
        let one = read_use(node, (domain, cells), report);
        one.is_some_and(|one| self.join(one, report))
    }

    /// Adds a use to its region; false where it contradicts another one.
    fn join(&mut self, one: Use<'a>, report: &mut Report) -> bool {
        let position = self.uses.len();
        let index = match self.regions.iter().position(|region| region.id == one.id) {
            Some(index) => index,
            None => {
                if let Some(region) = self.regions.iter().find(|region| region.host.overlaps(&one.host)) {
                    let reason = format!(
                        "{} overlaps {}, which is {} of {}",
                        one.host,
                        region.host,
                        quoted(region.id),
                        region.path
                    );
                    report.refuse(&one.path, PLACE, reason, "each region has host memory of its own");
                    return false;
                }
                let (id, host, path) = (one.id, one.host, one.path.clone());
                let region = Region { id, host, path, owner: None, unsaid: None, borrower: None, uses: 0 };
                self.regions.push(region);
                self.regions.len().saturating_sub(1)
            }
        };
        let Some(region) = self.regions.get_mut(index) else { return false };
        if region.host != one.host {
            let reason = format!(
                "{} is at {} here, but at {} in {}",
                quoted(one.id),
                one.host,
                region.host,
                region.path
            );
            report.refuse(&one.path, PLACE, reason, "all uses of a region name the same host memory");
            return false;
        }
        let first = match one.role {
            Role::Owner => &mut region.owner,
            Role::Borrower => &mut region.borrower,
            Role::Unsaid => &mut region.unsaid,
        };
        let before = first.replace(first.unwrap_or(position)).filter(|_| one.role == Role::Owner);
        region.uses = region.uses.saturating_add(1);
        if let Some(owner) = before.and_then(|before| self.uses.get(before)) {
            let reason = format!("{} has an owner already, {}", quoted(one.id), owner.domain);
            report.refuse(&one.path, ROLE, reason, "one owner; the others are \"borrower\"");
            return false;
        }
        self.uses.push(one);
        true
    }

    /// Either one user is the owner and the others borrow, or nobody says that somebody is.
    fn check_owners(&self, report: &mut Report) {
        for region in &self.regions {
            let at = |position: Option<usize>| position.and_then(|position| self.uses.get(position));
            match (at(region.owner), at(region.unsaid), at(region.borrower)) {
                (Some(owner), Some(unsaid), _) => {
                    let reason = format!("is missing, but {} says that {} owns it", owner.path, owner.domain);
                    report.refuse(&unsaid.path, ROLE, reason, "role = \"borrower\";");
                }
                (None, None, Some(borrower)) => {
                    let reason = format!("is \"borrower\", but {} has no owner", quoted(region.id));
                    let hint = "role = \"owner\"; in one domain, or no role in any: then it is nobody's";
                    report.refuse(&borrower.path, ROLE, reason, hint);
                }
                _ => {}
            }
            if region.uses == 1 {
                let text = format!("{} is shared with nobody: no other node names it", quoted(region.id));
                report.warn(&region.path, &text);
            }
        }
    }

    /// What the domain at this path has of it, in guest order.
    pub(crate) fn of_domain(&self, path: &str) -> Vec<SharedView> {
        let mut shares = Vec::new();
        for one in self.uses.iter().filter(|one| one.domain == path) {
            let Some(region) = self.regions.iter().position(|region| region.id == one.id) else { continue };
            let memory = GuestMemory { guest: one.guest, host: one.host.base, size: one.host.size };
            let share = SharedView { region, memory, is_owner: one.role == Role::Owner };
            crate::range::insert_sorted_by_key(&mut shares, share, |share| share.memory.guest);
        }
        shares
    }

    /// The regions as a plan has them; `domains` are the paths of the plan's domains.
    pub(crate) fn into_regions(self, domains: &[&str]) -> Vec<SharedRegion> {
        let owner_of = |region: &Region<'_>| {
            let owner = self.uses.get(region.owner?)?;
            domains.iter().position(|path| *path == owner.domain)
        };
        let mut regions = Vec::with_capacity(self.regions.len());
        for region in &self.regions {
            let owner = owner_of(region);
            regions.push(SharedRegion { id: region.id.into(), host: region.host, owner });
        }
        regions
    }

    /// Checks where a domain sees what it shares: nothing else may be there.
    pub(crate) fn check_places(&self, scene: &Place<'_>, report: &mut Report) {
        let taken = scene.taken();
        let mine = || self.uses.iter().filter(|one| one.domain == scene.wanted.path);
        for (position, one) in (0..self.uses.len()).zip(mine()) {
            let Some(range) = Range::new(one.guest, one.host.size) else { continue };
            if range.end() > scene.reach {
                let hint = format!("guest addresses end at {:#x}", scene.reach);
                report.refuse(&one.path, PLACE, format!("guest address {range} is out of reach"), &hint);
            }
            let other = mine().take(position).find(|other| {
                Range::new(other.guest, other.host.size).is_some_and(|other| other.overlaps(&range))
            });
            let in_the_way = taken.iter().find(|(other, _)| other.overlaps(&range));
            let what = other
                .map(|other| format!("{} of the domain's", quoted(other.id)))
                .or_else(|| in_the_way.map(|(other, what)| format!("{what} at {other}")));
            if let Some(what) = what {
                let reason = format!("guest address {range} overlaps {what}");
                report.refuse(&one.path, PLACE, reason, "another guest address, the second in the property");
            }
            if scene.wanted.is_dom0 && one.guest != one.host.base {
                let reason = format!("guest address {:#x} is not the host's {:#x}", one.guest, one.host.base);
                report.refuse(&one.path, PLACE, reason, "dom0 sees all memory at the host's addresses");
            }
        }
    }
}

/// What a domain sees, where shared memory must not be.
pub(crate) struct Place<'s> {
    pub(crate) wanted: &'s Wanted<'s>,
    pub(crate) banks: &'s [Range],
    pub(crate) layout: &'s Layout,
    pub(crate) board: &'s Board,
    pub(crate) interface: Option<&'s Interface>,
    /// Where guest addresses end.
    pub(crate) reach: u64,
}

impl Place<'_> {
    /// All of that.
    pub(crate) fn taken(&self) -> Vec<(Range, &'static str)> {
        let mut taken: Vec<(Range, &str)> = Vec::new();
        self.banks.iter().for_each(|bank| taken.push((*bank, "the domain's RAM")));
        let devices = layout::registers(self.layout, self.board, self.wanted.vpl011);
        devices.for_each(|device| taken.push(device));
        if let Some(interface) = self.interface {
            taken.push((interface.grant_window, "the grant table's window"));
            if !self.wanted.is_dom0 {
                taken.push((layout::MAGIC_PAGES, "pages of xenstore and the console"));
            }
        }
        taken
    }
}

/// A node by itself; `None` where it is faulty (reported).
fn read_use<'a>(node: &Node<'a>, (domain, cells): (&str, Cells), report: &mut Report) -> Option<Use<'a>> {
    let path = format!("{domain}/{}", node.name());
    for property in node.properties() {
        if !["compatible", ID, PLACE, ROLE, "phandle", "linux,phandle"].contains(&property.name()) {
            report.warn(&path, &format!("unknown property {} is ignored", quoted(property.name())));
        }
    }
    let id = id(node, &path, report);
    let place = place(node, &path, cells, report);
    let role = role(node, &path, report);
    let (host, guest) = place?;
    let congruent = is_aligned(host.base ^ guest, BLOCK_2_MIB);
    if host.size >= BLOCK_2_MIB && !congruent {
        let text = format!(
            "{PLACE}: guest address {guest:#x} and host address {:#x} differ below 2 MiB: it is mapped in 4 KiB pages",
            host.base
        );
        report.warn(&path, &text);
    }
    Some(Use { path, domain: domain.into(), id: id?, host, guest, role: role? })
}

fn id<'a>(node: &Node<'a>, path: &str, report: &mut Report) -> Option<&'a str> {
    let hint = "xen,shm-id = \"camera\"; up to 15 characters, the same in all domains that share the memory";
    let Some(property) = node.property(ID) else {
        report.refuse(path, ID, "is missing", hint);
        return None;
    };
    let text = property.text();
    let is_name = |text: &&str| !text.is_empty() && text.len() <= LONGEST_ID;
    let id = text.filter(is_name).filter(|text| text.chars().all(|letter| letter.is_ascii_graphic()));
    if id.is_none() {
        let reason = match text {
            Some(text) => format!("is {}, which has {} characters or odd ones", quoted(text), text.len()),
            None => String::from("is no text"),
        };
        report.refuse(path, ID, reason, hint);
    }
    id
}

fn role(node: &Node<'_>, path: &str, report: &mut Report) -> Option<Role> {
    let Some(property) = node.property(ROLE) else { return Some(Role::Unsaid) };
    match property.text() {
        Some("owner") => Some(Role::Owner),
        Some("borrower") => Some(Role::Borrower),
        text => {
            let reason = format!("is {}, which means nothing", quoted(text.unwrap_or("no text")));
            report.refuse(path, ROLE, reason, "\"owner\", \"borrower\", or no such property");
            None
        }
    }
}

/// Host memory, and the guest address where it is seen.
fn place(node: &Node<'_>, path: &str, cells: Cells, report: &mut Report) -> Option<(Range, u64)> {
    let form =
        format!("{} cells of host address, {0} of guest address, {} of size", cells.address, cells.size);
    let Some(property) = node.property(PLACE) else {
        report.refuse(path, PLACE, "is missing", &form);
        return None;
    };
    let Some([host, guest, size]) = numbers(&property, cells) else {
        let bytes = property.value.len();
        let without_host = cells.address.saturating_add(cells.size).saturating_mul(4);
        let reason = if usize::try_from(without_host) == Ok(bytes) {
            format!("has {bytes} bytes, so there is no host address, which its owner must choose")
        } else {
            format!("has {bytes} bytes")
        };
        report.refuse(path, PLACE, reason, &form);
        return None;
    };
    let range = Range::new(host, size).filter(|_| Range::new(guest, size).is_some());
    let range = range.filter(|_| is_aligned(host | guest | size, FRAME_BYTES));
    if range.is_none() {
        let reason = format!(
            "host {host:#x}, guest {guest:#x}, size {size:#x}: empty, not 4 KiB aligned, or beyond the address space"
        );
        let hint = format!("{form}; all multiples of 0x1000");
        report.refuse(path, PLACE, reason, &hint);
    }
    range.map(|range| (range, guest))
}

/// The three numbers of a place.
fn numbers(property: &Property<'_>, cells: Cells) -> Option<[u64; 3]> {
    let pairs = Cells { address: cells.address, size: 0 };
    let (address, size) = (usize::try_from(cells.address).ok()?, usize::try_from(cells.size).ok()?);
    let at = address.saturating_mul(8);
    let whole = at.saturating_add(size.saturating_mul(4));
    let (addresses, rest) = property.value.split_at_checked(at)?;
    let mut addresses = Property { value: addresses, ..*property }.reg(pairs)?;
    let size =
        Property { value: rest, ..*property }.u32_or_u64().filter(|_| property.value.len() == whole)?;
    let (Some((host, _)), Some((guest, _))) = (addresses.next(), addresses.next()) else { return None };
    Some([host, guest, size])
}
