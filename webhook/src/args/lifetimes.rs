//! How long the certificates live that the keeper makes.

use std::time::Duration;

use certs::renewal::{PolicyError, RenewalPolicy};
use clap::Args as Group;
use runtime::args::duration;

/// How long certificates live.
#[derive(Debug, Group)]
pub struct LifetimeArgs {
    /// How long a CA is valid; it is replaced after two thirds of that
    #[arg(long, env = "ENCLII_CA_LIFETIME", default_value = "365d", value_name = "DURATION",
        value_parser = lifetime)]
    pub ca_lifetime: Duration,
    /// How long a serving certificate is valid; it is replaced after two thirds of that
    #[arg(long, env = "ENCLII_CERTIFICATE_LIFETIME", default_value = "7d",
        value_name = "DURATION", value_parser = lifetime)]
    pub certificate_lifetime: Duration,
    /// How long a new CA is registered before it signs; a sixth of --ca-lifetime at most
    #[arg(long, env = "ENCLII_CA_OVERLAP", default_value = "24h", value_name = "DURATION",
        value_parser = lifetime)]
    pub ca_overlap: Duration,
}

impl LifetimeArgs {
    /// The policy.
    ///
    /// # Errors
    /// When the lifetimes do not fit together.
    pub fn policy(&self) -> Result<RenewalPolicy, PolicyError> {
        RenewalPolicy::new(self.ca_lifetime, self.certificate_lifetime, self.ca_overlap)
    }

    /// How often the clock is looked at: often enough for a short lifetime, and each minute for a
    /// usual one.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        const MOST: Duration = Duration::from_secs(60);
        const LEAST: Duration = Duration::from_millis(100);
        (self.certificate_lifetime / 20).clamp(LEAST, MOST)
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration(text).map_err(|error| error.to_string())?;
    lifetime.try_into().map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn policy(words: &[&str]) -> Result<RenewalPolicy, String> {
        let command = LifetimeArgs::augment_args(Command::new("keeper").no_binary_name(true));
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        let args = LifetimeArgs::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        args.policy().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(policy(&[]), Ok(RenewalPolicy::default()));
    }

    #[test]
    fn lifetimes_that_do_not_fit_together_are_refused() {
        for words in [
            &["--ca-lifetime=-5h"][..],
            &["--ca-lifetime=soon"],
            &["--ca-lifetime=6h"],
            &["--certificate-lifetime=300d"],
            &["--ca-overlap=100d"],
        ] {
            policy(words).unwrap_err();
        }
        let hours = |count: u64| Duration::from_secs(count * 3600);
        assert_eq!(
            policy(&["--ca-lifetime=6h", "--certificate-lifetime=2h", "--ca-overlap=1h"]),
            Ok(RenewalPolicy::new(hours(6), hours(2), hours(1)).unwrap())
        );
    }
}
