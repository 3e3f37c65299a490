//! Grant tables: the table itself, mapping, copying and flushing what a domain grants to itself, and what is refused.
//!
//! Wants one vCPU and 64 MiB. With `grants.peer=N` it reaches for what domain N, which runs it too, has granted; the
//! word `grants.refused` says that the hypervisor keeps such domains apart.
#![no_std]
#![no_main]

mod caches;
mod copying;
mod mapping;
mod peer;
mod table;

use guests::{platform, report, xen};

guests::guest!(main);

fn main() {
    if !report::check("hypervisor_node", xen::is_there()) {
        return;
    }
    if let Some(other) = platform::argument("grants.peer").and_then(|other| other.parse().ok()) {
        table::place();
        peer::all(other);
        return;
    }
    table::all();
    mapping::all();
    copying::all();
    caches::all();
}
