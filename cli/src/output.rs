//! What people and programs read: tables, colour on a terminal alone, JSON.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the one file that prints")]

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::Color;
use crate::error::Error;

pub(crate) struct Output {
    color_out: bool,
    color_err: bool,
    verbose: bool,
}

impl Output {
    pub(crate) fn new(color: Color, verbose: bool) -> Self {
        Self { color_out: color.is_on(io::stdout().is_terminal()), color_err: color.is_on(io::stderr().is_terminal()), verbose }
    }

    /// A result in words.
    pub(crate) fn line(&self, text: &str) {
        println!("{text}");
    }

    /// A result that succeeded, with a mark that a terminal shows in green.
    pub(crate) fn done(&self, text: &str) {
        if self.color_out { println!("\x1b[32m✓\x1b[0m {text}") } else { println!("{text}") }
    }

    /// Something the user should know and need not act on.
    pub(crate) fn note(&self, text: &str) {
        if self.color_err { eprintln!("\x1b[33mnote:\x1b[0m {text}") } else { eprintln!("note: {text}") }
    }

    /// What only `--verbose` shows. Never a value.
    pub(crate) fn detail(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            if self.color_err { eprintln!("\x1b[2m{}\x1b[0m", text()) } else { eprintln!("{}", text()) }
        }
    }

    pub(crate) fn error(&self, error: &Error) {
        if self.color_err { eprintln!("\x1b[31;1merror:\x1b[0m {error}") } else { eprintln!("error: {error}") }
    }

    /// Columns as wide as their widest cell.
    pub(crate) fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).chain([header[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let join = |cells: Vec<&str>| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        let head = join(header.to_vec());
        if self.color_out {
            println!("\x1b[1m{head}\x1b[0m")
        } else {
            println!("{head}")
        }
        for row in rows {
            println!("{}", join(row.iter().map(String::as_str).collect()));
        }
    }

    /// A result for programs.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Error::Start(error.to_string()))?;
        println!("{text}");
        Ok(())
    }

    /// Bytes as they are; with a line end behind them on a terminal, so that the prompt starts anew.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let line_end: &[u8] = if io::stdout().is_terminal() && !bytes.ends_with(b"\n") { b"\n" } else { b"" };
        out.write_all(bytes).and_then(|()| out.write_all(line_end)).and_then(|()| out.flush()).map_err(Error::Stdout)
    }

    /// Whether a person reads the results.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// How far long work is, for a person alone: one line that is written over.
    pub(crate) fn progress(&self, doing: &str, done: usize, total: usize) {
        // What takes a moment needs no line.
        if total >= 10 && !self.verbose && io::stderr().is_terminal() {
            eprint!("\r\x1b[K{doing} {done}/{total}");
        }
    }

    /// Takes the line of [`Output::progress`] away.
    pub(crate) fn progress_ends(&self) {
        if !self.verbose && io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }

    /// Asks a question that is answered with y or n. `false` where there is no terminal to ask on.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Error> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(false);
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(Error::Stdin)?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}
