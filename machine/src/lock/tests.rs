//! The lock serves in turn, keeps out whoever has no ticket, and knows its order.

use super::*;
use crate::sim::on_processor;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicU64;

#[test]
fn what_several_threads_change_under_the_lock_is_changed_whole() {
    static COUNT: Lock<(u64, u64)> = Lock::new(Rank::Console, (0, 0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let mut count = COUNT.lock();
                    assert_eq!(count.0, count.1);
                    count.0 += 1;
                    count.1 += 1;
                }
            });
        }
    });
    assert_eq!(*COUNT.lock(), (80_000, 80_000));
}

#[test]
fn who_waits_first_is_served_first() {
    static LOCK: Lock<Vec<u64>> = Lock::new(Rank::Machine, Vec::new());
    static WAITING: AtomicU64 = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let guard = LOCK.lock();
        for number in 0..6 {
            scope.spawn(move || {
                WAITING.fetch_add(1, Ordering::SeqCst);
                LOCK.lock().push(number);
            });
            // The ticket is drawn before the next one comes.
            while LOCK.next.load(Ordering::SeqCst) != number as u32 + 2 {
                std::thread::yield_now();
            }
        }
        drop(guard);
    });
    assert_eq!(*LOCK.lock(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(WAITING.load(Ordering::SeqCst), 6);
}

#[test]
fn locks_are_taken_in_the_order_of_their_ranks() {
    let (outer, inner) = (Lock::new(Rank::Uart, 1), Lock::new(Rank::Console, 2));
    let first = outer.lock();
    assert_eq!(*first + *inner.lock(), 3);
}

#[test]
fn the_wrong_order_fails_the_test_that_makes_it() {
    for (first, second) in [(Rank::Console, Rank::Uart), (Rank::Scheduler, Rank::Scheduler)] {
        let outcome = catch_unwind(|| {
            let (first, second) = (Lock::new(first, ()), Lock::new(second, ()));
            let _held = first.lock();
            let _ = second.lock();
        });
        let payload = outcome.unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().contains("wrong order of locks"));
    }
    // Nothing of that is left.
    drop(Lock::new(Rank::Registers, ()).lock());
}

#[test]
fn the_order_is_that_of_each_processor() {
    let (one, other) = (Lock::new(Rank::Registers, ()), Lock::new(Rank::Registers, ()));
    let held = on_processor(0, || one.lock());
    let held_elsewhere = on_processor(1, || other.lock());
    drop(held);
    drop(held_elsewhere);
    drop(one.lock());
}
