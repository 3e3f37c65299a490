//! The console: a PL011 that the command line or `/chosen/stdout-path` names.

use alloc::format;

use super::{Survey, interrupt, registers};
use crate::fdt::{Fdt, Node, Trail};
use crate::options::CommandLine;
use crate::report::quoted;
use crate::shape::Pl011;

const PL011: &str = "arm,pl011";
const CHOSEN: &str = "/chosen";

pub(super) fn read(
    survey: &mut Survey<'_, '_>,
    line: &CommandLine<'_>,
    gic: Option<Node<'_>>,
) -> Option<Pl011> {
    let (property, named) = match line.value_of("dtuart") {
        Some(named) => (line.property, named),
        None => ("stdout-path", stdout_path(&survey.fdt).unwrap_or("")),
    };
    if named.is_empty() {
        survey.report.warn(CHOSEN, "no stdout-path and no dtuart=: the hypervisor is silent");
        return None;
    }
    let Some(node) = resolve(&survey.fdt, named) else {
        let reason = format!("{} leads to no node", quoted(named));
        survey.report.refuse(
            CHOSEN,
            property,
            reason,
            "a path such as /pl011@9000000, or a name of /aliases",
        );
        return None;
    };
    if !node.is_compatible(PL011) || !node.is_enabled() {
        let text = format!(
            "{property} names {}, which is no enabled {PL011}: the hypervisor is silent",
            quoted(named)
        );
        survey.report.warn_of(CHOSEN, property, &text);
        return None;
    }
    pl011(survey, &node, gic)
}

/// The first PL011 of the tree.
pub(super) fn first(survey: &mut Survey<'_, '_>, gic: Option<Node<'_>>) -> Option<Pl011> {
    let node = survey.fdt.walk().map(|(_, node)| node).find(|node| node.is_compatible(PL011))?;
    pl011(survey, &node, gic)
}

fn stdout_path<'a>(fdt: &Fdt<'a>) -> Option<&'a str> {
    let chosen = fdt.chosen()?;
    chosen.property("stdout-path").or_else(|| chosen.property("linux,stdout-path"))?.text()
}

/// The node that a path or an alias names; what follows a colon sets the line's speed and is not ours.
fn resolve<'a>(fdt: &Fdt<'a>, named: &str) -> Option<Node<'a>> {
    let name = crate::text::split_once(named, b':').map_or(named, |(name, _)| name);
    if name.starts_with('/') {
        return fdt.find(name);
    }
    let path = fdt.find("/aliases")?.property(name)?.text()?;
    fdt.find(path)
}

fn pl011(survey: &mut Survey<'_, '_>, node: &Node<'_>, gic: Option<Node<'_>>) -> Option<Pl011> {
    let registers = registers(survey, node, 1).first().copied().flatten()?;
    let parent = Trail::of(node)?.interrupt_parent();
    // Behind anything but the GIC itself the number means something else; the console then has no input.
    let gic = gic.filter(|gic| parent.is_some() && gic.phandle() == parent);
    let interrupt = gic.and_then(|gic| interrupt::intid(node, interrupt::cells(&gic), 0));
    if interrupt.is_none() {
        survey.warn_at(node, "its interrupt does not lead to the GIC: the console takes no input");
    }
    Some(Pl011 { registers, interrupt })
}
