//! Bounds on log lines. Whoever may send a request can cause lines, so each kind of line has a
//! rate, and each line a length. A kind is a place in the code.
//!
//! The next line of a kind says how many were left out before it (`suppressed_lines`). Lines below
//! `info` have no rate: whoever asks for them wants all of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;

/// Lines of one kind that may be written at once.
pub(super) const BURST: u32 = 200;

/// Then one line of that kind in this time.
const INTERVAL: Duration = Duration::from_millis(100);

/// The longest line, in bytes.
pub(super) const MAX_LINE_BYTES: usize = 8 << 10;

/// The longest text in a line that would be too long, in characters.
const MAX_SHORT_CHARS: usize = 256;

/// Formats lines as `inner` does, within the bounds.
pub(super) struct BoundedLines<F> {
    inner: F,
    format: LogFormat,
    // The program's text has a fixed number of places that log.
    kinds: Mutex<HashMap<Identifier, LineRate>>,
}

impl<F> BoundedLines<F> {
    pub(super) fn new(inner: F, format: LogFormat) -> Self {
        Self { inner, format, kinds: Mutex::default() }
    }

    /// How many lines of this kind were left out before this one. `None` if it is left out too.
    fn admit(&self, metadata: &Metadata<'_>) -> Option<u64> {
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(metadata.callsite()).or_insert_with(|| LineRate::new(now)).take(now)
    }
}

impl<S, N, F> FormatEvent<S, N> for BoundedLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(suppressed) = self.admit(event.metadata()) else { return Ok(()) };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        if line.len() > MAX_LINE_BYTES {
            line = match self.format {
                LogFormat::Json => shorten_json(&line),
                LogFormat::Text => cut(&line, MAX_LINE_BYTES) + "\n",
            };
        }
        if suppressed > 0 {
            add_suppressed(&mut line, self.format, suppressed);
        }
        writer.write_str(&line)
    }
}

/// The lines of one kind.
#[derive(Debug)]
struct LineRate {
    left: u32,
    refilled_at: Instant,
    suppressed: u64,
}

impl LineRate {
    fn new(now: Instant) -> Self {
        Self { left: BURST, refilled_at: now, suppressed: 0 }
    }

    fn take(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.refilled_at);
        let refill = u32::try_from(passed.as_nanos() / INTERVAL.as_nanos()).unwrap_or(u32::MAX);
        if refill > 0 {
            self.left = self.left.saturating_add(refill).min(BURST);
            self.refilled_at = now;
        }
        if self.left == 0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The same object with shorter texts. Keys and numbers come from the program.
fn shorten_json(line: &str) -> String {
    let shortened = serde_json::from_str(line).ok().and_then(|mut value: Value| {
        shorten(&mut value);
        serde_json::to_string(&value).ok().filter(|text| text.len() <= MAX_LINE_BYTES)
    });
    shortened.unwrap_or_else(|| r#"{"message":"a line that is too long"}"#.to_owned()) + "\n"
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().nth(MAX_SHORT_CHARS).is_some() => {
            *text = text.chars().take(MAX_SHORT_CHARS).chain(['…']).collect();
        }
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

fn cut(text: &str, max_bytes: usize) -> String {
    let end = "…";
    text[..text.floor_char_boundary(max_bytes - end.len() - 1)].to_owned() + end
}

fn add_suppressed(line: &mut String, format: LogFormat, suppressed: u64) {
    line.truncate(line.trim_end().len());
    match format {
        LogFormat::Json => {
            line.pop();
            line.push_str(&format!(",\"suppressed_lines\":{suppressed}}}\n"));
        }
        LogFormat::Text => line.push_str(&format!(" suppressed_lines={suppressed}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_a_burst_and_then_a_rate() {
        let start = Instant::now();
        let mut rate = LineRate::new(start);
        assert!((0..BURST).all(|_| rate.take(start) == Some(0)));
        assert!((0..70).all(|_| rate.take(start).is_none()));
        assert_eq!(rate.take(start + INTERVAL), Some(70));
        assert_eq!(rate.take(start + INTERVAL), None);
        assert_eq!(rate.take(start + 3 * INTERVAL), Some(1));
    }

    #[test]
    fn a_line_says_how_many_were_left_out() {
        let mut json = "{\"level\":\"WARN\"}\n".to_owned();
        add_suppressed(&mut json, LogFormat::Json, 7);
        assert_eq!(json, "{\"level\":\"WARN\",\"suppressed_lines\":7}\n");
        let mut text = "WARN late\n".to_owned();
        add_suppressed(&mut text, LogFormat::Text, 7);
        assert_eq!(text, "WARN late suppressed_lines=7\n");
    }

    #[test]
    fn long_texts_are_cut_in_valid_json() {
        let line = format!("{{\"level\":\"WARN\",\"pod\":\"{}\",\"at\":1}}\n", "ä".repeat(9000));
        let short: Value = serde_json::from_str(&shorten_json(&line)).unwrap();
        assert_eq!((&short["level"], &short["at"]), (&"WARN".into(), &1.into()));
        assert_eq!(short["pod"].as_str().unwrap().chars().count(), MAX_SHORT_CHARS + 1);
        let many = format!("[{}\"\"]", "\"text\",".repeat(9000));
        assert!(shorten_json(&many).contains("too long"));
        assert!(cut(&"ä".repeat(9000), MAX_LINE_BYTES).len() < MAX_LINE_BYTES);
    }
}
