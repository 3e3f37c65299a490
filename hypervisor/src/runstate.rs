//! How long a vCPU has been in each state, and the copy of that in its guest's memory.
//!
//! A guest can name an area for each vCPU (`VCPUOP_register_runstate_memory_area`), in which it then finds what
//! others have taken of its time. It is written when the state changes and the vCPU is about to run, or is
//! put aside.
//!
//! Source: `public/vcpu.h`.

use abi::layout::Layout;
use abi::vcpu::{
    RUNSTATE_BLOCKED, RUNSTATE_OFFLINE, RUNSTATE_RUNNABLE, RUNSTATE_RUNNING, VcpuRunstateInfo,
    XEN_RUNSTATE_UPDATE,
};
use core::sync::atomic::{Ordering, fence};
use machine::contract::{Machine, Ticks, Word};
use machine::frames::{FRAME_BYTES as FRAME, GuestFrame};

use crate::hypervisor::Hypervisor;

/// Offset of `state_entry_time`.
const ENTRY_TIME: usize = 8;

/// What a vCPU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It runs.
    Running,
    /// It could run.
    Runnable,
    /// It waits for an event.
    Blocked,
    /// It is off.
    Offline,
}

impl Doing {
    /// Where its time is counted.
    #[inline]
    fn place(self) -> usize {
        match self {
            Doing::Running => 0,
            Doing::Runnable => 1,
            Doing::Blocked => 2,
            Doing::Offline => 3,
        }
    }

    fn number(self) -> i32 {
        match self {
            Doing::Running => RUNSTATE_RUNNING,
            Doing::Runnable => RUNSTATE_RUNNABLE,
            Doing::Blocked => RUNSTATE_BLOCKED,
            Doing::Offline => RUNSTATE_OFFLINE,
        }
    }
}

/// Where a guest wants to read it: one page, or two that the area straddles.
#[derive(Debug)]
pub struct Area {
    /// The page of the first byte, and the offset in it.
    pub first: (GuestFrame, usize),
    /// The page of the last byte, where that is another one.
    pub second: Option<GuestFrame>,
}

/// A vCPU's account of its time.
#[derive(Debug)]
pub struct Runstate {
    doing: Doing,
    /// Since when: the counter.
    since: Ticks,
    times: [Ticks; 4],
    area: Option<Area>,
}

impl Runstate {
    /// Of a vCPU that is off, as of `now`.
    pub fn new(now: Ticks) -> Self {
        Runstate { doing: Doing::Offline, since: now, times: [0; 4], area: None }
    }

    /// From `now` on it does this.
    #[inline]
    pub fn change(&mut self, doing: Doing, now: Ticks) {
        if self.doing != doing {
            self.settle(now);
            self.doing = doing;
        }
    }

    /// Counts the time until `now`.
    #[inline]
    fn settle(&mut self, now: Ticks) {
        let spent = now.saturating_sub(core::mem::replace(&mut self.since, now));
        if let Some(time) = self.times.get_mut(self.doing.place()) {
            *time = time.saturating_add(spent);
        }
    }

    /// What it is doing, since when, and the times of all states up to `now`.
    pub fn info<M: Machine>(&self, hypervisor: &Hypervisor<M>, now: Ticks) -> VcpuRunstateInfo {
        let mut time = self.times;
        if let Some(time) = time.get_mut(self.doing.place()) {
            *time = time.saturating_add(now.saturating_sub(self.since));
        }
        VcpuRunstateInfo {
            state: self.doing.number(),
            state_entry_time: hypervisor.system_time(self.since),
            time: time.map(|ticks| hypervisor.nanoseconds(ticks)),
        }
    }

    /// What it is doing.
    pub fn doing(&self) -> Doing {
        self.doing
    }

    /// The guest reads it there from now on; where it read it until now comes back.
    pub fn swap_area(&mut self, area: &mut Option<Area>) {
        core::mem::swap(&mut self.area, area);
    }

    /// Whether the guest reads it anywhere.
    pub fn has_area(&self) -> bool {
        self.area.is_some()
    }

    /// Brings the guest's copy up to date. With `flagged` the copy says while it is not whole.
    #[inline(never)]
    pub fn publish<M: Machine>(&self, hypervisor: &Hypervisor<M>, flagged: bool) {
        let Some(area) = &self.area else { return };
        let machine = &hypervisor.machine;
        let mut info = self.info(hypervisor, self.since);
        if flagged {
            info.state_entry_time |= XEN_RUNSTATE_UPDATE;
            area.write(machine, ENTRY_TIME, &info.state_entry_time.to_le_bytes());
            // The flag is seen before anything else has changed, and cleared after all has.
            fence(Ordering::SeqCst);
        }
        area.write(machine, 0, &info.to_bytes());
        if flagged {
            fence(Ordering::SeqCst);
            info.state_entry_time &= !XEN_RUNSTATE_UPDATE;
            area.write(machine, ENTRY_TIME, &info.state_entry_time.to_le_bytes());
        }
    }
}

impl Area {
    fn write<M: Machine>(&self, machine: &M, from: usize, bytes: &[u8]) {
        let (frame, offset) = &self.first;
        let at = offset.saturating_add(from);
        if at.is_multiple_of(8)
            && let Ok(word) = <[u8; 8]>::try_from(bytes)
            && at <= FRAME.saturating_sub(8)
        {
            // In one step and in order: the guest looks at this word before and after the others.
            machine.word(frame, at, Word::Store64(u64::from_le_bytes(word)));
            return;
        }
        let room = FRAME.saturating_sub(at).min(bytes.len());
        let (first, second) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        if !first.is_empty() {
            machine.write_frame(frame, at, first);
        }
        if let Some(frame) = self.second.as_ref().filter(|_| !second.is_empty()) {
            machine.write_frame(frame, at.saturating_add(room).saturating_sub(FRAME), second);
        }
    }
}

/// Bytes that an area takes.
pub const AREA_BYTES: usize = VcpuRunstateInfo::SIZE;
