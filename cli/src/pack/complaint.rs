//! Complaints that point into the owner's text, in rustc's style.
//!
//! What the hypervisor's own rules refuse is told in terms of the description: the node and property of a
//! [`Refusal`] are traced back to the value that they come from. What comes from no value of it (the board's own tree,
//! say) is told with node and property, as boot would.

use std::io::IsTerminal as _;
use std::ops::Range as Span;

use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet};
use plan::Refusal;

use super::description::{Description, Domain, Spanned};
use super::devices;
use super::place::Places;

/// Something that is wrong, with its place in the text.
#[derive(Debug)]
pub(crate) struct Complaint {
    /// What is wrong.
    pub(crate) title: String,
    /// Where, and what is there.
    pub(crate) at: Option<(Span<usize>, String)>,
    /// What has to do with it.
    pub(crate) also: Vec<(Span<usize>, String)>,
    /// What would be right; may be empty.
    pub(crate) help: String,
}

impl Complaint {
    /// A complaint about a value.
    pub(crate) fn new(title: impl Into<String>, at: Span<usize>, label: impl Into<String>) -> Self {
        Self { title: title.into(), at: Some((at, label.into())), also: Vec::new(), help: String::new() }
    }

    /// A complaint about no value in particular.
    pub(crate) fn bare(title: impl Into<String>) -> Self {
        Self { title: title.into(), at: None, also: Vec::new(), help: String::new() }
    }

    /// With what would be right.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// With another place that has to do with it.
    pub(crate) fn also(mut self, at: Span<usize>, label: impl Into<String>) -> Self {
        self.also.push((at, label.into()));
        self
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Nothing is written.
    Error,
    /// Legal, but surely not meant.
    Warning,
}

/// The owner's text.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) content: String,
}

impl Text {
    /// Prints a complaint.
    pub(crate) fn print(&self, weight: Weight, complaint: &Complaint) {
        let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
        eprintln!("{}\n", self.render(&renderer, weight, complaint));
    }

    fn render(&self, renderer: &Renderer, weight: Weight, complaint: &Complaint) -> String {
        let level = match weight {
            Weight::Error => Level::ERROR,
            Weight::Warning => Level::WARNING,
        };
        let mut elements: Vec<Element<'_>> = Vec::new();
        if let Some((at, label)) = &complaint.at {
            let primary = AnnotationKind::Primary.span(self.within(at)).label(label.as_str());
            let others = complaint
                .also
                .iter()
                .map(|(at, label)| AnnotationKind::Context.span(self.within(at)).label(label.as_str()));
            let snippet = Snippet::source(self.content.as_str()).path(self.path.as_str());
            elements.push(snippet.annotation(primary).annotations(others).into());
        }
        if !complaint.help.is_empty() {
            elements.push(Level::HELP.message(complaint.help.as_str()).into());
        }
        let group = level.primary_title(complaint.title.as_str()).elements(elements);
        renderer.render(&[group])
    }

    /// A span that lies in the text, whatever was asked for; of several lines only the first.
    fn within(&self, span: &Span<usize>) -> Span<usize> {
        let start = span.start.min(self.content.len());
        let line = self
            .content
            .get(start..)
            .and_then(|rest| rest.find('\n'))
            .map_or(self.content.len(), |at| start + at);
        start..span.end.clamp(start, line)
    }
}

