//! Arguments that several commands share: the scope, the connection and the output format.

mod beside;
mod connection;
mod scope;
mod time;

pub(crate) use beside::{ExpiryArgs, MessageArgs, NotesArgs};
pub(crate) use connection::ConnectionArgs;
pub(crate) use scope::{ScopeArgs, parse_scope, parse_version, service_scope};
pub(crate) use time::{TimeOrSpan, parse_future, parse_past};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

/// A parser of words, which help and completions then list.
pub(crate) fn words<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|it| word(*it))).try_map(move |text| {
        all.iter().copied().find(|it| word(*it) == text).ok_or("is not one of the words")
    })
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people; a value as its bytes and nothing else.
    Table,
    /// For programs; a value in base64.
    Json,
}

/// What every command on secrets takes besides its own arguments.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}
