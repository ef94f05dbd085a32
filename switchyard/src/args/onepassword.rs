//! The flags of the store `1password`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Group;
use lockbox::OnePasswordConfig;

use super::MissingFlag;

/// The flags of the store `1password`.
#[derive(Debug, Clone, Group)]
pub struct OnePasswordArgs {
    /// For --store 1password: the address of the Connect server, https://HOST:PORT; http:// only on
    /// loopback
    #[arg(long, env = "ENCLII_ONEPASSWORD_HOST", value_name = "URL")]
    pub onepassword_host: Option<String>,
    /// The file with Connect's access token; read again when Connect refuses the token
    #[arg(long, env = "ENCLII_ONEPASSWORD_TOKEN_FILE", value_name = "FILE")]
    pub onepassword_token_file: Option<PathBuf>,
    /// The vault of the values, by name or id
    #[arg(long, env = "ENCLII_ONEPASSWORD_VAULT", value_name = "NAME")]
    pub onepassword_vault: Option<String>,
    /// The PEM file with the CA of Connect's certificate [default: the system's CAs]
    #[arg(long, env = "ENCLII_ONEPASSWORD_CA_FILE", value_name = "FILE")]
    pub onepassword_ca_file: Option<PathBuf>,
    /// Allow an http:// address that is not loopback: values travel unencrypted
    #[arg(long, env = "ENCLII_ONEPASSWORD_PLAIN_HTTP")]
    pub onepassword_plain_http: bool,
    /// The timeout of one call to Connect, in seconds
    #[arg(long, env = "ENCLII_ONEPASSWORD_TIMEOUT", value_name = "SECONDS", default_value = "10",
        value_parser = runtime::args::seconds)]
    pub onepassword_timeout: Duration,
    /// How many seconds Connect may take to show a write
    #[arg(long, env = "ENCLII_ONEPASSWORD_SETTLE", value_name = "SECONDS", default_value = "15",
        value_parser = runtime::args::seconds)]
    pub onepassword_settle: Duration,
    /// The interval of checks for values that were changed in 1Password, in seconds
    #[arg(long, env = "ENCLII_ONEPASSWORD_WATCH", value_name = "SECONDS", default_value = "10",
        value_parser = runtime::args::seconds)]
    pub onepassword_watch: Duration,
}

impl OnePasswordArgs {
    /// The configuration of the store.
    ///
    /// # Errors
    /// If a flag is missing.
    pub fn config(&self) -> Result<OnePasswordConfig, MissingFlag> {
        let missing = |flag| move || MissingFlag(flag);
        let host = self.onepassword_host.clone().ok_or_else(missing("onepassword-host"))?;
        let token_file =
            self.onepassword_token_file.clone().ok_or_else(missing("onepassword-token-file"))?;
        let vault = self.onepassword_vault.clone().ok_or_else(missing("onepassword-vault"))?;
        Ok(OnePasswordConfig {
            ca_file: self.onepassword_ca_file.clone(),
            allow_plain_http: self.onepassword_plain_http,
            timeout: self.onepassword_timeout,
            visibility_timeout: self.onepassword_settle,
            poll_interval: self.onepassword_watch.max(Duration::from_secs(1)),
            ..OnePasswordConfig::new(host, token_file, vault)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct OnePasswordCli {
        #[command(flatten)]
        onepassword: OnePasswordArgs,
    }

    fn config(words: &str) -> Result<OnePasswordConfig, MissingFlag> {
        OnePasswordCli::try_parse_from(std::iter::once("x").chain(words.split_whitespace()))
            .unwrap()
            .onepassword
            .config()
    }

    #[test]
    fn host_token_and_vault_are_required_and_the_rest_has_defaults() {
        let whole = "--onepassword-host https://c --onepassword-token-file f --onepassword-vault V";
        let defaulted = config(whole).unwrap();
        assert_eq!(
            (defaulted.host.as_str(), defaulted.vault.as_str(), defaulted.allow_plain_http),
            ("https://c", "V", false)
        );
        let defaults = (
            OnePasswordConfig::TIMEOUT,
            OnePasswordConfig::VISIBILITY_TIMEOUT,
            OnePasswordConfig::POLL_INTERVAL,
        );
        assert_eq!(
            (defaulted.timeout, defaulted.visibility_timeout, defaulted.poll_interval),
            defaults
        );
        let set = config(&format!(
            "{whole} --onepassword-watch 0 --onepassword-settle 3 --onepassword-plain-http"
        ))
        .unwrap();
        assert_eq!(
            (set.poll_interval, set.visibility_timeout, set.allow_plain_http),
            (Duration::from_secs(1), Duration::from_secs(3), true)
        );
        for (words, flag) in [
            ("", "onepassword-host"),
            ("--onepassword-host https://c", "onepassword-token-file"),
            ("--onepassword-host https://c --onepassword-token-file f", "onepassword-vault"),
        ] {
            assert_eq!(config(words).unwrap_err(), MissingFlag(flag), "{words}");
        }
    }
}
