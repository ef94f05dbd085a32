//! The flags that every daemon has, as a struct to flatten into its own.

use std::net::SocketAddr;
use std::num::{NonZeroUsize, ParseIntError};
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use crate::logs::LogFormat;
use crate::tls::Limits;

/// A duration like 30d or 12h. A day has 24 hours.
///
/// # Errors
/// When the text is not a duration.
pub fn duration(text: &str) -> Result<SignedDuration, jiff::Error> {
    text.parse::<jiff::Span>()?.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
}

/// Where a daemon serves, how it logs and how it stops.
///
/// A daemon with another default changes it with `mut_arg` on its own command.
#[derive(Clone, Debug, Args)]
pub struct DaemonArgs {
    /// The address to serve on (HTTPS)
    #[arg(long, env = "ENCLII_LISTEN", default_value = "[::]:8443", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The address to serve /metrics, /healthz and /readyz on (plain HTTP)
    #[arg(long, env = "ENCLII_ADMIN", default_value = "[::]:8080", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// What to log: a level, or a list of target=level
    #[arg(long, env = "ENCLII_LOG_FILTER", default_value = "info", value_name = "FILTER")]
    pub log_filter: String,
    /// The format of log lines: json or text
    #[arg(long, env = "ENCLII_LOG_FORMAT", default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// How many seconds to go on serving after SIGTERM, while the cluster learns that this replica
    /// is leaving
    #[arg(
        long,
        env = "ENCLII_DRAIN_NOTICE",
        default_value = "3",
        value_name = "SECONDS",
        value_parser = seconds
    )]
    pub drain_notice: Duration,
    /// HTTPS connections at one time; above it an idle one makes room for a new one
    #[arg(long, env = "ENCLII_MAX_CONNECTIONS", default_value = "1024", value_name = "NUMBER")]
    pub max_connections: NonZeroUsize,
    /// HTTPS connections of one address at one time, or of one /64 network with IPv6; loopback has
    /// no limit of its own [default: a quarter of --max-connections]
    #[arg(long, env = "ENCLII_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub max_connections_per_address: Option<NonZeroUsize>,
}

impl DaemonArgs {
    /// The limits of the HTTPS port.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let limits = Limits::with_connections(self.max_connections.get());
        let max_per_address = self.max_connections_per_address;
        Limits {
            max_per_address: max_per_address.map_or(limits.max_per_address, NonZeroUsize::get),
            ..limits
        }
    }
}

/// Reads a number of seconds, for `value_parser`.
///
/// # Errors
/// When the text is not a whole number.
pub fn seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn parse(words: &[&str]) -> DaemonArgs {
        let command = DaemonArgs::augment_args(Command::new("daemon"));
        let matches = command.try_get_matches_from(words).unwrap();
        DaemonArgs::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_defaults_serve_both_address_families() {
        let args = parse(&["daemon"]);
        assert!(args.listen.is_ipv6() && args.listen.ip().is_unspecified());
        assert!(args.admin.is_ipv6() && args.admin.ip().is_unspecified());
        assert_eq!(args.drain_notice, Duration::from_secs(3));
        let limits = args.limits();
        assert_eq!((limits.max_connections, limits.max_per_address), (1024, 256));
    }

    #[test]
    fn each_flag_is_read() {
        let args = parse(&[
            "daemon",
            "--listen=127.0.0.1:1",
            "--admin=127.0.0.1:2",
            "--log-filter=debug",
            "--log-format=text",
            "--drain-notice=7",
            "--max-connections=8",
            "--max-connections-per-address=3",
        ]);
        assert_eq!((args.listen.port(), args.admin.port()), (1, 2));
        assert_eq!((args.log_filter.as_str(), args.log_format), ("debug", LogFormat::Text));
        assert_eq!(args.drain_notice, Duration::from_secs(7));
        assert_eq!((args.limits().max_connections, args.limits().max_per_address), (8, 3));
    }
}
