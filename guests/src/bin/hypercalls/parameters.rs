//! hvm_op: the parameters of the own domain and of others; vm_assist.

use guests::{report, xen};

const SET: u64 = 0;
const GET: u64 = 1;

/// xen_hvm_param.
#[repr(C)]
struct Parameter {
    domain: u16,
    pad: u16,
    index: u32,
    value: u64,
}

fn ask(command: u64, domain: u16, index: u32, value: u64) -> (i64, u64) {
    let mut parameter = Parameter { domain, pad: 0, index, value };
    let result = xen::op(xen::HVM_OP, command, &mut parameter);
    (result, parameter.value)
}

pub(super) fn all() {
    for index in 0..=40u32 {
        let (result, value) = ask(GET, xen::DOMID_SELF, index, 0xa5a5);
        report::fact(format_args!("hvm_op.get.{index}"), format_args!("{result} {value:#x}"));
        let (result, _) = ask(SET, xen::DOMID_SELF, index, value);
        report::fact(format_args!("hvm_op.set.{index}"), result);
    }
    for index in [41u32, 1000, 0x8000_0000, u32::MAX] {
        report::fact(format_args!("hvm_op.get.{index}"), ask(GET, xen::DOMID_SELF, index, 0).0);
        report::fact(format_args!("hvm_op.set.{index}"), ask(SET, xen::DOMID_SELF, index, 0).0);
    }
    for domain in [0u16, 1, 2, 7, 0x7ff1, 0x7ff2, 0x7ff4, 0x7fff, 0x8000, 0xffff] {
        report::fact(format_args!("hvm_op.get.of_domain.{domain:#x}"), ask(GET, domain, 0, 0).0);
        report::fact(format_args!("hvm_op.set.of_domain.{domain:#x}"), ask(SET, domain, 0, 0).0);
    }
    for command in 2..=27u64 {
        let mut buffer = [0u64; 16];
        buffer[0] = u64::from(xen::DOMID_SELF);
        report::fact(format_args!("hvm_op.{command}"), xen::op(xen::HVM_OP, command, &mut buffer));
    }
    report::fact("hvm_op.get.null", xen::op_at(xen::HVM_OP, GET, 0));
    report::fact("hvm_op.set.null", xen::op_at(xen::HVM_OP, SET, 0));
    assists();
}

fn assists() {
    for command in 0..=2u64 {
        for kind in [0u64, 1, 2, 3, 4, 5, 6, 31, 32, 63, 64, 1 << 32, u64::MAX] {
            report::fact(
                format_args!("vm_assist.{command}.{kind:#x}"),
                xen::call(xen::VM_ASSIST, [command, kind, 0, 0, 0]),
            );
        }
    }
}
