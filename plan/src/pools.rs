//! Pools of processors: which there are, who schedules them, and which domain runs in which.
//!
//! A child of `/chosen` with `compatible = "xen,cpupool"` takes the processors that its `cpupool-cpus` names, and
//! each domain names its pool by `domain-cpupool`. Numbers are those of Xen 4.17: pools count in the order of the
//! tree, processors that no node names form one more pool at the end, and then the pool with the boot processor
//! changes places with pool 0, where dom0 and every domain that names none belong.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::board::{MOST_PROCESSORS, processor_of};
use crate::domains::{CHOSEN, Chosen, Wanted};
use crate::fdt::{Fdt, Node};
use crate::report::{Report, quoted};
use crate::shape::{Board, Options, Pool, Scheduler};

pub(crate) const COMPATIBLE: &str = "xen,cpupool";
const CPUS: &str = "cpupool-cpus";
const SCHEDULER: &str = "cpupool-sched";
const CPUS_HINT: &str = "cpupool-cpus = <&cpu2 &cpu3>; phandles of processors in /cpus";

/// Bytes that a pool takes in the plan beside its path: its shape, and its place in two lists.
const POOL_BYTES: u64 = 256;

/// The pools, and by which phandles domains name them.
pub(crate) struct Pools {
    pub(crate) list: Vec<Pool>,
    /// A node's phandle, and its first place in the tree's order.
    nodes: Vec<(u32, usize)>,
    /// Where the pool with the boot processor was before it became pool 0.
    first: usize,
}

/// Reads all pools. Faults are reported; numbers are right where there is none.
pub(crate) fn read(
    fdt: &Fdt<'_>,
    (board, options): (&Board, &Options),
    chosen: &mut Chosen<'_>,
    report: &mut Report,
) -> Pools {
    let mut pools = Pools { list: Vec::new(), nodes: Vec::new(), first: 0 };
    let mut owners: Vec<Option<usize>> = Vec::new();
    owners.resize(board.cpus.len(), None);
    let mut named = 0_usize;
    let nodes = fdt.chosen().into_iter().flat_map(|node| node.children());
    for node in nodes.filter(|child| child.is_compatible(COMPATIBLE)) {
        let path = format!("{CHOSEN}/{}", node.name());
        let bytes = POOL_BYTES.saturating_add(u64::try_from(path.len()).unwrap_or(u64::MAX));
        let cells = node.property(CPUS).map_or(0, |property| property.value.len() >> 2);
        named = named.saturating_add(cells.max(1));
        if named > MOST_PROCESSORS {
            report.refuse(&path, CPUS, "all pools together name more than 128 processors", CPUS_HINT);
            break;
        }
        if !chosen.spend(bytes, report) {
            break;
        }
        let id = pools.list.len();
        pools.nodes.extend(node.phandle().map(|phandle| (phandle, id)));
        check_names(&node, &path, report);
        let scheduler = scheduler(&node, &path, report).unwrap_or(options.scheduler);
        take_processors(fdt, (&node, &path, id), (board, &mut owners, &pools.list), report);
        pools.list.push(Pool { path, scheduler, cpus: Vec::new() });
    }
    if owners.iter().any(Option::is_none) {
        pools.list.push(Pool { path: String::new(), scheduler: options.scheduler, cpus: Vec::new() });
    }
    let last = pools.list.len().saturating_sub(1);
    for (cpu, owner) in (0..owners.len()).zip(&owners) {
        if let Some(pool) = pools.list.get_mut(owner.unwrap_or(last)) {
            pool.cpus.push(cpu);
        }
    }
    pools.first = pools.list.iter().position(|pool| pool.cpus.first() == Some(&0)).unwrap_or(0);
    if pools.first < pools.list.len() {
        pools.list.swap(0, pools.first);
    }
    pools
}

fn check_names(node: &Node<'_>, path: &str, report: &mut Report) {
    for property in node.properties() {
        if !["compatible", CPUS, SCHEDULER, "phandle", "linux,phandle"].contains(&property.name()) {
            report.warn(path, &format!("unknown property {} is ignored", quoted(property.name())));
        }
    }
}

