//! A priority queue of numbered things: smallest key first, any member removable by its number.
//!
//! A binary heap with a back index. All memory is taken when it is made; nothing here can fail later,
//! and every operation is logarithmic in the number of members. Deadlines and run queues are both this.
//! One member alone, which is what such queues hold most often, stands beside the heap.

use alloc::vec::Vec;

const ABSENT: u32 = u32::MAX;

/// The queue; members are the numbers below the count that it was made for.
#[derive(Debug)]
pub struct IndexedHeap {
    /// The only member, and its key; [`ABSENT`] where there is none, or more than one.
    only: u32,
    only_key: u64,
    order: Vec<u32>,
    position: Vec<u32>,
    key: Vec<u64>,
}

impl IndexedHeap {
    /// Bytes for each member.
    pub const BYTES_PER_MEMBER: usize = 16;

    /// An empty queue for members 0 to `members` - 1. `None` where there is no memory for it.
    pub fn try_new(members: usize) -> Option<Self> {
        let (mut order, mut position, mut key) = (Vec::new(), Vec::new(), Vec::new());
        order.try_reserve_exact(members).ok()?;
        position.try_reserve_exact(members).ok()?;
        key.try_reserve_exact(members).ok()?;
        position.resize(members, ABSENT);
        key.resize(members, 0);
        Some(IndexedHeap { only: ABSENT, only_key: 0, order, position, key })
    }

    /// The member with the smallest key (the lower number on a tie), and the key.
    #[inline]
    pub fn first(&self) -> Option<(u32, u64)> {
        if self.only != ABSENT {
            return Some((self.only, self.only_key));
        }
        let member = *self.order.first()?;
        Some((member, self.key_of(member)))
    }

    /// The only member, and its key; `None` where there is none, or more than one.
    #[inline]
    pub fn only(&self) -> Option<(u32, u64)> {
        Some((self.only, self.only_key)).filter(|(only, _)| *only != ABSENT)
    }

    /// Takes out the only member, if there is just one.
    #[inline]
    pub fn take_only(&mut self) {
        self.only = ABSENT;
    }

    /// The smallest key; `None` where nobody is in.
    #[inline]
    pub fn first_key(&self) -> Option<u64> {
        self.first().map(|(_, key)| key)
    }

    /// Takes out the member with the smallest key.
    #[inline]
    pub fn pop(&mut self) -> Option<u32> {
        if self.only != ABSENT {
            return Some(core::mem::replace(&mut self.only, ABSENT));
        }
        let member = *self.order.first()?;
        self.remove_many(member);
        self.set_only();
        Some(member)
    }

    /// Takes out the member with the smallest key and puts another one in, which was not in. `None`, and nothing happens,
    /// where nobody is in.
    #[inline]
    pub fn replace_first(&mut self, member: u32, key: u64) -> Option<u32> {
        if self.only == ABSENT {
            return self.replace_many(member, key);
        }
        if index(member) >= self.position.len() {
            return None;
        }
        self.only_key = key;
        Some(core::mem::replace(&mut self.only, member))
    }

    #[inline(never)]
    fn replace_many(&mut self, member: u32, key: u64) -> Option<u32> {
        let slot = self.key.get_mut(index(member))?;
        let first = core::mem::replace(self.order.first_mut()?, member);
        *slot = key;
        if let Some(place) = self.position.get_mut(index(first)) {
            *place = ABSENT;
        }
        self.set_place(member, 0);
        self.sink(0);
        Some(first)
    }

    /// The member with the smallest key of those for which `is` holds, and the key. It looks at all of them.
    pub fn first_where(&self, mut is: impl FnMut(u32) -> bool) -> Option<(u32, u64)> {
        let only = (self.only != ABSENT).then_some((self.only, self.only_key));
        let many = self.order.iter().map(|member| (*member, self.key_of(*member)));
        let suitable = only.into_iter().chain(many).filter(|(member, _)| is(*member));
        suitable.min_by_key(|(member, key)| (*key, *member))
    }

