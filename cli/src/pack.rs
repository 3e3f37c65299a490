//! `xenite pack`: from a short description to a system that boots.
//!
//! The description (`description`, or `image_builder` for the other format) names files and wishes; `board` looks at the
//! board, `rules` at names and references, `place` chooses every address, `tree` writes the device tree. Then the very
//! rules of the hypervisor examine that tree, with the files in their places; only what they accept is written
//! (`output`). Whatever is wrong is told in terms of the description (`complaint`). The same input gives the same bytes.

mod board;
mod complaint;
mod description;
mod devices;
mod files;
mod image_builder;
mod output;
mod place;
mod rules;
mod start;
mod tree;
mod u_boot;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use plan::fdt::Fdt;
use plan::{BLOCK_2_MIB, Bytes, Findings, Input, Modules, Range, align_up};

use board::Ground;
use complaint::{Complaint, Text, Weight};
use description::{Description, Memory, Spanned};
use files::Files;
use place::{Places, Sizes};
use tree::Parts;

/// Choose all addresses of a system and write everything that boots it
#[derive(Debug, Args)]
#[command(
    after_help = "SYSTEM.toml is described in docs/static-configuration.md. A file with another ending is read as a configuration \
of Xen's ImageBuilder.\n\nExamples:\n  xenite pack system.toml -o packed\n  xenite run packed\n  xenite plan packed/boot/system.dtb"
)]
pub(crate) struct Pack {
    /// The description: SYSTEM.toml, or an ImageBuilder configuration
    description: PathBuf,
    /// The folder to write
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Where the paths in the description begin [default: its own folder]
    #[arg(short, long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// What makes QEMU play the board, in one word list, for a description that does not say
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    qemu: Option<String>,
}

/// The files at their places, as boot will find them.
struct Loaded<'a> {
    files: &'a Files,
    places: &'a Places,
}

impl Modules for Loaded<'_> {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        let placed = self.files.modules.iter().zip(&self.places.modules);
        let bytes = placed.filter_map(|(module, (_, base))| {
            let from = usize::try_from(at.checked_sub(*base)?).ok()?;
            module.content.get(from..from.checked_add(into.len())?)
        });
        match bytes.into_iter().next() {
            Some(bytes) => {
                into.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }
}

