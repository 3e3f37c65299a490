//! Between the first Rust instruction and a checked plan: the untrusted tree and modules are looked at,
//! nothing is taken.
#![expect(unsafe_code, reason = "the entry from boot.s, and the tree as a slice")]

use alloc::boxed::Box;
use plan::{Facts, Modules, Pl011, Plan, Range, RangeSet, Sizes};

use super::board::Board;
use super::device::Registers;
use super::translation::{self, Memory};
use super::uart::Uart;
use super::{fault, heap, memory, processor, system};
use crate::frames::{FRAME_SIZE, FramePool, FrameRange, FrameTable};

/// What reading a tree takes beside the guests' trees (see `plan`).
const RESERVED_FOR_PLANNING: u64 = 512 << 10;
const _: () = assert!(heap::EARLY as u64 >= RESERVED_FOR_PLANNING + Sizes::BUILT.boot_heap);

unsafe extern "Rust" {
    /// The hypervisor's story, in its `main.rs`.
    safe fn xenite_start(boot: Boot) -> !;
}

/// What the loader left, and what the processor says of itself.
#[derive(Debug)]
pub struct Boot {
    image: Range,
    tree_at: u64,
}

/// The hardware that a plan names, taken.
#[derive(Debug)]
pub struct Taken {
    /// The machine.
    pub board: Board,
    /// All RAM that is neither reserved nor the hypervisor's own.
    pub frames: FramePool,
    /// What planning has taken, for [`super::seal`].
    pub planning: Planning,
}

/// Frames in which the plan lies, if they become free when it has gone; nobody else can use them meanwhile.
#[derive(Debug)]
pub struct Planning(pub(super) Option<FrameRange>);

#[unsafe(no_mangle)]
extern "C" fn boot_processor(tree_at: u64, image_at: u64) -> ! {
    translation::start(image_at);
    heap::start();
    let (start, end) = translation::image();
    xenite_start(Boot { image: Range { base: image_at, size: end - start }, tree_at })
}

impl Boot {
    /// Exception level at which we were entered.
    pub fn level(&self) -> u64 {
        system::level()
    }

    /// Where the image, with all its memory, is.
    pub fn image(&self) -> Range {
        self.image
    }

    /// The device tree's place and bytes, as far as its header makes sense.
    ///
    /// # Errors
    /// Words that say why there is no tree.
    pub fn device_tree(&self) -> Result<(Range, &'static [u8]), &'static str> {
        const LIMIT: u32 = 2 << 20;
        let mut header = [0_u8; 8];
        if self.tree_at == 0 || !self.tree_at.is_multiple_of(8) || !memory::read(self.tree_at, &mut header) {
            return Err("x0 does not hold the 8-byte aligned address of a device tree");
        }
        let [m0, m1, m2, m3, s0, s1, s2, s3] = header;
        if u32::from_be_bytes([m0, m1, m2, m3]) != 0xd00d_feed {
            return Err("there is no device tree where x0 points: its magic number is wrong");
        }
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        if size > LIMIT {
            return Err("the device tree says that it is larger than 2 MiB");
        }
        let range = Range { base: self.tree_at, size: u64::from(size.max(8)) };
        let base =
            translation::map_device(range, Memory::ReadOnly).ok_or("the device tree cannot be mapped")?;
        // SAFETY: mapped for good, read only; the plan keeps this memory out of everybody's hands.
        let bytes = unsafe { core::slice::from_raw_parts(base as *const u8, size as usize) };
        Ok((range, bytes))
    }

    /// What only the running machine knows, for the plan.
    pub fn facts(&self, tree: &[u8]) -> Facts {
        const MOST_SPIS: u32 = 960;
        let lines =
            plan::distributor(tree).and_then(Registers::map).map(|registers| registers.read(4) & 0x1f);
        let spis = lines.map_or(MOST_SPIS, |lines| (lines * 32).min(MOST_SPIS));
        let (boot_mpidr, physical_bits) = (system::mpidr(), processor::physical_bits());
        Facts { boot_mpidr, physical_bits, spis, sizes: Sizes::BUILT }
    }

    /// Gives faults and early words a console.
    pub fn open_console(&self, uart: Pl011) {
        fault::set_console(|| Registers::map(uart.registers).map(Uart::new));
    }

    /// Writes a line to that console.
    pub fn say(&self, text: core::fmt::Arguments<'_>) {
        fault::say(text);
    }

    /// Stops here for ever.
    pub fn stop(&self) -> ! {
        system::halt()
    }

    /// Takes the hardware that the plan names.
    ///
    /// # Errors
    /// Words for what could not be taken.
    pub fn take(self, plan: &Plan, tree: Range) -> Result<Taken, &'static str> {
        translation::map_heap(plan.heap).ok_or("the heap cannot be mapped")?;
        let base = translation::HEAP + plan.heap.base % (2 << 20);
        // SAFETY: just mapped; the plan gives this range to nobody else.
        unsafe { heap::add(base as *mut u8, plan.heap.size as usize) };
        translation::set_heap(plan.heap, base);
        let mut left = RangeSet::new();
        plan.board.memory.iter().for_each(|bank| left.insert(*bank));
        let image = plan.planning.and_then(|planning| Range::between(self.image.base, planning.base));
        let ours = [image.unwrap_or(self.image), plan.heap, tree];
        plan.board.reserved.iter().chain(&ours).for_each(|range| left.remove(range.outward(FRAME_SIZE)));
        let mut frames = FramePool::new(&left.into_vec());
        let planning = match plan.planning {
            Some(end) if end != heap::planning() => return Err("the image does not end as the plan says"),
            Some(end) => Some(frames.claim(end).map_err(|_| "the end of the image is not RAM")?),
            None => None,
        };
        let table = FrameTable::try_new(&frames).ok_or("there is no memory for the table of frames")?;
        let board = Board::take(plan, Box::leak(Box::new(table)))?;
        board.start_processor(0);
        Ok(Taken { board, frames, planning: Planning(planning) })
    }
}

/// Says why, and stops for ever.
pub fn stop(why: core::fmt::Arguments<'_>) -> ! {
    fault::say(why);
    system::halt()
}

impl Modules for Boot {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        memory::read(at, into)
    }

    fn register(&self, at: u64) -> Option<u32> {
        const PAGE: u64 = 4096;
        let offset = usize::try_from(at % PAGE).ok().filter(|offset| offset.is_multiple_of(4))?;
        let registers = Registers::map(Range { base: at - at % PAGE, size: PAGE })?;
        Some(registers.read(offset))
    }
}
