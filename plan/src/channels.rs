//! Static event channels: pairs of ports that are bound to each other before any guest runs.
//!
//! Each end is a node of its own below the domain that has the port: `xen,evtchn = <port &peer>`, where the peer
//! is the node of the other end. Both ends are read first, wherever they stand, and then joined by their
//! phandles. Guests are told nothing; they know their ports as their owner does.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::domains::{CHOSEN, Chosen, MOST_DOMAINS, dom0};
use crate::fdt::{Fdt, Node};
use crate::range::insert_sorted_by_key;
use crate::report::{Report, quoted};
use crate::shape::{Channel, ChannelEnd};

/// The last port that a domain may have (`max_evtchn_port` of a domain that is not dom0).
pub const MOST_DOMAIN_PORTS: u32 = 1023;
/// The last port that dom0 may have.
pub const MOST_DOM0_PORTS: u32 = 8191;

pub(crate) const COMPATIBLE: &str = "xen,evtchn-v1";
const PROPERTY: &str = "xen,evtchn";
const HINT: &str = "xen,evtchn = <10 &peer>; a port of this domain, and the node of the channel's other end";

/// Bytes that an end takes in the plan: its path, its place in two lists, its half of the channel.
const END_BYTES: u64 = 384;

/// A node as it stands in the tree.
#[derive(Debug)]
struct End {
    path: String,
    /// What points at it finds it by this number.
    phandle: Option<u32>,
    /// The domain (an index) and its port.
    here: ChannelEnd,
    /// The phandle of the other end.
    peer: u32,
}

/// Whose nodes are being read.
#[derive(Clone, Copy, Debug)]
struct Owner<'p> {
    path: &'p str,
    index: usize,
    most_ports: u32,
    is_enhanced: bool,
}

/// Reads all static event channels. Faults are reported; indexes of domains are right where there is none.
pub(crate) fn read(fdt: &Fdt<'_>, chosen: &mut Chosen<'_>, report: &mut Report) -> Vec<Channel> {
    let ends = ends(fdt, chosen, report);
    check_ports(&ends, report);
    let mut by_phandle: Vec<(u32, usize)> = Vec::new();
    for (position, end) in ends.iter().enumerate() {
        if let Some(phandle) = end.phandle {
            insert_sorted_by_key(&mut by_phandle, (phandle, position), |entry| *entry);
        }
    }
    let find = |phandle: u32| {
        let at = by_phandle.partition_point(|(known, _)| *known < phandle);
        by_phandle.get(at).filter(|(known, _)| *known == phandle).map(|(_, position)| *position)
    };
    let mut channels = Vec::new();
    for (position, end) in ends.iter().enumerate() {
        let found = find(end.peer).and_then(|other| Some((other, ends.get(other)?)));
        let Some((other, peer)) = found else {
            let reason = format!("phandle {:#x} belongs to no {COMPATIBLE} node of a domain", end.peer);
            report.refuse(&end.path, PROPERTY, reason, HINT);
            continue;
        };
        if other == position {
            report.refuse(&end.path, PROPERTY, "points at its own node", "a channel has two ends, two nodes");
        } else if find(peer.peer) != Some(position) {
            let reason = format!("points at {}, which does not point back", peer.path);
            let places = [(end.path.as_str(), PROPERTY), (peer.path.as_str(), PROPERTY)];
            report.clash(places, reason, "the two ends of a channel name each other");
        } else if position < other {
            // Each channel is met twice.
            channels.push(Channel { ends: [end.here, peer.here] });
        }
    }
    channels
}

