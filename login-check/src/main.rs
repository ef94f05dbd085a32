//! `enclii-login-check`: reads a request, tries a login, writes an answer and ends.
//!
//! Nothing secret is in its arguments or its environment, and it writes none.

use std::alloc::System;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use contract::Redacted;
use contract::login_check::{LoginCheckRequest, MAX_REQUEST_BYTES, MAX_URL_BYTES};
use contract::stream::frame::{Decoder, FrameError};
use runtime::hardening::{self, HardeningError};
use runtime::logs::ErrorChain;
use tokio::time::Instant;
use zeroizing_alloc::ZeroAlloc;

// Wipes heap memory when it is freed or reallocated: the protocols' libraries copy the password
// into buffers that they free without wiping them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

const HELP: &str = "\
Tries a login at PostgreSQL, MySQL or Redis. The agent starts it for checks,
and to have a server read its files again.

Usage: enclii-login-check [--help | --version]

It reads one request from standard input and writes one line of JSON to standard output:

  request  two lengths of 4 bytes, big-endian; a header, JSON; the URL
  header   {\"action\": {\"type\": \"login\", \"server\": \"postgres\"},
            \"timeout_milliseconds\": 3000}
  answer   {\"outcome\": \"refused\", \"reason\": \"credential\", \"detail\": \"db:5432: ...\"}

Status: 0 with an answer, whatever it is; 1 without; 2 if an argument is unknown
";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Hardening(#[from] HardeningError),
    #[error("read request")]
    Read(#[source] io::Error),
    #[error("read request")]
    Frame(#[from] FrameError),
    #[error("read request: it ends too early")]
    Short,
    #[error(
        "read request: it is longer than {MAX_REQUEST_BYTES} bytes and a URL of {MAX_URL_BYTES}"
    )]
    Long,
    #[error("read request: its header is not a request")]
    Header,
    #[error("start")]
    Start(#[source] io::Error),
    #[error("write answer")]
    Write(#[source] io::Error),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_str()).collect();
    let result = match words.as_slice() {
        [] => answer_request(),
        [Some("--help")] => write(HELP),
        [Some("--version")] => {
            write(concat!("enclii-login-check ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        _ => {
            print_error("unknown argument; see enclii-login-check --help");
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

fn answer_request() -> Result<(), RequestError> {
    hardening::apply()?;
    let started = Instant::now();
    let (request, url) = read_request()?;
    // The blocking thread resolves host names.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(RequestError::Start)?;
    let answer = runtime.block_on(login_check::answer(&request, &url, started));
    // Without waiting for the resolver's thread.
    runtime.shutdown_background();
    let mut line = serde_json::to_string(&answer).map_err(|_| RequestError::Header)?;
    line.push('\n');
    write(&line)
}

/// Reads until the request is whole, without waiting for the end of the input.
fn read_request() -> Result<(LoginCheckRequest, Redacted), RequestError> {
    let mut decoder = Decoder::default();
    let mut input = io::stdin().take((8 + MAX_REQUEST_BYTES + MAX_URL_BYTES) as u64);
    let mut piece = Box::new([0; 4096]);
    loop {
        if let Some(frame) = decoder.next_frame()? {
            if frame.header.len() > MAX_REQUEST_BYTES || frame.body.len() > MAX_URL_BYTES {
                return Err(RequestError::Long);
            }
            // The parser's text might quote the request.
            let request =
                serde_json::from_slice(&frame.header).map_err(|_| RequestError::Header)?;
            return Ok((request, frame.body));
        }
        let count = input.read(&mut *piece).map_err(RequestError::Read)?;
        if count == 0 {
            let all = input.limit() == 0;
            return Err(if all { RequestError::Long } else { RequestError::Short });
        }
        decoder.push(&piece[..count]);
    }
}

fn write(text: &str) -> Result<(), RequestError> {
    io::stdout().write_all(text.as_bytes()).map_err(RequestError::Write)
}

fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "enclii-login-check: {text}");
}
