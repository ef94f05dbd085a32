//! Rules about a file as text: its length and the width of its lines.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A file is one idea. Most have 60 to 250 lines.
const MAX_LINES: usize = 400;

/// In characters, so that a line fits beside another one.
const MAX_COLUMNS: usize = 100;

/// Rust files with more than [`MAX_LINES`] lines.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn too_long(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| extension(file) == "rs") {
        let lines = read(file)?.lines().count();
        if lines > MAX_LINES {
            found.push(format!("{}: {lines} lines, {MAX_LINES} are allowed", file.display()));
        }
    }
    Ok(found)
}

/// Lines of code wider than [`MAX_COLUMNS`]. Lock files, checksums and prose are left out, and so
/// is a line whose excess is one word without a blank, which cannot be broken.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn too_wide(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| has_code(file)) {
        for (index, line) in read(file)?.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && !is_one_word(line) {
                found.push(format!("{}:{}: {columns} columns", file.display(), index + 1));
            }
        }
    }
    Ok(found)
}

fn has_code(file: &Path) -> bool {
    // Applied migrations never change: sqlx compares their checksums.
    let is_code = matches!(extension(file), "rs" | "sh" | "toml" | "Dockerfile" | "mjs");
    is_code || file.file_name().is_some_and(|name| name == "Makefile")
}

fn is_one_word(line: &str) -> bool {
    let words = line.trim_start().trim_start_matches(['/', '!', '#']).trim();
    !words.contains(' ')
}

fn extension(file: &Path) -> &str {
    file.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}
