//! What can be typed to the hypervisor itself: the focus, and a few questions.

use machine::contract::Machine;

use crate::console::Focus;
use crate::hypervisor::{Hypervisor, Level};

impl<M: Machine> Hypervisor<M> {
    /// A key that was typed while the hypervisor has the focus.
    pub fn key(&self, key: u8) {
        match key {
            b'h' | b'?' => self.show_keys(),
            b'm' => self.show_memory(),
            b'q' => self.show_domains(),
            b'R' => {
                self.say(Level::Error, format_args!("'R': the machine starts anew"));
                self.empty_console();
                self.machine.reset();
            }
            b'C' => {
                self.say(Level::Error, format_args!("'C': a fault of the hypervisor, on purpose"));
                self.empty_console();
                self.machine.fault();
            }
            _ => {}
        }
    }

    fn show_keys(&self) {
        for line in [
            "h  these lines",
            "m  memory: what is free, and requests that the sealed heap has refused",
            "q  the domains and their vCPUs",
            "R  restart the machine",
            "C  crash the hypervisor",
        ] {
            self.say(Level::Error, format_args!("  {line}"));
        }
    }

    fn show_memory(&self) {
        let refused = self.machine.refused_allocations();
        let (free, all) = (self.machine.frames().free_frames(), self.machine.frames().frames());
        self.say(Level::Error, format_args!("heap: sealed, {refused} requests refused since"));
        self.say(Level::Error, format_args!("frames: {free} of {all} are free"));
        for domain in &self.domains {
            let (has, most) = (domain.frames.current(), domain.frames.most());
            self.say(Level::Error, format_args!("d{}: has {has} of {most} frames", domain.id));
        }
    }

    fn show_domains(&self) {
        for domain in &self.domains {
            match domain.end() {
                Some(end) => self.say(Level::Error, format_args!("d{}: has {end}", domain.id)),
                None => self.say(Level::Error, format_args!("d{}: {} vCPUs", domain.id, domain.vcpus.len())),
            }
            for vcpu in self.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
                let off = vcpu.power.is_off();
                match vcpu.running_on().filter(|_| !vcpu.is_blocked()) {
                    Some(cpu) => {
                        self.say(Level::Error, format_args!("  v{}: on processor {cpu}", vcpu.index));
                    }
                    None if off => self.say(Level::Error, format_args!("  v{}: off", vcpu.index)),
                    None => self.say(Level::Error, format_args!("  v{}: waits", vcpu.index)),
                }
            }
        }
    }

    /// Moves the input focus to the next domain that can be typed to, or back to the hypervisor.
    pub fn switch_focus(&self, focus: Focus) {
        let start = match focus {
            Focus::Hypervisor => 0,
            Focus::Domain(index) => index.saturating_add(1),
        };
        let next = (0..self.domains.len())
            .zip(&self.domains)
            .skip(start)
            .find(|(_, domain)| (domain.has_uart || domain.is_control()) && domain.lives());
        let (focus, id) = match next {
            Some((index, domain)) => (Focus::Domain(index), Some(domain.id)),
            None => (Focus::Hypervisor, None),
        };
        let control = {
            let mut console = self.console();
            console.set_focus(focus);
            char::from(console.switch_character().wrapping_add(b'a').wrapping_sub(1))
        };
        let how = format_args!("(type 'CTRL-{control}' three times to switch input)");
        match id {
            Some(id) => self.say(Level::Error, format_args!("*** Serial input to DOM{id} {how}")),
            None => self.say(Level::Error, format_args!("*** Serial input to Xenite {how}")),
        }
    }
}
