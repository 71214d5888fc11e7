//! Finds the binaries beside this one, and under cargo builds them first.

use crate::{Args, Error};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs of Fusebox.
#[derive(Debug, Clone)]
pub struct Bins(PathBuf);

impl Bins {
    /// The programs in `dir`.
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// One of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// `cargo run --bin fusebox-demo` builds one binary only, so the others are built here, in the
/// profile that this one was built in.
pub(crate) fn siblings(args: &Args) -> Result<Bins, Error> {
    let exe = std::env::current_exe().map_err(Error::io("finding this program"))?;
    let dir = exe.parent().map(Path::to_owned).unwrap_or_default();
    if let (Some(cargo), Some(manifest), false) = (
        std::env::var_os("CARGO"),
        std::env::var_os("CARGO_MANIFEST_DIR"),
        args.no_build,
    ) {
        let mut command = Command::new(cargo);
        command.args(["build", "--bins", "--quiet", "-p", "fusebox"]);
        if dir.file_name().is_some_and(|profile| profile == "release") {
            command.arg("--release");
        }
        // Cargo's own output goes to stderr; stdout belongs to the report.
        let status = command
            .current_dir(manifest)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let status = status.map_err(Error::io("starting cargo"))?;
        if !status.success() {
            return Err(Error::Build(status));
        }
    }
    let bins = Bins(dir);
    for name in [
        "fusebox",
        "fusebox-breaker",
        "fusebox-recorder",
        "fusebox-revoker",
        "fusebox-sim",
    ] {
        if !bins.path(name).is_file() {
            return Err(Error::NoBinary(bins.path(name)));
        }
    }
    Ok(bins)
}
