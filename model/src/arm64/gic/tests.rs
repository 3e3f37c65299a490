//! What the controller does in named situations; `simulation` has the random ones.
mod simulation;

use super::super::Lists;
use super::super::list_register::ListRegister;
use super::*;
use crate::arm64::AccessSize;
use proptest::prelude::*;
use std::vec::Vec;

const WORD: AccessSize = AccessSize::Word;
const GICD: Place = Place::Distributor;
const SGI_BASE: u64 = 0x1_0000;

/// GICD_ISENABLER and its neighbours, for the word of an INTID.
const ENABLE: u64 = 0x100;
const DISABLE: u64 = 0x180;
const PEND: u64 = 0x200;
const UNPEND: u64 = 0x280;
const ACTIVATE: u64 = 0x300;
const DEACTIVATE: u64 = 0x380;

fn gic(version: Version, vcpus: usize, list_registers: usize) -> Gic {
    let mut gic = Gic::try_new(version, vcpus, 64, list_registers).unwrap();
    let outcome = gic.write(0, GICD, 0, (WORD, 3));
    assert!(outcome.known);
    for vcpu in 0..vcpus {
        assert_eq!(gic.refill(vcpu, &mut Lists::default()), Attention::NONE);
    }
    gic
}

/// Writes the bit of an INTID into one of the registers of one bit.
fn write_bit(gic: &mut Gic, vcpu: usize, base: u64, intid: u64) -> Attention {
    let (place, offset) = place(gic, vcpu, base + intid / 32 * 4, intid);
    let outcome = gic.write(vcpu, place, offset, (WORD, 1 << (intid % 32)));
    assert!(outcome.known);
    outcome.attention
}

fn read_bit(gic: &mut Gic, vcpu: usize, base: u64, intid: u64) -> bool {
    let (place, offset) = place(gic, vcpu, base + intid / 32 * 4, intid);
    let answer = gic.read(vcpu, place, offset, WORD);
    assert!(answer.known);
    answer.value >> (intid % 32) & 1 != 0
}

fn place(gic: &Gic, vcpu: usize, offset: u64, intid: u64) -> (Place, u64) {
    if gic.version() == Version::V3 && intid < 32 {
        (Place::Redistributor(vcpu), offset + SGI_BASE)
    } else {
        (GICD, offset)
    }
}

fn set_priority(gic: &mut Gic, vcpu: usize, intid: u64, priority: u8) -> Attention {
    let (place, offset) = place(gic, vcpu, 0x400 + intid, intid);
    gic.write(vcpu, place, offset, (AccessSize::Byte, u64::from(priority))).attention
}

fn set_edge(gic: &mut Gic, intid: u64) {
    let (place, offset) = place(gic, 0, 0xc00 + intid / 16 * 4, intid);
    let old = gic.read(0, place, offset, WORD).value;
    let _ = gic.write(0, place, offset, (WORD, old | 2 << (intid % 16 * 2)));
}

fn entries(lists: &Lists) -> Vec<ListRegister> {
    (0..16).filter(|n| lists.used >> n & 1 != 0).map(|n| ListRegister(lists.entries[n])).collect()
}

fn intids(lists: &Lists) -> Vec<u32> {
    entries(lists).into_iter().map(ListRegister::intid).collect()
}

/// The guest acknowledges the interrupt in the first list register.
fn acknowledge(lists: &mut Lists) {
    assert!(ListRegister(lists.entries[0]).is_pending());
    lists.entries[0] ^= 3 << 62;
}

/// The guest ends the interrupt in the first list register.
fn end(lists: &mut Lists) {
    assert!(ListRegister(lists.entries[0]).is_active());
    lists.entries[0] &= !(1 << 63);
}

#[test]
fn a_domain_costs_little_memory() {
    assert!(size_of::<VirtualCpu>() < 1024, "{}", size_of::<VirtualCpu>());
    assert!(size_of::<Interrupt>() <= 12);
}

#[test]
fn what_cannot_be_built_is_refused() {
    assert_eq!(Gic::try_new(Version::V2, 9, 32, 4).err(), Some(BuildError::Vcpus));
    assert_eq!(Gic::try_new(Version::V3, 129, 32, 4).err(), Some(BuildError::Vcpus));
    assert_eq!(Gic::try_new(Version::V3, 0, 32, 4).err(), Some(BuildError::Vcpus));
    assert_eq!(Gic::try_new(Version::V3, 1, 989, 4).err(), Some(BuildError::Spis));
    let gic = Gic::try_new(Version::V3, 128, 988, 400).unwrap();
    assert_eq!(gic.read(0, GICD, 4, WORD).value & 0x1f, 31);
}

