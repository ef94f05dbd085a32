//! Who may ask for reviews.

use std::path::PathBuf;

use clap::Args as Group;
use injection::KeyNames;

/// Who may ask for reviews.
#[derive(Debug, Clone, Default, Group)]
pub struct CallerArgs {
    /// Answer only callers with a client certificate of the CAs in this file: those of the API
    /// server's AdmissionConfiguration
    #[arg(long, env = "ENCLII_CLIENT_CA_FILE", value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The common name that the client certificate must have [default: any]
    #[arg(long, env = "ENCLII_CLIENT_NAME", value_name = "NAME", requires = "client_ca_file")]
    pub client_name: Option<String>,
    /// Answer only callers with the bearer token in this file: that of the API server's
    /// AdmissionConfiguration
    #[arg(long, env = "ENCLII_CLIENT_TOKEN_FILE", value_name = "FILE")]
    pub client_token_file: Option<PathBuf>,
    /// Tell every caller the names of a bundle's keys, and with --source vault where they are, as
    /// if it was the API server: for a cluster in which nobody else reaches the port
    #[arg(long, env = "ENCLII_TRUST_EVERY_CALLER",
        conflicts_with_all = ["client_ca_file", "client_token_file"])]
    pub trust_every_caller: bool,
}

impl CallerArgs {
    /// Which names of a bundle's keys those who are answered may learn.
    #[must_use]
    pub fn key_names(&self) -> KeyNames {
        let is_verified = self.client_ca_file.is_some() || self.client_token_file.is_some();
        if is_verified || self.trust_every_caller { KeyNames::All } else { KeyNames::OfThePod }
    }
}
