//! What the controller says of itself, and registers that only store.

use guests::exception::{probe_read, probe_write};
use guests::{gic, mmio, platform, registers, report};

use super::FIRST_SPI;

pub(super) fn all() {
    report::fact("gic.version", gic::version());
    report::check("gic.known_version", matches!(gic::version(), 2 | 3));
    let typer = mmio::read32(gic::distributor(gic::TYPER));
    report::fact("gicd.typer", format_args!("{typer:#x}"));
    report::fact("gicd.iidr", format_args!("{:#x}", mmio::read32(gic::distributor(gic::IIDR))));
    report::check("gicd.has_the_spis_of_these_tests", gic::intids() >= FIRST_SPI + super::SPIS);
    let cpus = platform::get().cpus as u32;
    report::equal("gicd.typer_cpus", typer >> 5 & 7, cpus.min(8) - 1);
    if gic::version() == 3 {
        version_3();
    } else {
        version_2();
    }
    stores();
}

fn version_3() {
    report::equal("gicd.pidr2_revision", mmio::read32(gic::distributor(0xffe8)) >> 4 & 15, 3);
    report::fact("gicd.ctlr", format_args!("{:#x}", mmio::read32(gic::distributor(gic::CTLR))));
    report::equal("gicd.ctlr_affinity_routing", mmio::read32(gic::distributor(gic::CTLR)) & 0x10, 0x10);
    let cpus = platform::get().cpus;
    for cpu in 0..cpus {
        let frame = gic::redistributor(cpu);
        if !report::check(format_args!("gicr.of_vcpu_{cpu}"), frame != 0) {
            continue;
        }
        let kind = mmio::read64(frame + gic::GICR_TYPER);
        report::fact(format_args!("gicr.typer_{cpu}"), format_args!("{kind:#x}"));
        let low = mmio::read32(frame + gic::GICR_TYPER);
        let high = mmio::read32(frame + gic::GICR_TYPER + 4);
        report::equal("gicr.typer_by_halves", u64::from(high) << 32 | u64::from(low), kind);
        report::equal("gicr.typer_last", kind >> 4 & 1, u64::from(cpu + 1 == cpus));
        report::equal("gicr.typer_number", kind >> 8 & 0xffff, cpu as u64);
        report::equal("gicr.pidr2_revision", mmio::read32(frame + 0xffe8) >> 4 & 15, 3);
        report::fact("gicr.iidr", format_args!("{:#x}", mmio::read32(frame + 4)));
        report::fact("gicr.waker", format_args!("{:#x}", mmio::read32(frame + gic::GICR_WAKER)));
    }
    report::equal("icc.sre", registers::gic_system_registers() & 1, 1);
    report::fact("icc.sre", format_args!("{:#x}", registers::gic_system_registers()));
    report::fact("icc.ctlr", format_args!("{:#x}", registers::gic_control()));
    // SRE cannot be switched off: a guest of a GICv3 has no memory-mapped interface.
    registers::set_gic_system_registers(0);
    report::equal("icc.sre_stays", registers::gic_system_registers() & 1, 1);
    report::fact("icc.pmr_at_first", format_args!("{:#x}", registers::gic_priority_mask()));
    report::fact("icc.igrpen1_at_first", registers::gic_group_enable());
}

fn version_2() {
    // Xen 4.17 answers this register with a data abort.
    let revision = probe_read(gic::distributor(0xfe8)).map_or(0, |value| value >> 4 & 15);
    report::strict("gicd.icpidr2_revision", revision == 2);
    report::fact("gicc.iidr", format_args!("{:#x}", mmio::read32(gic::interface(0xfc))));
    report::fact("gicd.ctlr", format_args!("{:#x}", mmio::read32(gic::distributor(gic::CTLR))));
    for intid in [0u32, 15, 16, 27, 31] {
        let own = mmio::read8(gic::distributor(gic::ITARGETSR + intid as usize));
        report::equal("gicd.itargetsr_of_banked_interrupts_is_the_reader", own, 1);
    }
    report::equal("gicd.itargetsr0_by_word", mmio::read32(gic::distributor(gic::ITARGETSR)), 0x0101_0101);
}

/// Registers that keep what they are given.
fn stores() {
    for intid in [FIRST_SPI, FIRST_SPI + 7, 63, 64] {
        gic::disable(intid);
        report::check("enable.off", !gic::is_enabled(intid));
        gic::enable(intid);
        report::check("enable.on", gic::is_enabled(intid));
        report::check("enable.neighbour_stays_off", !gic::is_enabled(intid + 1));
        gic::disable(intid);
        report::check("enable.off_again", !gic::is_enabled(intid));
    }
    let timer = platform::get().timers[2];
    gic::enable(timer);
    report::check("enable.ppi_on", gic::is_enabled(timer));
    gic::disable(timer);
    report::check("enable.ppi_off", !gic::is_enabled(timer));
    for (intid, priority) in
        [(3, 0x50), (timer, 0x60), (FIRST_SPI, 0x70), (FIRST_SPI + 1, 0x80), (FIRST_SPI + 2, 8)]
    {
        gic::set_priority(intid, priority);
        report::equal("priority.byte_reads_back", gic::priority(intid) & 0xf8, priority);
    }
    let address = gic::distributor(gic::IPRIORITYR + FIRST_SPI as usize);
    report::equal("priority.word_reads_back", mmio::read32(address) & 0x00f8_f8f8, 0x0008_8070);
    mmio::write32(address, 0xa0b0_c0d0);
    report::equal("priority.word_writes", gic::priority(FIRST_SPI + 2) & 0xf8, 0xb0);
    mmio::write8(address, 0xff);
    guests::say!("note priority.byte_ff_reads_back {:#x}", mmio::read8(address));
    for intid in [FIRST_SPI, FIRST_SPI + 15, FIRST_SPI + 16] {
        gic::set_edge(intid, true);
        report::check("trigger.edge", gic::is_edge(intid));
        gic::set_edge(intid, false);
        report::check("trigger.level", !gic::is_edge(intid));
    }
    report::strict("trigger.sgis_are_edge", mmio::read32(cfgr0()) & 0xaaaa_aaaa == 0xaaaa_aaaa);
    unknown();
}

fn cfgr0() -> usize {
    if gic::version() == 3 {
        gic::redistributor(0) + 0x1_0000 + gic::ICFGR
    } else {
        gic::distributor(gic::ICFGR)
    }
}

/// Offsets with nothing behind them read as zero and ignore writes, and INTIDs beyond the last do too.
fn unknown() {
    for offset in [0x00cusize, 0x01c, 0xf30, 0xfc0] {
        let written = probe_write(gic::distributor(offset), u32::MAX);
        let read = probe_read(gic::distributor(offset));
        let good = written.is_none() && read == Ok(0);
        if gic::version() == 3 {
            report::check("gicd.reserved_offset_is_zero", good);
        } else {
            // Xen 4.17 answers some of them with a data abort.
            report::strict("gicd.reserved_offset_is_zero", good);
        }
    }
    let beyond = gic::intids().min(1019);
    if beyond < 1019 {
        let bit = gic::distributor(gic::ISENABLER + beyond as usize / 8);
        let good = probe_write(bit, 1).is_none() && probe_read(bit) == Ok(0);
        report::strict("gicd.enable_beyond_the_last_is_ignored", good);
        let word = gic::distributor(gic::IPRIORITYR + beyond as usize);
        let good = probe_write(word, 0x4040_4040).is_none() && probe_read(word) == Ok(0);
        report::strict("gicd.priority_beyond_the_last_is_zero", good);
    }
}
