//! The console that all share: prefixes, the focus, and floods.

use machine::sim::Cpu;

use crate::uart::{MASK, enable_spi, hear, open_v3, say};
use crate::world::guest::{UART, UART_INTERRUPT};
use crate::world::{Journal, Setup, System};

const CONTROL_A: u8 = 1;

fn is_lines_of(lines: &[String], prefix: &str, count: usize) {
    let own: Vec<&String> = lines.iter().filter(|line| line.starts_with(prefix)).collect();
    for (number, line) in own.iter().enumerate() {
        assert_eq!(**line, format!("{prefix}line {number} of a longer text"));
    }
    assert_eq!(own.len(), count);
}

async fn write_lines(cpu: Cpu, count: usize, end: &str, done: Journal<u16>) {
    for number in 0..count {
        say(&cpu, &format!("line {number} of a longer text{end}")).await;
        cpu.compute(1).await;
    }
    done.note(cpu.domain());
}

/// The same as fast as it can.
async fn flood(cpu: Cpu, count: usize, done: Journal<u16>) {
    for number in 0..count {
        say(&cpu, &format!("line {number} of a longer text\n")).await;
    }
    done.note(cpu.domain());
}

#[test]
fn lines_of_domains_that_write_at_the_same_time_stay_whole() {
    for (cpus, seed) in [(1, 1), (2, 2), (4, 3)] {
        let mut system = Setup::new(cpus, &[1, 1, 1]).seed(seed).construct();
        let done = Journal::new();
        for (domain, end) in [(1, "\n"), (2, "\r\n"), (3, "\n")] {
            let done = done.clone();
            system.sim().guest(domain, 0, move |cpu| write_lines(cpu, 30, end, done.clone()));
        }
        system.start();
        system.until("all lines are written", |_| done.len() == 3);
        system.rounds(5);
        let lines = system.lines();
        for domain in 1..4 {
            is_lines_of(&lines, &format!("DOM{domain}: "), 30);
        }
        let whole = |line: &&String| line.is_empty() || line.starts_with("DOM") || line.starts_with("(XEN) ");
        assert!(lines.iter().all(|line| whole(&line)), "{lines:?}");
    }
}

/// A domain that repeats what it hears between angle brackets, by interrupt.
async fn echo(cpu: Cpu) {
    open_v3(&cpu).await;
    enable_spi(&cpu, UART_INTERRUPT, 0, 0xa0).await;
    cpu.write(MASK, 1 << 6 | 1 << 4).await;
    loop {
        let intid = cpu.next_interrupt().await;
        assert_eq!(intid, UART_INTERRUPT);
        while let Some(byte) = hear(&cpu).await {
            say(&cpu, &format!("<{}>", char::from(byte))).await;
        }
        cpu.end(intid).await;
    }
}

fn two_that_echo(cpus: u32) -> System {
    let mut system = Setup::new(cpus, &[1, 1]).construct();
    system.sim().guest(1, 0, echo);
    system.sim().guest(2, 0, echo);
    system.start();
    system.rounds(20);
    system
}

#[test]
fn the_switch_character_typed_three_times_moves_the_focus_round() {
    for cpus in [1, 2, 4] {
        let mut system = two_that_echo(cpus);
        let mut typed = |bytes: &[u8]| {
            let before = system.output().len();
            system.sim().type_in(bytes);
            system.rounds(30);
            system.output()[before..].to_owned()
        };
        let how = "(type 'CTRL-a' three times to switch input)";
        assert_eq!(typed(&[CONTROL_A; 3]), format!("(XEN) *** Serial input to DOM1 {how}\r\n"));
        assert_eq!(typed(b"abc"), "<a><b><c>");
        assert_eq!(typed(&[CONTROL_A; 3]), format!("\r\n(XEN) *** Serial input to DOM2 {how}\r\n"));
        assert_eq!(typed(b"x"), "<x>");
        assert_eq!(typed(&[CONTROL_A]), "");
        assert_eq!(typed(&[CONTROL_A]), "");
        assert_eq!(typed(b"y"), "<\u{1}><\u{1}><y>", "one or two of them are typed to the guest");
        assert_eq!(typed(&[CONTROL_A; 3]), format!("\r\n(XEN) *** Serial input to Xenite {how}\r\n"));
        assert!(typed(b"h").contains("(XEN)   q  the domains and their vCPUs\r\n"));
        assert!(typed(b"q").contains("d2: 1 vCPUs\r\n"));
        let memory = typed(b"m");
        assert!(memory.contains("(XEN) heap: sealed, 0 requests refused since\r\n"), "{memory}");
        assert!(memory.contains("(XEN) d2: has 2048 of 2048 frames\r\n"), "{memory}");
        assert!(typed(&[CONTROL_A; 3]).contains("Serial input to DOM1"));
    }
}

