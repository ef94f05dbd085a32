//! The text format of Prometheus (exposition formats 0.0.4 and OpenMetrics 1.0), as far as counters
//! and histograms need it. Pure.
//!
//! What is read is what an application says of itself, so a line that is none is skipped, and
//! nothing is ever an error.

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 8192;

/// The most lines that are read.
const MAX_LINES: usize = 100_000;

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'t> {
    /// The metric.
    pub(super) name: &'t str,
    /// What is between its braces.
    pub(super) labels: &'t str,
    /// The value: a number that is not negative.
    pub(super) value: f64,
}

/// The samples of a text, in its order.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().take(MAX_LINES).filter(|line| line.len() <= MAX_LINE_BYTES).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim_start();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    let end = line.bytes().position(|byte| !is_name(byte))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => split_labels(rest)?,
        None => ("", rest),
    };
    // A time or an exemplar may follow.
    let value: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(Sample { name, labels, value })
}

/// The labels before the closing brace, and what follows it.
fn split_labels(text: &str) -> Option<(&str, &str)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

impl<'t> Sample<'t> {
    /// The value of a label, with its escapes as they are.
    pub(super) fn label(&self, name: &str) -> Option<&'t str> {
        self.pairs().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The labels and their values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'t str, &'t str)> + use<'t> {
        let mut rest = self.labels;
        std::iter::from_fn(move || {
            let (name, after) = rest.split_once('=')?;
            let value = after.trim_start().strip_prefix('"')?;
            let mut is_escaped = false;
            let end = value.bytes().position(|byte| {
                let ends = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                ends
            })?;
            rest = value.get(end + 1..)?;
            Some((name.trim_matches([' ', ',', '\t']), value.get(..end)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A name, labels with their values, and a value.
    type Owned = (String, Vec<(String, String)>, f64);

    fn read(line: &str) -> Option<Owned> {
        let mut all = samples(line);
        let found = all.next()?;
        assert!(all.next().is_none());
        let pairs = found.pairs().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some((found.name.to_owned(), pairs.collect(), found.value))
    }

    #[test]
    fn what_lines_mean() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (line, expected) in [
            ("a 1", Some(("a", vec![], 1.0))),
            ("a{} 2.5 1700000000000", Some(("a", vec![], 2.5))),
            ("  a:b_c {x=\"1\"}\t3e2", Some(("a:b_c", vec![pair("x", "1")], 300.0))),
            (
                r#"h_bucket{le="+Inf",path="/a}\"b\\",} 7 # {trace_id="x"} 0.3"#,
                Some(("h_bucket", vec![pair("le", "+Inf"), pair("path", r#"/a}\"b\\"#)], 7.0)),
            ),
            (r#"a{x="1", y = "2" } 0"#, Some(("a", vec![pair("x", "1"), pair("y", "2")], 0.0))),
            ("# TYPE a counter", None),
            ("", None),
            ("a", None),
            ("a NaN", None),
            ("a +Inf", None),
            ("a -1", None),
            ("a{x=\"1\" 2", None),
            ("9a 1", None),
            ("{\"utf8.name\",x=\"1\"} 1", None),
        ] {
            let expected = expected
                .map(|(name, pairs, value): (&str, Vec<_>, f64)| (name.to_owned(), pairs, value));
            assert_eq!(read(line), expected, "{line}");
        }
        assert_eq!(read(&format!("a{{x=\"{}\"}} 1", "y".repeat(MAX_LINE_BYTES))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-c{}=\",\\\\ \n0-9.#é]|le)*") {
            for sample in samples(&text) {
                prop_assert!(sample.value >= 0.0 && !sample.name.is_empty());
                let _ = sample.pairs().count();
            }
        }

        #[test]
        fn what_is_written_is_read(
            names in prop::collection::vec("[a-z_][a-z0-9_]{0,5}", 0..4),
            value in "([^\"\\\\\n\r]|\\\\\\\\|\\\\\"|\\\\n){0,9}",
            number in 0.0..1e12f64,
        ) {
            let pairs: Vec<_> = names.iter().map(|name| (name.clone(), value.clone())).collect();
            let text: Vec<_> =
                pairs.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let line = format!("m{{{}}} {number}", text.join(","));
            // What Rust takes for the end of a line is one here too.
            prop_assume!(line.lines().count() == 1);
            prop_assert_eq!(read(&line), Some(("m".to_owned(), pairs, number)));
        }
    }
}
