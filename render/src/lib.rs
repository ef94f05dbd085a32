//! Renders a pod's templates from its secrets.
//!
//! ```text
//! standard input   the secrets, and the templates
//!   ↓
//! exchange         frames in, frames out
//!   ↓
//! jinja, vault (pure)
//!                  one template → one file
//!   ↓
//! standard output  the files, or why the first of them could not be rendered
//! ```
//!
//! The engines are larger than all that the agent needs from day to day, and what a template takes
//! in memory is not known before. So they are a program of their own, which runs only while the
//! agent renders, and whose time and memory the kernel bounds (`limits`).

mod exchange;
mod jinja;
pub mod limits;
mod output;
mod vault;

use std::collections::BTreeMap;

use contract::Redacted;

pub use exchange::{ExchangeError, Request, answer, read_request};

/// The secrets, by the names of their files.
type Secrets = BTreeMap<String, Redacted>;
