//! Xen's hypercalls one by one, those for memory, events and grants aside: what each answers to what is right, to what
//! is wrong, and to an unprivileged domain that asks for too much.
//!
//! Wants two vCPUs, the second of which stays off.
#![no_std]
#![no_main]

mod convention;
mod multicall;
mod parameters;
mod pointers;
mod refused;
mod scheduler;
mod vcpu;
mod version;

use guests::{report, xen};

guests::guest!(main);

fn main() {
    if !report::check("hypervisor_node", xen::is_there()) {
        return;
    }
    convention::all();
    version::all();
    pointers::all();
    multicall::all();
    parameters::all();
    refused::all();
    vcpu::all();
    scheduler::all();
}