#[test]
fn the_identification_registers_of_a_gicv3_read_as_the_contract_says() {
    let v3 = gic(Version::V3, 3, 4);
    let distributor = [(0, 0x13), (4, 9 << 19 | 2 << 5 | 2), (8, 0x34c), (0xc, 0), (0xffe8, 0x30)];
    for (offset, value) in distributor {
        assert_eq!(v3.read(0, GICD, offset, WORD), Answer { value, known: true }, "{offset:#x}");
    }
    for (vcpu, value) in [0, 1 << 32 | 1 << 8, 2 << 32 | 2 << 8 | 1 << 4].into_iter().enumerate() {
        let of = Place::Redistributor(vcpu);
        assert_eq!(v3.read(0, of, 8, AccessSize::Double).value, value);
        assert_eq!(v3.read(0, of, 0xc, WORD).value, vcpu as u64);
        assert_eq!(v3.read(0, of, 0x14, WORD), Answer { value: 0, known: true });
        assert_eq!(v3.read(0, of, 0xffe8, WORD).value, 0x30);
    }
    assert!(!v3.read(0, Place::Redistributor(3), 8, AccessSize::Double).known);
}

#[test]
fn the_identification_registers_of_a_gicv2_read_as_the_contract_says() {
    let v2 = gic(Version::V2, 3, 4);
    for (offset, value) in [(0, 3), (4, 2 << 5 | 2), (8, 0x43b), (0xfe8, 0x20), (0x800, 0x0404_0404)] {
        assert_eq!(v2.read(2, GICD, offset, WORD), Answer { value, known: true }, "{offset:#x}");
    }
    assert!(!v2.read(2, Place::Redistributor(2), 0x14, WORD).known);
}

#[test]
fn a_cluster_of_sixteen_shows_in_the_redistributor() {
    let gic = Gic::try_new(Version::V3, 20, 32, 4).unwrap();
    let value = gic.read(0, Place::Redistributor(19), 8, AccessSize::Double).value;
    assert_eq!(value, 0x103 << 32 | 19 << 8 | 1 << 4);
}

#[test]
fn configuration_reads_back_as_it_was_written() {
    let mut gic = gic(Version::V3, 2, 4);
    let _ = gic.write(0, GICD, 0x420, (WORD, 0xa7b0_80ff));
    assert_eq!(gic.read(0, GICD, 0x420, WORD).value, 0xa0b0_80f8);
    assert_eq!(gic.read(0, GICD, 0x423, AccessSize::Byte).value, 0xa0);
    let _ = gic.write(0, GICD, 0xc08, (WORD, 0xffff_0002));
    assert_eq!(gic.read(0, GICD, 0xc08, WORD).value, 0xaaaa_0002);
    let _ = gic.write(0, GICD, 0x84, (WORD, 0x8000_0001));
    assert_eq!(gic.read(0, GICD, 0x84, WORD).value, 0x8000_0001);
    let _ = gic.write(1, Place::Redistributor(1), SGI_BASE + 0x100, (WORD, 0x0800_0003));
    assert_eq!(gic.read(0, Place::Redistributor(1), SGI_BASE + 0x180, WORD).value, 0x0800_0003);
    assert_eq!(gic.read(0, Place::Redistributor(0), SGI_BASE + 0x180, WORD).value, 0);
    let _ = gic.write(1, Place::Redistributor(1), SGI_BASE + 0xc00, (WORD, 0));
    assert_eq!(gic.read(0, Place::Redistributor(1), SGI_BASE + 0xc00, WORD).value, 0xaaaa_aaaa);
}

#[test]
fn the_distributor_of_a_gicv3_has_no_private_interrupts() {
    let mut gic = gic(Version::V3, 1, 4);
    let _ = gic.write(0, GICD, 0x100, (WORD, u64::MAX));
    assert_eq!(gic.read(0, GICD, 0x100, WORD), Answer { value: 0, known: true });
    assert_eq!(gic.read(0, Place::Redistributor(0), SGI_BASE + 0x100, WORD).value, 0);
    let _ = gic.write(0, GICD, 0x820, (WORD, u64::MAX));
    assert_eq!(gic.read(0, GICD, 0x820, WORD).value, 0);
}

