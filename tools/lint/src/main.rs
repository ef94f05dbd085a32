//! `enclii-lint`: the house rules that rustfmt and clippy do not know.
//!
//! Reads the files that git tracks and the workspace's manifests; writes nothing. Each rule is a
//! module with one function that returns what breaks it, a line each.

mod architecture;
mod circles;
mod files;
mod modules;
mod names;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use workspace::Workspace;

/// A rule's name, what to do about a line that breaks it, and the lines.
type Verdict = (&'static str, &'static str, Vec<String>);

fn main() -> Result<ExitCode> {
    let workspace = Workspace::load().context("read the workspace")?;
    let tracked = workspace.tracked_files().context("list tracked files")?;
    let crates = modules::parse(&workspace).context("parse the workspace")?;
    let rules: [Verdict; 5] = [
        ("file sizes", "cut the file where the idea changes", files::too_long(&tracked)?),
        ("columns", "break the line", files::too_wide(&tracked)?),
        ("type names", "give each type its own name", names::duplicates(&crates)),
        ("import circles", "move the shared item to a third module", circles::find(&crates)),
        (
            "crate imports",
            "a crate imports what ARCHITECTURE.md says, and no more",
            architecture::violations(&workspace)?,
        ),
    ];
    let mut err = std::io::stderr().lock();
    let mut code = ExitCode::SUCCESS;
    for (rule, advice, lines) in &rules {
        if !lines.is_empty() {
            code = ExitCode::FAILURE;
            writeln!(err, "{rule}: {advice}")?;
            for line in lines {
                writeln!(err, "  {line}")?;
            }
        }
    }
    Ok(code)
}