    /// All members that are in, in no order.
    pub fn members(&self) -> impl Iterator<Item = u32> + '_ {
        let only = (self.only != ABSENT).then_some(self.only);
        only.into_iter().chain(self.order.iter().copied())
    }

    /// Nobody is in.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.only == ABSENT && self.order.is_empty()
    }

    /// Is this member in?
    #[inline]
    pub fn contains(&self, member: u32) -> bool {
        member != ABSENT && (self.only == member || self.place(member).is_some())
    }

    /// Puts a member in, or gives it another key. A number beyond the count is ignored.
    #[inline]
    pub fn insert(&mut self, member: u32, key: u64) {
        if self.order.is_empty() && (self.only == ABSENT || self.only == member) {
            if index(member) < self.position.len() {
                (self.only, self.only_key) = (member, key);
            }
        } else {
            self.insert_many(member, key);
        }
    }

    #[inline(never)]
    fn insert_many(&mut self, member: u32, key: u64) {
        let only = core::mem::replace(&mut self.only, ABSENT);
        if only != ABSENT {
            self.push(only, self.only_key);
        }
        self.remove_many(member);
        self.push(member, key);
        self.set_only();
    }

    fn push(&mut self, member: u32, key: u64) {
        let (Some(slot), at) = (self.key.get_mut(index(member)), self.order.len()) else { return };
        *slot = key;
        self.order.push(member);
        self.set_place(member, at);
        self.rise(at);
    }

    /// Takes a member out; whether it was in.
    #[inline]
    pub fn remove(&mut self, member: u32) -> bool {
        if self.only == member && member != ABSENT {
            self.only = ABSENT;
            return true;
        }
        let was_in = self.remove_many(member);
        self.set_only();
        was_in
    }

    /// Puts the last one of many beside the heap.
    #[inline]
    fn set_only(&mut self) {
        if let [last] = self.order.as_slice() {
            (self.only, self.only_key) = (*last, self.key_of(*last));
            if let Some(place) = self.position.get_mut(index(self.only)) {
                *place = ABSENT;
            }
            self.order.clear();
        }
    }

    #[inline(never)]
    fn remove_many(&mut self, member: u32) -> bool {
        let Some(slot) = self.position.get_mut(index(member)).filter(|slot| **slot != ABSENT) else {
            return false;
        };
        let at = index(core::mem::replace(slot, ABSENT));
        if let Some(last) = self.order.pop().filter(|last| *last != member) {
            if let Some(slot) = self.order.get_mut(at) {
                *slot = last;
            }
            self.set_place(last, at);
            self.sink(at);
            self.rise(at);
        }
        true
    }

    #[inline]
    fn key_of(&self, member: u32) -> u64 {
        self.key.get(index(member)).copied().unwrap_or(u64::MAX)
    }

    fn place(&self, member: u32) -> Option<usize> {
        self.position.get(index(member)).filter(|place| **place != ABSENT).map(|place| index(*place))
    }

    fn set_place(&mut self, member: u32, at: usize) {
        if let (Some(slot), Ok(at)) = (self.position.get_mut(index(member)), u32::try_from(at)) {
            *slot = at;
        }
    }

    /// Does the member at `a` come before the one at `b`?
    fn before(&self, a: usize, b: usize) -> bool {
        match (self.order.get(a), self.order.get(b)) {
            (Some(a), Some(b)) => (self.key_of(*a), a) < (self.key_of(*b), b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (Some(&first), Some(&second)) = (self.order.get(a), self.order.get(b)) else { return };
        self.order.swap(a, b);
        self.set_place(first, b);
        self.set_place(second, a);
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let above = at.wrapping_sub(1) >> 1;
            if !self.before(at, above) {
                return;
            }
            self.swap(at, above);
            at = above;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let left = at.wrapping_mul(2).wrapping_add(1);
            let right = left.wrapping_add(1);
            let below = if self.before(right, left) { right } else { left };
            if !self.before(below, at) {
                return;
            }
            self.swap(below, at);
            at = below;
        }
    }
}

/// A member's number as an index; on a 64-bit machine nothing is lost.
fn index(member: u32) -> usize {
    usize::try_from(member).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_heap_agrees_with_a_sorted_set(steps in prop::collection::vec((0u32..20, 0u64..50, 0..6), 0..300)) {
            let mut heap = IndexedHeap::try_new(16).unwrap();
            let mut plain: BTreeSet<(u64, u32)> = BTreeSet::new();
            for (member, key, step) in steps {
                match step {
                    0 => {
                        prop_assert_eq!(heap.pop(), plain.pop_first().map(|(_, member)| member));
                    }
                    1 | 2 => {
                        let was_in = plain.iter().any(|(_, known)| *known == member);
                        plain.retain(|(_, known)| *known != member);
                        prop_assert_eq!(heap.remove(member), was_in);
                    }
                    3 if plain.iter().all(|(_, known)| *known != member) => {
                        let first = if member < 16 { plain.pop_first() } else { None };
                        prop_assert_eq!(heap.replace_first(member, key), first.map(|(_, member)| member));
                        plain.extend(first.map(|_| (key, member)));
                    }
                    _ => {
                        heap.insert(member, key);
                        plain.retain(|(_, known)| *known != member);
                        if member < 16 {
                            plain.insert((key, member));
                        }
                    }
                }
                prop_assert_eq!(heap.first(), plain.first().map(|(key, member)| (*member, *key)));
                prop_assert_eq!(heap.is_empty(), plain.is_empty());
                prop_assert_eq!(heap.only().is_some(), plain.len() == 1);
                prop_assert_eq!(heap.members().collect::<BTreeSet<_>>(), plain.iter().map(|(_, m)| *m).collect());
                let odd = plain.iter().find(|(_, member)| member % 2 == 1).map(|(key, member)| (*member, *key));
                prop_assert_eq!(heap.first_where(|member| member % 2 == 1), odd);
                prop_assert!((0..20).all(|m| heap.contains(m) == plain.iter().any(|(_, p)| *p == m)));
            }
        }
    }
}