#[test]
fn routes_read_back_in_one_piece_and_in_halves() {
    let mut gic = Gic::try_new(Version::V3, 20, 64, 4).unwrap();
    let _ = gic.write(0, GICD, 0x6000 + 8 * 40, (AccessSize::Double, 0x102));
    assert_eq!(gic.read(0, GICD, 0x6000 + 8 * 40, AccessSize::Double).value, 0x102);
    assert_eq!(gic.read(0, GICD, 0x6000 + 8 * 40, WORD).value, 0x102);
    let _ = gic.write(0, GICD, 0x6000 + 8 * 41, (WORD, 0x8000_0000));
    assert_eq!(gic.read(0, GICD, 0x6000 + 8 * 41, AccessSize::Double).value, 0x8000_0000);
    let _ = gic.write(0, GICD, 0x6000 + 8 * 41, (WORD, 3));
    let _ = gic.write(0, GICD, 0x6004 + 8 * 41, (WORD, 0));
    assert_eq!(gic.read(0, GICD, 0x6000 + 8 * 41, AccessSize::Double).value, 3);
    assert!(!gic.read(0, GICD, 0x6000, AccessSize::Double).known, "there is none for SGIs");
    assert!(!gic.read(0, GICD, 0x6104, AccessSize::Double).known, "not aligned");
}

#[test]
fn an_spi_routed_to_nobody_waits_for_a_target() {
    let mut gic = gic(Version::V3, 2, 4);
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.write(0, GICD, 0x6000 + 8 * 40, (AccessSize::Double, 0x77));
    assert_eq!(gic.set_line(40, 0, true), Attention::NONE);
    let outcome = gic.write(0, GICD, 0x6000 + 8 * 40, (AccessSize::Double, 1));
    assert_eq!(outcome.attention, Attention::of(1));
    let mut lists = Lists::default();
    assert_eq!(gic.refill(1, &mut lists), Attention::NONE);
    assert_eq!(intids(&lists), [40]);
}

#[test]
fn wrong_widths_and_unknown_offsets_are_reported_and_do_nothing() {
    let mut gic = gic(Version::V3, 1, 4);
    for (offset, size) in [
        (0, AccessSize::Byte),
        (0x100, AccessSize::Byte),
        (0x104, AccessSize::Double),
        (0x102, WORD),
        (0x420, AccessSize::Half),
        (0x5000, WORD),
        (0xf00, WORD),
        (u64::MAX, WORD),
    ] {
        assert_eq!(gic.read(0, GICD, offset, size), Answer { value: 0, known: false }, "{offset:#x}");
        assert!(!gic.write(0, GICD, offset, (size, u64::MAX)).known, "{offset:#x}");
    }
}

#[test]
fn a_level_interrupt_is_pending_again_after_its_end_while_its_line_is_high() {
    for version in [Version::V2, Version::V3] {
        let mut gic = gic(version, 1, 4);
        let mut lists = Lists::default();
        assert_eq!(write_bit(&mut gic, 0, ENABLE, 40), Attention::NONE);
        assert_eq!(gic.set_line(40, 0, true), Attention::of(0));
        let _ = gic.refill(0, &mut lists);
        let [entry] = entries(&lists)[..] else { panic!() };
        assert!(entry.is_pending() && entry.notifies_end() && !entry.is_linked());
        acknowledge(&mut lists);
        end(&mut lists);
        let _ = gic.refill(0, &mut lists);
        assert!(entries(&lists)[0].is_pending());
        acknowledge(&mut lists);
        assert_eq!(gic.set_line(40, 0, false), Attention::of(0));
        end(&mut lists);
        let _ = gic.refill(0, &mut lists);
        assert_eq!(lists.used, 0);
        assert!(!gic.needs_refill(0));
    }
}

#[test]
fn a_level_interrupt_whose_line_falls_before_it_is_acknowledged_is_withdrawn() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(0, &mut lists);
    assert!(gic.deliverable(0, &lists));
    let _ = gic.set_line(40, 0, false);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    assert!(!gic.deliverable(0, &lists));
}

