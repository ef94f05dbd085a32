//! The flags of what pods may use, and of the data volume.

use std::num::NonZeroUsize;

/// How many streams pods may have, and when the data volume is full.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct LimitArgs {
    /// Streams of one pod; a further one ends the oldest
    #[arg(long, env = "ENCLII_MAX_STREAMS_PER_POD", default_value = "4", value_name = "NUMBER")]
    pub max_streams_per_pod: NonZeroUsize,
    /// Streams of all pods of one namespace on one replica, which has 10000 in all
    #[arg(
        long,
        env = "ENCLII_MAX_STREAMS_PER_NAMESPACE",
        default_value = "5000",
        value_name = "NUMBER"
    )]
    pub max_streams_per_namespace: NonZeroUsize,
    /// Warn when less than this part of the data volume is free; only with SQLite
    #[arg(
        long,
        env = "ENCLII_DISK_WARNING",
        default_value = "20",
        value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    pub disk_warning: u8,
    /// Below this much free space pods do not log in and values are not written, so that operators
    /// still can work; only with SQLite [default: 64, but at most 5 % of the volume]
    #[arg(long, env = "ENCLII_DISK_RESERVE", value_name = "MEBIBYTES")]
    pub disk_reserve: Option<u32>,
}
