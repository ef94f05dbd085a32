//! The workspace as `cargo metadata` and git describe it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The members of the workspace and where it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Its members.
    pub(crate) packages: Vec<Package>,
}

/// One member.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// The package's name, as in its manifest.
    pub(crate) name: String,
    /// Everything it depends on, by any kind of dependency.
    pub(crate) dependencies: Vec<Dependency>,
    /// What it builds.
    pub(crate) targets: Vec<Target>,
}

/// A dependency of a member.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The folder, for a member of this workspace.
    pub(crate) path: Option<PathBuf>,
}

/// A library, a binary, a test or a build script.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    /// The target's name.
    pub(crate) name: String,
    /// The file with its root module.
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// If cargo cannot read the workspace.
    pub(crate) fn load() -> Result<Self> {
        let metadata = run("cargo", &["metadata", "--format-version=1", "--no-deps", "--locked"])?;
        serde_json::from_slice(&metadata).context("parse cargo's metadata")
    }

    /// The files that git tracks or would track, relative to the root.
    ///
    /// # Errors
    /// If git fails, or knows no file: a check of nothing is no check.
    pub(crate) fn tracked_files(&self) -> Result<Vec<PathBuf>> {
        let root = self.root.to_string_lossy();
        let list = ["-C", &root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let names = String::from_utf8(run("git", &list)?).context("read git's file names")?;
        let files: BTreeSet<_> = names.split_terminator('\0').map(PathBuf::from).collect();
        let files: Vec<_> =
            files.into_iter().filter(|file| self.root.join(file).exists()).collect();
        ensure!(!files.is_empty(), "git tracks no file");
        Ok(files)
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Ok(output.stdout)
}