#[test]
fn an_edge_during_the_handler_is_delivered_after_it() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    set_edge(&mut gic, 40);
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(0, &mut lists);
    acknowledge(&mut lists);
    let _ = gic.set_line(40, 0, false);
    let _ = gic.set_line(40, 0, true);
    assert!(gic.needs_refill(0));
    let _ = gic.refill(0, &mut lists);
    let [entry] = entries(&lists)[..] else { panic!() };
    assert!(entry.is_pending() && entry.is_active());
    assert!(!gic.deliverable(0, &lists), "active, so it does not end a WFI");
    end(&mut lists);
    assert!(gic.deliverable(0, &lists));
    let _ = gic.refill(0, &mut lists);
    acknowledge(&mut lists);
    end(&mut lists);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
}

#[test]
fn a_linked_interrupt_carries_the_physical_one() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    let _ = write_bit(&mut gic, 0, ENABLE, 27);
    assert!(!gic.physical_in_flight(0, 27, &lists));
    assert_eq!(gic.inject_physical(0, 27, 26), Attention::of(0));
    assert!(gic.physical_in_flight(0, 27, &lists));
    let _ = gic.refill(0, &mut lists);
    let [entry] = entries(&lists)[..] else { panic!() };
    assert!(entry.is_linked() && entry.physical() == 26 && entry.intid() == 27);
    assert!(gic.physical_in_flight(0, 27, &lists));
    acknowledge(&mut lists);
    assert!(gic.physical_in_flight(0, 27, &lists));
    end(&mut lists);
    assert!(!gic.physical_in_flight(0, 27, &lists));
    // It fires again before anybody folded.
    assert_eq!(gic.inject_physical(0, 27, 26), Attention::of(0));
    let _ = gic.refill(0, &mut lists);
    assert!(entries(&lists)[0].is_linked() && entries(&lists)[0].is_pending());
    assert_eq!(gic.take_release(0), None);
}

#[test]
fn a_linked_interrupt_that_is_disabled_waits_with_its_link() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    assert_eq!(gic.inject_physical(0, 27, 27), Attention::NONE);
    assert!(gic.physical_in_flight(0, 27, &lists));
    assert!(!gic.deliverable(0, &lists));
    assert_eq!(write_bit(&mut gic, 0, ENABLE, 27), Attention::of(0));
    let _ = gic.refill(0, &mut lists);
    assert!(entries(&lists)[0].is_linked());
    let _ = write_bit(&mut gic, 0, DISABLE, 27);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    assert_eq!(gic.take_release(0), None, "a disabled interrupt has not gone away");
    assert!(gic.physical_in_flight(0, 27, &lists));
}

#[test]
fn a_linked_interrupt_that_the_guest_clears_is_released() {
    let mut gic = gic(Version::V3, 2, 4);
    let mut lists = Lists::default();
    // Pending in memory.
    let _ = gic.inject_physical(0, 40, 140);
    assert_eq!(write_bit(&mut gic, 1, UNPEND, 40), Attention::of(1), "it passes by to release it");
    assert_eq!(gic.take_release(1), Some(140));
    assert_eq!(gic.take_release(1), None);
    // Pending in a list register.
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.inject_physical(0, 40, 140);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(write_bit(&mut gic, 1, UNPEND, 40), Attention::of(0));
    assert_eq!(gic.take_release(1), None, "who knows what the guest did with it");
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    assert_eq!(gic.take_release(0), Some(140));
    // Active in a list register.
    let _ = gic.inject_physical(0, 40, 140);
    let _ = gic.refill(0, &mut lists);
    acknowledge(&mut lists);
    assert_eq!(write_bit(&mut gic, 1, DEACTIVATE, 40), Attention::of(0));
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    assert_eq!(gic.take_release(0), Some(140));
    assert_eq!(gic.take_release(0), None);
}

#[test]
fn a_private_release_is_the_owners() {
    let mut gic = gic(Version::V3, 2, 4);
    let _ = gic.inject_physical(1, 27, 27);
    let outcome = gic.write(0, Place::Redistributor(1), SGI_BASE + UNPEND, (WORD, 1 << 27));
    assert_eq!(outcome.attention, Attention::of(1));
    assert_eq!(gic.take_release(0), None);
    assert_eq!(gic.take_release(1), Some(27));
}

