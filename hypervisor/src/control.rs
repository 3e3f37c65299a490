//! What the control domain does to others: it pauses them, and takes back all that they have.
//!
//! A domain is destroyed in steps that are each short and can be repeated, so whoever destroys it can be
//! interrupted between any two: it ends, its vCPUs leave their processors, its event channels are closed, its
//! mappings of grants are undone, its memory is given back frame by frame. What others still hold of it, by a mapping or in the middle of a copy,
//! stays until they let go.

use abi::errno::Errno;
use machine::contract::{CpuIndex, Machine};

use crate::domain::{Controlled, Domain, End};
use crate::hypervisor::Hypervisor;

/// Mappings of others' grants that are undone in a step.
const MAPPINGS: usize = 8;
/// Ports that are closed in a step.
const PORTS: usize = 16;
/// Frames that are given back in a step.
const FRAMES: usize = 16;

impl<M: Machine> Hypervisor<M> {
    /// Keeps a domain's vCPUs from running.
    ///
    /// # Errors
    /// `EINVAL` for the control domain, which would never be let go.
    pub fn pause(&self, target: Controlled<'_, M>, from: CpuIndex) -> Result<(), Errno> {
        let domain = target.domain;
        if domain.is_control() {
            return Err(Errno::Inval);
        }
        domain.set_paused(true);
        self.call_off(domain, from);
        Ok(())
    }

    /// Lets them run again.
    ///
    /// # Errors
    /// `EINVAL` for the control domain.
    pub fn unpause(&self, target: Controlled<'_, M>, from: CpuIndex) -> Result<(), Errno> {
        let domain = target.domain;
        if domain.is_control() {
            return Err(Errno::Inval);
        }
        if domain.set_paused(false) {
            for vcpu in self.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
                if vcpu.let_go() {
                    self.make_runnable(vcpu, from);
                }
            }
        }
        Ok(())
    }

    /// Makes the processors that run a domain's vCPUs ask the scheduler.
    pub fn call_off(&self, domain: &Domain<M>, from: CpuIndex) {
        for vcpu in self.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
            if let Some(cpu) = vcpu.running_on() {
                self.call(cpu, from);
            }
        }
    }

    /// Is a vCPU of the domain on a processor?
    pub fn is_still_running(&self, domain: &Domain<M>) -> bool {
        let vcpus = self.vcpus.get(domain.vcpus.clone()).unwrap_or_default();
        vcpus.iter().any(|vcpu| vcpu.running_on().is_some())
    }

    /// One step of taking back what a domain has; true when nothing is left.
    pub fn relinquish(&self, target: Controlled<'_, M>, from: CpuIndex) -> bool {
        let domain = target.domain;
        domain.begin_to_die();
        self.finish_for(domain, End::Crash, from, format_args!(": it is being destroyed"));
        if self.is_still_running(domain) {
            self.call_off(domain, from);
            return false;
        }
        if !self.close_some(domain) || !self.relinquish_grants(domain, MAPPINGS) || !self.release_some(domain)
        {
            return false;
        }
        domain.vanish();
        if let Some(control) = self.control_domain() {
            self.raise_virq(control, abi::xen::VIRQ_DOM_EXC, from);
        }
        true
    }

    /// Closes some of a domain's ports; true when all are closed.
    fn close_some(&self, domain: &Domain<M>) -> bool {
        let Some(pv) = &domain.pv else { return true };
        for _ in 0..PORTS {
            let next = pv.events.lock().channels.next_used(0);
            let Some(port) = next else {
                let mut state = pv.events.lock();
                state.forget_queues();
                state.delivery.forget_places();
                return true;
            };
            // The other end may have closed it meanwhile.
            let _ = self.close(domain, port);
        }
        false
    }

    /// Gives some of a domain's memory back; true when it has none left.
    fn release_some(&self, domain: &Domain<M>) -> bool {
        let mut runstates = self.vcpus.get(domain.vcpus.clone()).unwrap_or_default().iter();
        runstates.by_ref().for_each(|vcpu| {
            let mut none = None;
            vcpu.runstate.lock().swap_area(&mut none);
        });
        // What a vCPU, of whatever domain, has left in the middle is the domain's, too.
        for vcpu in &self.vcpus {
            let mut place = vcpu.progress.lock();
            if let Some(progress) = place.as_mut().filter(|left| left.extent.domain == domain.index) {
                if !progress.give_some_back(domain) {
                    return false;
                }
                *place = None;
            }
        }
        for _ in 0..FRAMES {
            let Some(ipa) = self.machine.first_shown(&domain.map) else { return true };
            match self.machine.hide(&domain.map, ipa) {
                Ok(Some(hidden)) => {
                    if hidden.kind == machine::stage2::Kind::Ram {
                        domain.frames.subtract(1);
                    }
                    self.part_with(domain, hidden);
                }
                Ok(None) => {}
                // Nothing can be taken apart any more: there is no table to do it with, so nothing is left that
                // could be reached by one.
                Err(_) => return true,
            }
        }
        false
    }
}
