//! The flags of the database.

use std::path::PathBuf;

use clap::Args as Group;
use contract::Redacted;

/// The flags of the database.
#[derive(Debug, Clone, Group)]
pub struct DatabaseArgs {
    /// The file with the URL of the PostgreSQL database that several replicas share:
    /// postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE; a weaker
    /// sslmode is for loopback addresses and Unix sockets alone [default: SQLite in --data, for
    /// one replica]
    #[arg(
        long,
        env = "ENCLII_DATABASE_URL_FILE",
        value_name = "FILE",
        conflicts_with = "database_url"
    )]
    pub database_url_file: Option<PathBuf>,
    /// The URL itself; set it in the environment, so that no process list shows the password
    #[arg(long, env = "ENCLII_DATABASE_URL", value_name = "URL", hide_env_values = true,
        value_parser = redacted)]
    pub database_url: Option<Redacted>,
}

fn redacted(text: &str) -> Result<Redacted, std::convert::Infallible> {
    Ok(Redacted::from(text.as_bytes()))
}
