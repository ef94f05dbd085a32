//! The result of a verification.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::Hash;

/// What was checked, and the first problem found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of records.
    pub records: u64,
    /// The first record's sequence.
    pub first: Option<u64>,
    /// Sequence and hash of the last valid record.
    pub last: Option<(u64, Hash)>,
    /// The number of checkpoints that match the log.
    pub checkpoints: u64,
    /// The newest matching checkpoint: the record it covers and when it was signed.
    pub signed: Option<(u64, Timestamp)>,
    /// Whether earlier records are missing from a partial log.
    pub partial: bool,
    /// Whether a checkpoint or the genesis hash proves the first record of a partial log.
    pub anchored: bool,
    /// The first problem, if any.
    pub finding: Option<Finding>,
    /// Whether the missing record turned up later.
    #[serde(skip)]
    pub(super) moved: bool,
}

/// The first problem in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The first affected record.
    pub sequence: u64,
    /// What was done.
    pub kind: Tampering,
}

/// A kind of tampering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tampering {
    /// The record was changed. Changing the record before it together with its hash looks the same.
    Edited,
    /// Records are missing.
    Deleted {
        /// The last missing record, if later sequence numbers reveal it.
        until: Option<u64>,
    },
    /// Records are in another order.
    Reordered,
    /// A foreign record took the place of a true one, which is still there.
    Inserted,
    /// A record appears twice.
    Duplicated,
    /// The end of the log is missing.
    CutOff {
        /// The record that the newest checkpoint covers.
        until: u64,
    },
    /// The chain is consistent but not the one that was signed: everything from some record on was
    /// rewritten.
    Rewritten {
        /// The signed record that has another hash now.
        until: u64,
    },
    /// A checkpoint that none of the given keys signed.
    Forged {
        /// The key that the checkpoint names.
        key_id: String,
    },
}

impl Tampering {
    /// A word for it in messages.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted { .. } => "deleted",
            Self::Reordered => "reordered",
            Self::Inserted => "inserted",
            Self::Duplicated => "duplicated",
            Self::CutOff { .. } => "cut off",
            Self::Rewritten { .. } => "rewritten",
            Self::Forged { .. } => "forged checkpoint",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, kind } = self;
        match kind {
            Tampering::Edited => {
                write!(
                    f,
                    "record {sequence} was edited: its hash does not follow from the record \
                     before it"
                )
            }
            Tampering::Deleted { until: Some(until) } if until > sequence => {
                write!(f, "records {sequence} to {until} were deleted")
            }
            Tampering::Deleted { .. } => write!(f, "record {sequence} was deleted"),
            Tampering::Reordered => {
                write!(f, "records were reordered: record {sequence} appears later")
            }
            Tampering::Inserted => write!(
                f,
                "a record was inserted at {sequence}; the true record {sequence} was moved"
            ),
            Tampering::Duplicated => {
                write!(f, "a record was duplicated: an older one appears again at {sequence}")
            }
            Tampering::CutOff { until } => write!(
                f,
                "the end was cut off: record {sequence} is missing, but a checkpoint covers {until}"
            ),
            Tampering::Rewritten { until } => {
                write!(
                    f,
                    "the log was rewritten from record {sequence} or later: record {until} was \
                     signed with another hash"
                )
            }
            Tampering::Forged { key_id } => write!(
                f,
                "the checkpoint for record {sequence} is forged: no given key {key_id} signed it"
            ),
        }
    }
}
