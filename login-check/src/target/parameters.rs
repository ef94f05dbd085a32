//! The query of a URL. Names are compared without case, `-` and `_`, since the libraries spell the
//! same parameter differently: `ssl-mode`, `sslMode`, `sslmode`.

use super::UrlError;
use super::percent::decode;

/// The parameters, in their order.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=b&c=d`.
    pub(super) fn parse(query: &str) -> Result<Self, UrlError> {
        let parts = query.split('&').filter(|part| !part.is_empty());
        let entries = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((plain(&decode(name)?), decode(value)?))
        });
        Ok(Self(entries.collect::<Result<_, _>>()?))
    }

    /// Adds one.
    pub(super) fn push(&mut self, name: &str, value: String) {
        self.0.push((plain(name), value));
    }

    /// The value of the first of these names that is there and not empty. The last of its kind
    /// wins.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        let value = |name: &&str| self.0.iter().rev().find(|(other, _)| other == name);
        let found = names.iter().find_map(value);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the user is here, and not before the host.
    pub(super) fn has_user(&self) -> bool {
        self.get(&["user", "username"]).is_some()
    }
}

/// A word without case, `-` and `_`.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .filter(|char| !matches!(char, '-' | '_'))
        .map(|char| char.to_ascii_lowercase())
        .collect()
}
