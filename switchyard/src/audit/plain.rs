//! The words of somebody who need not tell the truth.

/// The longest text of a stranger that is kept, in characters.
const LONGEST: usize = 300;

/// A stranger's text as it may stand in a log or a trail: cut to a length, and without characters
/// that a terminal or a line-oriented file would act on.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c };
    text.chars().take(LONGEST).map(shown).collect()
}

/// Characters that change the direction or the look of what stands beside them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stranger_writes_a_second_line() {
        assert_eq!(
            plain("curl/8.1\r\n{\"sequence\":1}\u{202e}\u{7f}"),
            "curl/8.1\u{fffd}\u{fffd}{\"sequence\":1}\u{fffd}\u{fffd}"
        );
        assert_eq!(plain(&"\u{e4}".repeat(1000)).chars().count(), LONGEST);
        assert_eq!(plain("gr\u{fc}n"), "gr\u{fc}n");
    }
}
