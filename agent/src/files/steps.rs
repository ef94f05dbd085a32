//! The order in which a generation becomes visible. Pure: turns a directory listing into steps.
//!
//! It is the order of kubelet's AtomicWriter, with two differences. The links of new names are
//! created before the swap, so that the swap makes them all visible at once. And the previous
//! generation stays for a while, for readers that are just opening one of its files.
//!
//! After a crash at any step, every readable file is a complete file of the last generation that
//! was swapped in, and [`repair_steps`] removes the rest.

use contract::FileName;
use contract::layout::{DATA_LINK, ENV_DIRECTORY};

use super::directory::{Entry, EntryKind};
use super::generation_name::AGENT_PREFIX;

/// Exists while the application still has to reload for the current generation.
pub(super) const RELOAD_PENDING_FILE: &str = "..reload";
/// Names the generation with which kubelet restarts the containers: written right before the agent
/// exits for that.
pub(super) const RESTART_FILE: &str = "..restart";
/// Renamed to [`RESTART_FILE`].
pub(super) const RESTART_TEMPORARY: &str = "..restart_tmp";
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
    /// Write one file into it.
    WriteFile(FileName),
    /// Create the directory of the variables' files in it.
    CreateEnvDirectory,
    /// Write the file of one variable into that.
    WriteEnvFile(FileName),
    /// Create the link through which applications find a file.
    LinkFile(FileName),
    /// Create the link through which kubelet finds the variables' files.
    LinkEnvDirectory,
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

/// The steps that publish a generation with the files `names` and the variables `env`, up to the
/// swap.
pub(super) fn publish_steps<'a>(
    names: impl Iterator<Item = &'a FileName> + Clone,
    env: impl Iterator<Item = &'a FileName>,
    listing: &[Entry],
    set_reload_pending: bool,
) -> Vec<VolumeStep> {
    let mut steps = vec![VolumeStep::CreateDirectory];
    steps.extend(names.clone().cloned().map(VolumeStep::WriteFile));
    let env: Vec<_> = env.cloned().map(VolumeStep::WriteEnvFile).collect();
    let has_env = !env.is_empty();
    steps.extend(has_env.then_some(VolumeStep::CreateEnvDirectory));
    steps.extend(env);
    steps.extend(missing_links(names, listing));
    steps.extend(missing_env_link(has_env, listing));
    steps.extend(set_reload_pending.then_some(VolumeStep::SetReloadPending));
    steps.extend([VolumeStep::CreateDataLink, VolumeStep::SwapDataLink]);
    steps
}

