//! A domain's physical memory while it runs: frames come and go, and what is not its RAM is shown to it.
//!
//! RAM changes hands in *extents*, naturally sized blocks of frames. One of 2 MiB is more work than a vCPU may
//! do at a stretch, so an extent is worked on in steps and put down where the processor has something else to
//! do: as [`Progress`], which stays with the vCPU until it comes back for the same extent. Whoever comes back
//! for another one has the frames of the first given back before anything else is done.
//!
//! A frame that a domain gets is cleared, out to where an access that bypasses the caches finds it, before it
//! is shown. A frame that it gives up is hidden first; when `hide` returns nobody reaches it by that map, and
//! the drop of its handle sets it free unless others hold it.
//!
//! A domain counts its frames ([`crate::domain::Reservation`]). As under Xen, one that a domain loses by
//! showing itself something else in its place still counts.
//!
//! Some frames are a domain's for good ([`crate::home`]): those that it gives up are kept for it, still count, and
//! are what it gets when it asks for memory at their address.

use abi::errno::Errno;
use core::sync::atomic::{AtomicU64, Ordering};

use machine::contract::{Hidden, Machine, Showing};
use machine::frames::{Block, FRAME_SIZE as FRAME, GuestFrame, LARGEST_ORDER};
use machine::stage2::{Kind, MapError};

use crate::cpu::Local;
use crate::domain::Domain;
use crate::hypervisor::{Hypervisor, Level};
use crate::pv::Pv;

/// Frames between two looks at what else there is to do.
const AT_A_STRETCH: u64 = 4;
/// The same, of a block that is given back.
const GIVEN_AT_A_STRETCH: u32 = 64;

/// What happens to an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It becomes RAM.
    Populate,
    /// It is given up.
    Decrease,
}

/// Frames of a domain that are to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What is to happen.
    pub change: Change,
    /// Index of the domain.
    pub domain: usize,
    /// The first frame, as the guest numbers them.
    pub first: u64,
    /// There are 2 to this power of them.
    pub order: u32,
}

impl Extent {
    fn pages(&self) -> u64 {
        1_u64.checked_shl(self.order).unwrap_or(0)
    }

    fn last(&self) -> Option<u64> {
        self.first.checked_add(self.pages().checked_sub(1)?)
    }
}

/// An extent that is worked on.
#[derive(Debug)]
pub struct Progress {
    /// Which one.
    pub extent: Extent,
    stage: Stage,
    /// Frames at its beginning that are done.
    done: u64,
    /// Frames that the domain has accounted for and is not shown.
    block: Option<Block>,
}

/// How far an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has been done.
    Fresh,
    /// So many frames of the block are cleared.
    Clearing(u32),
    /// The block's frames are being shown, or the map's are being hidden.
    Changing,
    /// The block's frames are given back; then the extent is done, or has failed.
    GivingBack(bool),
}

/// How work on an extent ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It cannot be done (entirely).
    Failed,
    /// Something else is to be done first.
    Interrupted(Progress),
}

/// What a step of the work has come to.
enum Step {
    More,
    Ended(Outcome),
}

impl Progress {
    /// An extent of which nothing is done.
    pub fn new(extent: Extent) -> Self {
        Progress { extent, stage: Stage::Fresh, done: 0, block: None }
    }

    /// The same work, given up: its frames are only to be given back.
    pub fn abandoned(self) -> Self {
        Progress { stage: Stage::GivingBack(false), ..self }
    }

    /// Gives some of its frames back, which are the domain's; true when it has none.
    pub fn give_some_back<M: Machine>(&mut self, domain: &Domain<M>) -> bool {
        matches!(give_back_next(domain, self, false), Step::Ended(_))
    }
}

impl<M: Machine> Hypervisor<M> {
    /// Works on an extent until it is done, has failed, or something else is to be done. `limit`: no frame
    /// that a domain gets ends above this host address.
    pub fn work_on(&self, local: &Local<'_, M>, mut progress: Progress, limit: u64) -> Outcome {
        let Some(domain) = self.domains.get(progress.extent.domain) else { return Outcome::Failed };
        let mut steps = 0_u64;
        if !domain.lives() {
            progress = progress.abandoned();
        }
        loop {
            let step = match (progress.stage, progress.extent.change) {
                (Stage::Fresh, Change::Populate) => self.take(domain, &mut progress, limit),
                (Stage::Fresh, Change::Decrease) => if hide_whole(&self.machine, domain, &mut progress) {
                    Stage::GivingBack(true)
                } else {
                    Stage::Changing
                }
                .begin(&mut progress),
                (Stage::Clearing(cleared), _) => self.clear(domain, &mut progress, cleared),
                (Stage::Changing, Change::Populate) => self.show_next(domain, &mut progress),
                (Stage::Changing, Change::Decrease) => self.hide_next(domain, &mut progress),
                (Stage::GivingBack(done), _) => give_back_next(domain, &mut progress, done),
            };
            if let Step::Ended(outcome) = step {
                return outcome;
            }
            steps = steps.saturating_add(1);
            // Frames are given back so many in a step.
            let stretch =
                matches!(progress.stage, Stage::GivingBack(_)) || steps.is_multiple_of(AT_A_STRETCH);
            if stretch && self.must_look(local) {
                return Outcome::Interrupted(progress);
            }
        }
    }

