//! The order in which a generation becomes visible. Pure: turns a directory listing into steps.
//!
//! It is the order of kubelet's AtomicWriter, with two differences. The links of new names are
//! created before the swap, so that the swap makes them all visible at once. And the previous
//! generation stays for a while, for readers that are just opening one of its files.
//!
//! After a crash at any step, every readable file is a complete file of the last generation that
//! was swapped in, and [`repair_steps`] removes the rest.

use std::collections::BTreeSet;

use contract::FilePath;
use contract::layout::DATA_LINK;

use super::directory::{Entry, EntryKind};
use super::generation_name::AGENT_PREFIX;

/// Exists while the application still has to reload for the current generation.
pub(super) const RELOAD_PENDING_FILE: &str = "..reload";
/// Names the generation with which kubelet restarts the containers: written right before the agent
/// exits for that.
pub(super) const RESTART_FILE: &str = "..restart";
/// Renamed to [`RESTART_FILE`].
pub(super) const RESTART_TEMPORARY: &str = "..restart_tmp";
/// Names the last generation that is known to work, while it is not the current one.
pub(super) const PROVEN_FILE: &str = "..proven";
/// Renamed to [`PROVEN_FILE`].
pub(super) const PROVEN_TEMPORARY: &str = "..proven_tmp";
/// The generations that failed a check.
pub(super) const REFUSED_FILE: &str = "..refused";
/// Renamed to [`REFUSED_FILE`].
pub(super) const REFUSED_TEMPORARY: &str = "..refused_tmp";
/// Exists once the reload's signal has ended the application.
pub(super) const FATAL_SIGNAL_FILE: &str = "..fatal_signal";
/// What `enclii-agent status` prints.
pub(super) const STATUS_FILE: &str = "..status";
/// Renamed to [`STATUS_FILE`].
pub(super) const STATUS_TEMPORARY: &str = "..status_tmp";
/// The trust bundle that the server sent last.
pub(super) const TRUST_BUNDLE_FILE: &str = "..trust.pem";
/// Renamed to [`DATA_LINK`].
pub(super) const DATA_LINK_TEMPORARY: &str = "..data_tmp";
/// Renamed to the link of one file.
pub(super) const FILE_LINK_TEMPORARY: &str = "..link_tmp";
/// Renamed to [`TRUST_BUNDLE_FILE`].
pub(super) const TRUST_BUNDLE_TEMPORARY: &str = "..trust_tmp";

/// One change of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VolumeStep {
    /// Create the generation's directory.
    CreateDirectory,
    /// Create a directory in it.
    CreateSubdirectory(FilePath),
    /// Write one file into it, or make one link.
    Write(FilePath),
    /// Create the link through which applications find a file, or a directory of files.
    Link(String),
    /// Record that the application has to reload.
    SetReloadPending,
    /// Create the link that will be swapped in.
    CreateDataLink,
    /// Swap it in, which makes the generation the current one.
    SwapDataLink,
    /// Remove a file or a link.
    RemoveFile(String),
    /// Remove a directory and its content.
    RemoveDirectory(String),
}

/// The steps that publish a generation with these paths, in their order, up to the swap.
pub(super) fn publish_steps<'a>(
    paths: impl Iterator<Item = &'a FilePath> + Clone,
    listing: &[Entry],
    set_reload_pending: bool,
) -> Vec<VolumeStep> {
    let mut steps = vec![VolumeStep::CreateDirectory];
    let mut directories = BTreeSet::new();
    for path in paths.clone() {
        for parent in path.parents() {
            if directories.insert(parent.clone()) {
                steps.push(VolumeStep::CreateSubdirectory(parent));
            }
        }
        steps.push(VolumeStep::Write(path.clone()));
    }
    let names: BTreeSet<&str> = paths.map(FilePath::first).collect();
    steps.extend(missing_links(names.into_iter(), listing));
    steps.extend(set_reload_pending.then_some(VolumeStep::SetReloadPending));
    steps.extend([VolumeStep::CreateDataLink, VolumeStep::SwapDataLink]);
    steps
}

