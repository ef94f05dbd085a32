//! What can go wrong between this program and Connect. No text holds a value.

use std::path::PathBuf;
use std::time::Duration;

use super::item::ItemError;
use crate::store::StoreError;

/// Why Connect did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Connect does not take the token.
    #[error(
        "log in with the token of {file}: Connect says {message:?}; it expired, was revoked or is another server's"
    )]
    Token {
        /// The token's file.
        file: PathBuf,
        /// Connect's words.
        message: String,
    },
    /// The token is good, and not for this.
    #[error("use the vault: Connect says {0:?}")]
    Access(String),
    /// No whole answer came in time.
    #[error("reach Connect")]
    Unreachable(#[source] reqwest::Error),
    /// An answer that is an error.
    #[error("Connect answers {status}: {message}")]
    Answer {
        /// The status code.
        status: u16,
        /// Connect's words, or that there were none.
        message: String,
    },
    /// What should be JSON of a known form is not.
    #[error("Connect's answer is not of the form (line {line}, column {column})")]
    Form {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// An answer that nobody should have to hold in memory.
    #[error("Connect's answer has more than {0} bytes")]
    TooLarge(usize),
    /// No vault of that name or id is in the token's reach.
    #[error("find vault {0:?}: the token reaches none of that name or id")]
    NoVault(String),
    /// Two vaults have one name.
    #[error("find vault {0:?}: {1} vaults have that name; give the id")]
    VaultTwice(String, usize),
    /// A text that would break a filter.
    #[error(
        "filter items by {0:?}: a quote, a backslash or a control character cannot be asked for"
    )]
    Filter(String),
    /// An item that cannot be understood.
    #[error("read item {title:?} ({id})")]
    Item {
        /// Its title.
        title: String,
        /// Its id.
        id: String,
        /// What is wrong with it.
        source: ItemError,
    },
    /// A person changed what only this program writes.
    #[error(
        "read item {title:?} ({id}): somebody changed it; it does not hold the value that was written"
    )]
    Edited {
        /// Its title.
        title: String,
        /// Its id.
        id: String,
    },
    /// A write was taken and cannot be seen.
    #[error("wait for {what} to show: Connect took it and did not show it within {limit:?}")]
    Unsettled {
        /// What was written.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Others write to the vault without an end.
    #[error("wait for a turn to write to the vault: there was none within {0:?}")]
    Busy(Duration),
    /// Connect answers, and cannot work.
    #[error("use Connect: {0}")]
    Unusable(String),
    /// The system's random numbers failed.
    #[error("draw random numbers")]
    Random,
}

impl ConnectError {
    /// Whether a write that ended like this may have been done all the same.
    pub(super) fn maybe_done(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_connect(),
            Self::Answer { status, .. } => *status >= 500,
            Self::Form { .. } | Self::TooLarge(_) => true,
            _ => false,
        }
    }

    /// Whether it may go away by itself.
    pub(super) fn may_pass(&self) -> bool {
        self.is_spurious()
            || match self {
                Self::Unreachable(_) | Self::Form { .. } => true,
                // 409: two writes to one vault met; neither of them was done twice.
                Self::Answer { status, .. } => *status >= 500 || matches!(status, 408 | 409 | 429),
                _ => false,
            }
    }

    /// A refusal that Connect now and then gives to a good token, with these words and no others.
    pub(super) fn is_spurious(&self) -> bool {
        matches!(self, Self::Access(message) if message.starts_with("Authorization"))
    }

    /// Whether there is no such item or vault.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }

    pub(super) fn during(self, step: &'static str) -> StoreError {
        StoreError::Backend { step, source: Box::new(self) }
    }
}
