//! The flags of the rate limit.

/// The flags of the rate limit. Reads and writes are counted separately.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RateArgs {
    /// Requests per second of one token or person; 0 disables the limit
    #[arg(long, env = "ENCLII_RATE_LIMIT", default_value = "500", value_name = "NUMBER")]
    pub rate_limit: u32,
    /// Requests that one token or person may make at once before --rate-limit applies
    #[arg(long, env = "ENCLII_RATE_BURST", default_value = "2000", value_name = "NUMBER")]
    pub rate_burst: u32,
}
