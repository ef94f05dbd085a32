//! Finds `$(NAME)` where kubelet would replace it: a variable that leaves must not be needed there.

use std::collections::BTreeSet;

use crate::findings::{Findings, Refusal, shown};
use crate::target::Target;

/// Refuses each use of a variable that is gone: in the command, the arguments, other variables and
/// the paths below volumes, which are the places that kubelet expands.
pub(crate) fn check(target: &Target<'_>, gone: &BTreeSet<String>, findings: &mut Findings) {
    if gone.is_empty() {
        return;
    }
    let mut check = |text: &str, rest: std::fmt::Arguments<'_>| {
        for name in references(text).filter(|name| gone.contains(*name)) {
            findings.refuse(Refusal::Used { at: target.at(rest), name: shown(name) });
        }
    };
    for (index, text) in target.container.command.iter().flatten().enumerate() {
        check(text, format_args!(".command[{index}]"));
    }
    for (index, text) in target.container.args.iter().flatten().enumerate() {
        check(text, format_args!(".args[{index}]"));
    }
    for (index, variable) in target.container.env.iter().flatten().enumerate() {
        // One that leaves itself may use what it likes.
        if !gone.contains(&*variable.name) {
            check(variable.literal().unwrap_or_default(), format_args!(".env[{index}]"));
        }
    }
    for (index, mount) in target.container.volume_mounts.iter().flatten().enumerate() {
        check(
            mount.sub_path_expr.as_deref().unwrap_or_default(),
            format_args!(".volumeMounts[{index}].subPathExpr"),
        );
    }
}

/// The names that a text uses, by the rules of kubelet's expansion: `$(NAME)` is a use, `$$` is a
/// dollar, and anything else stands for itself.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let after = &rest[rest.find('$')? + 1..];
            if let Some(escaped) = after.strip_prefix('$') {
                rest = escaped;
            } else if let Some((name, tail)) =
                after.strip_prefix('(').and_then(|inner| inner.split_once(')'))
            {
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
    fn kubelet_s_rules() {
        for (text, names) in [
            ("", &[][..]),
            ("$(A)", &["A"]),
            ("x$(A)y$(B)", &["A", "B"]),
            ("$$(A)", &[]),
            ("$$$(A)", &["A"]),
            ("$A ${A} $", &[]),
            ("$(A", &[]),
            ("$($(A)", &["$(A"]),
        ] {
            assert_eq!(references(text).collect::<Vec<_>>(), names, "{text}");
        }
    }
}
