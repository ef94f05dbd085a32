//! No two sibling modules import each other, directly or around.
//!
//! Whatever stands below a module counts as that module: where `api::secrets` imports from
//! `stream`, and `stream::connection` from `api`, the two are a circle. A parent and its own child
//! are not.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::Crate;

/// Which sibling modules import which, by their parent.
type Imports = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

/// The circles of every crate, a line each.
pub(crate) fn find(crates: &[Crate]) -> Vec<String> {
    let mut found = Vec::new();
    for one in crates {
        for (parent, siblings) in imports(one) {
            for circle in components(&siblings) {
                let place = [vec![one.name.clone()], parent.clone()].concat().join("::");
                found.push(format!("{} ({place}): {}", one.package, circle.join(" ↔ ")));
            }
        }
    }
    found
}

fn imports(one: &Crate) -> Imports {
    let known: BTreeSet<&[String]> = one.modules.iter().map(|module| &*module.path).collect();
    let mut imports = Imports::new();
    for module in &one.modules {
        for mention in &module.mentions {
            // What is mentioned is an item; its module is the longest prefix that is one.
            let module_of = (0..=mention.len()).rev().map(|end| &mention[..end]);
            let Some(to) = module_of.into_iter().find(|path| known.contains(path)) else {
                continue;
            };
            let shared = module.path.iter().zip(to).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.path.get(shared), to.get(shared)) {
                let siblings = imports.entry(module.path[..shared].to_vec()).or_default();
                siblings.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    imports
}

/// The sets of modules that can each be reached from the others, in order.
fn components(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|from| (&**from, reachable(imports, from))).collect();
    let mut found: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (from, reached) in &reach {
        let back = |to: &&&str| reach.get(**to).is_some_and(|there| there.contains(from));
        let circle: BTreeSet<&str> = reached.iter().filter(back).copied().collect();
        if circle.len() > 1 {
            found.insert(circle.into_iter().collect());
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(
    imports: &'a BTreeMap<String, BTreeSet<String>>,
    from: &'a str,
) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        let new = imports.get(at).into_iter().flatten().map(|to| &**to);
        for to in new {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::modules::Module;

    fn one(modules: &[(&str, &[&str])]) -> Crate {
        let path = |text: &str| -> Vec<String> {
            text.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let modules = modules.iter().map(|(name, mentions)| Module {
            path: path(name),
            file: PathBuf::new(),
            types: Vec::new(),
            mentions: mentions.iter().map(|mention| path(mention)).collect(),
        });
        Crate { package: "p".to_owned(), name: "c".to_owned(), modules: modules.collect() }
    }

    #[test]
    fn a_line_is_not_a_circle() {
        assert!(
            find(&[one(&[("", &[]), ("a", &["b::X"]), ("b", &["c::Y"]), ("c", &[])])]).is_empty()
        );
    }

    #[test]
    fn siblings_that_import_each_other_are_a_circle() {
        let found = find(&[one(&[("a", &["b::X"]), ("b", &["a::Y"])])]);
        assert_eq!(found, ["p (c): a ↔ b"]);
    }

    #[test]
    fn a_circle_may_go_around_and_through_children() {
        let modules: &[(&str, &[&str])] = &[
            ("a", &[]),
            ("a::x", &["b::X"]),
            ("b", &["c::z::Z"]),
            ("c", &[]),
            ("c::z", &["a::A"]),
        ];
        assert_eq!(find(&[one(modules)]), ["p (c): a ↔ b ↔ c"]);
    }

    #[test]
    fn children_of_one_parent_are_compared_below_it() {
        let modules: &[(&str, &[&str])] =
            &[("a", &["a::x::X"]), ("a::x", &["a::A", "a::y::Y"]), ("a::y", &["a::x::X"])];
        assert_eq!(find(&[one(modules)]), ["p (c::a): x ↔ y"]);
    }
}
