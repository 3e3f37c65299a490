//! Uses up the domain's own stage 2 tables, of which it has `pool.tables=N` (256), again and again for `pool.seconds=N`
//! (1).
#![no_std]
#![no_main]

use guests::{exhaust, platform, registers, report, timer};

guests::guest!(main);

fn main() {
    let tables = platform::number("pool.tables", 256);
    let end = registers::counter() + timer::ticks(platform::number("pool.seconds", 1) * 1_000_000);
    let (mut first, mut rounds, mut uneven) = (None, 0_u64, 0_u64);
    while registers::counter() <= end {
        let moved = exhaust::tables();
        uneven += u64::from(*first.get_or_insert(moved) != moved);
        rounds += 1;
    }
    // All but those for RAM in pages, which the first rounds split, and the upper ones.
    report::within("pool.moved", first.flatten().unwrap_or(0), tables.saturating_sub(24), tables);
    report::equal("pool.uneven_rounds", uneven, 0);
    report::check("pool.rounds", rounds > 1);
}
