//! One console for everybody: lines of domains and of the hypervisor, and who is typed to.
//!
//! Output goes through a ring that the UART's interrupt empties, so nobody waits for the wire with
//! interrupts masked. A domain's line appears when it is whole, behind `DOM<n>: `; the domain that has
//! the input focus is shown as it writes, without a prefix, and when somebody else's line comes between,
//! its unfinished line is shown again below. Where the ring has no room for a guest, the guest's UART
//! says that it is full: a flood slows the one who makes it.

pub mod ring;

use core::fmt::{self, Write};

use machine::contract::{Machine, Ticks};
use model::arm64::uart::Uart;
use ring::Ring;

/// Longest line of a guest that is kept together.
const LINE: usize = 256;
/// Room that is kept for the hypervisor's own lines.
const RESERVE: usize = 4096;
/// The ring's size as a power of two.
const RING_ORDER: u32 = 14;
/// The history's size as a power of two.
const HISTORY_ORDER: u32 = 14;
/// Bytes that can be typed ahead of a guest, as a power of two.
const TYPED_ORDER: u32 = 10;
/// Times that the switch character is typed to move the focus.
const SWITCH_COUNT: u8 = 3;

/// Who is typed to, and shown unprefixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The hypervisor itself.
    Hypervisor,
    /// The domain with this index.
    Domain(usize),
}

/// What a typed byte means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing yet.
    Nothing,
    /// The focus moves on.
    Switch,
    /// So many switch characters that were none, and then this byte, go to the focus.
    Bytes(u8, u8),
}

/// A short text without allocation; what does not fit is cut.
#[derive(Debug)]
pub struct Text {
    bytes: [u8; LINE],
    length: usize,
}

impl Text {
    /// No text.
    pub const fn new() -> Self {
        Text { bytes: [0; LINE], length: 0 }
    }

    /// Appends a byte; false where it is full.
    pub fn push(&mut self, byte: u8) -> bool {
        let Some(slot) = self.bytes.get_mut(self.length) else { return false };
        *slot = byte;
        self.length = self.length.wrapping_add(1);
        true
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.length = 0;
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::new()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.push(byte);
        }
        Ok(())
    }
}

/// A domain's end of the console.
#[derive(Debug)]
pub struct DomainConsole {
    /// Domain id.
    id: u16,
    /// The domain's index.
    index: usize,
    /// The UART that the guest sees, if it sees one.
    pub uart: Uart,
    has_uart: bool,
    line: Text,
    /// The line is whole, and waits for room.
    whole: bool,
    /// What was typed faster than the guest reads.
    typed: Ring,
}

impl DomainConsole {
    /// A UART that nobody has touched, of the domain with this id and index.
    /// `None` where there is no memory.
    pub fn try_new(id: u16, index: usize, has_uart: bool) -> Option<Self> {
        let typed = Ring::try_new(TYPED_ORDER)?;
        let uart = Uart::new();
        Some(DomainConsole { id, index, uart, has_uart, line: Text::new(), whole: false, typed })
    }

    /// What was typed and no UART has taken; how many bytes.
    pub fn take_typed(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0_usize;
        for place in into {
            let Some(byte) = self.typed.oldest().first().copied() else { break };
            self.typed.advance(1);
            *place = byte;
            taken = taken.saturating_add(1);
        }
        taken
    }

    /// A byte was typed for this domain. It is lost where very many wait already.
    pub fn type_byte(&mut self, byte: u8) {
        self.typed.push(byte);
        self.feed();
    }

    /// Moves typed bytes to the UART, as far as it has room.
    pub fn feed(&mut self) {
        while self.has_uart
            && self.uart.can_receive()
            && let Some(byte) = self.typed.oldest().first().copied()
        {
            self.typed.advance(1);
            // It has room.
            let _ = self.uart.receive(byte);
        }
    }

    /// Output waits for room.
    pub fn stalled(&self) -> bool {
        self.whole
    }
}

/// The hypervisor's end.
#[derive(Debug)]
pub struct Console {
    ring: Ring,
    /// What has been shown, for those who ask later.
    history: Ring,
    focus: Focus,
    /// What the focused domain has written since its last line end.
    open: Text,
    switch: Option<u8>,
    switches: u8,
    /// Nobody will empty the ring later: do it now.
    immediate: bool,
    waiting: bool,
    /// A guest waits for room.
    stalled: bool,
    /// The domain that was given room last: the others come first.
    served: usize,
    /// Hypervisor lines carry the time.
    timestamps: Option<u64>,
}

