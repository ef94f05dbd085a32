//! Which of the Injector's annotations a key is.

use super::table::{ANNOTATIONS, AnnotationForm, PREFIX, VaultAnnotation};

/// A key of the Injector's and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundAnnotation<'p> {
    /// The key as written.
    pub(super) key: &'p str,
    /// The annotation.
    pub(super) annotation: &'static VaultAnnotation,
    /// The name of the file, if the key ends with one.
    pub(super) file: Option<&'p str>,
    /// The value.
    pub(super) value: &'p str,
}

/// The annotation of a key; `None` if there is no such.
pub(super) fn find<'p>(key: &'p str, value: &'p str) -> Option<FoundAnnotation<'p>> {
    let name = key.strip_prefix(PREFIX)?;
    let file = |it: &VaultAnnotation| {
        let rest = name.strip_prefix(it.name)?;
        match rest.strip_prefix('-') {
            None if rest.is_empty() && it.form != AnnotationForm::File => Some(None),
            Some(file) if !file.is_empty() && it.form != AnnotationForm::Pod => Some(Some(file)),
            _ => None,
        }
    };
    // The longest name counts, as `agent-inject-template-file-x` is no template of `file-x`.
    let found = ANNOTATIONS.iter().filter_map(|it| Some((it, file(it)?)));
    let (annotation, file) = found.max_by_key(|(it, _)| it.name.len())?;
    Some(FoundAnnotation { key, annotation, file, value })
}

/// A boolean as Go's tools read one. An empty one is false.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        for (key, expected) in [
            ("agent-inject", Some(("agent-inject", None))),
            ("agent-inject-secret-db-creds", Some(("agent-inject-secret", Some("db-creds")))),
            ("agent-inject-secret", None),
            ("agent-inject-secret-", None),
            ("agent-inject-template-file-x", Some(("agent-inject-template-file", Some("x")))),
            ("agent-inject-template-files", Some(("agent-inject-template", Some("files")))),
            ("secret-volume-path", Some(("secret-volume-path", None))),
            ("secret-volume-path-db", Some(("secret-volume-path", Some("db")))),
            ("agent-telemetry-prefix_filter", Some(("agent-telemetry", Some("prefix_filter")))),
            ("role", Some(("role", None))),
            ("role-x", None),
        ] {
            let key = format!("{PREFIX}{key}");
            let found = find(&key, "").map(|it| (it.annotation.name, it.file));
            assert_eq!(found, expected, "{key}");
        }
        assert!(find("enclii.io/secrets", "").is_none());
    }

    #[test]
    fn each_name_is_in_the_table_once() {
        let mut names: Vec<_> = ANNOTATIONS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ANNOTATIONS.len());
    }
}
