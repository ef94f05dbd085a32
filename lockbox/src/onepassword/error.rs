//! What can go wrong between this program and Connect. No message contains a value.

use std::path::PathBuf;
use std::time::Duration;

use crate::store::StoreError;

/// Why a call to Connect failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Connect rejects the token.
    #[error(
        "log in with the token in {file}: Connect says {message:?}; the token expired, was revoked \
         or belongs to another server"
    )]
    Token {
        /// The token's file.
        file: PathBuf,
        /// Connect's message.
        message: String,
    },
    /// The token is valid, but does not permit this.
    #[error("use the vault: Connect says {0:?}")]
    Access(String),
    /// No complete answer came in time.
    #[error("reach Connect")]
    Unreachable(#[source] reqwest::Error),
    /// Connect answered with an error status.
    #[error("Connect answers {status}: {message}")]
    Status {
        /// The status code.
        status: u16,
        /// Connect's message, or a note that there is none.
        message: String,
    },
    /// The answer is not the expected JSON.
    #[error("parse Connect's answer: unexpected JSON at line {line}, column {column}")]
    MalformedAnswer {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// The answer is too large to hold in memory.
    #[error("Connect's answer has more than {0} bytes")]
    TooLarge(usize),
    /// The token has access to no vault with that name or id.
    #[error("find vault {0:?}: the token has access to no vault with that name or id")]
    NoVault(String),
    /// Several vaults share the name.
    #[error("find vault {0:?}: {1} vaults have that name; give the id")]
    AmbiguousVault(String, usize),
    /// The text would break a filter.
    #[error("filter items by {0:?}: must not contain a quote, a backslash or a control character")]
    Filter(String),
    /// The item's fields are not as expected.
    #[error("read item {title:?} ({id})")]
    Item {
        /// Its title.
        title: String,
        /// Its id.
        id: String,
        /// What is wrong with it.
        source: ItemError,
    },
    /// A person changed an item that only this program should write.
    #[error(
        "read item {title:?} ({id}): somebody changed it, and it does not hold the value that was \
         written"
    )]
    Edited {
        /// Its title.
        title: String,
        /// Its id.
        id: String,
    },
    /// A write was accepted and did not become visible.
    #[error("wait until {what} is visible: Connect accepted it and did not show it in {timeout:?}")]
    NotVisible {
        /// What was written.
        what: String,
        /// How long the wait was.
        timeout: Duration,
    },
    /// Other writes kept the vault's write lock for too long.
    #[error("wait for the vault's write lock: timed out after {0:?}")]
    WriteLockTimeout(Duration),
    /// Connect answers, but is not working.
    #[error("use Connect: {0}")]
    Unhealthy(String),
    /// The system's random numbers failed.
    #[error("draw random numbers")]
    Random,
}

impl ConnectError {
    /// Whether a write that failed like this may have succeeded anyway.
    pub(super) fn may_have_succeeded(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_connect(),
            Self::Status { status, .. } => *status >= 500,
            Self::MalformedAnswer { .. } | Self::TooLarge(_) => true,
            _ => false,
        }
    }

    /// Whether the same call may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        self.is_spurious()
            || match self {
                Self::Unreachable(_) | Self::MalformedAnswer { .. } => true,
                // 409: two writes to one vault conflicted, and this one was not done.
                Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 409 | 429),
                _ => false,
            }
    }

    /// A refusal that Connect sometimes gives to a valid token, always with this message.
    pub(super) fn is_spurious(&self) -> bool {
        matches!(self, Self::Access(message) if message.starts_with("Authorization"))
    }

    /// Whether the item or vault does not exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }

    pub(super) fn at_step(self, step: &'static str) -> StoreError {
        StoreError::Backend { step, source: Box::new(self) }
    }
}

/// Why the content of an item cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// No field has that label.
    #[error("it has no field with the label {0:?}")]
    Missing(&'static str),
    /// More than one field has that label.
    #[error("it has {1} fields with the label {0:?}, and must have one")]
    Duplicate(&'static str, usize),
    /// The value claims to be base64 and is not.
    #[error("its value begins with \"base64:\" and is not valid base64")]
    Encoding,
}