/// The steps that make a generation with the entries `names` the current one, whose files are there
/// already.
pub(super) fn restore_steps(
    names: &[String],
    listing: &[Entry],
    set_reload_pending: bool,
) -> Vec<VolumeStep> {
    let mut steps: Vec<VolumeStep> =
        missing_links(names.iter().map(String::as_str), listing).collect();
    steps.extend(set_reload_pending.then_some(VolumeStep::SetReloadPending));
    steps.extend([VolumeStep::CreateDataLink, VolumeStep::SwapDataLink]);
    steps
}

/// The steps that remove everything of the agent's from the volume except the generation `current`
/// with the entries `names`, and the generations `others`.
pub(super) fn repair_steps(
    names: &[String],
    listing: &[Entry],
    current: Option<&str>,
    others: &[&str],
) -> Vec<VolumeStep> {
    let mut steps: Vec<VolumeStep> =
        missing_links(names.iter().map(String::as_str), listing).collect();
    for Entry { name, kind } in listing {
        let name_in = |names: &[&str]| names.contains(&name.as_str());
        // Without a current generation, the data link and a pending reload are meaningless.
        let kept = name_in(&[TRUST_BUNDLE_FILE, REFUSED_FILE, FATAL_SIGNAL_FILE, STATUS_FILE])
            || current.is_some_and(|current| {
                name_in(&[DATA_LINK, RELOAD_PENDING_FILE, RESTART_FILE, PROVEN_FILE, current])
            })
            || name_in(others);
        match kind {
            _ if kept => {}
            EntryKind::Directory if name.starts_with(AGENT_PREFIX) => {
                steps.push(VolumeStep::RemoveDirectory(name.clone()))
            }
            _ if name.starts_with(AGENT_PREFIX) => steps.push(VolumeStep::RemoveFile(name.clone())),
            EntryKind::Symlink(target) if *target == link_target(name) && !names.contains(name) => {
                steps.push(VolumeStep::RemoveFile(name.clone()));
            }
            _ => {}
        }
    }
    steps
}

/// The target of the link of a file.
pub(super) fn link_target(name: &str) -> String {
    format!("{DATA_LINK}/{name}")
}