/// Packs.
pub(crate) fn run(options: &Pack) -> ExitCode {
    let path = &options.description;
    let content = match std::fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) => {
            eprintln!("xenite: {}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    let text = Text { path: path.display().to_string(), content };
    let files = match pack(options, &text) {
        Ok(files) => files,
        Err(complaints) => {
            complaints.iter().for_each(|complaint| text.print(Weight::Error, complaint));
            eprintln!("xenite: nothing was written: {} errors", complaints.len());
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = output::write(&options.output, &files) {
        eprintln!("xenite: {error}");
        return ExitCode::from(2);
    }
    println!("packed: {} files in {}", files.len(), options.output.display());
    ExitCode::SUCCESS
}

/// Reads a description in either format.
fn describe(options: &Pack, text: &Text) -> Result<Description, Vec<Complaint>> {
    let mut description = if options.description.extension().is_some_and(|end| end == "toml") {
        toml::from_str::<Description>(&text.content).map_err(|error| {
            let mut lines = error.message().lines();
            let title = lines.next().unwrap_or_default().to_owned();
            vec![
                Complaint::new(title, error.span().unwrap_or(0..0), "here")
                    .help(lines.collect::<Vec<_>>().join(" ")),
            ]
        })?
    } else {
        image_builder::read(&text.content)?
    };
    if let Some(words) = &options.qemu {
        let span = description.board.span();
        let words = words.split_whitespace().map(str::to_owned).collect();
        description.board.get_mut().qemu = Some(Spanned::new(span, words));
    }
    Ok(description)
}

/// All files of the system, or what is wrong.
fn pack(options: &Pack, text: &Text) -> Result<Vec<(String, Vec<u8>)>, Vec<Complaint>> {
    let description = describe(options, text)?;
    let own = options.description.parent().unwrap_or(Path::new("")).to_path_buf();
    let folder = options.directory.clone().unwrap_or(own);
    let ground = board::survey(&description.board, &folder);
    let files = files::read(&description, &folder);
    let (ground, mut files) = match (ground, files) {
        (Ok(ground), Ok(files)) => (ground, files),
        (ground, files) => {
            return Err(ground.err().into_iter().chain(files.err()).flatten().collect());
        }
    };
    let fdt = Fdt::open(&ground.blob)
        .map_err(|error| vec![Complaint::bare(format!("the board's tree: {error}"))])?;
    let found = rules::check(&description, &fdt);
    if !found.is_empty() {
        return Err(found);
    }
    devices::make(&description, &fdt, &mut files.modules)?;
    let files = files;
    let partial_trees = description.domains.iter().filter_map(|domain| files.of(&devices::file(domain)?));
    let kept = devices::kept(&fdt, &partial_trees.collect::<Vec<&[u8]>>());
    let write = |places: &Places| {
        let parts = Parts { board: fdt, kept: &kept, description: &description, files: &files, places };
        tree::write(&parts)
    };
    let most = u64::try_from(write(&Places::draft(&description, &files)).len()).unwrap_or(u64::MAX);
    let mut sizes = Sizes { tree: most, heap: None };
    if matches!(description.hypervisor.heap.as_ref().map(Spanned::get_ref), Some(Memory::Auto)) {
        // The plan without a static heap says how large one has to be.
        let places = place::choose(&description, &ground, &files, sizes)?;
        let plan = examine(&ground, &files, &places, &write(&places)).plan;
        sizes.heap = plan.map(|plan| heap_bytes(&description, &plan));
    }
    let places = place::choose(&description, &ground, &files, sizes)?;
    let tree = write(&places);
    let findings = examine(&ground, &files, &places, &tree);
    for warning in &findings.warnings {
        text.print(Weight::Warning, &complaint::of_warning(&warning.text, &description, &places));
    }
    let Some(plan) = &findings.plan else {
        let refusals = findings.refusals.iter();
        return Err(refusals.map(|refusal| complaint::of_refusal(refusal, &description, &places)).collect());
    };
    summary(&places, plan);
    let system = output::System {
        description: &description,
        ground: &ground,
        files: &files,
        places: &places,
        tree: &tree,
        plan,
    };
    Ok(output::make(&system))
}

/// How large a static heap has to be: all that has no place of its own comes from it, so the hypervisor's own memory, the
/// pages that it shares with domains, and the RAM of dom0 and of domains that are not static. Each in whole 2 MiB, as it
/// is placed, with 2 MiB to spare, since what another place costs in tables shows only there.
fn heap_bytes(description: &Description, plan: &plan::Plan) -> u64 {
    let whole = |bytes: u64| align_up(bytes, BLOCK_2_MIB).unwrap_or(bytes);
    let is_static = |domain: &&plan::Domain| {
        let mut others = description.domains.iter().filter(|other| other.fixed.is_some());
        domain.id != 0 && others.any(|other| domain.path == format!("/chosen/{}", other.name.get_ref()))
    };
    let pages: u64 =
        plan.domains.iter().filter_map(|domain| domain.pv.as_ref()).map(|pv| pv.pages.size).sum();
    let memory = plan.domains.iter().filter(|domain| !is_static(domain)).flat_map(|domain| &domain.memory);
    let memory: u64 = memory.map(|piece| whole(piece.size)).sum();
    [whole(plan.heap.size), whole(pages), memory, BLOCK_2_MIB].iter().sum()
}

/// What boot will say.
fn examine(ground: &Ground, files: &Files, places: &Places, tree: &[u8]) -> Findings {
    let bytes = u64::try_from(tree.len()).unwrap_or(u64::MAX).max(1);
    let image = align_up(files.image_bytes, plan::FRAME_BYTES).unwrap_or(files.image_bytes);
    plan::examine(&Input {
        tree,
        tree_at: Range { base: places.tree, size: bytes },
        image: Range { base: places.image, size: image.max(1) },
        modules: &Loaded { files, places },
        facts: ground.facts,
    })
}

fn summary(places: &Places, plan: &plan::Plan) {
    let free: u64 = plan.free.iter().map(|range| range.size).sum();
    println!(
        "loaded at {:#x}, {}; {} domains; heap {}; {} of RAM stay free",
        places.start,
        Bytes(places.bytes),
        plan.domains.len(),
        Bytes(plan.heap.size),
        Bytes(free)
    );
}
