//! Operations that an unprivileged domain has no right to, and such as do not exist on Arm.

use guests::report;
use guests::xen::{self, DOMID_SELF, MEMORY_OP, memory};

use super::{accounted, spare};

pub(super) fn all() {
    exchange();
    for command in
        [5u64, 8, 9, 10, 12, 13, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 29, 30, 31, 32, 40, 63]
    {
        let mut buffer = [0u64; 32];
        report::fact(format_args!("memory_op.{command}.zeroes"), xen::op(MEMORY_OP, command, &mut buffer));
        let mut buffer = [u64::from(DOMID_SELF); 32];
        report::fact(format_args!("memory_op.{command}.self"), xen::op(MEMORY_OP, command, &mut buffer));
        report::fact(format_args!("memory_op.{command}.null"), xen::op_at(MEMORY_OP, command, 0));
    }
    claim();
    resources();
    accounted("refused");
    super::extents::nowhere();
    super::reservation::increase();
}

fn exchange() {
    let (mut given, mut taken) = ([spare(80)], [spare(80)]);
    let side = |extents: u64, domain| memory::Reservation { extents, count: 1, order: 0, flags: 0, domain };
    for domain in [DOMID_SELF, 1, 9] {
        let mut request = memory::Exchange {
            given: side(given.as_mut_ptr() as u64, domain),
            taken: side(taken.as_mut_ptr() as u64, domain),
            exchanged: 0,
        };
        report::fact(
            format_args!("exchange.{domain:#x}"),
            xen::op(MEMORY_OP, memory::EXCHANGE, &mut request),
        );
    }
    report::fact("exchange.null", xen::op_at(MEMORY_OP, memory::EXCHANGE, 0));
}

fn claim() {
    for (name, request) in [
        ("self", memory::Reservation { extents: 0, count: 1, order: 0, flags: 0, domain: DOMID_SELF }),
        ("own_number", memory::Reservation { extents: 0, count: 1, order: 0, flags: 0, domain: 1 }),
        ("bad_order", memory::Reservation { extents: 0, count: 1, order: 1, flags: 0, domain: DOMID_SELF }),
        ("bad_extents", memory::Reservation { extents: 8, count: 1, order: 0, flags: 0, domain: DOMID_SELF }),
    ] {
        let mut request = request;
        report::fact(format_args!("claim_pages.{name}"), xen::op(MEMORY_OP, 24, &mut request));
    }
}

fn resources() {
    let mut frames = [xen::free_frame() + 0x300];
    for domain in [DOMID_SELF, 1, 0, 9] {
        for kind in [0u16, 1, 2, 3] {
            let mut request = memory::AcquireResource {
                domain,
                kind,
                id: 0,
                count: 1,
                pad: 0,
                frame: 0,
                frames: frames.as_mut_ptr() as u64,
            };
            let answer = xen::op(MEMORY_OP, memory::ACQUIRE_RESOURCE, &mut request);
            report::fact(format_args!("acquire_resource.{domain:#x}.{kind}"), answer);
            request.count = 0;
            request.frames = 0;
            let answer = xen::op(MEMORY_OP, memory::ACQUIRE_RESOURCE, &mut request);
            report::fact(
                format_args!("acquire_resource.{domain:#x}.{kind}.size"),
                format_args!("{answer} {}", request.count),
            );
        }
    }
    report::fact("acquire_resource.null", xen::op_at(MEMORY_OP, memory::ACQUIRE_RESOURCE, 0));
}
