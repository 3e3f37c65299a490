//! Ports: how they are made, bound, asked about and closed, and what is refused. The layout is the two-level one.

use guests::report;
use guests::xen::{self, DOMID_SELF, event};

/// Domains that are not there or not for us.
const OTHERS: [u16; 9] = [0, 2, 9, 0x7ff1, 0x7ff2, 0x7ff4, 0x7fff, 0x8000, 0xffff];

pub(super) fn result(name: core::fmt::Arguments<'_>, answer: Result<u32, i64>) {
    match answer {
        Ok(port) => report::fact(name, format_args!("port {port}")),
        Err(error) => report::fact(name, error),
    }
}

pub(super) fn status(name: core::fmt::Arguments<'_>, port: u32) {
    status_of(name, DOMID_SELF, port);
}

fn status_of(name: core::fmt::Arguments<'_>, domain: u16, port: u32) {
    match event::status(domain, port) {
        Ok(seen) => report::fact(
            name,
            format_args!("status {} vcpu {} {:#x} {:#x}", seen.status, seen.vcpu, seen.one, seen.two),
        ),
        Err(error) => report::fact(name, error),
    }
}

pub(super) fn all() {
    for port in [0u32, 1, 2, 1022, 1023, 1024, 4095, 4096, 131_071, 131_072, u32::MAX] {
        status(format_args!("status.before.{port}"), port);
    }
    granularity();
    unbound();
    interdomain();
    processors();
    virtual_interrupts();
    other_ports();
    reuse();
    exhaustion();
}

/// Ports come into being in groups: the first that there is not, before any was made and after one was.
fn granularity() {
    let first_absent = || (0..4096u32).find(|port| event::status(DOMID_SELF, *port).is_err()).unwrap_or(4096);
    report::fact("ports.first_absent", first_absent());
    let mut ports = [0u32; 130];
    for port in &mut ports {
        *port = event::bind_ipi(0).unwrap_or(0);
    }
    report::fact("ports.first_absent_after_130", first_absent());
    for port in ports {
        event::close(port);
    }
    report::fact("ports.first_absent_after_close", first_absent());
    report::fact("ports.reset", event::reset(DOMID_SELF));
    report::fact("ports.first_absent_after_reset", first_absent());
}

fn unbound() {
    let port = event::alloc_unbound(DOMID_SELF, DOMID_SELF);
    result(format_args!("alloc_unbound.self"), port);
    let port = port.unwrap_or(0);
    status(format_args!("alloc_unbound.self.status"), port);
    report::fact("alloc_unbound.send", event::send(port));
    report::fact("alloc_unbound.unmask", event::unmask(port));
    report::fact("alloc_unbound.bind_vcpu.1", event::bind_vcpu(port, 1));
    status(format_args!("alloc_unbound.after_bind_vcpu"), port);
    report::fact("alloc_unbound.bind_vcpu.2", event::bind_vcpu(port, 2));
    report::fact("alloc_unbound.bind_vcpu.huge", event::bind_vcpu(port, u32::MAX));
    report::fact("alloc_unbound.bind_vcpu.0", event::bind_vcpu(port, 0));
    report::fact("alloc_unbound.close", event::close(port));
    report::fact("alloc_unbound.close_again", event::close(port));
    status(format_args!("alloc_unbound.closed"), port);
    for remote in OTHERS.into_iter().chain([1]) {
        let port = event::alloc_unbound(DOMID_SELF, remote);
        result(format_args!("alloc_unbound.remote.{remote:#x}"), port);
        if let Ok(port) = port {
            status(format_args!("alloc_unbound.remote.{remote:#x}.status"), port);
            report::fact(format_args!("alloc_unbound.remote.{remote:#x}.close"), event::close(port));
        }
        let port = event::alloc_unbound(remote, DOMID_SELF);
        result(format_args!("alloc_unbound.in.{remote:#x}"), port);
        if let Ok(port) = port {
            report::fact(format_args!("alloc_unbound.in.{remote:#x}.close"), event::close(port));
        }
    }
}

fn interdomain() {
    let first = event::alloc_unbound(DOMID_SELF, DOMID_SELF).unwrap_or(0);
    let second = event::bind_interdomain(DOMID_SELF, first);
    result(format_args!("bind_interdomain.self"), second);
    let second = second.unwrap_or(0);
    status(format_args!("bind_interdomain.first"), first);
    status(format_args!("bind_interdomain.second"), second);
    result(format_args!("bind_interdomain.bound"), event::bind_interdomain(DOMID_SELF, first));
    result(format_args!("bind_interdomain.bound_second"), event::bind_interdomain(DOMID_SELF, second));
    report::fact("bind_interdomain.bind_vcpu", event::bind_vcpu(second, 1));
    status(format_args!("bind_interdomain.second.moved"), second);
    report::fact("bind_interdomain.close_second", event::close(second));
    status(format_args!("bind_interdomain.first_then"), first);
    result(format_args!("bind_interdomain.again"), event::bind_interdomain(DOMID_SELF, first));
    report::fact("bind_interdomain.close_first", event::close(first));
    status(format_args!("bind_interdomain.second_then"), second);
    report::fact("bind_interdomain.close_last", event::close(second));
    // To oneself, at both ends of one port?
    let alone = event::alloc_unbound(DOMID_SELF, 5).unwrap_or(0);
    if alone != 0 {
        result(format_args!("bind_interdomain.for_another"), event::bind_interdomain(DOMID_SELF, alone));
        report::fact("bind_interdomain.for_another.close", event::close(alone));
    }
    for port in [0u32, 1, 500, 1023, 1024, 4096, u32::MAX] {
        result(format_args!("bind_interdomain.closed.{port}"), event::bind_interdomain(DOMID_SELF, port));
    }
    for remote in OTHERS {
        result(format_args!("bind_interdomain.remote.{remote:#x}"), event::bind_interdomain(remote, 1));
    }
}