    /// Works on an extent of one page, in one go. True when it is done.
    pub fn change_page(&self, extent: Extent, limit: u64) -> bool {
        let Some(domain) = self.domains.get(extent.domain).filter(|domain| domain.lives()) else {
            return false;
        };
        match extent.change {
            Change::Decrease => self.hide_ram(domain, extent.first),
            Change::Populate if domain.homes.rule(extent.first) => self.show_kept(domain, extent.first),
            Change::Populate => self.account_for(domain, 1) && self.populate(domain, extent.first, limit),
        }
    }

    /// Makes a page that the domain has accounted for RAM.
    fn populate(&self, domain: &Domain<M>, number: u64, limit: u64) -> bool {
        let ends_below = |frame: &GuestFrame| frame.address().saturating_add(FRAME) <= limit;
        let frame =
            self.machine.frames().take(domain.id, 0).and_then(|mut block| block.next()).filter(ends_below);
        let populated = frame.is_some_and(|frame| {
            self.machine.clear_frame(&frame);
            self.show_in(domain, number, Showing::Ram(frame), true).is_ok()
        });
        if !populated {
            domain.frames.subtract(1);
        }
        populated
    }

    /// Counts frames that a domain is to get; false, and a line that says so, where it may not have as many.
    fn account_for(&self, domain: &Domain<M>, pages: u64) -> bool {
        let added = domain.frames.add(pages);
        if !added {
            let (all, most) = (domain.frames.current().saturating_add(pages), domain.frames.most());
            self.say_of(domain, Level::Info, format_args!("Over-allocation: {all} > {most}"));
        }
        added
    }

    /// Takes frames for an extent that becomes RAM.
    fn take(&self, domain: &Domain<M>, progress: &mut Progress, limit: u64) -> Step {
        let pages = progress.extent.pages();
        if domain.homes.rule(progress.extent.first) {
            return Stage::Changing.begin(progress);
        }
        if !self.account_for(domain, pages) {
            return Step::Ended(Outcome::Failed);
        }
        let end = |block: &Block| block.address().saturating_add(pages.saturating_mul(FRAME));
        match self.machine.frames().take(domain.id, progress.extent.order) {
            Some(block) if end(&block) <= limit => {
                progress.block = Some(block);
                Stage::Clearing(0).begin(progress)
            }
            Some(block) => {
                progress.block = Some(block);
                Stage::GivingBack(false).begin(progress)
            }
            None => {
                domain.frames.subtract(pages);
                Step::Ended(Outcome::Failed)
            }
        }
    }

    /// Clears the next frame, or shows them all once that is done and they can be shown as one.
    fn clear(&self, domain: &Domain<M>, progress: &mut Progress, cleared: u32) -> Step {
        let Some(block) = &progress.block else { return Step::Ended(Outcome::Failed) };
        if block.lend(cleared, |frame| self.machine.clear_frame(frame)).is_some() {
            return Stage::Clearing(cleared.saturating_add(1)).begin(progress);
        }
        let extent = progress.extent;
        if extent.order < LARGEST_ORDER {
            return Stage::Changing.begin(progress);
        }
        let whole = progress.block.take().and_then(|block| {
            let Some(ipa) = extent.first.checked_mul(FRAME) else { return Some(block) };
            self.machine.show_block(&domain.map, ipa, block).err()
        });
        if whole.is_none() {
            domain.note_top(extent.last());
            return Step::Ended(Outcome::Done);
        }
        progress.block = whole;
        Stage::Changing.begin(progress)
    }

    /// Shows the next frame of an extent.
    fn show_next(&self, domain: &Domain<M>, progress: &mut Progress) -> Step {
        if progress.done >= progress.extent.pages() {
            return Step::Ended(Outcome::Done);
        }
        let at_home = domain.homes.rule(progress.extent.first);
        let shown = progress.extent.first.checked_add(progress.done).is_some_and(|number| {
            if at_home {
                return self.show_kept(domain, number);
            }
            let Some(frame) = progress.block.as_mut().and_then(Block::next) else { return false };
            let shown = self.show_in(domain, number, Showing::Ram(frame), true).is_ok();
            if !shown {
                // It was dropped.
                domain.frames.subtract(1);
            }
            shown
        });
        if !shown {
            return Stage::GivingBack(false).begin(progress);
        }
        progress.done = progress.done.saturating_add(1);
        Step::More
    }

