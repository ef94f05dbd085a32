//! What one generation holds, by path.

use std::collections::BTreeMap;

use contract::layout::ENV_DIRECTORY;
use contract::{FilePath, Redacted};

use crate::plan::{DesiredFiles, VolumeContents, VolumeFile};

/// The files and links of a generation.
pub(super) type Tree<'d> = BTreeMap<FilePath, Node<'d>>;

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node<'d> {
    /// A file.
    File { bytes: &'d Redacted, mode: u32 },
    /// A link to a file of the same generation. Holds its target.
    Link(String),
}

/// The tree of the secrets' files: they, what kubelet reads as variables, and the links at other
/// paths.
pub(super) fn of_files(desired: &DesiredFiles, mode: u32) -> Tree<'_> {
    let file = |bytes| Node::File { bytes, mode };
    let files = desired.files.iter().map(|(name, bytes)| (FilePath::from(name), file(bytes)));
    let variables = desired.env.iter().filter_map(|(name, bytes)| {
        // The name of a directory and that of a file are a path.
        let path = format!("{ENV_DIRECTORY}/{}", name.as_str()).parse::<FilePath>().ok()?;
        Some((path, file(bytes)))
    });
    let links = desired.paths.iter().map(|(path, name)| {
        let up = "../".repeat(path.parents().count());
        (path.clone(), Node::Link(format!("{up}{}", name.as_str())))
    });
    files.chain(variables).chain(links).collect()
}

/// The tree of another volume.
pub(super) fn of_volume(contents: &VolumeContents) -> Tree<'_> {
    let mut tree = Tree::new();
    for (path, VolumeFile { bytes, mode }) in contents {
        tree.insert(path.clone(), Node::File { bytes, mode: *mode });
    }
    tree
}
