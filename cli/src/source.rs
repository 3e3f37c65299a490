//! Where a tree comes from: a blob, or sources that `dtc` compiles; and where each node and property stands in them.
//!
//! `dtc` says the latter itself: it writes the tree again as source, with the file, line and column of every node and
//! property behind it (`-T -T`). A blob has no such places.
//!
//! With a board the system is laid over the board's tree: both are included, one behind the other, by a file of our
//! own, and `dtc` merges nodes of one path. A system that is a whole source of its own may stay one: its version line,
//! which may not stand in the middle, is blanked out, so that lines and columns stay what they are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree, and where its parts stand.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) blob: Vec<u8>,
    pub(crate) spots: Spots,
}

/// Where nodes and properties stand in source files.
#[derive(Debug, Default)]
pub(crate) struct Spots {
    /// By path of the node and name of the property; the name is empty for the node itself.
    places: HashMap<(String, String), Spot>,
}

/// A place in a source file: lines and columns from 1, the last column excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) file: PathBuf,
    pub(crate) start: (usize, usize),
    pub(crate) end: (usize, usize),
}

impl Source {
    /// Reads a system, over a board's tree if one is given.
    pub(crate) fn load(system: &Path, board: Option<&Path>) -> Result<Self, String> {
        match board {
            Some(board) => merged(system, board),
            None if is_source(system) => compile(system, &[], &|file| Some(file.to_owned())),
            None => Ok(Self { blob: read(system)?, spots: Spots::default() }),
        }
    }
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "dts")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| error.to_string())
}

/// A folder for files between two programs; it goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("xenite-{}-{number}", std::process::id()));
        // Nobody else may have laid something there: the folder must be new.
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn merged(system: &Path, board: &Path) -> Result<Source, String> {
    let scratch = Scratch::new()?;
    let board_copy = scratch.write("board.dts", &as_source(board)?)?;
    let system_copy = scratch.write("system.dts", &as_source(system)?)?;
    let outer = "/dts-v1/;\n/include/ \"board.dts\"\n/include/ \"system.dts\"\n";
    let outer = scratch.write("merged.dts", outer.as_bytes())?;
    // What they include is looked for beside the originals.
    let folders: Vec<&Path> = [system, board].into_iter().filter_map(Path::parent).collect();
    compile(&outer, &folders, &|file| {
        let original = |copy: &Path, original: &Path| {
            (file == copy).then(|| Some(original.to_owned()).filter(|path| is_source(path)))
        };
        original(&system_copy, system)
            .or_else(|| original(&board_copy, board))
            .unwrap_or_else(|| Some(file.to_owned()))
    })
    .map_err(|words| {
        let words = words.replace(&*system_copy.to_string_lossy(), &system.to_string_lossy());
        words.replace(&*board_copy.to_string_lossy(), &board.to_string_lossy())
    })
}