/// The steps that remove everything of the agent's from the volume except the generation `current`
/// with the files `names` and perhaps variables, and the generation `previous`.
pub(super) fn repair_steps(
    (names, has_env): (&[FileName], bool),
    listing: &[Entry],
    current: Option<&str>,
    previous: Option<&str>,
) -> Vec<VolumeStep> {
    let mut steps: Vec<VolumeStep> = missing_links(names.iter(), listing).collect();
    steps.extend(missing_env_link(has_env, listing));
    for Entry { name, kind } in listing {
        let name_in = |names: &[&str]| names.contains(&name.as_str());
        // Without a current generation, the data link and a pending reload are meaningless.
        let kept = name_in(&[TRUST_BUNDLE_FILE])
            || current.is_some_and(|current| {
                name_in(&[DATA_LINK, RELOAD_PENDING_FILE, RESTART_FILE, current])
            })
            || previous.is_some_and(|previous| name_in(&[previous]));
        match kind {
            _ if kept => {}
            EntryKind::Directory if name.starts_with(AGENT_PREFIX) => {
                steps.push(VolumeStep::RemoveDirectory(name.clone()))
            }
            _ if name.starts_with(AGENT_PREFIX) => steps.push(VolumeStep::RemoveFile(name.clone())),
            EntryKind::Symlink(target)
                if *target == link_target(name)
                    && !(has_env && name == ENV_DIRECTORY)
                    && !names.iter().any(|current| current.as_str() == name) =>
            {
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
    names: impl Iterator<Item = &'a FileName>,
    listing: &[Entry],
) -> impl Iterator<Item = VolumeStep> {
    names
        .filter(|name| {
            let existing = listing.iter().find(|entry| entry.name == name.as_str());
            !existing
                .is_some_and(|entry| entry.kind == EntryKind::Symlink(link_target(name.as_str())))
        })
        .cloned()
        .map(VolumeStep::LinkFile)
}

fn missing_env_link(has_env: bool, listing: &[Entry]) -> Option<VolumeStep> {
    let is_link = |entry: &Entry| {
        entry.name == ENV_DIRECTORY && entry.kind == EntryKind::Symlink(link_target(ENV_DIRECTORY))
    };
    (has_env && !listing.iter().any(is_link)).then_some(VolumeStep::LinkEnvDirectory)
}

#[cfg(test)]
mod tests {
    use contract::SecretName;

    use super::*;

    fn file(name: &str) -> FileName {
        FileName::from(&name.parse::<SecretName>().unwrap())
    }

    fn link(name: &str) -> Entry {
        Entry { name: name.to_owned(), kind: EntryKind::Symlink(link_target(name)) }
    }

    fn entry(name: &str, kind: EntryKind) -> Entry {
        Entry { name: name.to_owned(), kind }
    }

    #[test]
    fn the_swap_is_last_and_only_new_names_are_linked() {
        let names = [file("A"), file("B")];
        let steps = publish_steps(
            names.iter(),
            [].iter(),
            &[link("A"), entry("..1", EntryKind::Directory)],
            true,
        );
        let expected = [
            VolumeStep::CreateDirectory,
            VolumeStep::WriteFile(file("A")),
            VolumeStep::WriteFile(file("B")),
            VolumeStep::LinkFile(file("B")),
            VolumeStep::SetReloadPending,
            VolumeStep::CreateDataLink,
            VolumeStep::SwapDataLink,
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_name_that_is_not_the_right_link_is_linked_again() {
        let names = [file("A")];
        for kind in [
            EntryKind::File,
            EntryKind::Directory,
            EntryKind::Symlink("/etc/passwd".to_owned()),
            EntryKind::Symlink("..data/B".to_owned()),
        ] {
            assert!(
                publish_steps(names.iter(), [].iter(), &[entry("A", kind)], false)
                    .contains(&VolumeStep::LinkFile(file("A")))
            );
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
            link("A"),
            link("GONE"),
            entry("foreign", EntryKind::File),
            entry("foreign-link", EntryKind::Symlink("elsewhere".to_owned())),
            entry("kubernetes.io", EntryKind::Directory),
        ];
        let remove = |name: &str| VolumeStep::RemoveFile(name.to_owned());
        let steps =
            repair_steps((&[file("A"), file("NEW")], false), &listing, Some("..3"), Some("..2"));
        let expected = [
            VolumeStep::LinkFile(file("NEW")),
            VolumeStep::RemoveDirectory("..1".to_owned()),
            remove("..data_tmp"),
            remove("..restart_tmp"),
            remove("..trust_tmp"),
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
        assert_eq!(repair_steps((&[], false), &listing, None, None), expected);
    }

    #[test]
    fn the_directory_of_variables_is_linked_once_and_removed_when_unused() {
        let env = [file("A")];
        let steps = publish_steps(env.iter(), env.iter(), &[link("A")], false);
        let expected = [
            VolumeStep::CreateDirectory,
            VolumeStep::WriteFile(file("A")),
            VolumeStep::CreateEnvDirectory,
            VolumeStep::WriteEnvFile(file("A")),
            VolumeStep::LinkEnvDirectory,
            VolumeStep::CreateDataLink,
            VolumeStep::SwapDataLink,
        ];
        assert_eq!(steps, expected);
        let listing = [link(".env")];
        assert!(
            !publish_steps(env.iter(), env.iter(), &listing, false)
                .contains(&VolumeStep::LinkEnvDirectory)
        );
        assert_eq!(repair_steps((&[], true), &listing, Some("..1"), None), []);
        assert_eq!(
            repair_steps((&[], true), &[], Some("..1"), None),
            [VolumeStep::LinkEnvDirectory]
        );
        assert_eq!(
            repair_steps((&[], false), &listing, Some("..1"), None),
            [VolumeStep::RemoveFile(".env".to_owned())]
        );
    }
}
