//! The permission bits of the files that hold secrets.

use std::fmt;
use std::str::FromStr;

use super::error::ValueError;

/// The permission bits of a secret's file: at least readable by its owner, at most writable by its
/// owner, executable by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u16);

impl FileMode {
    /// Readable by the owner alone.
    pub const OWNER: Self = Self(0o400);
    /// Readable by every process that sees the volume.
    pub const EVERYBODY: Self = Self(0o444);

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::FileMode(text.chars().take(20).collect());
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(refuse());
        }
        let bits = u16::from_str_radix(text, 8).map_err(|_| refuse())?;
        // 0o644 is every bit that may be set; without 0o400 the owner itself could not read.
        if bits & !0o644 != 0 || bits & 0o400 == 0 {
            return Err(refuse());
        }
        Ok(Self(bits))
    }
}

impl TryFrom<String> for FileMode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mode_round_trips(bits in 0u16..0o10000) {
            if let Ok(mode) = format!("{bits:04o}").parse::<FileMode>() {
                prop_assert_eq!(mode.to_string().parse::<FileMode>().unwrap(), mode);
                prop_assert_eq!(mode.bits() & 0o133, 0);
            }
        }
    }
}
