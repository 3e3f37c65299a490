//! What a description must keep before there is a tree that the hypervisor's own rules can read: names that are
//! unique and lead somewhere, and numbers that a property can hold.

use std::collections::BTreeMap;
use std::ops::Range as Span;

use plan::fdt::{Fdt, Node};

use super::complaint::Complaint;
use super::description::{Channel, Description, Pool, Shared, Spanned};
use super::tree::{DOM0, processors};

/// Longest name of a node (Devicetree Specification, 2.2.1).
const LONGEST_NAME: usize = 31;
/// Longest name of shared memory, by the binding.
const LONGEST_SHARED_NAME: usize = 15;

/// Finds everything that is wrong.
pub(crate) fn check(description: &Description, board: &Fdt<'_>) -> Vec<Complaint> {
    let mut found = Vec::new();
    let known = domains(description, board, &mut found);
    unique(description.pools.iter().map(|pool| &pool.name), "pool", &mut found);
    unique(description.channels.iter().map(|channel| &channel.name), "channel", &mut found);
    unique(description.shared.iter().map(|shared| &shared.name), "shared memory", &mut found);
    description.channels.iter().for_each(|one| channel(one, &known, &mut found));
    description.shared.iter().for_each(|one| shared(one, &known, &mut found));
    let processors = processors(board);
    description.pools.iter().for_each(|one| pool(one, &processors, &mut found));
    for wanted in description.domains.iter().filter_map(|domain| domain.pool.as_ref()) {
        if !description.pools.iter().any(|pool| pool.name.get_ref() == wanted.get_ref()) {
            found.push(
                Complaint::new(
                    format!("there is no pool {:?}", wanted.get_ref()),
                    wanted.span(),
                    "is not described",
                )
                .help(format!("[[pool]] with name = {:?}", wanted.get_ref())),
            );
        }
    }
    words(description, &mut found);
    board_is_bare(description, board, &mut found);
    found
}

/// The names of all domains, dom0's included.
fn domains<'d>(description: &'d Description, board: &Fdt<'_>, found: &mut Vec<Complaint>) -> Vec<&'d str> {
    unique(description.domains.iter().map(|domain| &domain.name), "domain", found);
    let mut known: Vec<&str> =
        description.domains.iter().map(|domain| domain.name.get_ref().as_str()).collect();
    for domain in &description.domains {
        let name = domain.name.get_ref();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            let complaint =
                Complaint::new(format!("{name:?} cannot be a name"), domain.name.span(), "of a domain");
            found.push(complaint.help("a letter first"));
        }
        let taken = board.chosen().is_some_and(|chosen| chosen.child(name).is_some());
        let ours = ["cpupool-", "evtchn-", "shm-", "module@"].iter().any(|prefix| name.starts_with(prefix));
        if name == DOM0 || taken || ours {
            let title = format!("a domain cannot be called {name:?}");
            found.push(Complaint::new(title, domain.name.span(), "has another meaning").help("another name"));
        }
        if let Some(tables) =
            domain.page_tables.as_ref().filter(|tables| !tables.get_ref().0.is_multiple_of(1 << 20))
        {
            found.push(Complaint::new(
                "memory for page tables is counted in MiB",
                tables.span(),
                "is not whole MiB",
            ));
        }
    }
    if description.dom0.is_some() {
        known.push(DOM0);
    }
    known
}

fn unique<'d>(names: impl Iterator<Item = &'d Spanned<String>>, what: &str, found: &mut Vec<Complaint>) {
    let mut seen: BTreeMap<&str, Span<usize>> = BTreeMap::new();
    for name in names {
        fit(name, what, found);
        if let Some(first) = seen.insert(name.get_ref(), name.span()) {
            let title = format!("there are two of the name {:?}", name.get_ref());
            found.push(
                Complaint::new(title, name.span(), format!("the second {what}"))
                    .also(first, format!("the first {what}")),
            );
        }
    }
}

/// Whether a name can be a part of a node's name.
fn fit(name: &Spanned<String>, what: &str, found: &mut Vec<Complaint>) {
    let text = name.get_ref();
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "_-+.,".contains(letter);
    if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(letter) {
        let complaint =
            Complaint::new(format!("{text:?} cannot be a name"), name.span(), format!("of a {what}"));
        found.push(complaint.help("up to 31 letters, digits and _-+., as it becomes a node's name"));
    }
}

