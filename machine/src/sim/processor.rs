//! One simulated processor: what is loaded on it, and the physical interrupts that wait for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use model::arm64::{AccessSize, Registers, SystemRegisters, VectorRegisters, VirtualTimer};

use super::Sim;
use super::guest::Guest;
use super::interface::Interface;
use crate::contract::{Interrupt, Ticks};
use crate::lock::Lock;
use crate::stage2::{Kind, Shown, Stage2};

/// A domain's map: what `arm64` has, in a form that a processor can keep.
#[derive(Debug)]
pub struct GuestMap {
    pub(super) tables: Arc<Lock<Stage2>>,
    pub(super) domain: u16,
}

impl GuestMap {
    /// What stands behind `ipa`: the host address, and whether it is memory.
    pub fn translate(&self, ipa: u64) -> Option<(u64, bool)> {
        self.tables.lock().translate(ipa)
    }

    /// What stands behind `ipa`.
    pub fn shown(&self, ipa: u64) -> Option<Shown> {
        self.tables.lock().shown(ipa)
    }

    /// Stage 2 tables in use.
    pub fn tables_used(&self) -> usize {
        self.tables.lock().tables_used()
    }

    /// Bytes of guest RAM.
    pub fn owned_bytes(&self) -> u64 {
        self.tables.lock().owned_bytes()
    }
}

/// What happened on a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries of guests.
    pub runs: u64,
    /// Sleeps.
    pub idles: u64,
    /// vCPUs that were loaded.
    pub loads: u64,
    /// Deadlines that were set.
    pub deadlines_set: u64,
    /// Kicks that were taken.
    pub kicks: u64,
    /// Deadlines that passed.
    pub deadlines: u64,
    /// Interrupts of virtual timers.
    pub virtual_timers: u64,
    /// Maintenance interrupts.
    pub maintenances: u64,
    /// Interrupts of the console.
    pub consoles: u64,
    /// Interrupts of devices.
    pub devices: u64,
}

impl Counts {
    pub(super) fn note(&mut self, interrupt: Interrupt) {
        *match interrupt {
            Interrupt::Kick => &mut self.kicks,
            Interrupt::Deadline => &mut self.deadlines,
            Interrupt::VirtualTimer => &mut self.virtual_timers,
            Interrupt::Maintenance => &mut self.maintenances,
            Interrupt::Console => &mut self.consoles,
            Interrupt::Device(_) => &mut self.devices,
        } += 1;
    }

    /// Physical interrupts of any kind.
    pub fn interrupts(&self) -> u64 {
        self.kicks + self.deadlines + self.virtual_timers + self.maintenances + self.consoles + self.devices
    }
}

/// A vCPU that is loaded.
pub(super) struct Loaded {
    /// Address of its registers, by which they are recognised.
    pub(super) at: usize,
    pub(super) guest: Arc<Mutex<Guest>>,
    pub(super) domain: u16,
    pub(super) index: usize,
    pub(super) system: SystemRegisters,
    pub(super) vector: VectorRegisters,
    pub(super) timer: VirtualTimer,
    pub(super) interface: Interface,
    pub(super) tables: Arc<Lock<Stage2>>,
}

impl Loaded {
    fn translate(&self, address: u64) -> Option<(u64, bool)> {
        self.tables.lock().translate(address)
    }

    /// Are there instructions at this address? (The MMU of a program is off.)
    pub(super) fn fetches(&self, address: u64) -> bool {
        self.translate(address).is_some_and(|(_, ram)| ram)
    }

    /// A load or store that needs no hypervisor; `None` for one that traps.
    pub(super) fn memory(
        &self,
        machine: &Sim,
        address: u64,
        size: AccessSize,
        store: Option<u64>,
    ) -> Option<u64> {
        let shown = self.tables.lock().shown(address)?;
        if store.is_some() && !shown.writable {
            return None;
        }
        let host = shown.host;
        if shown.kind == Kind::Device {
            // Device registers that are shown to the guest; nobody is behind them here.
            return Some(0);
        }
        let mut memory = machine.memory.lock().expect("memory");
        let mut bytes = [0; 8];
        let count = size.bytes() as usize;
        if let Some(value) = store {
            assert!(
                memory.write(host, &value.to_le_bytes()[..count]),
                "stage 2 leads to {host:#x}, which is no RAM"
            );
        } else {
            assert!(memory.read(host, &mut bytes[..count]), "stage 2 leads to {host:#x}, which is no RAM");
        }
        Some(u64::from_le_bytes(bytes))
    }

    /// Is something there, if only to be read?
    pub(super) fn shows(&self, address: u64) -> bool {
        self.tables.lock().shown(address).is_some()
    }

    /// The level of its virtual timer's line.
    pub(super) fn timer_line(&self, now: Ticks) -> bool {
        self.timer.output(now)
    }
}

/// A simulated processor.
#[derive(Default)]
pub(super) struct Processor {
    pub(super) loaded: Option<Loaded>,
    pub(super) kicked: bool,
    pub(super) deadline: Option<Ticks>,
    pub(super) timer_active: bool,
    pub(super) devices: BTreeSet<u32>,
    pub(super) spent: bool,
    /// It sleeps until an interrupt is pending.
    pub(super) asleep: bool,
    pub(super) counts: Counts,
}

impl Processor {
    /// The most urgent physical interrupt but those of devices: all have one priority, so that with the lowest INTID.
    pub(super) fn pending(&self, now: Ticks, console: bool) -> Option<Interrupt> {
        let loaded = self.loaded.as_ref();
        if self.kicked {
            Some(Interrupt::Kick)
        } else if loaded.is_some_and(|loaded| loaded.interface.maintenance()) {
            Some(Interrupt::Maintenance)
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            Some(Interrupt::Deadline)
        } else if !self.timer_active && loaded.is_some_and(|loaded| loaded.timer_line(now)) {
            Some(Interrupt::VirtualTimer)
        } else if console {
            Some(Interrupt::Console)
        } else {
            None
        }
    }

    pub(super) fn acknowledge(&mut self, interrupt: Interrupt) {
        self.counts.note(interrupt);
        match interrupt {
            Interrupt::Kick => self.kicked = false,
            Interrupt::Deadline => self.deadline = None,
            Interrupt::VirtualTimer => self.timer_active = true,
            Interrupt::Device(intid) => drop(self.devices.remove(&intid)),
            Interrupt::Maintenance | Interrupt::Console => {}
        }
    }

    /// The vCPU whose registers these are must be loaded here.
    pub(super) fn loaded(&mut self, registers: &Registers) -> &mut Loaded {
        let loaded = self.loaded.as_mut().expect("no vCPU is loaded on this processor");
        assert_eq!(
            loaded.at,
            std::ptr::from_ref(registers).addr(),
            "another vCPU is loaded on this processor"
        );
        loaded
    }
}
