//! Which crate may import which: the table in ARCHITECTURE.md, held against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// The heading of the table's last column.
const COLUMN: &str = "may import";

/// What a pure crate does without: clocks, sockets, files, processes and the libraries with them.
const IMPURE: [&str; 13] = [
    "axum",
    "hyper",
    "hyper-util",
    "kube",
    "k8s-openapi",
    "notify",
    "rcgen",
    "reqwest",
    "rusqlite",
    "rustix",
    "sqlx",
    "tokio",
    "tokio-rustls",
];

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    may_import: BTreeSet<String>,
    is_pure: bool,
}

/// Crates that import what the table does not allow, or that the table does not know.
///
/// # Errors
/// If ARCHITECTURE.md cannot be read or has no such table.
pub(crate) fn violations(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace.root.join("ARCHITECTURE.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let rooms = rooms(&text)?;
    let mut found = Vec::new();
    for package in &workspace.packages {
        let name = short(&package.name);
        let Some(room) = rooms.get(name) else {
            found.push(format!("{name}: ARCHITECTURE.md has no row for it"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|one| one.kind.is_none()) {
            let import = short(&dependency.name);
            if dependency.path.is_some() && !room.may_import.contains(import) {
                found.push(format!("{name}: imports {import}"));
            }
            if room.is_pure && IMPURE.contains(&import) {
                found.push(format!("{name}: is pure and imports {import}"));
            }
        }
    }
    let known: BTreeSet<&str> = workspace.packages.iter().map(|one| short(&one.name)).collect();
    let unknown = rooms.keys().filter(|name| !known.contains(&***name));
    found.extend(unknown.map(|name| format!("{name}: ARCHITECTURE.md has a row for no crate")));
    Ok(found)
}

/// `contract` for `enclii-contract`; the command line's package is `enclii`.
fn short(package: &str) -> &str {
    match package {
        "enclii" => "cli",
        other => other.strip_prefix("enclii-").unwrap_or(other),
    }
}

fn rooms(text: &str) -> Result<BTreeMap<String, Room>> {
    let mut rows =
        text.lines().skip_while(|line| !line.trim_end().ends_with(&format!("{COLUMN} |")));
    if rows.next().is_none() {
        bail!("find the table with the column '{COLUMN}' in ARCHITECTURE.md");
    }
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    Ok(rows.filter_map(room).collect())
}

fn room(row: &str) -> Option<(String, Room)> {
    let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [name, what, imports] = cells.as_slice() else { return None };
    let words = |cell: &str| -> BTreeSet<String> {
        cell.split(',').map(|word| word.trim().trim_matches('`').to_owned()).collect()
    };
    let may_import = words(imports);
    Some((
        name.trim_matches('`').to_owned(),
        Room { may_import, is_pure: what.ends_with("Pure") || what.contains("Pure.") },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_name_and_its_imports() {
        let table = "\
            | crate | what is in it | may import |\n\
            | --- | --- | --- |\n\
            | `contract` | annotations. Pure | – |\n\
            | `webhook` | the server | `contract`, `certs` |\n\
            \n\
            | other | table |\n";
        let rooms = rooms(table).expect("a table");
        assert_eq!(rooms.len(), 2);
        assert!(rooms["contract"].is_pure && !rooms["webhook"].is_pure);
        assert!(rooms["webhook"].may_import.contains("certs"));
    }

    #[test]
    fn a_page_without_the_table_is_an_error() {
        assert!(rooms("# Architecture\n").is_err());
    }
}