#[test]
fn much_that_is_typed_at_once_arrives_whole_where_the_guest_reads_it_in_time() {
    let mut system = two_that_echo(2);
    system.sim().type_in(&[CONTROL_A; 3]);
    system.rounds(5);
    for chunk in 0..20 {
        let text: Vec<u8> = (0..20).map(|offset| b'a' + (chunk + offset) % 26).collect();
        let before = system.output().len();
        system.sim().type_in(&text);
        system.rounds(10);
        let expected: String = text.iter().map(|byte| format!("<{}>", char::from(*byte))).collect();
        assert_eq!(system.output()[before..], expected);
    }
}

#[test]
fn an_unfinished_line_is_shown_again_below_a_line_that_came_between() {
    let mut system = Setup::new(1, &[1, 1]).construct();
    let go = Journal::new();
    let wait = go.clone();
    system.sim().guest(1, 0, move |cpu| {
        let wait = wait.clone();
        async move {
            while wait.len() == 0 {
                cpu.compute(1).await;
            }
            say(&cpu, "first\nunfinished").await;
            wait.note(());
            while wait.len() < 3 {
                cpu.compute(1).await;
            }
            say(&cpu, " business\n").await;
        }
    });
    let wait = go.clone();
    system.sim().guest(2, 0, move |cpu| {
        let wait = wait.clone();
        async move {
            while wait.len() < 2 {
                cpu.compute(1).await;
            }
            say(&cpu, "between\n").await;
            wait.note(());
        }
    });
    system.start();
    system.sim().type_in(&[CONTROL_A; 3]);
    system.rounds(5);
    let before = system.output().len();
    go.note(());
    system.until("all is said", |system| system.output().ends_with("business\n"));
    assert_eq!(system.output()[before..], *"first\nunfinished\r\nDOM2: between\r\nunfinished business\n");
}

#[test]
fn a_flood_slows_only_the_one_who_makes_it_and_loses_nothing() {
    for cpus in [2, 4] {
        let mut system = Setup::new(cpus, &[1, 1, 1]).construct();
        system.sim().limit_console(16);
        let done = Journal::new();
        let (fast, modest) = (done.clone(), done.clone());
        system.sim().guest(1, 0, move |cpu| flood(cpu, 1_000, fast.clone()));
        system.sim().guest(2, 0, move |cpu| {
            let done = modest.clone();
            async move {
                cpu.compute(500).await;
                say(&cpu, "a modest word\n").await;
                done.note(2);
            }
        });
        system.sim().guest(3, 0, |cpu| async move { cpu.compute(u64::MAX).await });
        system.start();
        // About 20 bytes in each round: less than the flood makes.
        let mut said = None;
        for round in 0..20_000_u64 {
            system.round(crate::world::ROUND);
            for _ in 0..2 {
                system.sim().carry(10);
                system.turn(0);
            }
            if said.is_none() && done.all().contains(&2) {
                said = Some(round);
            }
            if done.len() == 2 && system.output().contains("line 999 of a longer text\r\n") {
                break;
            }
        }
        is_lines_of(&system.lines(), "DOM1: ", 1_000);
        assert!(system.output().contains("DOM2: a modest word\r\n"));
        let (waits, work) = (system.sim().work(1, 0), system.sim().work(3, 0));
        assert!(waits > 300, "the flood never had to wait: {waits}");
        assert!(work > 500, "{work}");
        assert!(said.unwrap() < 3_000, "{said:?}");
    }
}

#[test]
fn a_guest_that_ignores_a_full_uart_loses_its_own_bytes_only() {
    let mut system = Setup::new(2, &[1, 1]).construct();
    system.sim().limit_console(16);
    system.sim().guest(1, 0, |cpu| async move {
        loop {
            for byte in "without end\n".bytes() {
                cpu.write(UART, u64::from(byte)).await;
            }
        }
    });
    let done = Journal::new();
    let notes = done.clone();
    system.sim().guest(2, 0, move |cpu| write_lines(cpu, 20, "\n", notes.clone()));
    system.start();
    for _ in 0..5_000 {
        system.round(crate::world::ROUND);
        system.sim().carry(12);
        if done.len() == 1 {
            break;
        }
    }
    for _ in 0..2_000 {
        system.round(crate::world::ROUND);
        system.sim().carry(16);
    }
    is_lines_of(&system.lines(), "DOM2: ", 20);
}