fn processors() {
    for vcpu in [0u32, 1, 2, 127, 128, u32::MAX] {
        let port = event::bind_ipi(vcpu);
        result(format_args!("bind_ipi.{vcpu}"), port);
        let Ok(port) = port else { continue };
        status(format_args!("bind_ipi.{vcpu}.status"), port);
        report::fact(format_args!("bind_ipi.{vcpu}.bind_vcpu"), event::bind_vcpu(port, 0));
        result(format_args!("bind_ipi.{vcpu}.bind_interdomain"), event::bind_interdomain(DOMID_SELF, port));
        report::fact(format_args!("bind_ipi.{vcpu}.send"), event::send(port));
        report::fact(format_args!("bind_ipi.{vcpu}.close"), event::close(port));
        status(format_args!("bind_ipi.{vcpu}.closed"), port);
    }
}

fn virtual_interrupts() {
    for virq in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 23, 24, 31, 32, u32::MAX] {
        let port = event::bind_virq(virq, 0);
        result(format_args!("bind_virq.{virq}"), port);
        result(format_args!("bind_virq.{virq}.on_second"), {
            let second = event::bind_virq(virq, 1);
            second.inspect(|port| {
                report::fact(format_args!("bind_virq.{virq}.on_second.close"), event::close(*port))
            })
        });
        let Ok(port) = port else { continue };
        status(format_args!("bind_virq.{virq}.status"), port);
        result(format_args!("bind_virq.{virq}.again"), event::bind_virq(virq, 0));
        report::fact(format_args!("bind_virq.{virq}.send"), event::send(port));
        report::fact(format_args!("bind_virq.{virq}.bind_vcpu"), event::bind_vcpu(port, 1));
        report::fact(format_args!("bind_virq.{virq}.close"), event::close(port));
    }
    result(format_args!("bind_virq.third_vcpu"), event::bind_virq(0, 2));
    result(format_args!("bind_virq.no_vcpu"), event::bind_virq(0, u32::MAX));
}

/// Operations on ports that are not there, unknown operations, missing structures.
fn other_ports() {
    for port in [0u32, 1, 1022, 1023, 1024, 4095, 4096, u32::MAX] {
        report::fact(format_args!("closed.{port}.send"), event::send(port));
        report::fact(format_args!("closed.{port}.close"), event::close(port));
        report::fact(format_args!("closed.{port}.unmask"), event::unmask(port));
        report::fact(format_args!("closed.{port}.bind_vcpu"), event::bind_vcpu(port, 0));
        report::fact(format_args!("closed.{port}.set_priority"), event::set_priority(port, 0));
    }
    for domain in OTHERS.into_iter().chain([1]) {
        status_of(format_args!("status.of_domain.{domain:#x}"), domain, 1);
        report::fact(format_args!("reset.of_domain.{domain:#x}"), event::reset(domain));
    }
    for pirq in [0u64, 1, 40] {
        let mut request = [pirq, 0];
        report::fact(
            format_args!("bind_pirq.{pirq}"),
            xen::op(xen::EVENT_CHANNEL_OP, event::BIND_PIRQ, &mut request),
        );
    }
    // 14 is what Xen continues a reset with.
    for command in [15u64, 63, 0xffff_ffff, 1 << 32 | 15] {
        let mut request = [0u64; 8];
        report::fact(
            format_args!("event_channel_op.{command}"),
            xen::op(xen::EVENT_CHANNEL_OP, command, &mut request),
        );
    }
    for command in 0..=13u64 {
        report::fact(
            format_args!("event_channel_op.{command}.null"),
            xen::op_at(xen::EVENT_CHANNEL_OP, command, 0),
        );
    }
    report::fact("expand_array.before_init", event::expand_array(xen::free_frame()));
}

fn reuse() {
    let make = || event::alloc_unbound(DOMID_SELF, DOMID_SELF).unwrap_or(0);
    let ports = [make(), make(), make(), make()];
    report::fact("reuse.made", format_args!("{ports:?}"));
    report::fact("reuse.close_third", event::close(ports[2]));
    report::fact("reuse.close_first", event::close(ports[0]));
    report::fact("reuse.made_again", format_args!("{:?}", [make(), make(), make()]));
    report::fact("reuse.reset", event::reset(DOMID_SELF));
    report::fact("reuse.after_reset", format_args!("{:?}", [make(), make()]));
    report::fact("reuse.reset_again", event::reset(DOMID_SELF));
}

fn exhaustion() {
    let mut made = 0u32;
    let mut last = 0;
    let error = loop {
        match event::alloc_unbound(DOMID_SELF, DOMID_SELF) {
            Ok(port) => (made, last) = (made + 1, port),
            Err(error) => break error,
        }
    };
    report::fact("exhaustion", format_args!("{made} ports, the last {last}, then {error}"));
    result(format_args!("exhaustion.bind_ipi"), event::bind_ipi(0));
    result(format_args!("exhaustion.bind_virq"), event::bind_virq(0, 0));
    result(format_args!("exhaustion.bind_interdomain"), event::bind_interdomain(DOMID_SELF, 7));
    report::fact("exhaustion.close", event::close(700));
    result(format_args!("exhaustion.next"), event::alloc_unbound(DOMID_SELF, DOMID_SELF));
    report::fact("exhaustion.reset", event::reset(DOMID_SELF));
    status(format_args!("exhaustion.last_after_reset"), last);
}
