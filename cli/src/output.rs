//! What people and programs read: tables, colour on a terminal alone, JSON.
//!
//! Standard output may be a pipe whose reader has gone, which is no failure; whatever else keeps
//! results from being written is one, and [`Output::finish`] says so.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::args::Color;
use crate::error::Error;

pub(crate) struct Output {
    color_out: bool,
    color_err: bool,
    verbose: bool,
    failed: Mutex<Option<io::Error>>,
}

/// The colours that are used, and for what.
#[derive(Clone, Copy)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Red => "31;1",
            Self::Yellow => "33",
        }
    }

    fn on(self, text: &str, color: bool) -> String {
        if color { format!("\x1b[{}m{text}\x1b[0m", self.code()) } else { text.to_owned() }
    }
}

impl Output {
    pub(crate) fn new(color: Color, verbose: bool) -> Self {
        let is_on = |terminal| color.is_on(terminal);
        Self {
            color_out: is_on(io::stdout().is_terminal()),
            color_err: is_on(io::stderr().is_terminal()),
            verbose,
            failed: Mutex::new(None),
        }
    }

    /// Whether all results were written.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if let Err(error) = io::stdout().flush() {
            self.failure(error);
        }
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .map_or(Ok(()), |error| Err(Error::Stdout(error)))
    }

    /// A result in words.
    pub(crate) fn line(&self, text: &str) {
        self.out(text);
    }

    /// A result that succeeded, with a mark that a terminal shows in green.
    pub(crate) fn done(&self, text: &str) {
        if self.color_out {
            self.out(format_args!("{} {text}", self.painted("✓", Paint::Green)))
        } else {
            self.out(text)
        }
    }

    /// Something the user should know and need not act on.
    pub(crate) fn note(&self, text: &str) {
        self.err(format_args!("{} {text}", Paint::Yellow.on("note:", self.color_err)));
    }

    /// What only `--verbose` shows. Never a value.
    pub(crate) fn detail(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.err(Paint::Dim.on(&text(), self.color_err));
        }
    }

    pub(crate) fn error(&self, error: &Error) {
        self.err(format_args!("{} {error}", Paint::Red.on("error:", self.color_err)));
    }

    /// A part of a line of results, in colour where results are.
    pub(crate) fn painted(&self, text: &str, paint: Paint) -> String {
        paint.on(text, self.color_out)
    }

    /// Columns as wide as their widest cell.
    pub(crate) fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .chain([header[column].len()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let join = |cells: Vec<&str>| {
            let padded: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.out(self.painted(&join(header.to_vec()), Paint::Bold));
        for row in rows {
            self.out(join(row.iter().map(String::as_str).collect()));
        }
    }

    /// A result for programs.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| Error::Start(error.to_string()))?;
        self.out(text);
        Ok(())
    }

    /// Bytes as they are; with a line end behind them on a terminal, so that the prompt starts
    /// anew.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let line_end: &[u8] =
            if out.is_terminal() && !bytes.ends_with(b"\n") { b"\n" } else { b"" };
        if let Err(error) = out.write_all(bytes).and_then(|()| out.write_all(line_end)) {
            self.failure(error);
        }
        Ok(())
    }

    /// Whether a person reads the results.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// How far long work is, for a person alone: one line that is written over.
    pub(crate) fn progress(&self, doing: &str, done: usize, total: usize) {
        // What takes a moment needs no line.
        if total >= 10 && !self.verbose && io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K{doing} {done}/{total}");
        }
    }

    /// Takes the line of [`Output::progress`] away.
    pub(crate) fn progress_ends(&self) {
        if !self.verbose && io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Asks a question that is answered with y or n. `false` where there is no terminal to ask on.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Error> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(false);
        }
        let _ = write!(io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(Error::Stdin)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    fn out(&self, text: impl Display) {
        if let Err(error) = writeln!(io::stdout(), "{text}") {
            self.failure(error);
        }
    }

    fn err(&self, text: impl Display) {
        // There is nowhere left to say that this failed.
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn failure(&self, error: io::Error) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}
