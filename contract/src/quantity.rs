//! Resource quantities, as Kubernetes writes them.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A Kubernetes resource quantity such as `5m` or `16Mi`. It is checked where it is read, because
/// the API server refuses every pod with an invalid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(String);

/// The text is not a [`Quantity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse quantity {0:?}: must be a number with an optional suffix m, k, M, G, Ki, Mi or Gi, such \
     as 5m or 16Mi"
)]
pub struct QuantityError(String);

/// The suffixes, each with its factor.
const SUFFIXES: [(&str, f64); 8] = [
    ("", 1.0),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
];

/// The longest text of one. A longer number is no amount of anything.
const MAX_BYTES: usize = 32;

impl Quantity {
    /// A quantity of the program's own text. Tests check each.
    #[must_use]
    pub fn constant(text: &'static str) -> Self {
        debug_assert!(text.parse::<Self>().is_ok(), "{text} is no quantity");
        Self(text.to_owned())
    }

    /// So many bytes, in whole MiB where it is.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        let whole = bytes > 0 && bytes.is_multiple_of(1 << 20);
        Self(if whole { format!("{}Mi", bytes >> 20) } else { bytes.to_string() })
    }

    /// The quantity's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, to compare two of them.
    #[must_use]
    pub fn amount(&self) -> f64 {
        let digits = self.0.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &self.0[digits.len()..];
        let factor = SUFFIXES.iter().find(|(known, _)| *known == suffix).map_or(1.0, |(_, it)| *it);
        // Checked when it was parsed.
        digits.parse().unwrap_or(0.0) * factor
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &text[digits.len()..];
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let number = match digits.split_once('.') {
            Some((whole, fraction)) => is_number(whole) && is_number(fraction),
            None => is_number(digits),
        };
        let is_known = SUFFIXES.iter().any(|(known, _)| *known == suffix);
        if number && is_known && text.len() <= MAX_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err(QuantityError(text.chars().take(MAX_BYTES).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_checked() {
        for text in ["5m", "16Mi", "1", "0.5", "1.5Gi"] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), text);
        }
        let long = "1".repeat(MAX_BYTES + 1);
        for text in ["", "m", "5 m", "-5m", "5mb", "1.", ".5", "ä", "1.2.3", &long] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn amounts_are_compared_whatever_their_suffix() {
        let amount = |text: &str| text.parse::<Quantity>().unwrap().amount();
        assert!(amount("64Mi") > amount("64M") && amount("0.2") >= amount("200m"));
        assert!(amount("1Gi") == amount("1024Mi") && amount("0") < amount("1m"));
        assert_eq!(Quantity::bytes(16 << 20).as_str(), "16Mi");
        assert_eq!(Quantity::bytes(1000).as_str(), "1000");
    }
}