fn missing_links<'a>(
    names: impl Iterator<Item = &'a str>,
    listing: &[Entry],
) -> impl Iterator<Item = VolumeStep> {
    let is_missing = |name: &&str| {
        let existing = listing.iter().find(|entry| entry.name == **name);
        !existing.is_some_and(|entry| entry.kind == EntryKind::Symlink(link_target(name)))
    };
    names.filter(is_missing).map(|name| VolumeStep::Link(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FilePath {
        text.parse().unwrap()
    }

    fn link_step(name: &str) -> VolumeStep {
        VolumeStep::Link(name.to_owned())
    }

    fn link(name: &str) -> Entry {
        Entry { name: name.to_owned(), kind: EntryKind::Symlink(link_target(name)) }
    }

    fn entry(name: &str, kind: EntryKind) -> Entry {
        Entry { name: name.to_owned(), kind }
    }

    #[test]
    fn the_swap_is_last_and_only_new_names_are_linked() {
        let paths = [path("A"), path("B")];
        let listing = [link("A"), entry("..1", EntryKind::Directory)];
        let expected = [
            VolumeStep::CreateDirectory,
            VolumeStep::Write(path("A")),
            VolumeStep::Write(path("B")),
            link_step("B"),
            VolumeStep::SetReloadPending,
            VolumeStep::CreateDataLink,
            VolumeStep::SwapDataLink,
        ];
        assert_eq!(publish_steps(paths.iter(), &listing, true), expected);
    }

    #[test]
    fn a_name_that_is_not_the_right_link_is_linked_again() {
        let paths = [path("A")];
        for kind in [
            EntryKind::File,
            EntryKind::Directory,
            EntryKind::Symlink("/etc/passwd".to_owned()),
            EntryKind::Symlink("..data/B".to_owned()),
        ] {
            let steps = publish_steps(paths.iter(), &[entry("A", kind)], false);
            assert!(steps.contains(&link_step("A")));
        }
    }

    #[test]
    fn repair_removes_unused_names_of_the_agent_and_nothing_else() {
        let listing = [
            entry("..1", EntryKind::Directory),
            entry("..2", EntryKind::Directory),
            entry("..3", EntryKind::Directory),
            entry("..data", EntryKind::Symlink("..3".to_owned())),
            entry("..data_tmp", EntryKind::Symlink("..4".to_owned())),
            entry("..reload", EntryKind::File),
            entry("..restart", EntryKind::File),
            entry("..restart_tmp", EntryKind::File),
            entry("..trust.pem", EntryKind::File),
            entry("..trust_tmp", EntryKind::File),
            entry("..proven", EntryKind::File),
            entry("..proven_tmp", EntryKind::File),
            entry("..refused", EntryKind::File),
            entry("..refused_tmp", EntryKind::File),
            entry("..fatal_signal", EntryKind::File),
            link("A"),
            link("GONE"),
            entry("foreign", EntryKind::File),
            entry("foreign-link", EntryKind::Symlink("elsewhere".to_owned())),
            entry("kubernetes.io", EntryKind::Directory),
        ];
        let remove = |name: &str| VolumeStep::RemoveFile(name.to_owned());
        let names = ["A", "NEW"].map(str::to_owned);
        let steps = repair_steps(&names, &listing, Some("..3"), &["..2"]);
        let expected = [
            link_step("NEW"),
            VolumeStep::RemoveDirectory("..1".to_owned()),
            remove("..data_tmp"),
            remove("..restart_tmp"),
            remove("..trust_tmp"),
            remove("..proven_tmp"),
            remove("..refused_tmp"),
            remove("GONE"),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn without_a_generation_every_link_is_removed() {
        let listing = [
            entry("..data", EntryKind::Symlink("..3".to_owned())),
            entry("..reload", EntryKind::File),
            link("A"),
        ];
        let expected =
            ["..data", "..reload", "A"].map(|name| VolumeStep::RemoveFile(name.to_owned()));
        assert_eq!(repair_steps(&[], &listing, None, &[]), expected);
    }

    #[test]
    fn a_directory_is_made_and_linked_once_and_its_link_removed_when_unused() {
        let paths = [path(".env/A"), path(".env/B"), path("A"), path("d/e/f"), path("d/g")];
        let steps = publish_steps(paths.iter(), &[link("A")], false);
        let expected = [
            VolumeStep::CreateDirectory,
            VolumeStep::CreateSubdirectory(path(".env")),
            VolumeStep::Write(path(".env/A")),
            VolumeStep::Write(path(".env/B")),
            VolumeStep::Write(path("A")),
            VolumeStep::CreateSubdirectory(path("d")),
            VolumeStep::CreateSubdirectory(path("d/e")),
            VolumeStep::Write(path("d/e/f")),
            VolumeStep::Write(path("d/g")),
            link_step(".env"),
            link_step("d"),
            VolumeStep::CreateDataLink,
            VolumeStep::SwapDataLink,
        ];
        assert_eq!(steps, expected);
        let (env, listing) = ([".env".to_owned()], [link(".env")]);
        assert!(!publish_steps(paths.iter(), &listing, false).contains(&link_step(".env")));
        assert_eq!(repair_steps(&env, &listing, Some("..1"), &[]), []);
        assert_eq!(repair_steps(&env, &[], Some("..1"), &[]), [link_step(".env")]);
        assert_eq!(
            repair_steps(&[], &listing, Some("..1"), &[]),
            [VolumeStep::RemoveFile(".env".to_owned())]
        );
    }
}
