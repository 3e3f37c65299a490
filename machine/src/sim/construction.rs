//! The simulated machine while domains are constructed: frames are filled, maps are made.

use std::sync::Arc;

use model::arm64::SystemRegister;
use plan::{DeviceInterrupt, GuestMemory, Range};

use super::{GuestMap, Sim};
use crate::contract::Construction;
use crate::frames::{FrameRange, GuestFrame, NO_DOMAIN};
use crate::lock::{Lock, Rank};
use crate::stage2::{MapError, Stage2};

impl Construction for Sim {
    fn guest_map(&self, domain: u16, table_frames: usize, cpu_interface: u64) -> Result<GuestMap, MapError> {
        let mut tables = Stage2::new(table_frames, self.ipa_bits, |address| address.addr() as u64)?;
        if let Some(virtual_interface) = self.virtual_interface {
            tables.map_device(cpu_interface, Range { base: virtual_interface.base, size: 0x2000 })?;
        }
        Ok(GuestMap { tables: Arc::new(Lock::new(Rank::Map, tables)), domain })
    }

    fn map(&self, map: &mut GuestMap, ipa: u64, frames: FrameRange) -> Result<(), MapError> {
        self.frames.adopt(&frames, map.domain);
        map.tables.lock().map(ipa, frames)
    }

    fn map_shared(&self, map: &mut GuestMap, ipa: u64, frames: Range) -> Result<(), MapError> {
        map.tables.lock().map_shared(self.frames, ipa, frames)
    }

    fn set_aside(&self, frames: FrameRange) {
        self.frames.adopt(&frames, NO_DOMAIN);
    }

    fn map_device(&self, map: &mut GuestMap, registers: GuestMemory) -> Result<(), MapError> {
        map.tables.lock().map_registers(map.domain, registers)
    }

    fn route(&self, _: DeviceInterrupt) {}

    fn share(&self, map: &GuestMap, frames: FrameRange) -> Vec<GuestFrame> {
        self.frames.adopt_each(frames, map.domain).collect()
    }

    fn clear(&self, frames: &mut FrameRange) -> bool {
        self.memory.lock().expect("memory").clear(Range { base: frames.base(), size: frames.size() })
    }

    fn write(&self, frames: &mut FrameRange, offset: u64, bytes: &[u8]) -> bool {
        let fits = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= frames.size());
        fits && self.memory.lock().expect("memory").write(frames.base() + offset, bytes)
    }

    fn copy(&self, frames: &mut FrameRange, offset: u64, from: Range) -> bool {
        let mut bytes = vec![0; from.size as usize];
        self.read(from.base, &mut bytes) && self.write(frames, offset, &bytes)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        self.peek(at, into)
    }

    fn identity(&self, register: SystemRegister) -> u64 {
        match register {
            SystemRegister::ID_AA64PFR0_EL1 => 0x0100_2222,
            SystemRegister::ID_AA64DFR0_EL1 => 0x1030_5106,
            SystemRegister::ID_AA64ISAR0_EL1 => 0x1_1120,
            SystemRegister::ID_AA64MMFR0_EL1 => 0x1124,
            _ => 0,
        }
    }
}