/// All ends, of dom0 and then of the others.
fn ends(fdt: &Fdt<'_>, chosen: &mut Chosen<'_>, report: &mut Report) -> Vec<End> {
    let mut ends = Vec::new();
    let Some(node) = fdt.chosen() else { return ends };
    let has_dom0 = dom0::kernel(fdt).is_some();
    // Where there is no dom0 its ends are nobody's, but their peers do not point at nothing.
    let index = if has_dom0 { 0 } else { usize::MAX };
    let owner = Owner { path: CHOSEN, index, most_ports: MOST_DOM0_PORTS, is_enhanced: true };
    for child in node.children().filter(|child| child.is_compatible(COMPATIBLE)) {
        if !has_dom0 {
            let path = format!("{CHOSEN}/{}", child.name());
            let reason = "is an event channel of dom0, and there is no dom0";
            report.refuse(&path, "compatible", reason, "it belongs into the node of a domain");
        }
        if !add(&mut ends, (&child, owner), chosen, report) {
            return ends;
        }
    }
    let domains = node.children().filter(|child| child.is_compatible("xen,domain")).take(MOST_DOMAINS);
    let mut next = usize::from(has_dom0);
    for domain in domains {
        let index = next;
        next = next.saturating_add(1);
        let path = format!("{CHOSEN}/{}", domain.name());
        // A value that means nothing is refused elsewhere.
        let is_enhanced =
            domain.property("xen,enhanced").is_some_and(|value| value.text() != Some("disabled"));
        let owner = Owner { path: &path, index, most_ports: MOST_DOMAIN_PORTS, is_enhanced };
        for child in domain.children().filter(|child| child.is_compatible(COMPATIBLE)) {
            if !add(&mut ends, (&child, owner), chosen, report) {
                return ends;
            }
        }
    }
    ends
}

/// Adds the end that `node` is; false if the plan becomes too large.
fn add(
    ends: &mut Vec<End>,
    (node, owner): (&Node<'_>, Owner<'_>),
    chosen: &mut Chosen<'_>,
    report: &mut Report,
) -> bool {
    let path_bytes = owner.path.len().saturating_add(node.name().len());
    let bytes = END_BYTES.saturating_add(u64::try_from(path_bytes).unwrap_or(u64::MAX));
    let fits = chosen.spend(bytes, report);
    if fits {
        ends.extend(end(node, owner, report));
    }
    fits
}

fn end(node: &Node<'_>, owner: Owner<'_>, report: &mut Report) -> Option<End> {
    let path = format!("{}/{}", owner.path, node.name());
    for property in node.properties() {
        if !["compatible", PROPERTY, "phandle", "linux,phandle", "reg"].contains(&property.name()) {
            let text = format!("unknown property {} is ignored", quoted(property.name()));
            report.warn_of(&path, property.name(), &text);
        }
    }
    if !owner.is_enhanced {
        let reason = format!("{} has no PV interfaces, so no event channels", owner.path);
        report.refuse(&path, "compatible", reason, "xen,enhanced in the domain's node");
    }
    let Some(property) = node.property(PROPERTY) else {
        report.refuse(&path, PROPERTY, "is missing", HINT);
        return None;
    };
    let mut cells = property.cells();
    let (Some(port), Some(peer), 8) = (cells.next(), cells.next(), property.value.len()) else {
        let reason = format!("has {} bytes, not the 8 of two cells", property.value.len());
        report.refuse(&path, PROPERTY, reason, HINT);
        return None;
    };
    if port == 0 || port > owner.most_ports {
        let hint = format!("1 to {} are the ports that {} can have", owner.most_ports, owner.path);
        report.refuse(&path, PROPERTY, format!("asks for port {port}"), &hint);
    }
    Some(End { path, phandle: node.phandle(), here: ChannelEnd { domain: owner.index, port }, peer })
}

/// No domain uses a port twice.
fn check_ports(ends: &[End], report: &mut Report) {
    let mut ports: Vec<(usize, u32, usize)> = Vec::new();
    for (position, end) in ends.iter().enumerate() {
        insert_sorted_by_key(&mut ports, (end.here.domain, end.here.port, position), |entry| *entry);
    }
    for pair in ports.array_windows() {
        let [(domain, port, first), (other_domain, other_port, second)] = *pair;
        if (domain, port) != (other_domain, other_port) {
            continue;
        }
        if let (Some(first), Some(second)) = (ends.get(first), ends.get(second)) {
            let reason = format!("asks for port {port}, which {} has already", first.path);
            let places = [(second.path.as_str(), PROPERTY), (first.path.as_str(), PROPERTY)];
            report.clash(places, reason, "each end has a port of its own");
        }
    }
}
