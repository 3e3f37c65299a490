//! The whole hypervisor on the simulated machine.
//!
//! Each test boots a system from a device tree, as the board would, gives its vCPUs programs, and drives
//! the processors turn by turn in a seeded order.

mod abuse;
mod boot;
mod calls;
mod channels;
mod console;
mod death;
mod destruction;
mod devices;
mod events;
mod grants;
mod hostile;
mod interrupts;
mod lists;
mod memory;
mod pools;
mod power;
mod races;
mod random;
mod recorded;
mod rest;
mod scheduling;
mod shared_memory;
mod threads;
mod timers;
mod toolstack;
mod uart;
mod world;
