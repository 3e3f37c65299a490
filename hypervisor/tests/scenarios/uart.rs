//! What guests do with their devices: a UART's driver, and the set-up of an interrupt controller.

use machine::sim::Cpu;
use model::arm64::SystemRegister;
use model::arm64::gic::Version;

use crate::world::guest::{DISTRIBUTOR, REDISTRIBUTOR, UART};

const DATA: u64 = UART;
const FLAGS: u64 = UART + 0x18;
pub(crate) const MASK: u64 = UART + 0x38;
const TRANSMIT_FULL: u64 = 1 << 5;
const RECEIVE_EMPTY: u64 = 1 << 4;

/// Writes a text, waiting for room.
pub(crate) async fn say(cpu: &Cpu, text: &str) {
    for byte in text.bytes() {
        while cpu.read(FLAGS).await & TRANSMIT_FULL != 0 {
            cpu.compute(1).await;
        }
        cpu.write(DATA, u64::from(byte)).await;
    }
}

/// Reads a byte, if there is one.
pub(crate) async fn hear(cpu: &Cpu) -> Option<u8> {
    if cpu.read(FLAGS).await & RECEIVE_EMPTY != 0 {
        return None;
    }
    Some(cpu.read(DATA).await as u8)
}

/// Opens a GICv3 (and this vCPU's part of it) for group 1, with all SGIs and PPIs enabled.
pub(crate) async fn open_v3(cpu: &Cpu) {
    cpu.open_interface().await;
    let own = REDISTRIBUTOR + 0x2_0000 * cpu.index() as u64 + 0x1_0000;
    cpu.write(own + 0x80, 0xffff_ffff).await;
    cpu.write(own + 0x100, 0xffff_ffff).await;
    for word in 0..8 {
        cpu.write(own + 0x400 + word * 4, 0xa0a0_a0a0).await;
    }
    cpu.write(DISTRIBUTOR, 0x13).await;
}

/// The same for a GICv2, group 0.
pub(crate) async fn open_v2(cpu: &Cpu) {
    cpu.open_interface().await;
    cpu.write(DISTRIBUTOR + 0x100, 0xffff_ffff).await;
    for word in 0..8 {
        cpu.write(DISTRIBUTOR + 0x400 + word * 4, 0xa0a0_a0a0).await;
    }
    cpu.write(DISTRIBUTOR, 1).await;
}

/// The same for either.
pub(crate) async fn open(cpu: &Cpu, version: Version) {
    match version {
        Version::V2 => open_v2(cpu).await,
        Version::V3 => open_v3(cpu).await,
    }
}

/// Enables an SPI of a GICv3 for a vCPU, in group 1 with this priority.
pub(crate) async fn enable_spi(cpu: &Cpu, intid: u32, vcpu: u64, priority: u64) {
    let (word, bit) = (u64::from(intid / 32) * 4, 1 << (intid % 32));
    let group = cpu.read(DISTRIBUTOR + 0x80 + word).await;
    cpu.write(DISTRIBUTOR + 0x80 + word, group | bit).await;
    let address = DISTRIBUTOR + 0x400 + u64::from(intid);
    cpu.try_write(address, model::arm64::AccessSize::Byte, priority).await.unwrap();
    route_spi(cpu, intid, vcpu).await;
    cpu.write(DISTRIBUTOR + 0x100 + word, bit).await;
}

/// GICD_IROUTER.
pub(crate) async fn route_spi(cpu: &Cpu, intid: u32, vcpu: u64) {
    let address = DISTRIBUTOR + 0x6000 + u64::from(intid) * 8;
    cpu.try_write(address, model::arm64::AccessSize::Double, vcpu).await.unwrap();
}

/// Makes an SPI pending.
pub(crate) async fn pend_spi(cpu: &Cpu, intid: u32) {
    cpu.write(DISTRIBUTOR + 0x200 + u64::from(intid / 32) * 4, 1 << (intid % 32)).await;
}

/// An SGI of group 1 to vCPUs of cluster 0.
pub(crate) async fn send(cpu: &Cpu, intid: u64, targets: u64) {
    cpu.msr(SystemRegister::ICC_SGI1R_EL1, intid << 24 | targets).await.unwrap();
}

/// Sends an SGI to vCPUs, by either.
pub(crate) async fn signal(cpu: &Cpu, version: Version, intid: u64, targets: u64) {
    match version {
        Version::V2 => cpu.write(DISTRIBUTOR + 0xf00, targets << 16 | intid).await,
        Version::V3 => send(cpu, intid, targets).await,
    }
}