fn scheduler(node: &Node<'_>, path: &str, report: &mut Report) -> Option<Scheduler> {
    const HINT: &str = "\"credit\", \"credit2\" or \"null\"; without it the pool has that of sched=";
    let property = node.property(SCHEDULER)?;
    let name = property.text();
    let found = name.and_then(Scheduler::of_name);
    if found.is_none() {
        let reason = match name {
            Some(name @ ("rtds" | "arinc653")) => format!("is {name}, which is not supported"),
            name => format!("is {}, which is no scheduler", quoted(name.unwrap_or("no text"))),
        };
        report.refuse(path, SCHEDULER, reason, HINT);
    }
    found
}

/// Notes the processors that a pool's node names as that pool's.
fn take_processors(
    fdt: &Fdt<'_>,
    (node, path, id): (&Node<'_>, &str, usize),
    (board, owners, known): (&Board, &mut [Option<usize>], &[Pool]),
    report: &mut Report,
) {
    let Some(property) = node.property(CPUS) else {
        report.refuse(path, CPUS, "is missing", CPUS_HINT);
        return;
    };
    if property.value.is_empty() || !property.value.len().is_multiple_of(4) {
        let reason = format!("has {} bytes, which is no list of phandles", property.value.len());
        report.refuse(path, CPUS, reason, CPUS_HINT);
        return;
    }
    for phandle in property.cells() {
        let Some((cpu, mpidr)) = processor_of(fdt, phandle) else {
            let reason = format!("phandle {phandle:#x} belongs to no processor");
            report.refuse(path, CPUS, reason, CPUS_HINT);
            continue;
        };
        let index = mpidr.and_then(|mpidr| board.cpus.iter().position(|known| known.mpidr == mpidr));
        let Some((index, owner)) = index.and_then(|index| Some((index, owners.get_mut(index)?))) else {
            let reason = format!("names /cpus/{}, which is not used", cpu.name());
            let hint =
                "a processor that is enabled, within maxcpus=, and like the boot processor (or hmp-unsafe)";
            report.refuse(path, CPUS, reason, hint);
            continue;
        };
        match owner.replace(id) {
            None => {}
            Some(other) => {
                let other = known.get(other).map_or(path, |pool| pool.path.as_str());
                let reason =
                    format!("names /cpus/{} (processor {index}), which {other} has already", cpu.name());
                report.refuse(path, CPUS, reason, "each processor is in one pool, and named once");
            }
        }
    }
}

impl Pools {
    /// The pool whose node has this phandle; pool 0 for a domain that names none.
    pub(crate) fn find(&self, phandle: Option<u32>) -> Option<usize> {
        let Some(phandle) = phandle else { return Some(0) };
        let (_, id) = self.nodes.iter().find(|(known, _)| *known == phandle)?;
        Some(match *id {
            id if id == self.first => 0,
            0 => self.first,
            id => id,
        })
    }

    /// Says what is wrong or odd about who runs in which pool.
    pub(crate) fn check(&self, wanted: &[Wanted<'_>], report: &mut Report) {
        let mut vcpus: Vec<usize> = self.list.iter().map(|_| 0).collect();
        for domain in wanted {
            let Some(id) = self.find(domain.pool) else {
                let reason =
                    format!("phandle {:#x} belongs to no {COMPATIBLE} node", domain.pool.unwrap_or(0));
                let hint = "domain-cpupool = <&pool>; a child of /chosen with compatible = \"xen,cpupool\"";
                report.refuse(&domain.path, "domain-cpupool", reason, hint);
                continue;
            };
            let (Some(pool), Some(count)) = (self.list.get(id), vcpus.get_mut(id)) else { continue };
            *count = count.saturating_add(usize::from(domain.vcpus));
            if pool.scheduler == Scheduler::Null && domain.share != crate::shape::Share::default() {
                report.warn(&domain.path, "weight and cap mean nothing to the null scheduler of its pool");
            }
        }
        for (pool, vcpus) in self.list.iter().zip(vcpus) {
            let path = if pool.path.is_empty() { CHOSEN } else { pool.path.as_str() };
            if vcpus == 0 && self.list.len() > 1 {
                let what = if pool.path.is_empty() { "the pool of all other processors" } else { "the pool" };
                report.warn(
                    path,
                    &format!("{what} is unused: no domain runs on processors {}", pool.numbers()),
                );
            }
            if pool.scheduler == Scheduler::Null && vcpus > pool.cpus.len() {
                let text = format!(
                    "the null scheduler gives each vCPU a processor of its own, but there are {vcpus} vCPUs and {} \
                     processors: those that start last wait for ever",
                    pool.cpus.len()
                );
                report.warn(path, &text);
            }
        }
    }
}
