//! Sanitizes untrusted text.

/// The maximum length of untrusted text, in characters.
const MAX_CHARS: usize = 300;

/// Makes untrusted text safe for logs and audit events: truncates it and replaces characters that a
/// terminal or a line-oriented file would interpret.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let shown = |c: char| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c };
    text.chars().take(MAX_CHARS).map(shown).collect()
}

/// Characters that change the direction or appearance of the text around them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_and_long_text_is_cut() {
        assert_eq!(
            sanitize("curl/8.1\r\n{\"sequence\":1}\u{202e}\u{7f}"),
            "curl/8.1\u{fffd}\u{fffd}{\"sequence\":1}\u{fffd}\u{fffd}"
        );
        assert_eq!(sanitize(&"\u{e4}".repeat(1000)).chars().count(), MAX_CHARS);
        assert_eq!(sanitize("gr\u{fc}n"), "gr\u{fc}n");
    }
}
