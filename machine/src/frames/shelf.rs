//! A shelf: very many places for frames' handles, most of them empty, in four bytes each.
//!
//! A [`GuestFrame`] carries where its record is and where its frame is. In a table with a place for each of a
//! domain's grants that would be most of the table, so a shelf keeps the number of the record and makes the
//! handle from it. It is one of the frame's count all the same: it comes out once, and the shelf's drop
//! gives back what is still there.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::table::{FrameTable, GuestFrame};

/// Places for handles of frames of one table.
#[derive(Debug)]
pub struct Shelf {
    table: &'static FrameTable,
    /// 0 where there is none, else one more than the number of its record.
    places: Vec<u32>,
}

/// A handle that stays on its shelf.
#[derive(Debug)]
pub struct Lent<'s> {
    frame: ManuallyDrop<GuestFrame>,
    shelf: PhantomData<&'s Shelf>,
}

impl Deref for Lent<'_> {
    type Target = GuestFrame;

    fn deref(&self) -> &GuestFrame {
        &self.frame
    }
}

impl Shelf {
    /// Bytes of a place.
    pub const BYTES_PER_PLACE: usize = size_of::<u32>();

    /// So many empty places. `None` where there is no memory.
    pub fn try_new(table: &'static FrameTable, places: usize) -> Option<Self> {
        let mut empty = Vec::new();
        empty.try_reserve_exact(places).ok()?;
        empty.resize(places, 0);
        Some(Shelf { table, places: empty })
    }

    /// Puts a handle at a place, and lends it.
    ///
    /// # Errors
    /// The handle, where there is no such place, where it is not empty, or for a frame of another table.
    #[inline]
    pub fn put(&mut self, place: usize, frame: GuestFrame) -> Result<Lent<'_>, GuestFrame> {
        let empty = self.places.get_mut(place).filter(|number| **number == 0);
        match (empty, frame.number_in(self.table)) {
            (Some(empty), Some(number)) => {
                *empty = number;
                Ok(Lent { frame: ManuallyDrop::new(frame), shelf: PhantomData })
            }
            _ => Err(frame),
        }
    }

    /// Takes what is at a place.
    pub fn take(&mut self, place: usize) -> Option<GuestFrame> {
        let number = core::mem::take(self.places.get_mut(place)?);
        self.table.numbered(number)
    }

    /// Looks at what is at a place.
    #[inline]
    pub fn get(&self, place: usize) -> Option<Lent<'_>> {
        let frame = self.table.numbered(*self.places.get(place)?)?;
        Some(Lent { frame: ManuallyDrop::new(frame), shelf: PhantomData })
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        for place in 0..self.places.len() {
            drop(self.take(place));
        }
    }
}
