//! Event channels: ports and their states, the two-level layout and the FIFO layout, the upcall, sleeping and waking.
//!
//! Wants two vCPUs. `events.port=N` says that a static event channel leads from this domain's port N to another domain
//! that runs this guest too; `events.first` stands on the command line of one of the two.
#![no_std]
#![no_main]

mod delivery;
mod fifo;
mod layout;
mod pair;
mod ports;
mod two_level;

use guests::xen::{self, event};
use guests::{boot, gic, platform, registers, report};

guests::guest!(main, layout::irq, delivery::second);

fn main() {
    if !report::check("hypervisor_node", xen::is_there()) {
        return;
    }
    report::fact("upcall.interrupt", platform::get().events);
    layout::map_shared_info();
    if let Some(port) = platform::argument("events.port").and_then(|port| port.parse().ok()) {
        layout::place_information(0);
        boot::interrupts_on();
        gic::enable(platform::get().events);
        pair::all(port);
        return;
    }
    registers::mask_interrupts();
    ports::all();
    two_level::all();
    boot::interrupts_on();
    gic::enable(platform::get().events);
    delivery::all("two_level");
    registers::mask_interrupts();
    report::fact("reset.before_fifo", event::reset(xen::DOMID_SELF));
    fifo::all();
    registers::unmask_interrupts();
    delivery::all("fifo");
    registers::mask_interrupts();
    fifo::reset();
    registers::unmask_interrupts();
    delivery::all("two_level_again");
    delivery::stop_second();
}
