//! Log lines on standard error: JSON for a cluster, text for people, UTC time stamps in both. Each
//! kind of line has a rate and each line a length, so that nobody fills a disk with requests.

mod lines;

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use lines::BoundedLines;

/// Libraries that log a lot at `info` and below. They log from `warn` on, unless the filter names
/// them.
const NOISY: [&str; 8] =
    ["h2", "hyper", "hyper_util", "kube_client", "kube_runtime", "rustls", "sqlx", "tower_handler"];

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text for people, coloured when standard error is a terminal.
    Text,
}

/// Not a log format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse log format {0:?}: must be json or text")]
pub struct UnknownLogFormat(String);

impl std::str::FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, UnknownLogFormat> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(UnknownLogFormat(other.to_owned())),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not a level or a list of `target=level`.
    #[error("read log filter {filter:?}")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber is set already.
    #[error("start logging")]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the log lines of the whole process to standard error.
///
/// `filter` is a level (`info`) or a list (`info,webhook=debug`).
///
/// # Errors
/// When the filter cannot be read or logging was started before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let targets = targets(filter)?;
    let colour = io::stderr().is_terminal();
    tracing_subscriber::registry()
        .with(layer(format, colour, io::stderr).with_filter(targets))
        .try_init()?;
    Ok(())
}

/// Displays an error with all its causes, `a: b: c`. A cause that the line already ends with is not
/// repeated.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&line)
    }
}

fn targets(filter: &str) -> Result<Targets, LogError> {
    let asked: Targets =
        filter.parse().map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let default = asked.default_level().unwrap_or(LevelFilter::INFO);
    Ok(Targets::new()
        .with_default(default)
        .with_targets(NOISY.map(|name| (name, default.min(LevelFilter::WARN))))
        .with_targets(asked))
}

fn layer<S, W>(format: LogFormat, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let event = Format::default().with_timer(SystemTime);
    match format {
        LogFormat::Json => {
            let event = event.json().flatten_event(true).with_ansi(false).with_span_list(false);
            lines.json().event_format(BoundedLines::new(event, format)).boxed()
        }
        LogFormat::Text => {
            lines.event_format(BoundedLines::new(event.with_ansi(colour), format)).boxed()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, filter: &str, say: impl FnOnce()) -> String {
        let page = Page::default();
        let copy = page.clone();
        let layer =
            layer(format, false, move || copy.clone()).with_filter(targets(filter).unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_are_flat_and_utc() {
        let line = written(LogFormat::Json, "info", || {
            tracing::info!(pod = "api-0", "injected");
        });
        assert!(line.starts_with("{\"timestamp\":\""), "{line}");
        assert!(line.contains("Z\",\"level\":\"INFO\""), "{line}");
        assert!(line.contains("\"pod\":\"api-0\""), "{line}");
    }

    #[test]
    fn text_has_no_colour_away_from_a_terminal() {
        let line = written(LogFormat::Text, "info", || tracing::warn!("late"));
        assert!(line.contains("WARN") && !line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn noisy_libraries_log_from_warn_on() {
        let lines = written(LogFormat::Text, "debug", || {
            tracing::info!(target: "kube_client::client", "chatter");
            tracing::warn!(target: "kube_client::client", "trouble");
            tracing::debug!(target: "webhook", "ours");
        });
        assert!(!lines.contains("chatter"), "{lines}");
        assert!(lines.contains("trouble") && lines.contains("ours"), "{lines}");
    }

    #[test]
    fn a_library_in_the_filter_logs_at_its_level() {
        let lines = written(LogFormat::Text, "warn,hyper=debug", || {
            tracing::debug!(target: "hyper", "asked for");
            tracing::info!(target: "webhook", "not asked for");
        });
        assert!(lines.contains("asked for") && !lines.contains("not asked for"));
    }

    #[test]
    fn a_kind_of_line_that_repeats_is_bounded_and_leaves_the_others_alone() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = written(format, "debug", || {
                for number in 0..10_000 {
                    tracing::info!(number, "request refused");
                    if number % 1_000 == 0 {
                        tracing::warn!("something else");
                    }
                }
            });
            let refused = lines.lines().filter(|line| line.contains("request refused")).count();
            // Some more than the burst on a machine that takes long.
            assert!((200..5_000).contains(&refused), "{refused}");
            assert_eq!(lines.matches("something else").count(), 10);
        }
    }

    #[test]
    fn a_line_has_a_greatest_length() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = written(format, "info", || {
                tracing::info!(namespace = "x".repeat(3 << 20), pod = "api-0", "review");
            });
            assert!(line.len() <= lines::MAX_LINE_BYTES && line.ends_with('\n'), "{}", line.len());
            if format == LogFormat::Json {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!((&line["pod"], &line["message"]), (&"api-0".into(), &"review".into()));
            }
        }
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = targets("info,webhook=loud").unwrap_err();
        assert_eq!(error.to_string(), "read log filter \"info,webhook=loud\"");
        let chain = ErrorChain(&error).to_string();
        assert!(chain.starts_with("read log filter \"info,webhook=loud\": "), "{chain}");
    }

    #[test]
    fn formats_round_trip() {
        for format in [LogFormat::Json, LogFormat::Text] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("yaml".parse::<LogFormat>().is_err());
    }
}
