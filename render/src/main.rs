//! `enclii-render`: reads secrets and templates, writes the files and ends.
//!
//! Nothing secret is in its arguments or its environment. It writes values to standard output
//! alone.

use std::alloc::System;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use render::limits::{self, LimitError};
use render::{ExchangeError, answer, read_request};
use runtime::hardening::{self, HardeningError};
use runtime::logs::ErrorChain;
use zeroizing_alloc::ZeroAlloc;

// Wipes heap memory when it is freed or reallocated: the engines copy values into texts that they
// free without wiping them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

const HELP: &str = "\
Renders templates from a pod's secrets. The agent starts it when they change.

Usage: enclii-render [--help | --version]

It reads frames from standard input and writes frames to standard output. A frame has two lengths
of 4 bytes, big-endian; a header, JSON; and a body:

  request   {\"secrets\": [{\"name\": \"USER\", \"bytes\": 4}], \"templates\": 1}, the values
  template  {\"file\": \"app.ini\", \"language\": \"jinja\"}, its text; one for each file
  answer    {\"file\": \"app.ini\"}, the file; or an error, with the line and what is wrong

Status: 0 with answers, whatever they are; 1 without; 2 if an argument is unknown
";

/// Why there are no answers.
#[derive(Debug, thiserror::Error)]
enum RenderProgramError {
    #[error(transparent)]
    Hardening(#[from] HardeningError),
    #[error(transparent)]
    Limits(#[from] LimitError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_str()).collect();
    let result = match words.as_slice() {
        [] => answer_request(),
        [Some("--help")] => write(HELP),
        [Some("--version")] => write(concat!("enclii-render ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => {
            print_error("unknown argument; see enclii-render --help");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&ErrorChain(&error).to_string());
            ExitCode::FAILURE
        }
    }
}

fn answer_request() -> Result<(), RenderProgramError> {
    hardening::apply()?;
    limits::apply()?;
    let mut input = io::stdin().lock();
    let request = read_request(&mut input)?;
    limits::limit_memory(request.bytes())?;
    Ok(answer(&request, &mut input, &mut io::stdout().lock())?)
}

fn write(text: &str) -> Result<(), RenderProgramError> {
    Ok(io::stdout().write_all(text.as_bytes()).map_err(ExchangeError::Write)?)
}

fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "enclii-render: {text}");
}
