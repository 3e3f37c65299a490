//! The one lock of the house: fair, ranked, and owner of what it protects.
//!
//! A ticket lock: processors are served in the order in which they came. Each lock has a [`Rank`], and a
//! processor that holds one may only take locks of a higher rank; on a host every violation fails the
//! test that made it, on the board the order is a matter of what those tests have shown. Interrupts are
//! masked whenever the hypervisor runs, so a holder is never interrupted.
#![expect(unsafe_code, reason = "the cell that a ticket opens")]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// The order of locks, outermost first. ARCHITECTURE.md shows the same list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// A vCPU's registers: held by the processor that runs it.
    Registers,
    /// What the event channels of all domains are bound to.
    Bindings,
    /// A domain's grants in use.
    Grants,
    /// A domain's mappings of others' grants.
    Mappings,
    /// A domain's UART.
    Uart,
    /// How a domain is told of its events.
    Events,
    /// A domain's interrupt controller.
    Interrupts,
    /// A vCPU's start orders.
    Power,
    /// A vCPU's account of its time.
    Runstate,
    /// The scheduler.
    Scheduler,
    /// A processor's deadlines.
    Deadlines,
    /// The console.
    Console,
    /// A domain's stage 2 map.
    Map,
    /// Which frames are free.
    Frames,
    /// The machine's own, held for a few instructions.
    Machine,
}

/// A value that one processor at a time may use.
#[derive(Debug)]
pub struct Lock<T> {
    next: AtomicU32,
    serving: AtomicU32,
    rank: Rank,
    value: UnsafeCell<T>,
}

// SAFETY: the tickets let one holder at a time reach the value, so sharing the lock only moves T.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(rank: Rank, value: T) -> Self {
        Lock { next: AtomicU32::new(0), serving: AtomicU32::new(0), rank, value: UnsafeCell::new(value) }
    }

    /// Waits for its turn and takes the lock.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        crate::held::enter(self.rank);
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        while self.serving.load(Ordering::Acquire) != ticket {
            crate::spin_hint::pause();
        }
        Guard { lock: self, value: PhantomData }
    }

    /// The value, where exclusive access is certain without the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// The right to use a locked value; its drop opens the lock.
#[derive(Debug)]
pub struct Guard<'l, T> {
    lock: &'l Lock<T>,
    /// A guard is as good as an exclusive reference, and shared between threads like one.
    value: PhantomData<&'l mut T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so its ticket is being served and no other guard does.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        crate::held::leave(self.lock.rank);
        let served = self.lock.serving.load(Ordering::Relaxed);
        self.lock.serving.store(served.wrapping_add(1), Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