#[test]
fn a_change_by_another_vcpu_reaches_the_list_registers() {
    let mut gic = gic(Version::V3, 2, 4);
    let mut lists = Lists::default();
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(write_bit(&mut gic, 1, DISABLE, 40), Attention::of(0));
    assert!(gic.needs_refill(0) && !gic.needs_refill(1));
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    let _ = write_bit(&mut gic, 1, ENABLE, 40);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(intids(&lists), [40]);
    assert_eq!(set_priority(&mut gic, 1, 40, 0x80), Attention::of(0));
    let _ = gic.refill(0, &mut lists);
    assert_eq!(entries(&lists)[0].priority(), 0x80);
}

#[test]
fn a_pending_spi_moves_to_its_new_target_and_an_active_one_stays() {
    let mut gic = gic(Version::V3, 2, 4);
    let mut lists = [Lists::default(); 2];
    set_edge(&mut gic, 40);
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(0, &mut lists[0]);
    let outcome = gic.write(1, GICD, 0x6000 + 8 * 40, (AccessSize::Double, 1));
    assert_eq!(outcome.attention, Attention::of(0), "it is still in vCPU 0's list registers");
    assert_eq!(gic.refill(0, &mut lists[0]), Attention::of(1), "now it is owed to vCPU 1");
    assert_eq!(lists[0].used, 0);
    let _ = gic.refill(1, &mut lists[1]);
    acknowledge(&mut lists[1]);
    // While it is active on vCPU 1 the route changes back and the next edge comes.
    let _ = gic.write(1, GICD, 0x6000 + 8 * 40, (AccessSize::Double, 0));
    let _ = gic.set_line(40, 0, false);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(1, &mut lists[1]);
    let [entry] = entries(&lists[1])[..] else { panic!() };
    assert!(entry.is_active() && !entry.is_pending() && entry.notifies_end());
    end(&mut lists[1]);
    assert_eq!(gic.refill(1, &mut lists[1]), Attention::of(0));
    let _ = gic.refill(0, &mut lists[0]);
    assert_eq!(intids(&lists[0]), [40]);
}

#[test]
fn an_sgi_of_a_gicv3_reaches_those_that_it_names() {
    let mut gic = Gic::try_new(Version::V3, 40, 32, 4).unwrap();
    let _ = gic.write(0, GICD, 0, (WORD, 3));
    for vcpu in 0..40 {
        let _ = gic.write(0, Place::Redistributor(vcpu), SGI_BASE + 0x80, (WORD, u64::MAX));
        let _ = gic.write(0, Place::Redistributor(vcpu), SGI_BASE + 0x100, (WORD, 0xffff));
    }
    let mut to = |value| gic.sgi(17, value, SgiGroup::Group1).iter().collect::<Vec<_>>();
    assert_eq!(to(5 << 24 | 0x8001), [0, 15]);
    assert_eq!(to(5 << 24 | 1 << 16 | 0x6), [17, 18]);
    assert_eq!(to(5 << 24 | 2 << 16 | 0xffff), [32, 33, 34, 35, 36, 37, 38, 39]);
    assert_eq!(to(5 << 24 | 8 << 16 | 0xffff), []);
    assert_eq!(to(5 << 24 | 1 << 32 | 1), []);
    assert_eq!(to(5 << 24 | 1 << 44 | 1), []);
    assert_eq!(to(5 << 24 | 1 << 48 | 1), []);
    assert_eq!(to(5 << 24 | 1 << 40).len(), 39);
    assert!(!to(5 << 24 | 1 << 40).contains(&17));
    assert_eq!(gic.sgi(17, 5 << 24 | 1, SgiGroup::Group0), Attention::NONE, "it is in group 1");
    let mut lists = Lists::default();
    let _ = gic.refill(15, &mut lists);
    let [entry] = entries(&lists)[..] else { panic!() };
    assert!(entry.intid() == 5 && entry.is_group1() && entry.source() == 0);
}

