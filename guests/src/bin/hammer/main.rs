//! Event channels and grants under load: dom0 serves domains whose vCPUs all send it messages, and each is counted.
//!
//! `hammer.role=client` stands on the command line of a domain, whose number is in `hammer.domain=N`, and which hammers
//! for `hammer.seconds=N`; `hammer.role=server` on that of dom0, which serves the domains 1 to `hammer.clients=N`. With
//! `hammer.role=attacker` a third makes wild hypercalls beside them until it dies.
//!
//! Nobody needs Xenstore: a client grants its rendezvous page to dom0 under a well-known reference, and dom0 tries that
//! reference until it can be mapped. Each vCPU of a client has a lane there, with a ring page, a port, pages for payloads
//! and one to be mapped. A round has some hundred messages; then port and grants go and others come. In every third
//! round two vCPUs share a port and a page, and close the port both at once.
#![no_std]
#![no_main]

mod attacker;
mod client;
mod message;
mod server;
mod shared;

use guests::{platform, report, xen};

guests::guest!(main, shared::irq, secondary);

fn main() {
    if !report::check("hypervisor_node", xen::is_there()) {
        return;
    }
    match platform::argument("hammer.role") {
        Some("client") => client::all(),
        Some("server") => server::all(),
        Some("attacker") => attacker::all(),
        _ => report::fail(
            format_args!("role"),
            format_args!("hammer.role is none of client, server, attacker"),
        ),
    }
}

fn secondary(cpu: usize, _word: u64) {
    match platform::argument("hammer.role") {
        Some("client") => client::run(cpu),
        Some("server") => server::run(cpu),
        _ => attacker::run(cpu),
    }
}
