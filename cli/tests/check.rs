//! `xenite check` as its users call it: sources, boards, RAM, JSON, and how long it takes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const BOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plan/tests/data/virt-gicv3.bin");

/// A domain with a kernel, a console and these lines.
fn domain(name: &str, lines: &str) -> String {
    format!(
        "        {name} {{
            compatible = \"xen,domain\";
            #address-cells = <2>;
            #size-cells = <2>;
            cpus = <1>;
            vpl011;
{lines}
            module@50000000 {{
                compatible = \"multiboot,kernel\", \"multiboot,module\";
                reg = <0 0x50000000 0 0x100000>;
                bootargs = \"console=ttyAMA0\";
            }};
        }};
"
    )
}

fn system(domains: &str) -> String {
    format!(
        "/dts-v1/;\n\n/ {{\n    chosen {{\n        #address-cells = <2>;\n        #size-cells = <2>;\n\n{domains}    }};\n}};\n"
    )
}

/// Two domains that want the same memory.
fn overlapping() -> String {
    let lines = |base: u64| {
        format!(
            "            memory = <0 0x10000>;\n            xen,static-mem = <0 {base:#x} 0 0x4000000>;\n"
        )
    };
    system(&(domain("domU1", &lines(0x6000_0000)) + &domain("domU2", &lines(0x6200_0000))))
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn compiler_is_missing() -> bool {
    Command::new("dtc").arg("--version").output().is_err()
}

/// Runs the tool in the folder of `system`, which it is told by its name, and gives status, output and errors.
fn check(arguments: &[&str], system: &Path) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenite"));
    command
        .current_dir(system.parent().unwrap())
        .arg("check")
        .args(arguments)
        .arg(system.file_name().unwrap());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn both_sides_of_an_overlap_are_shown_with_their_lines() {
    if compiler_is_missing() {
        return;
    }
    let path = file("overlap.dts", &overlapping());
    let (status, text, _) = check(&["--board", BOARD], &path);
    assert_eq!(status, 1);
    let expected = "\
refused: /chosen/domU2: xen,static-mem: 0x62000000..0x66000000 overlaps xen,static-mem of /chosen/domU1 at 0x60000000..0x64000000
  --> overlap.dts:30:13
   |
15 |             xen,static-mem = <0 0x60000000 0 0x4000000>;
   |             -------------------------------------------- overlaps this
...
30 |             xen,static-mem = <0 0x62000000 0 0x4000000>;
   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = hint: static memory must be nobody else's
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn sides_in_two_files_are_shown_from_both() {
    if compiler_is_missing() {
        return;
    }
    file("parts/first.dtsi", "/ { chosen { domU1 {\n    memory = <0 0x10000>;\n}; }; };\n");
    let second = "&{/chosen/domU1} {\n    xen,static-mem = <0 0x60000000 0 0x2000000>;\n};\n";
    let path =
        file("parts/whole.dts", &(system(&domain("domU1", "")) + "/include/ \"first.dtsi\"\n" + second));
    let (status, text, _) = check(&["--board", BOARD], &path);
    assert_eq!(status, 1, "{text}");
    for words in [
        "--> whole.dts:25:5",
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "::: ./first.dtsi:2:5",
        "--------------------- asks for this",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn a_reservation_is_shown_by_its_node() {
    if compiler_is_missing() {
        return;
    }
    let path = file(
        "reserved.dts",
        "/dts-v1/;\n/ {\n    reserved-memory {\n        #address-cells = <2>;\n        #size-cells = <2>;\n        ranges;\n\n        \
         other@50000000 {\n            reg = <0 0x50000000 0 0x1000>;\n        };\n\n        \
         firmware@40300000 {\n            reg = <0 0x40300000 0 0x1000>;\n        };\n    };\n};\n",
    );
    let (_, text, _) = check(&["--board", BOARD], &path);
    let reservation = "\n13 |             reg = <0 0x40300000 0 0x1000>;\n   |             ------------------------------ overlaps this\n";
    assert!(text.contains(reservation), "{text}");
    let (_, text, _) = check(
        &["--board", BOARD],
        &file("static.dts", &{
            let reserved = std::fs::read_to_string(&path).unwrap().replace("/dts-v1/;", "");
            let lines = "            memory = <0 0x10000>;\n            xen,static-mem = <0 0x4e000000 0 0x4000000>;\n";
            system(&domain("domU1", lines)) + &reserved
        }),
    );
    assert!(text.contains("reg = <0 0x50000000 0 0x1000>;\n"), "{text}");
    assert!(text.contains("------------------------------ overlaps this"), "{text}");
}

#[test]
fn what_is_missing_is_shown_by_the_name_of_its_node() {
    if compiler_is_missing() {
        return;
    }
    let path = file("missing.dts", &system(&domain("domU1", "")));
    let (status, text, _) = check(&["--board", BOARD], &path);
    assert_eq!(status, 1);
    let expected = "\
refused: /chosen/domU1: memory: is missing
 --> missing.dts:8:9
  |
8 |         domU1 {
  |         ^^^^^
  |
  = hint: memory = <0 65536>; is 64 MiB: KiB, in two cells
";
    assert!(text.starts_with(expected), "{text}");
}

/// The blob of a source over QEMU's board.
fn blob(name: &str, source: &str) -> PathBuf {
    let board = Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts", BOARD]).output().unwrap();
    let merged = String::from_utf8(board.stdout).unwrap() + &source.replace("/dts-v1/;", "");
    let source = file(&format!("{name}.dts"), &merged);
    let blob = source.with_extension("dtb");
    let status = Command::new("dtc").args(["-q", "-O", "dtb", "-o"]).args([&blob, &source]).status().unwrap();
    assert!(status.success());
    blob
}

#[test]
fn a_blob_has_no_source_and_both_sides_are_named() {
    if compiler_is_missing() {
        return;
    }
    let path = blob("blob", &overlapping());
    let (status, text, _) = check(&[], &path);
    assert_eq!(status, 1);
    let expected = "\
refused: /chosen/domU2: xen,static-mem: 0x62000000..0x66000000 overlaps xen,static-mem of /chosen/domU1 at 0x60000000..0x64000000
--> blob.dtb
 = note: overlaps this: /chosen/domU1: xen,static-mem
 = hint: static memory must be nobody else's
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_blob_is_laid_over_a_board_as_a_source_is() {
    if compiler_is_missing() {
        return;
    }
    let source = file("over.dts", &overlapping());
    let over = source.with_extension("dtb");
    let status = Command::new("dtc").args(["-q", "-O", "dtb", "-o"]).args([&over, &source]).status().unwrap();
    assert!(status.success());
    let (status, text, errors) = check(&["--board", BOARD], &over);
    assert_eq!(status, 1, "{errors}");
    assert!(
        text.contains("refused: /chosen/domU2: xen,static-mem: 0x62000000..0x66000000 overlaps"),
        "{text}"
    );
    assert!(text.contains("--> over.dtb"), "{text}");
}

#[test]
fn ram_can_be_given_in_place_of_the_trees() {
    if compiler_is_missing() {
        return;
    }
    let path = blob("ram", &system(&domain("domU1", "            memory = <0 0x180000>;\n")));
    // The board's tree has 1 GiB, which is too little for 1.5.
    let (status, text, _) = check(&[], &path);
    assert!(status == 1 && text.contains("asks for 1536 MiB"), "{text}");
    assert_eq!(check(&["--memory", "2G"], &path).0, 0);
    assert_eq!(check(&["--memory", "1G@0x40000000,1G@0x100000000"], &path).0, 0);
    let (status, text, _) = check(&["--memory", "1G@0x80000000"], &path);
    assert!(status == 1 && text.contains("0x50000000..0x50100000 does not lie in RAM"), "{text}");
    let (status, _, errors) = check(&["--memory", "much"], &path);
    assert!(status == 2 && errors.contains("a size is 2G"), "{errors}");
}

#[test]
fn what_cannot_be_read_or_compiled_is_status_2() {
    if compiler_is_missing() {
        return;
    }
    let path = file("usage.dts", &system(""));
    let (status, _, errors) = check(&["--board", "/nowhere/board.dts"], &path);
    assert!(status == 2 && errors.contains("/nowhere/board.dts"), "{errors}");
    let path = file("nonsense.dts", "/dts-v1/;\n/ { chosen nonsense };\n");
    let (status, _, errors) = check(&["--board", BOARD], &path);
    // The compiler read a copy; what it says is about the original.
    assert!(status == 2 && errors.contains("nonsense.dts:2") && !errors.contains("/tmp/"), "{errors}");
}

#[test]
fn the_same_is_said_as_json_with_places() {
    if compiler_is_missing() {
        return;
    }
    let path = file("json.dts", &overlapping());
    let (status, text, _) = check(&["--json", "--board", BOARD], &path);
    assert_eq!(status, 1);
    let outcome: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&outcome["format"], &outcome["verdict"]), (&1.into(), &"refused".into()));
    assert_eq!((&outcome["system"], &outcome["board"]), (&"json.dts".into(), &BOARD.into()));
    assert!(outcome["domains"].is_null());
    let remark = &outcome["remarks"][0];
    assert_eq!(remark["level"], "refused");
    assert_eq!((&remark["node"], &remark["property"]), (&"/chosen/domU2".into(), &"xen,static-mem".into()));
    let place = serde_json::json!({
        "file": "json.dts", "line": 30, "column": 13, "end_line": 30, "end_column": 57
    });
    assert_eq!(remark["place"], place);
    assert_eq!(remark["other"]["node"], "/chosen/domU1");
    assert_eq!(remark["other"]["place"]["line"], 15);
}

#[test]
fn xens_own_example_is_refused_where_it_is_wrong() {
    if compiler_is_missing() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/wrong/xen-dom0less-example.dts");
    // On a board with RAM where the example has it, one slip is left that stops boot, and two that are odd.
    let (status, text, _) = check(&["--board", BOARD, "--memory", "120M@0x0"], &path);
    assert_eq!(status, 1);
    for words in [
        "refused: /chosen/domU1/module@30000000: reg: the address is 0x3000000, but the node's name says \"30000000\"",
        "             --------------- the name\n",
        "warning: /chosen/domU1/module@2000000: the size 0xffffff looks like a limit",
        "warning: /chosen/domU1/module@30000000: the size 0xffffff looks like a limit",
        "refused: 1 fault, 2 warnings\n",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn sixty_four_domains_on_16_gib_are_checked_in_less_than_a_second() {
    if compiler_is_missing() {
        return;
    }
    let mut domains = String::new();
    for number in 0..64_u64 {
        let base = 0x1_0000_0000 + number * 0x800_0000;
        let mut lines =
            String::from("            memory = <0 0x20000>;\n            xen,enhanced = \"no-xenstore\";\n");
        writeln!(
            lines,
            "            xen,static-mem = <{:#x} {:#x} 0 0x8000000>;",
            base >> 32,
            base & 0xffff_ffff
        )
        .unwrap();
        // A ring: each has a channel to the next.
        let (next, before) = ((number + 1) % 64, (number + 63) % 64);
        for (port, label, peer) in [(1, "next", before), (2, "before", next)] {
            let other = if label == "next" { "before" } else { "next" };
            writeln!(
                lines,
                "            {label}{number}: evtchn@{port} {{ compatible = \"xen,evtchn-v1\"; \
                 xen,evtchn = <{port} &{other}{peer}>; }};"
            )
            .unwrap();
        }
        domains += &domain(&format!("domU{}", number + 1), &lines);
    }
    let path = file("many.dts", &system(&domains));
    let started = Instant::now();
    let (status, text, _) = check(&["--board", BOARD, "--memory", "16G"], &path);
    let taken = started.elapsed();
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("good: 64 domains, 0 warnings\n"), "{text}");
    assert!(taken < Duration::from_secs(1), "it took {taken:?}");
    println!("64 domains took {taken:?}");
}
