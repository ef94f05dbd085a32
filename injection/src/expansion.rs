//! Finds `$(NAME)` where kubelet expands it: a removed variable must not be referenced there.

use std::collections::BTreeSet;

use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, printable};

/// Refuses each reference to a removed variable in what kubelet expands: the command, the
/// arguments, other variables and `subPathExpr`.
pub(crate) fn check(
    app: &AppContainer<'_>,
    removed: &BTreeSet<String>,
    diagnostics: &mut Diagnostics,
) {
    if removed.is_empty() {
        return;
    }
    let mut check = |text: &str, rest: std::fmt::Arguments<'_>| {
        for name in references(text).filter(|name| removed.contains(*name)) {
            if diagnostics.has_more() {
                break;
            }
            diagnostics
                .deny(Violation::RemovedVariableUsed { at: app.at(rest), name: printable(name) });
        }
    };
    for (index, text) in app.container.command.iter().flatten().enumerate() {
        check(text, format_args!(".command[{index}]"));
    }
    for (index, text) in app.container.args.iter().flatten().enumerate() {
        check(text, format_args!(".args[{index}]"));
    }
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        // A variable that is removed itself may refer to anything.
        if !removed.contains(&*variable.name) {
            check(variable.literal().unwrap_or_default(), format_args!(".env[{index}]"));
        }
    }
    for (index, mount) in app.container.volume_mounts.iter().flatten().enumerate() {
        check(
            mount.sub_path_expr.as_deref().unwrap_or_default(),
            format_args!(".volumeMounts[{index}].subPathExpr"),
        );
    }
}

/// The names that a text refers to, by the rules of Kubernetes' `third_party/forked/golang/
/// expansion`: `$(NAME)` is a reference, `$$` is an escaped dollar, and anything else is literal.
fn references(text: &str) -> impl Iterator<Item = &str> {
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
}