/// Something with a place in the description, and where that place is.
type Found = Option<(Span<usize>, &'static str)>;

fn of<T>(value: Option<&Spanned<T>>, what: &'static str) -> Found {
    value.map(|value| (value.span(), what))
}

/// A refusal in terms of the description.
pub(crate) fn of_refusal(refusal: &Refusal, description: &Description, places: &Places) -> Complaint {
    let Refusal { node, property, reason, hint, other } = refusal;
    let found = trace(node, property, description, places);
    let title = {
        let node = if node.is_empty() { "device tree" } else { node.as_str() };
        let property = if property.is_empty() { String::new() } else { format!("{property}: ") };
        format!("{node}: {property}{reason}")
    };
    let Some((span, what)) = found else { return Complaint::bare(title).help(hint.as_str()) };
    let complaint = Complaint::new(title, span, what).help(hint.as_str());
    let other = other.as_ref().and_then(|other| trace(&other.node, &other.property, description, places));
    match other {
        Some((span, what)) => complaint.also(span, what),
        None => complaint,
    }
}

/// A warning, which names its node before a colon, in terms of the description.
pub(crate) fn of_warning(text: &str, description: &Description, places: &Places) -> Complaint {
    let traced = text.split_once(": ").and_then(|(node, rest)| {
        let (span, what) = trace(node, "", description, places)?;
        Some(Complaint::new(rest, span, what))
    });
    traced.unwrap_or_else(|| Complaint::bare(text))
}

fn trace(node: &str, property: &str, description: &Description, places: &Places) -> Found {
    let below = node.strip_prefix("/chosen")?.trim_start_matches('/');
    let (first, rest) = below.split_once('/').unwrap_or((below, ""));
    if let Some(domain) = description.domains.iter().find(|domain| domain.name.get_ref() == first) {
        return in_list(rest, description).or_else(|| in_domain(domain, property, rest, places));
    }
    if let Some(found) = in_list(first, description) {
        return Some(found);
    }
    if first.starts_with("module@") {
        let dom0 = description.dom0.as_ref()?.get_ref();
        let file = dom0.ramdisk.as_ref().filter(|ramdisk| places.is_at(ramdisk.get_ref(), first));
        return of(file, "dom0's ramdisk").or_else(|| of(Some(&dom0.kernel), "dom0's kernel"));
    }
    let dom0 = description.dom0.as_ref().map(Spanned::get_ref);
    match property {
        "dom0_mem" | "dom0_mem=" => of(dom0.and_then(|dom0| dom0.memory.as_ref()), "dom0's memory"),
        "dom0_max_vcpus" | "dom0_max_vcpus=" => of(dom0.and_then(|dom0| dom0.cpus.as_ref()), "dom0's vCPUs"),
        "xenite,sched-weight" => of(dom0.and_then(|dom0| dom0.weight.as_ref()), "dom0's weight"),
        "xenite,sched-cap" => of(dom0.and_then(|dom0| dom0.cap.as_ref()), "dom0's cap"),
        "xen,static-heap" => of(description.hypervisor.heap.as_ref(), "the hypervisor's heap"),
        "xen,xen-bootargs" => {
            of(description.hypervisor.command_line.as_ref(), "the hypervisor's command line")
        }
        _ => None,
    }
}

/// What stands beside the domains in `/chosen`.
fn in_list(node: &str, description: &Description) -> Found {
    let (kind, name) = node.split_once('-')?;
    let called = |spanned: &Spanned<String>, name: &str| spanned.get_ref() == name;
    match kind {
        "cpupool" => {
            let pool = description.pools.iter().find(|pool| called(&pool.name, name));
            of(pool.map(|pool| &pool.cpus), "this pool")
        }
        "evtchn" => {
            let (name, _) = name.rsplit_once('-')?;
            let channel = description.channels.iter().find(|channel| called(&channel.name, name));
            of(channel.map(|channel| &channel.ends), "this channel")
        }
        "shm" => {
            let shared = description.shared.iter().find(|shared| called(&shared.name, name));
            of(shared.map(|shared| &shared.name), "this shared memory")
        }
        _ => None,
    }
}

fn in_domain(domain: &Domain, property: &str, below: &str, places: &Places) -> Found {
    if below.starts_with("module@") {
        let below = below.split(':').next().unwrap_or(below);
        if devices::file(domain).is_some_and(|file| places.is_at(&file, below)) {
            let own = of(domain.device_tree.as_ref(), "this partial tree");
            return own.or_else(|| of(domain.devices.as_ref(), "these devices"));
        }
        let ramdisk = domain.ramdisk.as_ref().filter(|ramdisk| places.is_at(ramdisk.get_ref(), below));
        if property == "bootargs" {
            return of(domain.command_line.as_ref(), "this command line");
        }
        return of(ramdisk, "this ramdisk").or_else(|| of(Some(&domain.kernel), "this kernel"));
    }
    let found = match property {
        "memory" => of(Some(&domain.memory), "this domain's memory"),
        "cpus" => of(Some(&domain.cpus), "this domain's vCPUs"),
        "xen,static-mem" => of(domain.fixed.as_ref(), "this domain's static memory"),
        "direct-map" => of(domain.direct_map.as_ref(), "this direct map"),
        "vpl011" => of(domain.vpl011.as_ref(), "this domain's UART"),
        "xen,enhanced" => of(domain.enhanced.as_ref(), "these PV interfaces"),
        "nr_spis" => of(domain.interrupts.as_ref(), "this domain's shared interrupts"),
        "xen,domain-p2m-mem-mb" => of(domain.page_tables.as_ref(), "this domain's page tables"),
        "domain-cpupool" => of(domain.pool.as_ref(), "this domain's pool"),
        "xenite,sched-weight" => of(domain.weight.as_ref(), "this domain's weight"),
        "xenite,sched-cap" => of(domain.cap.as_ref(), "this domain's cap"),
        _ => None,
    };
    found.or_else(|| of(Some(&domain.name), "this domain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_points_at_its_value_and_names_the_other() {
        let text = Text { path: "a.toml".to_owned(), content: "one = 1\ntwo = 2\n".to_owned() };
        let complaint = Complaint::new("both", 6..7, "here").also(14..15, "and here").help("mend one");
        let rendered = text.render(&Renderer::plain(), Weight::Error, &complaint);
        for part in
            ["error: both", "--> a.toml:1:7", "one = 1", "here", "two = 2", "and here", "help: mend one"]
        {
            assert!(rendered.contains(part), "{part}:\n{rendered}");
        }
    }

    #[test]
    fn a_span_outside_of_the_text_is_no_harm() {
        let text = Text { path: "a.toml".to_owned(), content: "x\ny".to_owned() };
        assert_eq!(text.within(&(0..3)), 0..1);
        assert_eq!(text.within(&(70..90)), 3..3);
        let rendered =
            text.render(&Renderer::plain(), Weight::Warning, &Complaint::new("odd", 70..90, "there"));
        assert!(rendered.starts_with("warning: odd"), "{rendered}");
    }
}
