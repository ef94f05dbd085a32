//! What people and programs read: tables, JSON, and colour only on a terminal.
//!
//! Text may come from strangers: a name, or what a server answers. Hidden characters are shown as
//! their code points, so that none acts on the terminal or reverses a line.
//!
//! Standard output may be a pipe whose reader has gone, which is not an error. Every other failed
//! write is one, and [`Output::finish`] reports it.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{Table, presets};
use contract::text::{escape, escape_json, escape_lines};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use crate::error::Error;

pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
const DIMMED: Style = Style::new().dimmed();

/// Work that is done sooner than this shows no progress bar.
const PROGRESS_DELAY: Duration = Duration::from_millis(300);

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorMode {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorMode {
    /// Whether `stream` gets colour: <https://no-color.org> and <https://bixense.com/clicolors>.
    fn is_on(self, stream: &impl anstream::stream::RawStream) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => AutoStream::choice(stream) != ColorChoice::Never,
        }
    }
}

/// A time as people read it, to the second.
pub(crate) fn seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}

pub(crate) struct Output {
    stdout_color: bool,
    stderr_color: bool,
    verbose: bool,
    write_error: Mutex<Option<io::Error>>,
    /// Whether the reader of standard output has gone.
    closed: AtomicBool,
}

impl Output {
    pub(crate) fn new(color: ColorMode, verbose: bool) -> Self {
        Self {
            stdout_color: color.is_on(&io::stdout()),
            stderr_color: color.is_on(&io::stderr()),
            verbose,
            write_error: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
    }

    /// Fails if a result was not written.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if let Err(error) = io::stdout().flush() {
            self.keep_write_error(error);
        }
        self.write_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .map_or(Ok(()), |error| Err(Error::Stdout(error)))
    }

    /// A line of results.
    pub(crate) fn line(&self, text: &str) {
        self.write_stdout(escape_lines(text));
    }

    /// A line of results after a mark, which has a colour if results have.
    pub(crate) fn marked_line(&self, mark: &str, style: Style, text: &str) {
        self.write_stdout(format_args!("{} {}", self.styled(mark, style), escape_lines(text)));
    }

    /// A success, with a green check mark on a terminal.
    pub(crate) fn success(&self, text: &str) {
        if self.stdout_color { self.marked_line("✓", GREEN, text) } else { self.line(text) }
    }

    /// Something the user should know and does not have to act on.
    pub(crate) fn note(&self, text: &str) {
        let mark = paint("note:", YELLOW, self.stderr_color);
        self.write_stderr(format_args!("{mark} {}", escape_lines(text)));
    }

    /// What only `--verbose` shows. Never a value.
    pub(crate) fn verbose(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.write_stderr(paint(&escape_lines(&text()), DIMMED, self.stderr_color));
        }
    }

    pub(crate) fn error(&self, error: &Error) {
        let (mark, text) = (paint("error:", RED, self.stderr_color), error.to_string());
        self.write_stderr(format_args!("{mark} {}", escape_lines(&text)));
    }

    /// A part of a line of results, in colour if results are.
    fn styled(&self, text: &str, style: Style) -> String {
        paint(text, style, self.stdout_color)
    }

    /// Columns as wide as their widest cell, two spaces apart, without borders.
    pub(crate) fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        let mut table = Table::new();
        let rows = rows.iter().map(|row| row.iter().map(|cell| escape(cell)));
        table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        for (index, line) in table.lines().enumerate() {
            let line = line.trim_end();
            if index == 0 {
                self.write_stdout(self.styled(line, BOLD));
            } else {
                self.write_stdout(line);
            }
        }
    }

    /// A result for programs.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::Encode(error.to_string()))?;
        self.write_stdout(escape_json(&text));
        Ok(())
    }

    /// A piece of a long result.
    pub(crate) fn piece(&self, bytes: &[u8]) {
        if let Err(error) = io::stdout().write_all(bytes) {
            self.keep_write_error(error);
        }
    }

    /// Whether the reader of the results has gone, as `head` does when it has seen enough: more
    /// work would be in vain.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The bytes unchanged. A terminal gets a final newline too, so that the prompt starts on its
    /// own line.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let newline: &[u8] = if out.is_terminal() && !bytes.ends_with(b"\n") { b"\n" } else { b"" };
        if let Err(error) = out.write_all(bytes).and_then(|()| out.write_all(newline)) {
            self.keep_write_error(error);
        }
        Ok(())
    }

    /// Whether a person reads the results.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// The progress of long work on standard error, shown only on a terminal and without
    /// `--verbose`. Dropping it removes its line.
    pub(crate) fn progress(&self, doing: &'static str, total: u64) -> Progress {
        self.progress_with(doing, Some(total), "{msg} {pos}/{len}")
    }

    /// As [`Output::progress`], for work of unknown length.
    pub(crate) fn counter(&self, what: &'static str) -> Progress {
        self.progress_with(what, None, "{pos} {msg}")
    }

    fn progress_with(&self, message: &'static str, len: Option<u64>, template: &str) -> Progress {
        let target =
            if self.verbose { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(len, target).with_message(message);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress(bar)
    }

    /// Asks a yes-or-no question. Answers `false` if there is no terminal to ask on.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Error> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(false);
        }
        let _ = write!(io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(Error::Stdin)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    fn write_stdout(&self, text: impl Display) {
        if let Err(error) = writeln!(io::stdout(), "{text}") {
            self.keep_write_error(error);
        }
    }

    fn write_stderr(&self, text: impl Display) {
        // A failure here has nowhere to be reported.
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn keep_write_error(&self, error: io::Error) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.closed.store(true, Ordering::Relaxed);
        } else {
            self.write_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

/// The progress of long work: see [`Output::progress`].
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Sets how much is done.
    pub(crate) fn set(&self, done: u64) {
        if self.0.elapsed() >= PROGRESS_DELAY {
            self.0.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn paint(text: &str, style: Style, color: bool) -> String {
    if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
}