#[test]
fn an_sgi_of_a_gicv2_is_pending_for_each_source() {
    let mut gic = gic(Version::V2, 4, 4);
    let mut lists = Lists::default();
    assert_eq!(
        gic.write(0, GICD, 0xf00, (WORD, 1 << 24 | 3)).attention.iter().collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(gic.write(3, GICD, 0xf00, (WORD, 0x12 << 16 | 3)).attention, Attention::of(1));
    assert_eq!(gic.write(1, GICD, 0xf00, (WORD, 2 << 24 | 3)).attention, Attention::of(1));
    assert_eq!(gic.read(1, GICD, 0xf20, WORD).value, 0x0b00_0000);
    assert_eq!(gic.read(1, GICD, 0xf13, AccessSize::Byte).value, 0x0b);
    for source in [0, 1, 3] {
        let _ = gic.refill(1, &mut lists);
        let [entry] = entries(&lists)[..] else { panic!() };
        assert!(entry.source() == source && !entry.is_group1());
        assert_eq!(entry.notifies_end(), source != 3, "another source waits");
        acknowledge(&mut lists);
        let _ = gic.fold(1, &mut lists);
        let _ = gic.refill(1, &mut lists);
        assert_eq!(entries(&lists)[0].source(), source);
        end(&mut lists);
    }
    let _ = gic.refill(1, &mut lists);
    assert_eq!(lists.used, 0);
}

#[test]
fn sources_of_an_sgi_are_set_and_cleared_by_byte() {
    let mut gic = gic(Version::V2, 2, 4);
    let mut lists = Lists::default();
    let _ = gic.write(0, GICD, 0xf22, (AccessSize::Byte, 0xff));
    assert_eq!(gic.read(0, GICD, 0xf20, WORD).value, 0x0003_0000, "there are two vCPUs");
    let _ = gic.refill(0, &mut lists);
    let _ = gic.write(0, GICD, 0xf12, (AccessSize::Byte, 0x1));
    let _ = gic.refill(0, &mut lists);
    assert_eq!(entries(&lists)[0].source(), 1);
    let _ = gic.write(0, GICD, 0xf10, (WORD, u64::MAX));
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    assert!(!gic.write(0, GICD, 0xf21, (WORD, u64::MAX)).known);
}

#[test]
fn the_target_list_of_a_gicv2_names_one_taker() {
    let mut gic = gic(Version::V2, 3, 4);
    assert_eq!(gic.read(0, GICD, 0x820, WORD).value, 0x0101_0101);
    let _ = gic.write(0, GICD, 0x820, (WORD, 0x00f8_06ff));
    assert_eq!(gic.read(0, GICD, 0x820, WORD).value, 0x0000_0607);
    for (intid, attention) in [(32, Attention::of(0)), (33, Attention::of(1)), (34, Attention::NONE)] {
        let _ = write_bit(&mut gic, 0, ENABLE, u64::from(intid));
        assert_eq!(gic.set_line(intid, 0, true), attention);
    }
}

#[test]
fn the_most_urgent_get_the_list_registers_and_the_rest_is_announced() {
    let mut gic = gic(Version::V3, 1, 2);
    let mut lists = Lists::default();
    for (intid, priority) in [(32_u32, 0x80), (33, 0x40), (34, 0xc0), (35, 0x40)] {
        let _ = set_priority(&mut gic, 0, u64::from(intid), priority);
        let _ = write_bit(&mut gic, 0, ENABLE, u64::from(intid));
        let _ = gic.set_line(intid, 0, true);
    }
    let _ = gic.refill(0, &mut lists);
    assert_eq!(intids(&lists), [33, 35]);
    assert!(lists.underflow && !gic.needs_refill(0));
    let _ = gic.set_line(33, 0, false);
    let _ = gic.set_line(35, 0, false);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(intids(&lists), [32, 34]);
    assert!(!lists.underflow);
}

#[test]
fn a_more_urgent_interrupt_finds_a_place_among_active_ones() {
    let mut gic = gic(Version::V3, 1, 2);
    let mut lists = Lists::default();
    for (intid, priority) in [(32_u32, 0xc0), (33, 0x80), (34, 0x40)] {
        let _ = set_priority(&mut gic, 0, u64::from(intid), priority);
        let _ = write_bit(&mut gic, 0, ENABLE, u64::from(intid));
        let _ = gic.set_line(intid, 0, true);
        let _ = gic.refill(0, &mut lists);
        let place = intids(&lists).iter().position(|&listed| listed == intid).unwrap();
        lists.entries[place] ^= 3 << 62;
    }
    let _ = gic.refill(0, &mut lists);
    assert_eq!(intids(&lists), [34, 33], "the one that ends last waits in memory");
    assert!(lists.underflow);
    // An urgent one may preempt the running handler, a lazy one may not.
    let _ = set_priority(&mut gic, 0, 35, 0x20);
    let _ = write_bit(&mut gic, 0, ENABLE, 35);
    let _ = gic.set_line(35, 0, true);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(intids(&lists), [34, 35]);
    let _ = set_priority(&mut gic, 0, 35, 0x40);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(intids(&lists), [34, 33]);
}

#[test]
fn with_one_list_register_every_end_is_noticed_while_others_wait() {
    let mut gic = gic(Version::V3, 1, 1);
    let mut lists = Lists::default();
    let _ = write_bit(&mut gic, 0, ENABLE, 27);
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = gic.inject_physical(0, 27, 27);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(0, &mut lists);
    let [entry] = entries(&lists)[..] else { panic!() };
    assert!(entry.intid() == 27 && !entry.is_linked() && entry.notifies_end());
    assert!(!lists.underflow, "it would be asked for at once and for ever");
    acknowledge(&mut lists);
    end(&mut lists);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(gic.take_release(0), Some(27));
    assert_eq!(intids(&lists), [40]);
}

#[test]
fn nothing_is_forwarded_while_the_distributor_is_off() {
    for version in [Version::V2, Version::V3] {
        let mut gic = gic(version, 1, 4);
        let mut lists = Lists::default();
        let _ = write_bit(&mut gic, 0, ENABLE, 40);
        let _ = gic.set_line(40, 0, true);
        let _ = gic.refill(0, &mut lists);
        assert_eq!(gic.write(0, GICD, 0, (WORD, 2)).attention, Attention::of(0), "group 0 is off");
        let _ = gic.refill(0, &mut lists);
        assert_eq!(lists.used, 0);
        assert!(!gic.deliverable(0, &lists) && !lists.underflow);
        let _ = gic.write(0, GICD, 0x84, (WORD, 1 << 8));
        let _ = gic.refill(0, &mut lists);
        assert!(entries(&lists)[0].is_group1());
    }
}

#[test]
fn states_that_the_guest_writes_are_real() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    set_edge(&mut gic, 40);
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    assert_eq!(write_bit(&mut gic, 0, PEND, 40), Attention::of(0));
    assert!(read_bit(&mut gic, 0, PEND, 40) && read_bit(&mut gic, 0, UNPEND, 40));
    assert_eq!(write_bit(&mut gic, 0, ACTIVATE, 40), Attention::of(0));
    assert!(read_bit(&mut gic, 0, ACTIVATE, 40));
    let _ = gic.refill(0, &mut lists);
    assert!(entries(&lists)[0].is_active() && entries(&lists)[0].is_pending());
    let _ = write_bit(&mut gic, 0, DEACTIVATE, 40);
    let _ = write_bit(&mut gic, 0, UNPEND, 40);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(lists.used, 0);
    assert!(!read_bit(&mut gic, 0, ACTIVATE, 40) && !read_bit(&mut gic, 0, PEND, 40));
    // A new pending state after the clearing one survives it.
    let _ = write_bit(&mut gic, 0, PEND, 40);
    let _ = gic.refill(0, &mut lists);
    let _ = write_bit(&mut gic, 0, UNPEND, 40);
    let _ = write_bit(&mut gic, 0, PEND, 40);
    let _ = gic.refill(0, &mut lists);
    assert!(entries(&lists)[0].is_pending());
}

