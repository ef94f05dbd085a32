//! The order in which a generation becomes visible. Pure: a listing comes in, a list of steps goes
//! out.
//!
//! It is the order of kubelet's AtomicWriter, with two differences: the links of new names are made
//! before the swap, so that the swap shows them all at once, and the previous generation stays for
//! whoever is just opening one of its files.
//!
//! Whatever step a crash follows, every file that can be read is a whole one of the last generation
//! that was swapped in, and [`tidy`] leads back to order.

use contract::FileName;
use contract::layout::DATA_LINK;

use super::directory::{Entry, Kind};
use super::label::OWN;

/// Says that the application has not been told of the current generation yet.
pub(super) const RELOAD_MARK: &str = "..reload";
/// The trust bundle that came on the stream.
pub(super) const TRUST_FILE: &str = "..trust.pem";
/// Becomes [`DATA_LINK`].
pub(super) const DATA_TEMPORARY: &str = "..data_tmp";
/// Becomes the link of one file.
pub(super) const LINK_TEMPORARY: &str = "..link_tmp";
/// Becomes [`TRUST_FILE`].
pub(super) const TRUST_TEMPORARY: &str = "..trust_tmp";

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the generation's directory.
    MakeDirectory,
    /// Write one file into it.
    Write(FileName),
    /// Make the link through which applications find a file.
    Link(FileName),
    /// Note that the application is to be told.
    Mark,
    /// Make the link that will be swapped in.
    Point,
    /// Swap it in: from here on the generation is the current one.
    Swap,
    /// Remove a file or a link.
    RemoveFile(String),
    /// Remove a directory with what is in it.
    RemoveDirectory(String),
}

/// The steps up to the swap that makes a generation of the files `names` the current one.
pub(super) fn commit<'a>(
    names: impl Iterator<Item = &'a FileName> + Clone,
    root: &[Entry],
    mark: bool,
) -> Vec<Step> {
    let mut steps = vec![Step::MakeDirectory];
    steps.extend(names.clone().cloned().map(Step::Write));
    steps.extend(missing(names, root));
    steps.extend(mark.then_some(Step::Mark));
    steps.extend([Step::Point, Step::Swap]);
    steps
}

/// The steps that leave nothing in the volume but the generation `current` with the files `names`,
/// the generation `previous`, and what is not the agent's.
pub(super) fn tidy(
    names: &[FileName],
    root: &[Entry],
    current: Option<&str>,
    previous: Option<&str>,
) -> Vec<Step> {
    let mut steps: Vec<Step> = missing(names.iter(), root).collect();
    for Entry { name, kind } in root {
        let name_in = |names: &[&str]| names.contains(&name.as_str());
        // Without a generation there is nothing to lead to and nothing to tell.
        let kept = name_in(&[TRUST_FILE])
            || current.is_some_and(|current| name_in(&[DATA_LINK, RELOAD_MARK, current]))
            || previous.is_some_and(|previous| name_in(&[previous]));
        match kind {
            _ if kept => {}
            Kind::Directory if name.starts_with(OWN) => {
                steps.push(Step::RemoveDirectory(name.clone()))
            }
            _ if name.starts_with(OWN) => steps.push(Step::RemoveFile(name.clone())),
            Kind::Link(target)
                if *target == target_of(name)
                    && !names.iter().any(|known| known.as_str() == name) =>
            {
                steps.push(Step::RemoveFile(name.clone()));
            }
            _ => {}
        }
    }
    steps
}

/// Where the link of a file leads.
pub(super) fn target_of(name: &str) -> String {
    format!("{DATA_LINK}/{name}")
}

fn missing<'a>(
    names: impl Iterator<Item = &'a FileName>,
    root: &[Entry],
) -> impl Iterator<Item = Step> {
    names
        .filter(|name| {
            let there = root.iter().find(|entry| entry.name == name.as_str());
            !there.is_some_and(|entry| entry.kind == Kind::Link(target_of(name.as_str())))
        })
        .cloned()
        .map(Step::Link)
}

#[cfg(test)]
mod tests {
    use contract::SecretName;

    use super::*;

    fn file(name: &str) -> FileName {
        FileName::from(&name.parse::<SecretName>().unwrap())
    }

    fn link(name: &str) -> Entry {
        Entry { name: name.to_owned(), kind: Kind::Link(target_of(name)) }
    }

    fn entry(name: &str, kind: Kind) -> Entry {
        Entry { name: name.to_owned(), kind }
    }

    #[test]
    fn the_swap_is_last_and_only_new_names_are_linked() {
        let names = [file("A"), file("B")];
        let steps = commit(names.iter(), &[link("A"), entry("..1", Kind::Directory)], true);
        let expected = [
            Step::MakeDirectory,
            Step::Write(file("A")),
            Step::Write(file("B")),
            Step::Link(file("B")),
            Step::Mark,
            Step::Point,
            Step::Swap,
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_linked_anew() {
        let names = [file("A")];
        for kind in [
            Kind::File,
            Kind::Directory,
            Kind::Link("/etc/passwd".to_owned()),
            Kind::Link("..data/B".to_owned()),
        ] {
            assert!(
                commit(names.iter(), &[entry("A", kind)], false).contains(&Step::Link(file("A")))
            );
        }
    }

    #[test]
    fn tidying_removes_what_is_ours_and_not_in_use() {
        let root = [
            entry("..1", Kind::Directory),
            entry("..2", Kind::Directory),
            entry("..3", Kind::Directory),
            entry("..data", Kind::Link("..3".to_owned())),
            entry("..data_tmp", Kind::Link("..4".to_owned())),
            entry("..reload", Kind::File),
            entry("..trust.pem", Kind::File),
            entry("..trust_tmp", Kind::File),
            link("A"),
            link("GONE"),
            entry("foreign", Kind::File),
            entry("foreign-link", Kind::Link("elsewhere".to_owned())),
            entry("kubernetes.io", Kind::Directory),
        ];
        let remove = |name: &str| Step::RemoveFile(name.to_owned());
        let steps = tidy(&[file("A"), file("NEW")], &root, Some("..3"), Some("..2"));
        let expected = [
            Step::Link(file("NEW")),
            Step::RemoveDirectory("..1".to_owned()),
            remove("..data_tmp"),
            remove("..trust_tmp"),
            remove("GONE"),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_link_to_a_generation_that_is_gone_goes_too() {
        let root = [
            entry("..data", Kind::Link("..3".to_owned())),
            entry("..reload", Kind::File),
            link("A"),
        ];
        let expected = ["..data", "..reload", "A"].map(|name| Step::RemoveFile(name.to_owned()));
        assert_eq!(tidy(&[], &root, None, None), expected);
    }
}
