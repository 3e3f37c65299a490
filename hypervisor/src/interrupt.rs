//! A physical interrupt becomes what it is for: a deadline, a call, a typed byte, a guest's interrupt.

use machine::contract::{CpuIndex, Interrupt, Machine};
use model::arm64::Lists;
use model::arm64::gic::{Attention, Raise};

use crate::console::{DomainConsole, Focus, Typed};
use crate::cpu::Local;
use crate::domain::Domain;
use crate::hypervisor::{Hypervisor, WATCHER};

/// Bytes that are taken from the console at a time.
const TYPED_AT_ONCE: usize = 64;

impl<M: Machine> Hypervisor<M> {
    /// Takes one pending interrupt and does what it asks.
    pub fn interrupt(&self, local: &mut Local<'_, M>) {
        match self.machine.acknowledge(local.index) {
            // A kick is its own message: the loop looks at its flags before it enters a guest.
            None | Some(Interrupt::Kick) => {}
            Some(Interrupt::Deadline) => self.deadline(local),
            Some(Interrupt::VirtualTimer) => self.virtual_timer(local),
            Some(Interrupt::Maintenance) => local.refill(),
            Some(Interrupt::Console) => self.console_interrupt(local.index),
            Some(Interrupt::Device(intid)) => self.device(local.index, intid),
        }
    }

    fn deadline(&self, local: &mut Local<'_, M>) {
        let now = self.machine.now();
        local.deadline_has_passed();
        while let Some(id) = local.processor.deadlines.expired(now) {
            if let Some(vcpu) = self.vcpu(id) {
                vcpu.take_deadline();
                self.wake(vcpu, local.index);
            }
        }
        if local.limit <= now {
            local.processor.ask();
        }
        if local.index == WATCHER {
            self.end_unfed(now);
        }
        self.update_physical_timer(local, now);
    }

    /// A device's interrupt goes to the domain that drives it, tied to the physical one.
    fn device(&self, cpu: CpuIndex, intid: u32) {
        let owner =
            usize::try_from(intid).ok().and_then(|intid| self.device_owners.get(intid).copied().flatten());
        let owner = owner.and_then(|index| self.domains.get(usize::from(index)));
        let Some(domain) = owner.filter(|domain| domain.lives()) else {
            self.machine.release(cpu, intid);
            return;
        };
        let attention = domain.interrupts.lock().inject_physical(0, intid, intid);
        self.notify(domain, attention, cpu);
    }

    /// The running vCPU's timer has fired: its interrupt is handed on, tied to the physical one.
    #[inline(never)]
    fn virtual_timer(&self, local: &mut Local<'_, M>) {
        let Some(current) = local.current.as_mut() else {
            self.machine.release(local.index, self.virtual_timer);
            return;
        };
        current.state.registers.timer.in_flight = true;
        let [intid, _] = current.domain.timers;
        self.raise_here(local, Raise::Physical(intid, self.virtual_timer));
    }

    /// Raises an interrupt for, or by, the loaded vCPU: in a list register at once, where one can take it.
    /// Compiled into its callers, which know what raises it.
    #[inline(always)]
    pub fn raise_here(&self, local: &mut Local<'_, M>, raise: Raise) {
        let cpu = local.index;
        let Some(current) = local.current.as_mut() else { return };
        let (index, lists) = (current.vcpu.index, &mut current.state.registers.lists);
        let read = |_: &Lists, place| self.machine.read_list(cpu, place);
        let write = |place, entry| self.machine.write_list(cpu, place, entry);
        let attention = current.domain.interrupts.lock().raise_running(index, raise, lists, (read, write));
        if !attention.is_empty() {
            self.raised_elsewhere(local, attention);
        }
    }

    /// What was raised has to be put into list registers, of the loaded vCPU or of others.
    #[cold]
    #[inline(never)]
    fn raised_elsewhere(&self, local: &mut Local<'_, M>, attention: Attention) {
        let Some(current) = local.current.as_ref() else { return };
        let (domain, index) = (current.domain, current.vcpu.index);
        if attention.contains(index) {
            local.refill();
        }
        self.notify(domain, attention.without(index), local.index);
    }

    /// Brings the emulated timer's line to the guest, where it has changed.
    pub fn update_physical_timer(&self, local: &mut Local<'_, M>, now: u64) {
        let Some(current) = local.current.as_mut() else { return };
        let [_, intid] = current.domain.timers;
        let high = current.state.physical_timer.output(now);
        if high == current.state.physical_line {
            return;
        }
        current.state.physical_line = high;
        let index = current.vcpu.index;
        let attention = current.domain.interrupts.lock().set_line(intid, index, high);
        if attention.contains(index) {
            local.refill();
        }
    }

    fn console_interrupt(&self, cpu: CpuIndex) {
        for _ in 0..TYPED_AT_ONCE {
            let Some(byte) = self.machine.console_read() else { break };
            self.typed(byte, cpu);
        }
        let stalled = {
            let mut console = self.console();
            let stalled = console.take_stalled();
            console.drain(&self.machine);
            stalled
        };
        if let Some(served) = stalled {
            self.resume_writers(served, cpu);
        }
    }

    fn typed(&self, byte: u8, cpu: CpuIndex) {
        let (typed, focus, switch) = {
            let mut console = self.console();
            (console.typed(byte), console.focus(), console.switch_character())
        };
        match typed {
            Typed::Nothing => {}
            Typed::Switch => self.switch_focus(focus),
            Typed::Bytes(switches, byte) => {
                for _ in 0..switches {
                    self.deliver(focus, switch, cpu);
                }
                self.deliver(focus, byte, cpu);
            }
        }
    }

    fn deliver(&self, focus: Focus, byte: u8, cpu: CpuIndex) {
        let Focus::Domain(index) = focus else {
            self.key(byte);
            return;
        };
        let Some(domain) = self.domains.get(index) else { return };
        let Some(console) = &domain.console else { return };
        let attention = {
            let mut console = console.lock();
            console.type_byte(byte);
            domain.has_uart.then(|| self.set_uart_line(domain, &console))
        };
        match attention {
            Some(attention) => self.notify(domain, attention, cpu),
            None => self.raise_virq(domain, abi::xen::VIRQ_CONSOLE, cpu),
        }
    }

    /// Gives domains whose output waited for room another chance, in turn.
    fn resume_writers(&self, served: usize, cpu: CpuIndex) {
        let (first, last) =
            self.domains.split_at_checked(served.saturating_add(1)).unwrap_or((&self.domains, &[]));
        for domain in last.iter().chain(first) {
            let Some(console) = &domain.console else { continue };
            let attention = {
                let mut console = console.lock();
                if !console.stalled() || !self.console().resume(&self.machine, &mut console) {
                    continue;
                }
                domain.has_uart.then(|| self.set_uart_line(domain, &console))
            };
            if let Some(attention) = attention {
                self.notify(domain, attention, cpu);
            }
        }
    }

    /// Brings a UART's interrupt line to the domain's controller, while the UART is locked: no older level
    /// may come after a newer one. The vCPUs that it concerns are to be notified.
    pub fn set_uart_line(&self, domain: &Domain<M>, console: &DomainConsole) -> Attention {
        domain.interrupts.lock().set_line(domain.layout.uart_interrupt, 0, console.uart.output())
    }
}