    /// Shows a domain the frame that is at home at a frame number, if there is one.
    fn show_kept(&self, domain: &Domain<M>, number: u64) -> bool {
        let Some((at, ipa)) = domain.homes.at(number).zip(number.checked_mul(FRAME)) else { return false };
        let Some(frame) = self.machine.frames().regain(domain.id, at) else {
            let shown = self.frame_at(domain, ipa);
            return matches!(shown, Some((frame, Kind::Ram, _)) if frame.address() == at);
        };
        self.machine.clear_frame(&frame);
        let Some(spare) = frame.try_clone() else {
            self.machine.frames().keep(frame);
            return false;
        };
        let shown = self.show_in(domain, number, Showing::Ram(frame), true).is_ok();
        if !shown {
            self.machine.frames().keep(spare);
        }
        shown
    }

    /// Hides the next frame of an extent.
    fn hide_next(&self, domain: &Domain<M>, progress: &mut Progress) -> Step {
        if progress.done >= progress.extent.pages() {
            return Step::Ended(Outcome::Done);
        }
        let number = progress.extent.first.checked_add(progress.done);
        if !number.is_some_and(|number| self.hide_ram(domain, number)) {
            return Step::Ended(Outcome::Failed);
        }
        progress.done = progress.done.saturating_add(1);
        Step::More
    }

    /// Takes a page that is a domain's to give away from it. What others lend, and devices, are not.
    fn hide_ram(&self, domain: &Domain<M>, number: u64) -> bool {
        let Some(ipa) = number.checked_mul(FRAME) else { return false };
        let hidden = self.machine.hide_if(&domain.map, ipa, &[Kind::Ram, Kind::Shared]);
        let Ok(Some(hidden)) = hidden else { return false };
        let kept = hidden.frame.as_ref().is_some_and(|frame| domain.homes.keeps(frame.address()));
        if hidden.kind == Kind::Ram && !kept {
            domain.frames.subtract(1);
        }
        self.part_with(domain, hidden);
        true
    }

    /// Lets go of what a domain was shown; what is its own for good is kept.
    pub fn part_with(&self, domain: &Domain<M>, hidden: Hidden) {
        if let Some(frame) = hidden.frame
            && hidden.kind == Kind::Ram
            && domain.homes.keeps(frame.address())
        {
            self.machine.frames().keep(frame);
        }
    }

    /// What a domain is shown at an address, as [`Machine::frame_at`] says, which is compiled into its callers.
    #[inline(never)]
    pub fn frame_at(&self, domain: &Domain<M>, ipa: u64) -> Option<(GuestFrame, Kind, bool)> {
        self.machine.frame_at(&domain.map, ipa)
    }

    /// Shows a domain something at a frame number, in the place of what was there.
    ///
    /// # Errors
    /// `EBUSY` where a grant is mapped, `ENOMEM` without tables, `EINVAL` for a number that is too large.
    pub fn show_in(
        &self,
        domain: &Domain<M>,
        number: u64,
        what: Showing<'_>,
        writable: bool,
    ) -> Result<(), Errno> {
        let ipa = number.checked_mul(FRAME).ok_or(Errno::Inval)?;
        match self.machine.show(&domain.map, ipa, what, writable) {
            Ok(hidden) => {
                if let Some(hidden) = hidden {
                    self.part_with(domain, hidden);
                }
                domain.note_top(Some(number));
                Ok(())
            }
            Err(MapError::Occupied) => Err(Errno::Busy),
            Err(MapError::OutOfTables | MapError::OutOfMemory) => Err(Errno::NoMem),
            Err(MapError::OutOfRange | MapError::Unaligned) => Err(Errno::Inval),
        }
    }

    /// Shows a domain one of the hypervisor's pages for it, which it can have at one place only.
    ///
    /// # Errors
    /// `EINVAL` for a page that there is not, `EBUSY` for one that is shown already; see [`Self::show_in`].
    pub fn show_page(&self, domain: &Domain<M>, which: SharedPage, number: u64) -> Result<(), Errno> {
        let pv = domain.pv.as_ref().ok_or(Errno::Inval)?;
        let (page, place) = pv.shared_page(which).ok_or(Errno::Inval)?;
        let before = place.begin(|number| {
            let shown = number.checked_mul(FRAME).and_then(|ipa| self.frame_at(domain, ipa));
            matches!(shown, Some((frame, Kind::Shared, _)) if frame.address() == page.address())
        })?;
        let shown = page
            .try_clone()
            .ok_or(Errno::NoMem)
            .and_then(|page| self.show_in(domain, number, Showing::Shared(page), true));
        place.end(if shown.is_ok() { Some(number) } else { before });
        shown
    }

