//! The guest's tree, property by property.

use super::*;
use crate::shape::{Kernel, Placed, Processor};
use alloc::vec;

fn board(compatible: usize) -> Board {
    let range = Range { base: u64::MAX >> 1, size: 0x1000 };
    Board {
        memory: vec![],
        reserved: vec![],
        cpus: vec![Processor { mpidr: 0 }],
        cpu_compatible: vec![b'x'; compatible],
        cpu_frequency: Some(1),
        timer_frequency: Some(1),
        gic: GicRegions::V3 { distributor: range, redistributors: vec![range], stride: 0, maintenance: 25 },
        virtual_timer: 27,
        hypervisor_timer: 26,
        physical_timers: [29, 30],
        uart: None,
        psci: true,
    }
}

#[test]
fn no_tree_is_larger_than_its_bound() {
    let placed = Placed { module: Range { base: 1, size: 1 }, guest: u64::MAX >> 1, size: 1 };
    let images =
        Images { kernel: Kernel { placed, gzip: false, entry: 0 }, ramdisk: Some(placed), tree_at: 0 };
    let high = u64::MAX >> 1;
    let layout = Layout {
        distributor: high,
        cpu_interface: high,
        cpu_interface_size: high,
        uart: high,
        uart_interrupt: 991,
    };
    let text = "x".repeat(4096);
    for (vcpus, compatible, bootargs, banks) in [(1, 1, 0, 1), (128, 256, 4096, 256), (17, 15, 1, 2)] {
        let board = board(compatible);
        let banks = vec![Range { base: high, size: 0x1000 }; banks];
        let range = Range { base: high, size: 0x1000 };
        let extended = vec![range; banks.len()];
        let interface = Interface { xenstore: true, grant_window: range, extended, event_interrupt: 31 };
        let bootargs = &text[..bootargs];
        let guest = Guest {
            shared: &[],
            regions: &[],
            board: &board,
            bootargs,
            vcpus,
            vpl011: true,
            banks: &banks,
            layout: &layout,
            images: &images,
            interface: Some(&interface),
            partial: None,
        };
        let length = write(&guest, &mut Writer::new()).len() as u64;
        assert!(length <= bound(&guest), "{length} > {}", bound(&guest));
        assert!(bound(&guest) < crate::kernel::TREE_BYTES);
    }
}

#[test]
fn sixteen_vcpus_are_a_cluster() {
    assert_eq!([0, 1, 15, 16, 17, 127].map(vcpu_affinity), [0, 1, 0xf, 0x100, 0x101, 0x70f]);
}
