//! Configurations of ImageBuilder, and what is said of those that are wrong.

use super::*;

const SMALL: &str = "MEMORY_START=\"0x40000000\"\nMEMORY_END=\"0x80000000\"\n\nDEVICE_TREE=\"board.dtb\"  # the board\n\
                     XEN='xenite'\nNUM_DOMUS=1\nDOMU_KERNEL[0]=Image\n";

#[test]
fn what_is_missing_is_as_in_the_readme() {
    let description = read(SMALL).unwrap();
    let domain = &description.domains[0];
    assert_eq!(domain.name.get_ref(), "domU0");
    assert_eq!(*domain.memory.get_ref(), Size(512 << 20));
    assert_eq!(*domain.cpus.get_ref(), 1);
    assert_eq!(domain.command_line.as_ref().unwrap().get_ref(), "console=ttyAMA0");
    assert!(domain.has_uart() && !domain.is_direct());
    assert_eq!(domain.interfaces(), Enhanced::No);
    let window = description.board.get_ref().load_window.as_ref().unwrap().get_ref().range().unwrap();
    assert_eq!((window.base, window.end()), (0x4000_0000, 0x8000_0000));
    let with_dom0 = read(&format!("{SMALL}DOM0_KERNEL=\"linux\"\n")).unwrap();
    assert_eq!(with_dom0.domains[0].interfaces(), Enhanced::Yes);
    let dom0 = with_dom0.dom0.as_ref().unwrap().get_ref();
    assert_eq!(*dom0.memory.as_ref().unwrap().get_ref(), Size(1 << 30));
}

#[test]
fn static_memory_is_mapped_directly_unless_it_is_said_that_it_is_not() {
    let text = format!("{SMALL}DOMU_STATIC_MEM[0]=\"0x50000000 0x8000000 0x60000000 0x8000000\"\n");
    let domain = &read(&text).unwrap().domains[0];
    assert!(domain.is_direct());
    assert_eq!(*domain.memory.get_ref(), Size(256 << 20));
    let domain = &read(&format!("{text}DOMU_DIRECT_MAP[0]=0\n")).unwrap().domains[0];
    assert!(!domain.is_direct());
}

#[test]
fn nothing_is_handed_to_a_shell() {
    for line in [
        "XEN=\"$(touch /tmp/x)\"",
        "XEN=`id`",
        "XEN=a; touch b",
        "XEN=a touch b",
        "source other",
        "XEN=\"a",
        "XEN=a\\ b",
        "XEN=a\"b\"",
        "if true",
        "DOMU_KERNEL[x]=a",
        "=a",
    ] {
        let complaints = read(&format!("{SMALL}{line}\n")).unwrap_err();
        assert_eq!(complaints.len(), 1, "{line}: {complaints:?}");
        let (span, _) = complaints[0].at.clone().unwrap();
        assert_eq!(span.start, SMALL.len(), "{line}");
    }
}

#[test]
fn what_is_not_understood_is_refused_at_its_place() {
    for (line, part) in [
        ("DOMU_COLORS[0]=\"6-14\"", "cache colouring"),
        ("PASSTHROUGH_DTS_REPO=\"git@there\"", "a store of partial device trees"),
        ("NONSENSE=1", "NONSENSE is not known"),
        ("DOMU_KERNEL[1]=Image", "NUM_DOMUS is 1"),
        ("BOOT_CMD=bootm", "booti"),
        ("DOMU_MEM[0]=many", "is not a number of MiB"),
        ("DOMU_STATIC_MEM[0]=\"0x50000000\"", "is not a list of addresses and sizes"),
        ("MEMORY_END=0x1000", "ends before it starts"),
    ] {
        let complaints = read(&format!("{SMALL}{line}\n")).unwrap_err();
        assert_eq!(complaints.len(), 1, "{line}: {complaints:?}");
        assert!(complaints[0].title.contains(part), "{line}: {}", complaints[0].title);
    }
}

#[test]
fn devices_are_named_by_their_nodes_or_by_a_partial_tree() {
    let text =
        format!("{SMALL}DOMU_PASSTHROUGH_PATHS[0]=\"/rtc@1 /soc/uart@2\"\nDOMU_PASSTHROUGH_DTB[0]=p.dtb\n");
    let domain = &read(&text).unwrap().domains[0];
    let devices = domain.devices.as_ref().unwrap().get_ref();
    let devices: Vec<&str> = devices.iter().map(|path| path.get_ref().as_str()).collect();
    assert_eq!(devices, ["/rtc@1", "/soc/uart@2"]);
    assert_eq!(domain.device_tree.as_ref().unwrap().get_ref().to_str(), Some("p.dtb"));
}

#[test]
fn shared_memory_of_one_name_is_one() {
    let two = SMALL.replace("NUM_DOMUS=1", "NUM_DOMUS=2") + "DOMU_KERNEL[1]=Image\n";
    let stated = "DOMU_SHARED_MEM[0]=\"mem 0x50000000 0x6000000 0x1000000\"\n";
    let same = format!("{two}{stated}{}", stated.replace("[0]", "[1]"));
    let description = read(&same).unwrap();
    assert_eq!(description.shared.len(), 1);
    assert_eq!(description.shared[0].borrowers.get_ref().len(), 2);
    let other = format!("{two}{stated}{}", stated.replace("[0]", "[1]").replace("0x6000000", "0x7000000"));
    assert!(read(&other).unwrap_err()[0].title.contains("two ways"));
}
