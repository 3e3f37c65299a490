//! What the toolstack may know of a domain and its vCPUs.

use abi::arch_arm::{ArchDomainconfig, XEN_DOMCTL_CONFIG_GIC_V2, XEN_DOMCTL_CONFIG_GIC_V3};
use abi::domctl::domain::{
    Getdomaininfo, XEN_DOMINF_BLOCKED, XEN_DOMINF_DYING, XEN_DOMINF_HAP, XEN_DOMINF_PAUSED,
    XEN_DOMINF_RUNNING, XEN_DOMINF_SHUTDOWN, XEN_DOMINF_SHUTDOWNSHIFT,
};
use abi::domctl::vcpu::Getvcpuinfo;
use abi::errno::Errno;
use abi::layout::{Field, Handle};
use machine::contract::Machine;

use super::super::Answer;
use super::Order;
use crate::cpu::Current;
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::runstate::Doing;
use crate::vcpu::Vcpu;

/// `XEN_DOMCTL_getdomaininfo`.
pub(super) fn domain_info<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &Order<'_, M>,
) -> Answer {
    let domain = order.controlled.domain;
    order.answer(hypervisor, current, &describe(hypervisor, domain))?;
    // The frame says which domain it is: the one asked for may not be there.
    let id: Handle<u16> = Handle::new(order.frame.address().wrapping_add(8));
    hypervisor.write(current, id, &domain.id)?;
    Ok(0)
}

/// All that there is to say of a domain.
pub(in super::super) fn describe<M: Machine>(
    hypervisor: &Hypervisor<M>,
    domain: &Domain<M>,
) -> Getdomaininfo {
    let now = hypervisor.machine.now();
    let (mut flags, mut cpu_time) = (XEN_DOMINF_HAP, 0_u64);
    let (mut runs, mut waits) = (false, true);
    for vcpu in hypervisor.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
        let runstate = vcpu.runstate.lock();
        let [running, ..] = runstate.info(hypervisor, now).time;
        cpu_time = cpu_time.saturating_add(running);
        runs |= runstate.doing() == Doing::Running;
        waits &= matches!(runstate.doing(), Doing::Blocked | Doing::Offline);
    }
    let mut set = |flag: u32, yes: bool| flags |= if yes { flag } else { 0 };
    set(XEN_DOMINF_RUNNING, runs);
    set(XEN_DOMINF_BLOCKED, waits && domain.lives());
    set(XEN_DOMINF_PAUSED, domain.is_paused());
    set(XEN_DOMINF_DYING, domain.is_dying());
    // A domain that lives has the reason -1, of which 4.17 shows all bits that there is room for.
    let reason = domain.end().map_or(u32::MAX, |end| end.reason());
    set(XEN_DOMINF_SHUTDOWN, domain.end().is_some());
    set(reason.checked_shl(XEN_DOMINF_SHUTDOWNSHIFT).unwrap_or(0), true);
    let gic = if hypervisor.gic_v3 { XEN_DOMCTL_CONFIG_GIC_V3 } else { XEN_DOMCTL_CONFIG_GIC_V2 };
    Getdomaininfo {
        domain: domain.id,
        flags,
        tot_pages: domain.frames.current(),
        max_pages: domain.frames.most(),
        shared_info_frame: u64::MAX,
        cpu_time,
        nr_online_vcpus: u32::try_from(domain.online.load(core::sync::atomic::Ordering::Relaxed))
            .unwrap_or(0),
        max_vcpu_id: u32::try_from(domain.vcpus.len().saturating_sub(1)).unwrap_or(0),
        handle: domain.handle.get(),
        cpupool: u32::try_from(domain.seat.pool).unwrap_or(0),
        gpaddr_bits: hypervisor.ipa_bits,
        arch_config: ArchDomainconfig { gic_version: gic, ..ArchDomainconfig::default() },
        ..Getdomaininfo::default()
    }
}

/// A vCPU of the domain that an operation is about.
pub(super) fn vcpu_of<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    order: &Order<'_, M>,
    number: u32,
) -> Option<&'h Vcpu> {
    hypervisor.vcpu_of(order.controlled.domain, usize::try_from(number).ok()?)
}

/// `XEN_DOMCTL_getvcpuinfo`.
///
/// # Errors
/// `EINVAL` for a vCPU that is not there.
pub(super) fn vcpu_info<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &Order<'_, M>,
) -> Answer {
    let mut answer: Getvcpuinfo = Field::load(&order.words);
    let vcpu = vcpu_of(hypervisor, order, answer.vcpu).ok_or(Errno::Inval)?;
    let now = hypervisor.machine.now();
    let (doing, [running, ..]) = {
        let runstate = vcpu.runstate.lock();
        (runstate.doing(), runstate.info(hypervisor, now).time)
    };
    answer.online = u8::from(doing != Doing::Offline);
    answer.blocked = u8::from(doing == Doing::Blocked);
    answer.running = u8::from(doing == Doing::Running);
    answer.cpu_time = running;
    answer.cpu = u32::try_from(vcpu.last_on()).unwrap_or(0);
    order.answer(hypervisor, current, &answer)
}
