//! The violations and warnings of a decision. Every message about a pod's contents is in
//! the modules below.
//!
//! A message names the path in the pod, the problem and a way to fix it. It may hold names that the
//! pod's author wrote, shortened and escaped. It never holds the value of a variable.

mod not_first;
mod violation;
mod warning;

pub(crate) use not_first::NotFirst;
pub(crate) use violation::Violation;
pub(crate) use warning::Warning;

/// Everything that was found, in the order of the pod.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<Warning>,
    /// Whether there were more violations than are kept.
    has_more: bool,
}

/// The most violations that are kept, and the most warnings. Nobody reads more, and a pod could
/// have any number of them.
const MAX_KEPT: usize = 200;

/// The most warnings that are sent. The API server shortens them at 4 KiB in all.
const MAX_SENT_WARNINGS: usize = 20;

impl Diagnostics {
    pub(crate) fn deny(&mut self, violation: Violation) {
        if self.violations.len() >= MAX_KEPT {
            self.has_more = true;
        } else {
            self.violations.push(violation);
        }
    }

    /// Whether violations were left out, so that it is no use to look for more.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Whether no further warning is kept, so that it is no use to look for more.
    pub(crate) fn has_all_warnings(&self) -> bool {
        self.warnings.len() >= MAX_KEPT
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        if !self.has_all_warnings() {
            self.warnings.push(warning);
        }
    }

    /// The warnings for the pod's author.
    pub(crate) fn sent_warnings(&self) -> Vec<String> {
        let more = self.warnings.len().saturating_sub(MAX_SENT_WARNINGS);
        let sent = self.warnings.iter().take(MAX_SENT_WARNINGS).map(ToString::to_string);
        sent.chain((more > 0).then(|| format!("and {more} more warnings"))).collect()
    }

    /// All violations as one message, so that the author can fix all of them in one go.
    pub(crate) fn message(&self) -> String {
        // The message becomes an event of 1 KiB at most, and nobody reads a longer list.
        const MAX_LISTED: usize = 20;
        match self.violations.as_slice() {
            [only] => only.to_string(),
            all => {
                let plus = if self.has_more { "+" } else { "" };
                let mut message =
                    format!("{}{plus} problems keep this pod from getting its secrets:", all.len());
                for violation in all.iter().take(MAX_LISTED) {
                    message.push_str("\n- ");
                    message.push_str(&violation.to_string());
                }
                if all.len() > MAX_LISTED {
                    message.push_str(&format!("\n- and {}{plus} more", all.len() - MAX_LISTED));
                }
                message
            }
        }
    }
}

/// A user's text made safe for a message: at most 80 characters, on one line, with control
/// characters escaped.
pub fn printable(text: &str) -> String {
    // Most names are those of DNS or of a shell, which no escape changes.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,".contains(&byte);
    if text.len() <= 80 && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_violation_is_a_sentence_and_several_are_a_list() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.deny(Violation::HostPid);
        assert!(diagnostics.message().starts_with("spec.hostPID: is true"));
        for _ in 0..25 {
            diagnostics.deny(Violation::Windows);
        }
        let message = diagnostics.message();
        assert!(message.starts_with("26 problems keep this pod"), "{message}");
        assert_eq!(message.lines().count(), 22);
        assert!(message.ends_with("\n- and 6 more"), "{message}");
        for _ in 26..MAX_KEPT {
            diagnostics.deny(Violation::Windows);
        }
        assert!(!diagnostics.has_more() && diagnostics.message().starts_with("200 problems"));
        diagnostics.deny(Violation::Windows);
        let message = diagnostics.message();
        assert!(diagnostics.has_more() && message.starts_with("200+ problems"), "{message}");
        assert!(message.ends_with("\n- and 180+ more"), "{message}");
    }

    #[test]
    fn a_name_cannot_break_a_message() {
        assert_eq!(printable("A\nB\u{7}"), "A\\nB\\u{7}");
        assert_eq!(printable(&"é".repeat(100)).chars().count(), 81);
    }
}
