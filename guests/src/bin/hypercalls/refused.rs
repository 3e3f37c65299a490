//! What an unprivileged domain asks for in vain, and the console, which it may write to.

use guests::{report, xen};

pub(super) fn all() {
    physical_devices();
    versioned("domctl", xen::DOMCTL, 0x15, 0..=90);
    versioned("sysctl", xen::SYSCTL, 0x15, 0..=30);
    versioned("platform_op", xen::PLATFORM_OP, 0x0300_0001, 0..=70);
    for command in [0u64, 1, 2, 3, 5, 26, 0xffff_ffff] {
        let mut buffer = [0u64; 32];
        report::fact(
            format_args!("xsm_op.{command}"),
            xen::call(xen::XSM_OP, [xen::handle(&mut buffer), command, 0, 0, 0]),
        );
    }
    let mut buffer = [0u64; 32];
    report::fact("xsm_op.zeroes", xen::op_at(xen::XSM_OP, xen::handle(&mut buffer), 0));
    report::fact("xsm_op.null", xen::call(xen::XSM_OP, [0; 5]));
    for command in [0u64, 1, 2, 3, 4, 99] {
        let mut buffer = [0u64; 32];
        let address = xen::handle(&mut buffer);
        report::fact(
            format_args!("hypfs_op.{command}"),
            xen::call(xen::HYPFS_OP, [command, address, 1, address, 256]),
        );
        report::fact(
            format_args!("hypfs_op.{command}.empty"),
            xen::call(xen::HYPFS_OP, [command, 0, 0, 0, 0]),
        );
        report::fact(
            format_args!("argo_op.{command}"),
            xen::call(xen::ARGO_OP, [command, address, address, 0, 0]),
        );
    }
    for domain in [0x7ff0u64, 0, 1, 9, 0x7ff4] {
        let mut buffer = [0u64; 32];
        let address = xen::handle(&mut buffer);
        let mut list = [address, 256];
        report::fact(
            format_args!("dm_op.of_domain.{domain:#x}"),
            xen::call(xen::DM_OP, [domain, 1, xen::handle(&mut list), 0, 0]),
        );
        report::fact(
            format_args!("dm_op.of_domain.{domain:#x}.no_buffer"),
            xen::call(xen::DM_OP, [domain, 0, 0, 0, 0]),
        );
    }
    console();
}

fn physical_devices() {
    for command in 0..=33u64 {
        let mut buffer = [0u64; 32];
        report::fact(format_args!("physdev_op.{command}"), xen::op(xen::PHYSDEV_OP, command, &mut buffer));
    }
    report::fact("physdev_op.25.null", xen::op_at(xen::PHYSDEV_OP, 25, 0));
    report::fact("physdev_op.unknown", xen::op_at(xen::PHYSDEV_OP, 0xffff_ffff, 0));
}

/// A call whose structure begins with its command and the version of the interface.
fn versioned(name: &str, number: u64, version: u32, commands: core::ops::RangeInclusive<u32>) {
    let ask = |command: u32, version: u32, domain: u16| {
        let mut buffer = [0u64; 32];
        buffer[0] = u64::from(command) | u64::from(version) << 32;
        buffer[1] = u64::from(domain);
        xen::op_at(number, xen::handle(&mut buffer), 0)
    };
    for version in [0, version - 1, version + 1, u32::MAX] {
        report::fact(format_args!("{name}.version.{version:#x}"), ask(1, version, xen::DOMID_SELF));
    }
    let mut last = (0, 0);
    for command in commands.clone() {
        let answer = ask(command, version, xen::DOMID_SELF);
        // Long runs of one answer are one line.
        if command == *commands.start() || answer != last.1 {
            report::fact(format_args!("{name}.from.{command}"), answer);
        }
        last = (command, answer);
    }
    for domain in [0u16, 1, 2, 9, 0x7ff2, 0x7ff4, 0xffff] {
        report::fact(format_args!("{name}.of_domain.{domain:#x}"), ask(5, version, domain));
    }
    report::fact(format_args!("{name}.unknown"), ask(u32::MAX, version, xen::DOMID_SELF));
    report::fact(format_args!("{name}.null"), xen::call(number, [0; 5]));
}

fn console() {
    let io =
        |command: u64, count: u64, address: u64| xen::call(xen::CONSOLE_IO, [command, count, address, 0, 0]);
    let text = b"written through the hypervisor's console\n";
    let address = text.as_ptr() as u64;
    report::fact("console_io.write", io(0, text.len() as u64, address));
    report::fact("console_io.write.nothing", io(0, 0, address));
    report::fact("console_io.write.null", io(0, 1, 0));
    report::fact("console_io.write.null_nothing", io(0, 0, 0));
    report::fact("console_io.write.huge", io(0, 1 << 31, 0));
    let mut buffer = [0u64; 4];
    report::fact("console_io.read", io(1, 32, xen::handle(&mut buffer)));
    report::fact("console_io.read.nothing", io(1, 0, xen::handle(&mut buffer)));
    report::fact("console_io.read.null", io(1, 32, 0));
    for command in [2u64, 3, 0xffff_ffff] {
        report::fact(format_args!("console_io.unknown.{command}"), io(command, 0, 0));
    }
}
