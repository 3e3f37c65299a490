//! `xenite plan` as its users call it, on the examples of the documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// An example of the documents.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name)
}

/// What the tool says on standard output; it must be content.
fn xenite(arguments: &[&str], system: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenite"));
    let output = command.arg("plan").arg(system).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}(a .dts needs dtc, Debian's device-tree-compiler)");
    String::from_utf8(output.stdout).unwrap()
}

fn json(system: &Path) -> Value {
    serde_json::from_str(&xenite(&["--json"], system)).unwrap()
}

fn numbers(place: &Value) -> (u64, u64) {
    let base = place["base"].as_u64().unwrap();
    (base, base + place["size"].as_u64().unwrap())
}

#[test]
fn every_byte_of_ram_has_one_owner() {
    for name in ["demo.dts", "mixed.dts"] {
        let ledger = json(&example(name));
        let stretches = ledger["memory"].as_array().unwrap();
        let mut next = stretches.iter();
        for bank in ledger["banks"].as_array().unwrap() {
            let (mut at, end) = numbers(bank);
            while at < end {
                let (base, up_to) = numbers(next.next().expect("RAM without an owner"));
                assert_eq!(base, at, "{name}: a gap or an overlap");
                at = up_to;
            }
            assert_eq!(at, end, "{name}: an owner beyond the bank");
        }
        assert!(next.next().is_none());
        let unused = stretches.iter().filter(|stretch| stretch["use"] == "unused").count();
        assert_eq!(unused, 0, "{name}: the plan leaves RAM without a purpose");
    }
}

#[test]
fn domains_have_in_the_host_what_they_see() {
    let ledger = json(&example("mixed.dts"));
    for domain in ledger["domains"].as_array().unwrap() {
        let owned = |entry: &&Value| entry["use"] == "ram" && entry["domain"] == domain["id"];
        let bytes = |entry: &Value| entry["size"].as_u64().unwrap();
        let host: u64 = ledger["memory"].as_array().unwrap().iter().filter(owned).map(bytes).sum();
        let map = domain["map"].as_array().unwrap();
        let seen: u64 = map.iter().filter(|place| place["kind"] == "ram").map(bytes).sum();
        assert!(host == seen && domain["memory"] == host, "{domain}");
    }
}

#[test]
fn the_budget_adds_up_to_the_heap() {
    let heap = &json(&example("mixed.dts"))["heap"];
    let lines = heap["budget"].as_array().unwrap().iter().map(|line| line["bytes"].as_u64().unwrap());
    assert_eq!(lines.sum::<u64>() + heap["spare"].as_u64().unwrap(), heap["size"].as_u64().unwrap());
}

#[test]
fn links_and_devices_name_their_owners() {
    let ledger = json(&example("mixed.dts"));
    let first = &ledger["channels"][0]["ends"];
    assert_eq!((&first[0]["domain"], &first[0]["port"]), (&0.into(), &7.into()));
    assert_eq!((&first[1]["domain"], &first[1]["port"]), (&1.into(), &1.into()));
    let owner = |path: &str| {
        let devices = ledger["devices"].as_array().unwrap();
        devices.iter().find(|device| device["path"] == path).unwrap_or_else(|| panic!("no {path}"))["owner"]
            .clone()
    };
    assert_eq!(owner("/pl011@9000000"), "hypervisor");
    assert_eq!(owner("/intc@8000000"), "hypervisor");
    assert_eq!(owner("/timer"), "hypervisor");
    assert_eq!(owner("/intc@8000000/its@8080000"), "nobody");
    assert_eq!(owner("/virtio_mmio@a000000")["domain"], 0);
    assert_eq!(owner("/reserved-memory/firmware@b0000000")["domain"], 0);
    let bridge =
        ledger["devices"].as_array().unwrap().iter().find(|device| device["path"] == "/pcie@10000000");
    assert_eq!(bridge.unwrap()["interrupts"], serde_json::json!([35, 36, 37, 38]));
    let alone = json(&example("demo.dts"));
    let devices = alone["devices"].as_array().unwrap();
    assert!(devices.iter().all(|device| device["owner"] == "hypervisor" || device["owner"] == "nobody"));
}

#[test]
fn text_json_and_picture_say_the_same() {
    let system = example("mixed.dts");
    let ledger = json(&system);
    let text = xenite(&[], &system);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mixed.svg");
    assert!(
        xenite(&["--svg", file.to_str().unwrap()], &system).lines().all(|line| line.starts_with("warning: "))
    );
    let picture = std::fs::read_to_string(file).unwrap();
    let fingerprint = ledger["fingerprint"].as_str().unwrap();
    assert!(text.contains(fingerprint) && picture.contains(fingerprint));
    for line in ledger["console"].as_array().unwrap() {
        assert!(text.contains(&format!("  {}\n", line.as_str().unwrap())), "{line}");
    }
    for stretch in ledger["memory"].as_array().unwrap() {
        let label = stretch["label"].as_str().unwrap();
        let base = format!("{:#x}", stretch["base"].as_u64().unwrap());
        assert!(text.contains(label) && picture.contains(&format!(">{base}<")), "{stretch}");
        assert!(picture.contains(&format!(">{label}<")), "{label} is not whole in the picture");
    }
    for line in ledger["heap"]["budget"].as_array().unwrap() {
        let what = line["what"].as_str().unwrap();
        assert!(text.contains(what) && picture.contains(&format!(">{what}<")), "{what}");
    }
}

