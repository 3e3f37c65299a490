//! Debian's arm64 packages as parts of a machine: kernels, busybox and Xen.
//!
//! apt fetches and checks them, in a root of its own under `target/apt`: it reads the system's sources and keys, and
//! changes nothing of the system. What is wanted of a package is unpacked to `target/packages/<part>/` once; a part
//! that is there is used as it is, without the network. A kernel brings its modules along (`modules`), since only those
//! of the same package fit. Packages that are wanted whole are unpacked to `target/packages/whole/<name>/`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::command;
use crate::{modules, paths, tools};

/// A part that comes from a Debian package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The kernel of Debian 12.
    Linux6_1,
    /// The newer kernel that Debian 12 offers beside it, in its small build for virtual machines.
    Linux6_12,
    /// A static busybox.
    Busybox,
    /// Xen itself, to compare with.
    Xen,
}

impl Part {
    /// The folder of the part, which is also its name in messages.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Linux6_1 => "linux-6.1",
            Self::Linux6_12 => "linux-6.12",
            Self::Busybox => "busybox",
            Self::Xen => "xen-4.17",
        }
    }

    /// Start and end of the package's name; between them stand versions.
    const fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::Linux6_1 => ("linux-image-6.1.", "-arm64"),
            Self::Linux6_12 => ("linux-image-6.12.", "-cloud-arm64"),
            Self::Busybox => ("busybox-static", ""),
            Self::Xen => ("xen-hypervisor-4.17-arm64", ""),
        }
    }

    /// The wanted file inside the package; a star stands for the version.
    const fn file(self) -> &'static str {
        match self {
            Self::Linux6_1 | Self::Linux6_12 => "./boot/vmlinuz-*",
            Self::Busybox => "./bin/busybox",
            Self::Xen => "./boot/xen-4.17-arm64",
        }
    }

    /// Where the part's file lies once it has been fetched.
    #[must_use]
    pub fn path(self) -> PathBuf {
        self.place().join("file")
    }

    /// Where the modules of a kernel lie once it has been fetched.
    #[must_use]
    pub fn modules(self) -> PathBuf {
        self.place().join("modules")
    }

    fn place(self) -> PathBuf {
        paths::target().join("packages").join(self.folder())
    }

    const fn is_kernel(self) -> bool {
        matches!(self, Self::Linux6_1 | Self::Linux6_12)
    }

    fn is_there(self) -> bool {
        self.path().exists() && (!self.is_kernel() || modules::are_kept(&self.modules()))
    }
}

/// A whole package, unpacked.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The name of its archive, which holds its version.
    pub archive: String,
    /// Where its files lie.
    pub folder: PathBuf,
}

impl Whole {
    fn place(name: &str) -> PathBuf {
        paths::target().join("packages").join("whole").join(name)
    }

    fn read(name: &str) -> Result<Self> {
        let place = Self::place(name);
        let archive = std::fs::read_to_string(place.join("package"))
            .with_context(|| format!("the package {name} was not kept"))?;
        Ok(Self { archive, folder: place.join("files") })
    }
}

