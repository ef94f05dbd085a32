//! Text of strangers, shown to people: in logs, in audit events and on terminals.
//!
//! A name or a `User-Agent` may hold characters that a terminal acts on, that reverse the text
//! around them, or that show nothing, so that two different names look the same. They are shown as
//! their code points instead.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What is never shown as it is, besides control characters: every character with the Unicode
/// property `Default_Ignorable_Code_Point`, the separators of lines and paragraphs, the marks of
/// annotations, and the blank Braille pattern. Sorted, first and last of each range. A test
/// compares the table with Unicode's own data.
const HIDDEN: [(char, char); 18] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character is invisible or acts on what shows it.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let at = HIDDEN.partition_point(|(_, last)| *last < c);
    c.is_control() || HIDDEN.get(at).is_some_and(|(first, _)| *first <= c)
}

/// The text on one line, with each hidden character as its code point: `\u{202e}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_hidden, |c, out| out.extend(c.escape_unicode()))
}

/// As [`escape`], for text of several lines: line feeds stay.
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| c != '\n' && is_hidden(c), |c, out| out.extend(c.escape_unicode()))
}

/// The same JSON with each hidden character in JSON's own escapes: `\u202e`. Line feeds stay, which
/// JSON has only between values.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    replace(
        json,
        |c| c != '\n' && is_hidden(c),
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

fn replace(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_replaced(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use icu_properties::CodePointSetData;
    use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, VariationSelector};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_has_what_unicode_calls_ignorable() {
        assert!(HIDDEN.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        let (bidi, variation) =
            (CodePointSetData::new::<BidiControl>(), CodePointSetData::new::<VariationSelector>());
        for c in '\0'..=char::MAX {
            if ignorable.contains(c) || bidi.contains(c) || variation.contains(c) {
                assert!(is_hidden(c), "{:?} is shown", c.escape_unicode().to_string());
            }
            // Nothing that people write is lost.
            assert!(!(is_hidden(c) && c.is_alphanumeric() && !ignorable.contains(c)));
        }
    }

    #[test]
    fn what_attackers_use_is_shown_as_its_code_point() {
        for c in [
            '\0',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{180e}',
            '\u{200b}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{e0001}',
            '\u{e007f}',
            '\u{e0100}',
        ] {
            assert_eq!(escape(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
        assert_eq!(escape("ada\u{202e}nimda"), "ada\\u{202e}nimda");
        assert!(matches!(escape("Grün 東京 🙂 a-b"), Cow::Borrowed("Grün 東京 🙂 a-b")));
        assert_eq!(escape_lines("a\n\tb"), "a\n\\u{9}b");
        assert_eq!(escape_json("{\n \"\u{e0001}\u{ad}\": 1}"), "{\n \"\\udb40\\udc01\\u00ad\": 1}");
    }

    /// Any text, with more hidden characters than chance would give.
    fn text() -> impl Strategy<Value = String> {
        let hidden = prop::sample::select(HIDDEN.to_vec()).prop_map(|(first, _)| first);
        let one = prop_oneof![any::<char>(), hidden, prop::char::range('\0', '\u{ff}')];
        prop::collection::vec(one, 0..40).prop_map(|all| all.into_iter().collect())
    }

    proptest! {
        #[test]
        fn no_hidden_character_is_left_and_no_other_one_changes(text in text()) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(is_hidden));
            prop_assert_eq!(escape(&escaped), escaped.as_ref());
            let visible: String = text.chars().filter(|c| !is_hidden(*c)).collect();
            prop_assert_eq!(escape(&visible), visible.as_str());
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escape_json(&json);
            prop_assert!(!escaped.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