/// The places of texts of one size in a picture, with the widths that they may have.
fn texts(picture: &str) -> Vec<(f64, f64, f64, String)> {
    let attribute = |line: &str, name: &str| -> Option<f64> {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        rest.split_once('"')?.0.parse().ok()
    };
    let mut found = Vec::new();
    for line in picture.lines().filter(|line| line.starts_with("<text ")) {
        let text = line.split_once('>').and_then(|(_, rest)| rest.split_once('<')).unwrap().0.to_owned();
        let size = attribute(line, "font-size").unwrap();
        let each = if line.contains("class=\"mono\"") { 0.6 } else { 0.5 };
        let width = text.chars().count() as f64 * size * each;
        let x = attribute(line, "x").unwrap();
        let left = if line.contains("\"end\"") {
            x - width
        } else if line.contains("\"middle\"") {
            x - width / 2.0
        } else {
            x
        };
        found.push((left, attribute(line, "y").unwrap(), width, text));
    }
    found
}

/// A tree with so many domains, each with a channel to the next.
fn many(domains: usize) -> PathBuf {
    let board = example("board.dtsi");
    let mut source = format!("/include/ \"{}\"\n/ {{ chosen {{\n", board.display());
    source += "#address-cells = <2>; #size-cells = <2>; xen,xen-bootargs = \"dtuart=/pl011@9000000\";\n";
    for domain in 0..domains {
        let (next, before) = ((domain + 1) % domains, (domain + domains - 1) % domains);
        source += &format!(
            "domU{domain} {{ compatible = \"xen,domain\"; cpus = <1>; memory = <0 0x10000>; vpl011; xen,enhanced = \"no-xenstore\";\n\
             #address-cells = <2>; #size-cells = <2>;\n\
             module@4a000000 {{ compatible = \"multiboot,kernel\", \"multiboot,module\"; reg = <0 0x4a000000 0 0x1000000>; }};\n\
             to{domain}: evtchn@1 {{ compatible = \"xen,evtchn-v1\"; xen,evtchn = <1 &from{next}>; }};\n\
             from{domain}: evtchn@2 {{ compatible = \"xen,evtchn-v1\"; xen,evtchn = <2 &to{before}>; }};\n}};\n"
        );
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("many-{domains}.dts"));
    std::fs::write(&path, source + "}; };\n").unwrap();
    path
}

#[test]
fn no_text_of_a_picture_is_over_another_whether_there_are_two_domains_or_sixteen() {
    for domains in [2, 3, 7, 16] {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("many-{domains}.svg"));
        xenite(&["--svg", file.to_str().unwrap()], &many(domains));
        let picture = std::fs::read_to_string(file).unwrap();
        let texts = texts(&picture);
        assert!(texts.len() > 40 * domains.min(3));
        for (position, (x, y, width, text)) in texts.iter().enumerate() {
            for (other_x, other_y, other_width, other) in &texts[position + 1..] {
                let apart =
                    x + width <= *other_x || other_x + other_width <= *x || (y - other_y).abs() >= 6.5;
                assert!(
                    apart,
                    "{domains} domains: {text:?} at {x}, {y} is over {other:?} at {other_x}, {other_y}"
                );
            }
        }
        for domain in 1..=domains {
            assert!(picture.contains(&format!(">d{domain}<")), "domain {domain} is missing");
        }
    }
}

#[test]
fn the_pictures_in_the_documents_are_those_of_the_examples() {
    for name in ["demo", "mixed"] {
        let made = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.svg"));
        xenite(&["--svg", made.to_str().unwrap()], &example(&format!("{name}.dts")));
        let made = std::fs::read_to_string(made).unwrap();
        let path = example(&format!("{name}.svg"));
        if std::env::var_os("XENITE_REWRITE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            known == made,
            "docs/examples/{name}.svg is old: XENITE_REWRITE=1 cargo test -p xenite draws it anew"
        );
    }
}

#[test]
fn what_is_refused_leaves_nothing_on_standard_output_for_a_program() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("refused.dts");
    std::fs::write(&path, "/dts-v1/; / { chosen { }; };").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenite"));
    let output = command.arg("plan").arg(&path).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("refused: "));
}