    /// Hides whatever a domain is shown at a frame number, unless it is a device or a grant.
    ///
    /// # Errors
    /// `ENOENT` where there is no such thing, `ENOMEM` without tables.
    pub fn hide_in(&self, domain: &Domain<M>, number: u64) -> Result<(), Errno> {
        let ipa = number.checked_mul(FRAME).ok_or(Errno::NoEnt)?;
        let kinds = [Kind::Ram, Kind::Shared, Kind::Foreign];
        match self.machine.hide_if(&domain.map, ipa, &kinds) {
            Ok(Some(hidden)) => {
                self.part_with(domain, hidden);
                Ok(())
            }
            Ok(None) | Err(MapError::OutOfRange | MapError::Unaligned) => Err(Errno::NoEnt),
            Err(_) => Err(Errno::NoMem),
        }
    }
}

impl Stage {
    fn begin(self, progress: &mut Progress) -> Step {
        progress.stage = self;
        Step::More
    }
}

/// Hides a whole block that is shown as one. Frames that may have to be kept go one by one.
fn hide_whole<M: Machine>(machine: &M, domain: &Domain<M>, progress: &mut Progress) -> bool {
    if progress.extent.order == LARGEST_ORDER && domain.homes.is_empty() {
        let ipa = progress.extent.first.checked_mul(FRAME);
        progress.block = ipa.and_then(|ipa| machine.hide_block(&domain.map, ipa));
    }
    progress.block.is_some()
}

/// Gives the next frames of a block back.
fn give_back_next<M: Machine>(domain: &Domain<M>, progress: &mut Progress, done: bool) -> Step {
    let count = progress.block.as_mut().map_or(0, |block| block.give_back(GIVEN_AT_A_STRETCH));
    if count == 0 {
        return Step::Ended(if done { Outcome::Done } else { Outcome::Failed });
    }
    domain.frames.subtract(u64::from(count));
    Step::More
}

/// A page that the hypervisor shares with a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedPage {
    /// `struct shared_info`.
    Info,
    /// A frame of the grant table.
    GrantTable(usize),
}

impl Pv {
    /// A page of the domain's, and where it is shown. A grant table has as many frames as it has room for.
    fn shared_page(&self, which: SharedPage) -> Option<(&GuestFrame, &Place)> {
        match which {
            SharedPage::Info => Some((&self.shared_info, self.places.first()?)),
            SharedPage::GrantTable(index) => {
                Some((self.grant_frame(index)?, self.places.get(index.checked_add(1)?)?))
            }
        }
    }

    /// A frame of the grant table, which grows for it.
    pub fn grant_frame(&self, index: usize) -> Option<&GuestFrame> {
        let frame = self.grant_frames.get(index)?;
        self.grants.grow_to(index).then_some(frame)
    }

    /// The frame number where a frame of the grant table was shown last.
    pub fn grant_frame_place(&self, index: usize) -> Option<u64> {
        self.places.get(index.checked_add(1)?)?.number()
    }

    /// How many frames the grant table can have.
    pub fn most_grant_frames(&self) -> usize {
        self.grant_frames.len().min(crate::grant::FRAMES)
    }
}

/// Where one of the hypervisor's pages is shown: at a frame number plus one, nowhere, or about to be shown.
/// The map has the last word: what it does not show is free to be shown again.
#[derive(Debug, Default)]
pub struct Place(AtomicU64);

impl Place {
    const NOWHERE: u64 = 0;
    const SOON: u64 = u64::MAX;

    /// Nobody else shows the page from now to [`Self::end`]. Where it was shown last.
    fn begin(&self, is_shown: impl FnOnce(u64) -> bool) -> Result<Option<u64>, Errno> {
        let now = self.0.load(Ordering::Acquire);
        let number = now.checked_sub(1);
        if now == Self::SOON || number.is_some_and(is_shown) {
            return Err(Errno::Busy);
        }
        let taken = self.0.compare_exchange(now, Self::SOON, Ordering::AcqRel, Ordering::Relaxed);
        taken.map(|_| number).map_err(|_| Errno::Busy)
    }

    fn number(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|now| *now != Self::SOON)?.checked_sub(1)
    }

    fn end(&self, number: Option<u64>) {
        let shown = number.map_or(Self::NOWHERE, |number| number.saturating_add(1));
        self.0.store(shown, Ordering::Release);
    }
}