fn domain_exists(name: &Spanned<String>, known: &[&str], found: &mut Vec<Complaint>) {
    if !known.contains(&name.get_ref().as_str()) {
        let complaint = Complaint::new(
            format!("there is no domain {:?}", name.get_ref()),
            name.span(),
            "is not described",
        );
        found.push(complaint.help(format!("there are: {}", known.join(", "))));
    }
}

fn channel(channel: &Channel, known: &[&str], found: &mut Vec<Complaint>) {
    let ends = &channel.ends;
    if ends.get_ref().len() != 2 {
        let title = format!("a channel has two ends, not {}", ends.get_ref().len());
        found.push(Complaint::new(title, ends.span(), "the ends").help("ends = [\"one\", \"other\"]"));
    }
    ends.get_ref().iter().for_each(|end| domain_exists(end, known, found));
    if let Some(ports) = channel.ports.as_ref().filter(|ports| ports.get_ref().len() != 2) {
        let title = format!("a channel has two ports, not {}", ports.get_ref().len());
        found.push(Complaint::new(title, ports.span(), "the ports").help("one for each end, or none at all"));
    }
}

fn shared(shared: &Shared, known: &[&str], found: &mut Vec<Complaint>) {
    let name = &shared.name;
    if name.get_ref().is_empty() || name.get_ref().len() > LONGEST_SHARED_NAME {
        let complaint =
            Complaint::new("shared memory cannot have this name", name.span(), "is too long, or empty");
        found.push(
            complaint.help(format!("guests find it by its name of at most {LONGEST_SHARED_NAME} bytes")),
        );
    }
    if shared.borrowers.get_ref().is_empty() {
        found.push(Complaint::new("nobody shares this memory", shared.borrowers.span(), "is empty"));
    }
    let users = shared.owner.iter().chain(shared.borrowers.get_ref());
    users.clone().for_each(|user| domain_exists(user, known, found));
    unique(users, "use", found);
}

fn pool(pool: &Pool, processors: &[Node<'_>], found: &mut Vec<Complaint>) {
    for cpu in pool.cpus.get_ref() {
        if cpu.place(processors).is_none() {
            let names: Vec<&str> = processors.iter().map(Node::name).collect();
            let help = format!("the board has 0 to {}: {}", names.len().saturating_sub(1), names.join(", "));
            let complaint =
                Complaint::new(format!("there is no processor {cpu}"), pool.cpus.span(), "in this pool");
            found.push(complaint.help(help));
        }
    }
}

/// dom0's memory and vCPUs are words of the hypervisor's command line.
fn words(description: &Description, found: &mut Vec<Complaint>) {
    let (Some(dom0), Some(line)) = (&description.dom0, &description.hypervisor.command_line) else { return };
    let dom0 = dom0.get_ref();
    let stated = [
        ("dom0_mem=", dom0.memory.as_ref().map(Spanned::span)),
        ("dom0_max_vcpus=", dom0.cpus.as_ref().map(Spanned::span)),
    ];
    for (word, span) in stated {
        if let Some(span) =
            span.filter(|_| line.get_ref().split_whitespace().any(|other| other.starts_with(word)))
        {
            let complaint = Complaint::new(format!("{word} is said twice"), line.span(), "once here")
                .also(span, "and once here");
            found.push(complaint.help("leave one out"));
        }
    }
}

/// A board's tree must not describe a system of its own.
fn board_is_bare(description: &Description, board: &Fdt<'_>, found: &mut Vec<Complaint>) {
    let ours = |compatible: &str| compatible.starts_with("xen,") || compatible.starts_with("multiboot,");
    let children = board.chosen().into_iter().flat_map(|chosen| chosen.children());
    for child in children {
        let compatible = child.property("compatible");
        if compatible.is_some_and(|list| list.strings().any(ours)) {
            let title = format!("the board's tree describes a system already: /chosen/{}", child.name());
            let span = description
                .board
                .get_ref()
                .tree
                .as_ref()
                .map_or_else(|| description.board.span(), Spanned::span);
            found.push(
                Complaint::new(title, span, "is more than a board")
                    .help("the tree as the board's maker gives it"),
            );
        }
    }
}
