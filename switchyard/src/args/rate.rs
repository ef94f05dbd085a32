//! How fast one principal may ask.

/// The flags of the rate limit. Reads and writes have a budget each.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RateArgs {
    /// How many requests a second one token or person may make; 0 sets no limit
    #[arg(long, env = "ENCLII_RATE_LIMIT", default_value = "500", value_name = "NUMBER")]
    pub rate_limit: u32,
    /// How many requests at once one token or person may make before --rate-limit counts
    #[arg(long, env = "ENCLII_RATE_BURST", default_value = "2000", value_name = "NUMBER")]
    pub rate_burst: u32,
}
