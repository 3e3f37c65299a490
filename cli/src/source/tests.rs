//! What `dtc` annotates, and what is made of it.

use std::path::{Path, PathBuf};

use super::{Spot, Spots};

const ANNOTATED: &str = r#"/dts-v1/;

/ { /* inc.dtsi:1:3-1:87, a.dts:3:3-17:3 */
	#address-cells = <0x02>; /* a.dts:4:5-4:26 */

	chosen { /* a.dts:5:12-16:7 */

		lab: domU1 { /* a.dts:6:20-15:11, a.dts:18:6-18:38 */
			vpl011; /* a.dts:9:13-9:20 */
			text = "a { /* x.dts:1:2-3:4 */ ;"; /* a.dts:10:13-10:48 */
			phandle = <0x01>; /* <no-file>:<no-line> */

			module@30000000 { /* a.dts:11:29-14:15 */
				reg = <0x00 0x3000000 0x00 0x05>; /* a.dts:11:31-12:22 */
			}; /* a.dts:11:29-14:15 */
			late; /* a.dts:14:1-14:6 */
		}; /* a.dts:6:20-15:11, a.dts:18:6-18:38 */
	}; /* a.dts:5:12-16:7 */
}; /* inc.dtsi:1:3-1:87, a.dts:3:3-17:3 */
"#;

fn spot(file: &str, start: (usize, usize), end: (usize, usize)) -> Spot {
    Spot { file: PathBuf::from(file), start, end }
}

fn spots() -> Spots {
    Spots::parse(ANNOTATED, &|file| Some(file.to_owned()).filter(|file| file != Path::new("inc.dtsi")))
}

#[test]
fn nodes_and_properties_are_found_at_their_places() {
    let spots = spots();
    let at = |node, property| spots.find(node, property).map(|(spot, exact)| (spot.clone(), exact));
    let reg = spot("a.dts", (11, 31), (12, 22));
    assert_eq!(at("/chosen/domU1/module@30000000", "reg"), Some((reg, true)));
    assert_eq!(at("/chosen/domU1", "vpl011"), Some((spot("a.dts", (9, 13), (9, 20)), true)));
    assert_eq!(at("/chosen/domU1", "late"), Some((spot("a.dts", (14, 1), (14, 6)), true)));
    assert_eq!(at("/", "#address-cells"), Some((spot("a.dts", (4, 5), (4, 26)), true)));
}

#[test]
fn a_text_that_looks_like_a_comment_is_none() {
    let spots = spots();
    assert_eq!(spots.find("/chosen/domU1", "text").unwrap().0, &spot("a.dts", (10, 13), (10, 48)));
}

#[test]
fn what_is_not_there_is_looked_for_in_the_nodes_above() {
    let spots = spots();
    let domain = spot("a.dts", (6, 20), (15, 11));
    assert_eq!(spots.find("/chosen/domU1", "memory"), Some((&domain, false)));
    assert_eq!(spots.find("/chosen/domU1/no/such", "memory"), Some((&domain, false)));
    // The root is above everything and would say nothing. It stands in a file without source first.
    assert_eq!(spots.find("/cpus", "reg"), None);
    assert_eq!(spots.find("/", "reg"), Some((&spot("a.dts", (3, 3), (17, 3)), false)));
    assert_eq!(spots.find("", ""), None);
}

#[test]
fn a_node_is_shown_by_its_name_and_a_property_whole() {
    let text = "/ {\n  lab: domU1 {\n    größe;\n    reg = <1\n      2>;\n  };\n};\n";
    let node = spot("a", (2, 14), (6, 4));
    assert_eq!(&text[node.span(text, false)], "domU1");
    let property = spot("a", (4, 5), (5, 10));
    assert_eq!(&text[property.span(text, true)], "reg = <1\n      2>;");
    let root = spot("a", (1, 3), (7, 3));
    assert_eq!(&text[root.span(text, false)], "/");
    // A file that has changed since then may be shorter.
    assert_eq!(spot("a", (90, 1), (91, 4)).span(text, true), text.len()..text.len());
}
