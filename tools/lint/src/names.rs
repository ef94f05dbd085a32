//! No type name means two things within a crate: a package's sources and its tests.

use std::collections::BTreeMap;

use crate::modules::Crate;

/// Names that two types of one package share.
pub(crate) fn duplicates(crates: &[Crate]) -> Vec<String> {
    let mut places: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for one in crates {
        for module in &one.modules {
            for name in &module.types {
                let files = places.entry((&one.package, name)).or_default();
                let file = module.file.display().to_string();
                // A file that two targets share is read twice.
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
    }
    let repeated = places.into_iter().filter(|(_, files)| files.len() > 1);
    repeated
        .map(|((package, name), files)| format!("{package}: {name} in {}", files.join(", ")))
        .collect()
}