#[test]
fn a_vcpu_that_folds_first_reads_what_is_the_case() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    set_edge(&mut gic, 40);
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = write_bit(&mut gic, 0, PEND, 40);
    let _ = gic.refill(0, &mut lists);
    acknowledge(&mut lists);
    assert!(Gic::wants_fold(GICD, ACTIVATE + 4));
    assert!(Gic::wants_fold(Place::Redistributor(0), SGI_BASE + ACTIVATE));
    assert!(!Gic::wants_fold(GICD, ENABLE) && !Gic::wants_fold(Place::Redistributor(0), ACTIVATE));
    let _ = gic.fold(0, &mut lists);
    assert!(read_bit(&mut gic, 0, ACTIVATE, 40) && !read_bit(&mut gic, 0, PEND, 40));
    assert!(gic.needs_refill(0), "whoever folds must refill");
    let _ = gic.refill(0, &mut lists);
    assert!(entries(&lists)[0].is_active());
}

#[test]
fn the_priority_of_an_active_interrupt_changes_only_after_its_end() {
    let mut gic = gic(Version::V3, 1, 4);
    let mut lists = Lists::default();
    let _ = write_bit(&mut gic, 0, ENABLE, 40);
    let _ = set_priority(&mut gic, 0, 40, 0x80);
    let _ = gic.set_line(40, 0, true);
    let _ = gic.refill(0, &mut lists);
    acknowledge(&mut lists);
    let _ = set_priority(&mut gic, 0, 40, 0x10);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(entries(&lists)[0].priority(), 0x80);
    end(&mut lists);
    let _ = gic.refill(0, &mut lists);
    assert_eq!(entries(&lists)[0].priority(), 0x10);
}

