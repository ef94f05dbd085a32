//! Sanitizes untrusted text.

use contract::text::escape;

/// The maximum length of untrusted text, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 300;

/// Makes untrusted text safe for logs and audit events: truncates it and shows characters that a
/// terminal or a line-oriented file would interpret, or would not show, as their code points. A
/// code point counts as one character.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let end = text.char_indices().nth(MAX_TEXT_CHARS).map_or(text.len(), |(at, _)| at);
    escape(&text[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_and_long_text_is_cut() {
        assert_eq!(
            sanitize("curl/8.1\r\n{\"sequence\":1}\u{202e}\u{7f}"),
            "curl/8.1\\u{d}\\u{a}{\"sequence\":1}\\u{202e}\\u{7f}"
        );
        assert_eq!(
            sanitize("a\u{61c}\u{2060}\u{ad}\u{3164}\u{e0041}"),
            "a\\u{61c}\\u{2060}\\u{ad}\\u{3164}\\u{e0041}"
        );
        assert_eq!(sanitize(&"\u{e4}".repeat(1000)).chars().count(), MAX_TEXT_CHARS);
        assert_eq!(sanitize(&"\0".repeat(1000)), "\\u{0}".repeat(MAX_TEXT_CHARS));
        assert_eq!(sanitize("gr\u{fc}n"), "gr\u{fc}n");
    }
}