impl Console {
    /// Bytes of its rings.
    pub const BYTES: usize = (1 << RING_ORDER) + (1 << HISTORY_ORDER);

    /// A console that writes at once, until [`Console::use_interrupts`]. `frequency` stamps lines.
    pub fn try_new(switch: Option<u8>, timestamps: Option<u64>) -> Option<Self> {
        Some(Console {
            ring: Ring::try_new(RING_ORDER)?,
            history: Ring::try_new(HISTORY_ORDER)?,
            focus: Focus::Hypervisor,
            open: Text::new(),
            switch,
            switches: 0,
            immediate: true,
            waiting: false,
            stalled: false,
            served: 0,
            timestamps,
        })
    }

    /// From now on the UART's interrupt empties the ring.
    pub fn use_interrupts(&mut self) {
        self.immediate = false;
    }

    /// Nobody will empty the ring later: everything is written at once from now on.
    pub fn use_polling(&mut self) {
        self.immediate = true;
    }

    /// Who is typed to.
    pub fn focus(&self) -> Focus {
        self.focus
    }

    /// Moves the focus.
    pub fn set_focus(&mut self, focus: Focus) {
        self.close_line();
        self.open.clear();
        self.focus = focus;
    }

    /// A line of the hypervisor. It appears whatever happens: where the ring is full, it is waited for.
    pub fn say(&mut self, machine: &impl Machine, now: Ticks, text: &[u8]) {
        while self.ring.room() < LINE.saturating_mul(3) && self.ring.waiting() > 0 {
            self.drain(machine);
        }
        self.close_line();
        self.put(b"(XEN) ");
        if let Some(frequency) = self.timestamps {
            let mut stamp = Text::new();
            let seconds = now.checked_div(frequency).unwrap_or(0);
            let micros =
                now.checked_rem(frequency).unwrap_or(0).saturating_mul(1_000_000).checked_div(frequency);
            let _ = write!(stamp, "[{seconds:5}.{:06}] ", micros.unwrap_or(0));
            self.put(stamp.as_bytes());
        }
        self.put(text);
        self.put(b"\r\n");
        self.reopen_line();
        self.drain(machine);
    }

    /// What room there is belongs to the hypervisor's own lines.
    pub fn is_crowded(&self) -> bool {
        self.ring.room() < RESERVE
    }

    /// A byte that a guest transmits. The UART is told where it has to wait.
    pub fn transmit(&mut self, machine: &impl Machine, guest: &mut DomainConsole, byte: u8) {
        if guest.whole && !self.flush(machine, guest) {
            // It was told that there is no room, and writes all the same: as on a real wire, it is lost.
            return;
        }
        if self.focus == Focus::Domain(guest.index) {
            guest.line.push(byte);
            guest.whole = true;
        } else if byte == b'\n' {
            guest.whole = true;
        } else if byte != b'\r' {
            // A line end is ours to write; a lone carriage return says nothing. Other control characters
            // could make one domain's line look like another's, or like the hypervisor's.
            guest.line.push(if byte < b' ' && byte != b'\t' || byte == 0x7f { b'.' } else { byte });
            guest.whole = guest.line.as_bytes().len() >= LINE;
        }
        if guest.whole {
            self.flush(machine, guest);
        }
    }

    /// Shows what a guest has written, if it is whole and there is room. True where nothing waits now.
    /// Where somebody waits already, it waits, too: [`Console::resume`] serves them in turn.
    pub fn flush(&mut self, machine: &impl Machine, guest: &mut DomainConsole) -> bool {
        if self.stalled && guest.whole {
            guest.uart.set_transmit_full(true);
            return false;
        }
        self.resume(machine, guest)
    }

    /// The same for a guest whose turn it is.
    pub fn resume(&mut self, machine: &impl Machine, guest: &mut DomainConsole) -> bool {
        if guest.whole {
            if self.ring.room() < RESERVE {
                self.drain(machine);
            }
            if self.ring.room() >= RESERVE {
                self.show(guest.id, guest.index, guest.line.as_bytes());
                guest.line.clear();
                guest.whole = false;
                self.served = guest.index;
                self.drain(machine);
            }
        }
        self.stalled |= guest.whole;
        guest.uart.set_transmit_full(guest.whole);
        !guest.whole
    }

