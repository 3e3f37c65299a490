//! Static event channels: what is joined, and what is refused.

use plan::{Channel, ChannelEnd, MOST_DOM0_PORTS, MOST_DOMAIN_PORTS};

use crate::refusals::{Row, check_in};
use crate::world::{Node, VIRT_GICV3, World, domain};

const ONE: u32 = 0x101;
const TWO: u32 = 0x102;

/// An end of a channel: its phandle, its port, and its peer's phandle.
fn end(name: &str, own: u32, port: u32, peer: u32) -> Node {
    Node::new(name)
        .texts("compatible", &["xen,evtchn-v1"])
        .cells("phandle", &[own])
        .cells("xen,evtchn", &[port, peer])
}

fn enhanced(name: &str) -> Node {
    domain(name, 64 << 10, 1).texts("xen,enhanced", &["no-xenstore"])
}

/// Two domains, and a channel from port 10 of the first to port 11 of the second.
fn joined() -> World {
    let mut world = World::new(VIRT_GICV3);
    world.add(enhanced("domU1").child(end("first", ONE, 10, TWO)));
    world.add(enhanced("domU2").child(end("second", TWO, 11, ONE)));
    world
}

/// `joined`, and dom0.
fn with_dom0() -> World {
    let mut world = joined();
    world.add_dom0();
    world
}

fn channel(one: (usize, u32), other: (usize, u32)) -> Channel {
    let end = |(domain, port)| ChannelEnd { domain, port };
    Channel { ends: [end(one), end(other)] }
}

fn end_of_first(world: &mut World) -> &mut Node {
    world.tree.at("/chosen/domU1/first")
}

#[test]
fn two_ends_that_name_each_other_are_one_channel() {
    assert_eq!(joined().plan().channels, [channel((0, 10), (1, 11))]);
    assert_eq!(World::with_a_domain().plan().channels, []);
}

#[test]
fn many_channels_come_in_the_order_of_their_first_ends() {
    let mut world = joined();
    let first = world.tree.at("/chosen/domU1");
    first.children.push(end("last", 0x201, MOST_DOMAIN_PORTS, 0x202));
    first.children.push(end("own", 0x203, 1, 0x204));
    first.children.push(end("own-too", 0x204, 2, 0x203));
    world.tree.at("/chosen/domU2").children.insert(0, end("low", 0x202, 1, 0x201));
    let expected = [channel((0, 10), (1, 11)), channel((0, 1023), (1, 1)), channel((0, 1), (0, 2))];
    assert_eq!(world.plan().channels, expected);
}

#[test]
fn dom0_has_its_ends_in_chosen_and_more_ports() {
    let mut world = with_dom0();
    world.add(end("control", 0x201, MOST_DOM0_PORTS, 0x202));
    world.tree.at("/chosen/domU2").children.push(end("controlled", 0x202, 3, 0x201));
    let plan = world.plan();
    assert_eq!(plan.channels, [channel((0, 8191), (2, 3)), channel((1, 10), (2, 11))]);
    assert_eq!(plan.domains[0].id, 0);
}

#[test]
fn a_node_of_dom0_without_dom0_is_refused() {
    let mut world = joined();
    world.add(end("control", 0x201, 1, 0x202));
    let text = world.refusals();
    assert!(text.contains("/chosen/control: compatible: is an event channel of dom0"), "{text}");
}

#[test]
fn each_fault_is_refused_where_it_is() {
    let rows: [Row; 14] = [
        (|world| end_of_first(world).remove("xen,evtchn"), &["domU1/first: xen,evtchn: is missing", "hint"]),
        (|world| end_of_first(world).set("xen,evtchn", &[0; 4]), &["domU1/first: xen,evtchn: has 4 bytes"]),
        (|world| end_of_first(world).set("xen,evtchn", &[0; 12]), &["domU1/first: xen,evtchn: has 12 bytes"]),
        (|world| end_of_first(world).set("xen,evtchn", &[]), &["domU1/first: xen,evtchn: has 0 bytes"]),
        (
            |world| *end_of_first(world) = end("first", ONE, 0, TWO),
            &["domU1/first: xen,evtchn: asks for port 0", "1 to 1023"],
        ),
        (
            |world| *end_of_first(world) = end("first", ONE, 1024, TWO),
            &["domU1/first: xen,evtchn: asks for port 1024", "1 to 1023"],
        ),
        (
            |world| *end_of_first(world) = end("first", ONE, u32::MAX, TWO),
            &["domU1/first: xen,evtchn: asks for port 4294967295"],
        ),
        (
            |world| *end_of_first(world) = end("first", ONE, 10, 0x999),
            &["domU1/first: xen,evtchn: phandle 0x999 belongs to no xen,evtchn-v1 node"],
        ),
        (
            |world| *end_of_first(world) = end("first", ONE, 10, ONE),
            &["domU1/first: xen,evtchn: points at its own node"],
        ),
        (
            |world| end_of_first(world).remove("phandle"),
            &["domU2/second: xen,evtchn: phandle 0x101 belongs to no"],
        ),
        (
            |world| world.domain().children.push(end("third", 0x103, 12, TWO)),
            &["domU1/third: xen,evtchn: points at /chosen/domU2/second, which does not point back"],
        ),
        (
            |world| {
                world.domain().children.push(end("third", 0x103, 10, 0x104));
                world.domain().children.push(end("fourth", 0x104, 12, 0x103));
            },
            &["domU1/third: xen,evtchn: asks for port 10, which /chosen/domU1/first has already"],
        ),
        (
            |world| world.domain().remove("xen,enhanced"),
            &["domU1/first: compatible: /chosen/domU1 has no PV interfaces", "xen,enhanced"],
        ),
        (
            |world| end_of_first(world).set("compatible", b"xen,evtchn\0"),
            &["domU1/first: compatible: xen,evtchn is no node", "xen,evtchn-v1"],
        ),
    ];
    check_in(joined, &rows);
}

#[test]
fn one_port_number_may_be_in_use_in_many_domains() {
    let mut world = joined();
    *world.tree.at("/chosen/domU2/second") = end("second", TWO, 10, ONE);
    assert_eq!(world.plan().channels, [channel((0, 10), (1, 10))]);
}

#[test]
fn an_unknown_property_is_named_and_a_domain_without_pv_says_so_with_disabled_too() {
    let mut world = joined();
    end_of_first(&mut world).set("status", b"okay\0");
    let warned = world.plan().warnings.iter().any(|warning| warning.text.contains("\"status\" is ignored"));
    assert!(warned);
    world.domain().set("xen,enhanced", b"disabled\0");
    assert!(world.refusals().contains("has no PV interfaces"));
}