/// A tree as source without its version line.
fn as_source(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = if is_source(path) {
        read(path).map_err(|error| format!("{}: {error}", path.display()))?
    } else {
        run(dtc(&["-I", "dtb", "-O", "dts"]).arg(path))?
    };
    let mark = b"/dts-v1/";
    let mut at = 0;
    while let Some(found) = text[at..].windows(mark.len()).position(|bytes| bytes == mark) {
        at += found;
        let end = text[at..].iter().position(|byte| *byte == b';').map_or(text.len(), |end| at + end + 1);
        text[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    Ok(text)
}

fn dtc(arguments: &[&str]) -> Command {
    let mut command = Command::new("dtc");
    command.arg("-q").args(arguments);
    command
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command
        .output()
        .map_err(|error| format!("this needs dtc (Debian: device-tree-compiler): {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("dtc: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
    }
}

/// Compiles a source. `original` says which file of the user's a file is; `None` if it is no source.
fn compile(
    path: &Path,
    folders: &[&Path],
    original: &dyn Fn(&Path) -> Option<PathBuf>,
) -> Result<Source, String> {
    let with_folders = |arguments: &[&str]| {
        let mut command = dtc(arguments);
        for folder in folders {
            let here = folder.as_os_str().is_empty();
            command.arg("-i").arg(if here { Path::new(".") } else { folder });
        }
        command.arg(path);
        command
    };
    let blob = run(&mut with_folders(&["-@", "-I", "dts", "-O", "dtb"]))?;
    let annotated = run(&mut with_folders(&["-T", "-T", "-I", "dts", "-O", "dts"]))?;
    let spots = Spots::parse(&String::from_utf8_lossy(&annotated), original);
    Ok(Source { blob, spots })
}

impl Spots {
    /// Reads what `dtc -T -T` writes: a node or property on each line, and behind it where it stands.
    fn parse(annotated: &str, original: &dyn Fn(&Path) -> Option<PathBuf>) -> Self {
        let mut spots = Self::default();
        let mut names: Vec<String> = Vec::new();
        for line in annotated.lines() {
            let (body, comment) = line.trim_end().rsplit_once("/* ").unwrap_or((line, ""));
            let comment = comment.strip_suffix("*/").unwrap_or("").trim();
            let body = without_labels(body.trim());
            if body.starts_with('}') {
                names.pop();
                continue;
            }
            let property = match body.strip_suffix('{') {
                Some(name) => {
                    names.push(name.trim().to_owned());
                    ""
                }
                None => body.split([' ', '=', ';']).next().unwrap_or(""),
            };
            if names.is_empty() || (property.is_empty() && !body.ends_with('{')) {
                continue;
            }
            // A node may stand in several places; the first of which there is a source will do.
            let spot = comment.split(", ").filter_map(Spot::parse).find_map(|spot| {
                let file = original(&spot.file)?;
                Some(Spot { file, ..spot })
            });
            if let Some(spot) = spot {
                let path = format!("/{}", names.get(1..).unwrap_or_default().join("/"));
                spots.places.insert((path, property.to_owned()), spot);
            }
        }
        spots
    }

    /// Where the property stands; if it does not, the node, or the nearest node above but the root. The flag says
    /// whether it is the property.
    pub(crate) fn find(&self, node: &str, property: &str) -> Option<(&Spot, bool)> {
        if !property.is_empty()
            && let Some(spot) = self.places.get(&(node.to_owned(), property.to_owned()))
        {
            return Some((spot, true));
        }
        // What is said of a partial tree stands at its module.
        let mut path = node.split(": ").next().unwrap_or(node);
        while !path.is_empty() && (path != "/" || node == "/") {
            if let Some(spot) = self.places.get(&(path.to_owned(), String::new())) {
                return Some((spot, false));
            }
            path = path.rfind('/').map_or("", |at| &path[..at]);
        }
        None
    }
}

/// A line of the tree behind the labels at its beginning.
fn without_labels(body: &str) -> &str {
    let mut rest = body;
    while let Some((label, behind)) = rest.split_once(": ") {
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            break;
        }
        rest = behind;
    }
    rest
}

impl Spot {
    /// `FILE:LINE:COLUMN-LINE:COLUMN`.
    fn parse(text: &str) -> Option<Self> {
        let (rest, end_column) = text.rsplit_once(':')?;
        let (rest, end_line) = rest.rsplit_once('-')?;
        let (rest, column) = rest.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        let number = |text: &str| text.parse::<usize>().ok();
        Some(Self {
            file: PathBuf::from(file),
            start: (number(line)?, number(column)?),
            end: (number(end_line)?, number(end_column)?),
        })
    }

    /// The bytes of `text`, the file's content, that the place is.
    pub(crate) fn span(&self, text: &str, is_property: bool) -> std::ops::Range<usize> {
        let start = offset(text, self.start);
        if is_property {
            return start..offset(text, self.end).max(start);
        }
        // A node's place begins at its brace; what people look for is the name before it.
        let before = text[..start].trim_end();
        let is_name = |character: char| !character.is_whitespace() && !"{};".contains(character);
        let name = before.trim_end_matches(is_name).len();
        if name < before.len() { name..before.len() } else { start..start }
    }
}

/// The byte of `text` at a line and column, or the nearest character before it.
fn offset(text: &str, (line, column): (usize, usize)) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = lines.map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests;
