//! Debian's arm64 packages as parts of a machine: kernels, busybox and Xen.
//!
//! apt fetches and checks them, in a root of its own under `target/apt`: it reads the system's sources and keys, and
//! changes nothing of the system. What is wanted of a package is unpacked to `target/packages/<part>/` once; a part
//! that is there is used as it is, without the network.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::command;
use crate::{paths, tools};

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
    const fn folder(self) -> &'static str {
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
        paths::target().join("packages").join(self.folder()).join("file")
    }
}

/// Fetches the parts that are not there yet and gives the path of each, in the order asked for.
///
/// # Errors
/// When a package cannot be found, fetched or unpacked.
pub fn fetch(parts: &[Part]) -> Result<Vec<PathBuf>> {
    let mut absent: Vec<Part> = Vec::new();
    for part in parts {
        if !part.path().exists() && !absent.contains(part) {
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
    fn download(&self, packages: &[String]) -> Result<PathBuf> {
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

/// Takes the wanted file out of a downloaded package.
fn unpack(part: Part, package: &str, downloads: &Path) -> Result<()> {
    let start = format!("{package}_");
    let archives = std::fs::read_dir(downloads)?.flatten().map(|entry| entry.path());
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
    let archive =
        archives.into_iter().find(named).with_context(|| format!("apt-get left no file for {package}"))?;
    let scratch = downloads.join(part.folder());
    std::fs::create_dir_all(&scratch)?;
    let mut reader =
        command::new("dpkg-deb").arg("--fsys-tarfile").arg(&archive).stdout(Stdio::piped()).spawn()?;
    let tarball = reader.stdout.take().context("dpkg-deb has no output")?;
    let mut tar = command::new("tar");
    tar.args(["--extract", "--wildcards", "--no-same-owner"])
        .arg("--directory")
        .arg(&scratch)
        .arg(part.file());
    command::run(tar.stdin(tarball)).with_context(|| format!("cannot unpack {}", archive.display()))?;
    if !reader.wait()?.success() {
        bail!("dpkg-deb could not read {}", archive.display());
    }
    let inside = scratch.join(part.file().trim_start_matches("./")).parent().map(Path::to_path_buf);
    let mut files = std::fs::read_dir(inside.unwrap_or(scratch))?.flatten().map(|entry| entry.path());
    let file =
        files.find(|path| path.is_file()).with_context(|| format!("{package} has no {}", part.file()))?;
    let folder = part.path().parent().map(Path::to_path_buf).context("a part has no folder")?;
    std::fs::create_dir_all(&folder)?;
    let archive_name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::fs::write(folder.join("package"), archive_name)?;
    std::fs::rename(&file, part.path()).context("cannot keep what was unpacked")
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