#[test]
fn numbers_out_of_range_are_nobodys() {
    let mut gic = gic(Version::V3, 2, 4);
    assert_eq!(gic.set_line(5, 0, true), Attention::NONE, "an SGI has no line");
    assert_eq!(gic.set_line(27, 2, true), Attention::NONE);
    assert_eq!(gic.set_line(96, 0, true), Attention::NONE);
    assert_eq!(gic.set_line(u32::MAX, usize::MAX, true), Attention::NONE);
    assert_eq!(gic.inject_physical(0, 40, 0x1_0000), Attention::NONE);
    assert_eq!(gic.take_release(7), None);
    assert!(!gic.needs_refill(7));
    let mut lists = Lists { entries: [u64::MAX; 16], used: 0xffff, ..Lists::default() };
    assert!(!gic.physical_in_flight(9, 27, &lists));
    let _ = gic.fold(9, &mut lists);
    let mut lists = Lists { entries: [0xc000_0000_0000_0020; 16], used: 0xffff, ..Lists::default() };
    let _ = gic.refill(1, &mut lists);
    assert_eq!(lists.used, 0, "entries that were never written are nobody's");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_access_of_a_guest_can_stop_the_controller(
        v3: bool,
        vcpus in 1_usize..9,
        steps in proptest::collection::vec(
            (0_u8..10, 0_usize..10, prop_oneof![0_u64..0x1000, 0_u64..0x2_0000, any::<u64>()], 0_usize..4, any::<u64>()),
            1..200,
        ),
    ) {
        let version = if v3 { Version::V3 } else { Version::V2 };
        let mut gic = Gic::try_new(version, vcpus, 96, 4).unwrap();
        let mut lists = [Lists::default(); 10];
        for (kind, vcpu, offset, size, value) in steps {
            let size = [AccessSize::Byte, AccessSize::Half, AccessSize::Word, AccessSize::Double][size];
            let place = if kind & 1 == 0 { GICD } else { Place::Redistributor(vcpu) };
            let attention = match kind {
                0..4 => gic.write(vcpu, place, offset, (size, value)).attention,
                4 | 5 => {
                    let answer = gic.read(vcpu, place, offset, size);
                    prop_assert!(answer.value <= size.mask());
                    prop_assert!(answer.known || answer.value == 0);
                    Attention::NONE
                }
                6 => gic.sgi(vcpu, value, SgiGroup::Group1) | gic.sgi(vcpu, value, SgiGroup::Group0),
                7 => gic.set_line((value & 0x7f) as u32, vcpu, offset & 1 != 0),
                8 => gic.inject_physical(vcpu, (value & 0x7f) as u32, (offset & 0x3ff) as u32),
                _ => {
                    // The guest did anything at all with its list registers.
                    for (entry, bits) in lists[vcpu].entries.iter_mut().zip(value.to_le_bytes()) {
                        *entry = *entry & !(3 << 62) | u64::from(bits) << 62;
                    }
                    gic.refill(vcpu, &mut lists[vcpu])
                }
            };
            prop_assert_eq!(attention.and(Attention::first(vcpus)), attention);
            while gic.take_release(vcpu).is_some() {}
            for (vcpu, lists) in lists.iter().enumerate() {
                gic.deliverable(vcpu, lists);
                let mut listed = intids(lists);
                listed.sort_unstable();
                listed.dedup();
                prop_assert_eq!(listed.len(), lists.used.count_ones() as usize, "an INTID is listed twice");
            }
        }
    }
}
