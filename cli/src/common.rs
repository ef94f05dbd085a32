//! What several commands are told: a scope, where switchyard is, how to print.

mod connection;
pub(crate) mod input;
mod place;

pub(crate) use connection::Connection;
pub(crate) use place::{Where, label, name, service, version};

use clap::{Args, ValueEnum};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; a value as its bytes and nothing else.
    Table,
    /// For programs; a value in base64.
    Json,
}

/// What every command on secrets is told besides.
#[derive(Debug, Args)]
pub(crate) struct Request {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}