    fn show(&mut self, id: u16, index: usize, line: &[u8]) {
        if self.focus != Focus::Domain(index) {
            let mut prefix = Text::new();
            let _ = write!(prefix, "DOM{id}: ");
            self.close_line();
            self.put(prefix.as_bytes());
            self.put(line);
            self.put(b"\r\n");
            self.reopen_line();
            return;
        }
        // What the domain in front writes is its own to keep.
        line.iter().for_each(|byte| {
            self.ring.push(*byte);
        });
        for byte in line {
            if *byte == b'\n' || !self.open.push(*byte) {
                self.open.clear();
            }
        }
    }

    /// Sends what the UART takes.
    pub fn drain(&mut self, machine: &impl Machine) {
        loop {
            let oldest = self.ring.oldest();
            if oldest.is_empty() {
                break;
            }
            let sent = machine.console_write(oldest);
            self.ring.advance(sent);
            if sent == 0 && !self.immediate {
                break;
            }
        }
        let waiting = self.ring.waiting() > 0 || self.stalled;
        if waiting != self.waiting {
            self.waiting = waiting;
            machine.console_wait(waiting);
        }
    }

    /// Did a guest have to wait for room? Whoever asks gives all of them another chance, those behind the
    /// returned domain first.
    pub fn take_stalled(&mut self) -> Option<usize> {
        core::mem::take(&mut self.stalled).then_some(self.served)
    }

    /// A guest ends in the middle of a line: it is shown as it is.
    pub fn finish_line(&mut self, machine: &impl Machine, guest: &mut DomainConsole) {
        guest.whole |= !guest.line.as_bytes().is_empty();
        self.resume(machine, guest);
    }

    /// What a typed byte means.
    pub fn typed(&mut self, byte: u8) -> Typed {
        if self.switch == Some(byte) {
            self.switches = self.switches.saturating_add(1);
            if self.switches < SWITCH_COUNT {
                return Typed::Nothing;
            }
            self.switches = 0;
            return Typed::Switch;
        }
        Typed::Bytes(core::mem::take(&mut self.switches), byte)
    }

    /// The switch character.
    pub fn switch_character(&self) -> u8 {
        self.switch.unwrap_or(0)
    }

    fn close_line(&mut self) {
        if !self.open.as_bytes().is_empty() {
            self.put(b"\r\n");
        }
    }

    fn reopen_line(&mut self) {
        for index in 0..self.open.as_bytes().len() {
            if let Some(byte) = self.open.as_bytes().get(index).copied() {
                self.ring.push(byte);
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.ring.push(*byte);
            // As the tools show it, a line ends in a line feed alone.
            if *byte != b'\r' {
                self.history.push_over(*byte);
            }
        }
    }

    /// Takes a line of the hypervisor's into the history that was shown before there was one.
    pub fn remember(&mut self, text: fmt::Arguments<'_>) {
        let mut line = Text::new();
        let _ = write!(line, "(XEN) {text}");
        for byte in line.as_bytes().iter().chain(b"\n") {
            self.history.push_over(*byte);
        }
    }

    /// The number of the byte of the history from which to read on: that one, if it is still there, else the
    /// oldest.
    pub fn history_from(&self, number: Option<u32>) -> u32 {
        let oldest = low_bits(self.history.written().wrapping_sub(self.history.waiting()));
        let waiting = low_bits(self.history.waiting());
        number.filter(|number| number.wrapping_sub(oldest) <= waiting).unwrap_or(oldest)
    }

    /// Reads the history from a byte on; how many bytes.
    pub fn read_history(&self, number: u32, into: &mut [u8]) -> usize {
        let ahead = low_bits(self.history.written()).wrapping_sub(number);
        let from = self.history.written().wrapping_sub(usize::try_from(ahead).unwrap_or(0));
        self.history.copy_from(from, into)
    }

    /// Forgets the history before a byte.
    pub fn clear_history(&mut self, number: u32) {
        let oldest = low_bits(self.history.written().wrapping_sub(self.history.waiting()));
        self.history.advance(usize::try_from(number.wrapping_sub(oldest)).unwrap_or(0));
    }
}

/// The lower 32 bits.
fn low_bits(number: usize) -> u32 {
    let [b0, b1, b2, b3, ..] = number.to_le_bytes();
    u32::from_le_bytes([b0, b1, b2, b3])
}
