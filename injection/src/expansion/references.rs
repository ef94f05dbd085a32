//! The variables that a text refers to: as kubelet reads it, and as a shell does.

/// The names that a text refers to, by the rules of Kubernetes' `third_party/forked/golang/
/// expansion`: `$(NAME)` is a reference, `$$` is an escaped dollar, and anything else is literal.
pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let after = &rest[rest.find('$')? + 1..];
            if let Some(escaped) = after.strip_prefix('$') {
                rest = escaped;
            } else if let Some(inner) = after.strip_prefix('(') {
                // Without an end there is no further reference either. Looking for the end of each
                // would take quadratic time.
                let (name, tail) = inner.split_once(')')?;
                rest = tail;
                return Some(name);
            } else {
                rest = after;
            }
        }
    })
}

/// The names that a shell replaces in a text: `$NAME` and `${NAME…}`. Quotes are not looked at, so
/// some of them may be literal.
pub(super) fn shell_names(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|after| {
        let inner = after.strip_prefix('{').unwrap_or(after);
        // The length of a value is none of it, but needs the variable all the same.
        let inner = inner.strip_prefix('#').unwrap_or(inner);
        let end = inner.find(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        Some(&inner[..end.unwrap_or(inner.len())]).filter(|name| !name.is_empty())
    })
}

/// Whether a command hands a text to a shell: one of its words is an option such as `-c` or `-ec`.
pub(super) fn runs_shell<'w>(mut words: impl Iterator<Item = &'w str>) -> bool {
    words.any(|word| {
        let letters = word.strip_prefix('-').and_then(|rest| rest.strip_suffix('c'));
        letters.is_some_and(|it| it.len() < 8 && it.bytes().all(|it| it.is_ascii_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_kubelet_s_rules() {
        for (text, names) in [
            ("", &[][..]),
            ("$(A)", &["A"]),
            ("x$(A)y$(B)", &["A", "B"]),
            ("$$(A)", &[]),
            ("$$$(A)", &["A"]),
            ("$A ${A} $", &[]),
            ("$(A", &[]),
            ("$($(A)", &["$(A"]),
            ("$(A)$($(", &["A"]),
        ] {
            assert_eq!(references(text).collect::<Vec<_>>(), names, "{text}");
        }
    }

    #[test]
    fn shell_names_are_found_with_and_without_braces() {
        for (text, names) in [
            ("exec app --db \"$DB\"", &["DB"][..]),
            ("${DB}/${NAME:-x}$A_1.b", &["DB", "NAME", "A_1"]),
            ("${#DB} $1 $? $(DB) $$ $", &["DB", "1"]),
            ("", &[]),
        ] {
            assert_eq!(shell_names(text).collect::<Vec<_>>(), names, "{text}");
        }
        for (words, expected) in [
            (&["sh", "-c", "x"][..], true),
            (&["bash", "-euxc", "x"], true),
            (&["/bin/busybox", "sh", "-lc"], true),
            (&["app", "--exec"], false),
            (&["app", "-C"], false),
            (&[], false),
        ] {
            assert_eq!(runs_shell(words.iter().copied()), expected, "{words:?}");
        }
    }
}
