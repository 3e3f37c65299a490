//! Hypercalls that real guests made: Debian's kernels as domains and as dom0, with Xen's tools, and the own kernels.
//!
//! `cargo run -p tests -- --record` wrote them down (`tests/src/record.rs`, which also says how a line is read). The
//! stories of hostile guests begin with such a call, put where its memory is, and change it.

use std::sync::LazyLock;

const RECORDS: [&str; 8] = [
    include_str!("../corpus/hypercalls"),
    include_str!("../corpus/events"),
    include_str!("../corpus/memory"),
    include_str!("../corpus/grants"),
    include_str!("../corpus/linux-6.1"),
    include_str!("../corpus/linux-6.12"),
    include_str!("../corpus/dom0-linux-6.1"),
    include_str!("../corpus/dom0-linux-6.12"),
];
/// Between two blocks where they are put.
const STEP: u64 = 0x100;

/// A number, or the address of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Number(u64),
    Block(u64),
}

/// A call as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) number: u64,
    arguments: [Word; 5],
    blocks: Vec<Vec<Word>>,
}

/// A call to be made: its number, its arguments, and what is to be in memory first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) number: u64,
    pub(crate) arguments: [u64; 5],
    pub(crate) memory: Vec<(u64, Vec<u64>)>,
}

fn words(text: &str) -> impl Iterator<Item = Word> {
    let number = |digits| u64::from_str_radix(digits, 16).expect("a number");
    text.split_whitespace().flat_map(move |text| {
        let (text, count) = text.split_once('*').unwrap_or((text, "1"));
        let word = text.strip_prefix('@');
        let word = word.map_or_else(|| Word::Number(number(text)), |block| Word::Block(number(block)));
        std::iter::repeat_n(word, count.parse().expect("a count"))
    })
}

fn parse(line: &str) -> Recorded {
    let mut parts = line.split('|').map(|part| words(part).collect::<Vec<_>>());
    let call = parts.next().expect("a call");
    let [Word::Number(number), arguments @ ..] = call.as_slice() else { panic!("{line}") };
    Recorded { number: *number, arguments: arguments.try_into().expect(line), blocks: parts.collect() }
}

/// All that was recorded.
pub(crate) fn all() -> &'static [Recorded] {
    static ALL: LazyLock<Vec<Recorded>> =
        LazyLock::new(|| RECORDS.iter().flat_map(|text| text.lines()).map(parse).collect());
    &ALL
}

impl Recorded {
    /// The call with its memory at a place; `change` makes another number of some.
    pub(crate) fn prepare(&self, place: u64, mut change: impl FnMut(u64) -> u64) -> Prepared {
        let mut value = |word: &Word| match word {
            Word::Number(number) => change(*number),
            Word::Block(block) => place + block * STEP,
        };
        let memory = (0..).zip(&self.blocks);
        let memory =
            memory.map(|(block, words)| (place + block * STEP, words.iter().map(&mut value).collect()));
        let memory = memory.collect();
        Prepared { number: self.number, arguments: self.arguments.each_ref().map(value), memory }
    }
}

#[test]
fn guests_of_every_kind_were_recorded_and_every_family_has_seeds() {
    use abi::hypercall as number;
    for text in RECORDS {
        assert!(text.lines().count() > 4, "{text}");
    }
    let all = all();
    for number in [
        number::EVENT_CHANNEL_OP,
        number::GRANT_TABLE_OP,
        number::MEMORY_OP,
        number::SCHED_OP,
        number::MULTICALL,
        number::DOMCTL,
        number::SYSCTL,
        number::HYPFS_OP,
        number::VCPU_OP,
        number::HVM_OP,
        number::XEN_VERSION,
        number::CONSOLE_IO,
        number::VM_ASSIST,
    ] {
        assert!(all.iter().any(|call| call.number == number), "nobody made call {number}");
    }
}

#[test]
fn a_line_is_a_call_with_its_memory() {
    let call = parse("c 17 @0 0 0 0 | 7ff0 @1 | 5*2 6");
    let made = call.prepare(0x1000, |number| number + 1);
    assert_eq!((made.number, made.arguments), (12, [0x18, 0x1000, 1, 1, 1]));
    assert_eq!(made.memory, [(0x1000, vec![0x7ff1, 0x1100]), (0x1100, vec![6, 6, 7])]);
}
