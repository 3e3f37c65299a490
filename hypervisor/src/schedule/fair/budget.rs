//! What a domain may use of its pool: its share, and the budget that a cap makes of it.
//!
//! A cap of 25 % is a quarter of each period, whichever of the domain's vCPUs use it. A vCPU that is chosen takes
//! a part of what is left with it, so that several on several processors cannot use one budget twice; what it does not use it
//! gives back, and what it uses beyond it is missing later. A new period fills the budget, but not beyond one
//! period's worth.

use machine::contract::Ticks;
use plan::Share;

/// Several vCPUs of a domain take at least this part of a full budget, as a shift.
const LEAST_PART: u32 = 3;

/// A domain in a pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) share: Share,
    /// vCPUs that run or wait; counted only where there is a cap.
    pub(super) awake: u32,
    /// Ticks that nobody has taken; negative where too many were used.
    budget: i64,
    /// The period in which it was last filled.
    filled: u64,
}

fn signed(ticks: Ticks) -> i64 {
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

impl Group {
    pub(super) fn set_share(&mut self, share: Share) {
        *self = Group { share, budget: 0, filled: 0, ..*self };
    }

    /// A full budget.
    fn quota(&self, period: Ticks) -> i64 {
        signed(period.saturating_mul(u64::from(self.share.cap)) / 100).max(1)
    }

    /// Is there something left of the budget?
    pub(super) fn has_budget(&mut self, period: Ticks, now: Ticks) -> bool {
        let number = now.checked_div(period).unwrap_or(0);
        let passed = number.saturating_sub(self.filled);
        if passed > 0 {
            let quota = self.quota(period);
            self.budget = self.budget.saturating_add(quota.saturating_mul(signed(passed))).min(quota);
            self.filled = number;
        }
        self.budget > 0
    }

    /// A vCPU's part of what is left, if anything is.
    pub(super) fn take(&mut self, period: Ticks, now: Ticks) -> Option<Ticks> {
        if !self.has_budget(period, now) {
            return None;
        }
        let part = self.budget.checked_div(i64::from(self.awake)).unwrap_or(self.budget);
        let part = part.max(self.quota(period) >> LEAST_PART).clamp(1, self.budget);
        self.budget = self.budget.saturating_sub(part);
        u64::try_from(part).ok()
    }

    /// When there will be something again, if nothing is given back.
    pub(super) fn filled_at(&self, period: Ticks, now: Ticks) -> Ticks {
        let missing = self.budget.saturating_neg().max(0).checked_div(self.quota(period)).unwrap_or(0);
        let periods = u64::try_from(missing).unwrap_or(0).saturating_add(1);
        now.checked_div(period).unwrap_or(0).saturating_add(periods).saturating_mul(period)
    }

    pub(super) fn give_back(&mut self, ticks: Ticks) {
        self.budget = self.budget.saturating_add(signed(ticks));
    }

    pub(super) fn spend(&mut self, ticks: Ticks) {
        self.budget = self.budget.saturating_sub(signed(ticks));
    }
}
