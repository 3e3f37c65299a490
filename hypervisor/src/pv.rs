//! What a domain with PV interfaces has beside its processors and its memory: the pages that it shares with
//! the hypervisor, its event channels, its grants, its parameters.
//!
//! All of it is made at construction in its final size.

use abi::hvm_params;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use machine::contract::{Machine, Word};
use machine::frames::GuestFrame;

use crate::event::Events;
use crate::grant::GrantTable;
use crate::memory::Place;

/// The parameters that a domain on Arm has (`public/hvm/params.h`), in the order in which they are kept.
const PARAMETERS: [u32; 5] = [
    hvm_params::HVM_PARAM_CALLBACK_IRQ,
    hvm_params::HVM_PARAM_STORE_PFN,
    hvm_params::HVM_PARAM_STORE_EVTCHN,
    hvm_params::HVM_PARAM_CONSOLE_PFN,
    hvm_params::HVM_PARAM_CONSOLE_EVTCHN,
];

/// The PV side of a domain.
#[derive(Debug)]
pub struct Pv {
    /// The page of `struct shared_info`.
    pub shared_info: GuestFrame,
    /// Pages for the grant table, in order.
    pub grant_frames: Vec<GuestFrame>,
    /// Where it is shown those pages: first `shared_info`.
    pub places: Vec<Place>,
    /// What it grants, and what it has mapped of others' grants.
    pub grants: GrantTable,
    /// Guest addresses for its grant table.
    pub grant_window: plan::Range,
    /// Event channels.
    pub events: Events,
    /// The private interrupt that says that an event has come.
    pub event_interrupt: u32,
    /// `VMASST_TYPE_runstate_update_flag`: a runstate area says while it is being written.
    pub runstate_update_flag: AtomicBool,
    parameters: [AtomicU64; PARAMETERS.len()],
}

impl Pv {
    /// The PV side of a domain that has not run. `None` where there are not even pages for what every domain
    /// has.
    pub fn new(
        plan: &plan::Pv,
        (events, grants): (Events, GrantTable),
        mut pages: impl Iterator<Item = GuestFrame>,
    ) -> Option<Self> {
        let shared_info = pages.next()?;
        let grant_frames: Vec<GuestFrame> = pages.collect();
        Some(Pv {
            shared_info,
            places: (0..=grant_frames.len()).map(|_| Place::default()).collect(),
            grant_frames,
            grants,
            grant_window: plan.grant_window,
            events,
            event_interrupt: plan.event_interrupt,
            runstate_update_flag: AtomicBool::new(false),
            parameters: [const { AtomicU64::new(0) }; PARAMETERS.len()],
        })
    }

    /// The place of a parameter; `None` for one that a domain on Arm does not have.
    pub fn parameter(&self, index: u32) -> Option<&AtomicU64> {
        let at = PARAMETERS.iter().position(|known| *known == index)?;
        self.parameters.get(at)
    }

    /// Tells the guest the time of day, in seconds and nanoseconds since 1970 at the hypervisor's start.
    pub fn set_wall_clock<M: Machine>(&self, machine: &M, seconds: u64, nanoseconds: u32) {
        use abi::arch_arm as offset;
        let [s0, s1, s2, s3, s4, s5, s6, s7] = seconds.to_le_bytes();
        let low = u32::from_le_bytes([s0, s1, s2, s3]);
        let high = u32::from_le_bytes([s4, s5, s6, s7]);
        let page = &self.shared_info;
        let put = |at: usize, value: u32| machine.word(page, at, Word::Store32(value));
        let version = machine.word(page, offset::SHARED_INFO_WC_VERSION, Word::Load32).unwrap_or(0);
        let odd = u32::try_from(version | 1).unwrap_or(1);
        // An odd version says that the words do not belong together yet.
        put(offset::SHARED_INFO_WC_VERSION, odd);
        put(offset::SHARED_INFO_WC_SEC, low);
        put(offset::SHARED_INFO_WC_SEC_HI, high);
        put(offset::SHARED_INFO_WC_NSEC, nanoseconds);
        put(offset::SHARED_INFO_WC_VERSION, odd.wrapping_add(1));
    }

    /// `VMASST_TYPE_runstate_update_flag`.
    pub fn wants_update_flag(&self) -> bool {
        self.runstate_update_flag.load(Ordering::Relaxed)
    }
}