/// Fetches whole packages by their names, as far as they are not there yet, and gives them in the order asked for.
///
/// # Errors
/// When a package cannot be fetched or unpacked.
pub fn fetch_whole(names: &[&str]) -> Result<Vec<Whole>> {
    let absent: Vec<&str> =
        names.iter().copied().filter(|name| !Whole::place(name).join("package").exists()).collect();
    if !absent.is_empty() {
        tools::ensure(&[tools::Need::Packages])?;
        eprintln!("x: fetching {} of Debian's packages for dom0", absent.len());
        let apt = Apt::new()?;
        apt.update()?;
        let folder = apt.download(&absent)?;
        for name in absent {
            let archive = archive_of(name, &folder)?;
            let draft = folder.join(format!("{name}.draft"));
            let files = draft.join("files");
            std::fs::create_dir_all(&files)?;
            command::run(command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&files))?;
            std::fs::write(draft.join("package"), file_name(&archive))?;
            replace_folder(&draft, &Whole::place(name))?;
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
    names.iter().map(|name| Whole::read(name)).collect()
}

/// Puts a finished folder into its place, where an older one may be.
fn replace_folder(draft: &Path, place: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(place);
    std::fs::create_dir_all(place.parent().context("a part has no folder")?)?;
    std::fs::rename(draft, place).with_context(|| format!("cannot keep {}", place.display()))
}

/// Fetches the parts that are not there yet and gives the path of each, in the order asked for.
///
/// # Errors
/// When a package cannot be found, fetched or unpacked.
pub fn fetch(parts: &[Part]) -> Result<Vec<PathBuf>> {
    let mut absent: Vec<Part> = Vec::new();
    for part in parts {
        if !part.is_there() && !absent.contains(part) {
            absent.push(*part);
        }
    }
    if !absent.is_empty() {
        tools::ensure(&[tools::Need::Packages])?;
        let names: Vec<&str> = absent.iter().map(|part| part.folder()).collect();
        eprintln!("x: fetching Debian's packages for {}", names.join(", "));
        let apt = Apt::new()?;
        apt.update()?;
        let packages = absent.iter().map(|part| apt.newest(*part)).collect::<Result<Vec<String>>>()?;
        let folder = apt.download(&packages)?;
        for (part, package) in absent.iter().zip(&packages) {
            unpack(*part, package, &folder)?;
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(parts.iter().map(|part| part.path()).collect())
}

/// apt with a root of its own.
struct Apt {
    root: PathBuf,
}

impl Apt {
    fn new() -> Result<Self> {
        let root = paths::target().join("apt");
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(root.join(folder)).context("cannot make the folders of apt")?;
        }
        std::fs::write(root.join("status"), "").context("cannot write apt's list of installed packages")?;
        Ok(Self { root })
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = command::new(program);
        let folder = |name: &str, path: &str| format!("{name}={}", self.root.join(path).display());
        let options = [
            folder("Dir::State", "state"),
            folder("Dir::State::status", "status"),
            folder("Dir::Cache", "cache"),
            "APT::Architecture=arm64".to_owned(),
            "APT::Architectures=arm64".to_owned(),
            // The folders belong to whoever runs this, so apt's own user could not write there.
            "APT::Sandbox::User=".to_owned(),
        ];
        for option in options {
            apt.arg("-o").arg(option);
        }
        apt
    }

    /// Fetches the lists of packages. A failure need not matter, since a source that we do not need may be the cause:
    /// if it does matter, the package is not found and that is said.
    fn update(&self) -> Result<()> {
        let mut update = self.command("apt-get");
        update.args(["-qq", "-o", "APT::Status-Fd=1", "update"]);
        if let Err(error) = with_progress(&mut update, "lists of packages") {
            eprintln!("x: warning: {error:#}");
        }
        Ok(())
    }

    /// The name of the newest package for a part.
    fn newest(&self, part: Part) -> Result<String> {
        let (start, end) = part.package();
        let names = command::output(self.command("apt-cache").args(["pkgnames", start]))?;
        let middle = |name: &str| Some(name.strip_prefix(start)?.strip_suffix(end)?.to_owned());
        let plain =
            |middle: &str| !middle.contains("-rt") && !middle.contains("-cloud") && !middle.contains("-16k");
        let found = names.lines().filter(|name| middle(name).is_some_and(|text| plain(&text)));
        let newest = found.max_by_key(|name| numbers(name)).map(str::to_owned);
        newest.with_context(|| {
            format!("Debian's package {start}*{end} is not in any source of this system; Debian 12 with its security updates has it")
        })
    }

    /// Downloads packages and gives the folder in which they lie.
    fn download(&self, packages: &[impl AsRef<std::ffi::OsStr>]) -> Result<PathBuf> {
        let folder = self.root.join("download");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let mut download = self.command("apt-get");
        download.current_dir(&folder).args(["-qq", "-o", "APT::Status-Fd=1", "download"]).args(packages);
        with_progress(&mut download, "packages")?;
        Ok(folder)
    }
}

/// All numbers in a name, by which versions compare: 6.1.0-54 is newer than 6.1.0-9.
fn numbers(name: &str) -> Vec<u64> {
    let digits = name.split(|letter: char| !letter.is_ascii_digit());
    digits.filter_map(|number| number.parse().ok()).collect()
}

/// Runs apt and shows how far it says that it is.
fn with_progress(apt: &mut Command, what: &'static str) -> Result<()> {
    let style = ProgressStyle::with_template("   {msg:20} [{bar:40}] {percent:>3} % {elapsed}");
    let bar = ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    let mut child =
        apt.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start apt-get")?;
    for line in BufReader::new(child.stdout.take().context("apt-get has no output")?).lines() {
        let line = line?;
        // dlstatus:NUMBER:PERCENT:TEXT; whole per cents are enough.
        let percent =
            line.strip_prefix("dlstatus:").and_then(|rest| rest.split([':', '.']).nth(1)?.parse().ok());
        if let Some(percent) = percent {
            bar.set_position(percent);
        }
    }
    let status = child.wait()?;
    bar.finish();
    if status.success() { Ok(()) } else { bail!("apt-get could not fetch the {what} ({status})") }
}

/// The archive of a package in the folder of downloads.
fn archive_of(package: &str, downloads: &Path) -> Result<PathBuf> {
    let start = format!("{package}_");
    let mut archives = std::fs::read_dir(downloads)?.flatten().map(|entry| entry.path());
    archives
        .find(|path| path.is_file() && file_name(path).starts_with(&start))
        .with_context(|| format!("apt-get left no file for {package}"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Takes what is wanted out of a downloaded package.
fn unpack(part: Part, package: &str, downloads: &Path) -> Result<()> {
    let archive = archive_of(package, downloads)?;
    let scratch = downloads.join(part.folder());
    std::fs::create_dir_all(&scratch)?;
    let mut wanted = vec![part.file()];
    if part.is_kernel() {
        wanted.push("./lib/modules/*");
    }
    extract(&archive, &wanted, &scratch)?;
    let inside = scratch.join(part.file().trim_start_matches("./")).parent().map(Path::to_path_buf);
    let mut files =
        std::fs::read_dir(inside.unwrap_or_else(|| scratch.clone()))?.flatten().map(|entry| entry.path());
    let file =
        files.find(|path| path.is_file()).with_context(|| format!("{package} has no {}", part.file()))?;
    let folder = part.place();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package"), file_name(&archive))?;
    if part.is_kernel() {
        let draft = downloads.join(format!("{}.modules", part.folder()));
        modules::keep(&scratch.join("lib/modules"), &draft)
            .with_context(|| format!("cannot keep modules of {package}"))?;
        replace_folder(&draft, &part.modules())?;
    }
    std::fs::rename(&file, part.path()).context("cannot keep what was unpacked")
}

/// Takes files out of a package by patterns.
fn extract(archive: &Path, patterns: &[&str], folder: &Path) -> Result<()> {
    let mut reader =
        command::new("dpkg-deb").arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn()?;
    let tarball = reader.stdout.take().context("dpkg-deb has no output")?;
    let mut tar = command::new("tar");
    tar.args(["--extract", "--wildcards", "--no-same-owner"]).arg("--directory").arg(folder).args(patterns);
    command::run(tar.stdin(tarball)).with_context(|| format!("cannot unpack {}", archive.display()))?;
    if !reader.wait()?.success() {
        bail!("dpkg-deb could not read {}", archive.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_found_by_number_and_not_by_letter() {
        assert!(numbers("linux-image-6.1.0-54-arm64") > numbers("linux-image-6.1.0-9-arm64"));
        assert!(
            numbers("linux-image-6.12.117+deb12-cloud-arm64")
                > numbers("linux-image-6.12.95+deb12-cloud-arm64")
        );
    }
}
