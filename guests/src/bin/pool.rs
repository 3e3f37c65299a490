//! Uses up the domain's own stage 2 tables, of which it has `pool.tables=N` (256), again and again for `pool.seconds=N`
//! (1).
#![no_std]
#![no_main]

use guests::xen::memory;
use guests::{platform, registers, report, timer};

guests::guest!(main);

const PAGE: u64 = 4096;
/// Pages that are moved to places of their own, each of which takes a table of its own.
const PAGES: u64 = 1024;
const BLOCK: u64 = 2 << 20;
/// Where a guest may have memory and has none.
const FAR: u64 = 0x2_0000_0000;

fn change(command: u64, address: u64) -> bool {
    memory::reserve(command, &mut [address / PAGE], 0) == 1
}

fn main() {
    let own = platform::get().memory[0].0 + (32 << 20);
    let tables = platform::number("pool.tables", 256);
    let end = registers::counter() + timer::ticks(platform::number("pool.seconds", 1) * 1_000_000);
    let (mut first, mut rounds, mut uneven) = (None, 0_u64, 0_u64);
    loop {
        let moved = (0..PAGES).find(|page| !move_page(own, *page)).unwrap_or(PAGES);
        uneven += u64::from(*first.get_or_insert(moved) != moved);
        rounds += 1;
        // Whoever gives places up has their tables for others.
        let back = (0..moved).filter(|page| !move_back(own, *page)).count() as u64;
        if back != 0 {
            report::equal("pool.not_moved_back", back, 0);
            return;
        }
        if registers::counter() > end {
            break;
        }
    }
    // All but those for RAM in pages, which the first rounds split, and the upper ones.
    report::within("pool.moved", first.unwrap_or(0), tables.saturating_sub(24), tables);
    report::equal("pool.uneven_rounds", uneven, 0);
    report::check("pool.rounds", rounds > 1);
}

/// Gives a page up and asks for one at a far place; puts it back where there is no table.
fn move_page(own: u64, page: u64) -> bool {
    if !change(memory::DECREASE_RESERVATION, own + page * PAGE) {
        return false;
    }
    let moved = change(memory::POPULATE_PHYSMAP, FAR + page * BLOCK);
    if !moved {
        report::check("pool.stays", change(memory::POPULATE_PHYSMAP, own + page * PAGE));
    }
    moved
}

fn move_back(own: u64, page: u64) -> bool {
    change(memory::DECREASE_RESERVATION, FAR + page * BLOCK)
        && change(memory::POPULATE_PHYSMAP, own + page * PAGE)
}
