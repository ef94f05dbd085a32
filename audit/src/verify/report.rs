//! What a verification says.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::Hash;

/// What was looked at, and the first thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// So many records came.
    pub records: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The number and the hash of the last one that is right.
    pub last: Option<(u64, Hash)>,
    /// So many checkpoints agree with the trail.
    pub checkpoints: u64,
    /// Up to which record a checkpoint vouches for the trail, and when that was signed.
    pub signed: Option<(u64, Timestamp)>,
    /// Records before the first were not looked at.
    pub partial: bool,
    /// Of a part: whether something vouches for its first record.
    pub anchored: bool,
    /// What is wrong, if anything is.
    pub finding: Option<Finding>,
    /// The record that was missed came later.
    #[serde(skip)]
    pub(super) moved: bool,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The first record that is not what it was.
    pub sequence: u64,
    /// What was done to it.
    pub kind: Kind,
}

/// What can be done to a trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The record was changed; or the one before it together with its hash, which looks the same.
    Edited,
    /// Records are missing.
    Deleted {
        /// The last of them, where the numbers behind say so.
        until: Option<u64>,
    },
    /// Records are there in another order.
    Reordered,
    /// A record stands where another one was, and that one is still there.
    Inserted,
    /// A record is there twice.
    Duplicated,
    /// The end is missing.
    CutOff {
        /// A checkpoint was signed for this record.
        until: u64,
    },
    /// The chain holds, and is not the one that was signed: everything was written anew from some
    /// record on.
    Rewritten {
        /// At the latest from this record on, which was signed with another hash.
        until: u64,
    },
    /// A checkpoint that none of the keys signed.
    Forged {
        /// The key that it says it is signed with.
        key_id: String,
    },
}

impl Kind {
    /// The word for it.
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
            Kind::Edited => {
                write!(f, "record {sequence} was edited: it does not follow from the one before it")
            }
            Kind::Deleted { until: Some(until) } if until > sequence => {
                write!(f, "records {sequence} to {until} were deleted")
            }
            Kind::Deleted { .. } => write!(f, "record {sequence} was deleted"),
            Kind::Reordered => write!(
                f,
                "records were reordered: record {sequence} comes later than it was written"
            ),
            Kind::Inserted => write!(
                f,
                "a record was inserted at {sequence}, where the true record {sequence} was pushed aside"
            ),
            Kind::Duplicated => write!(
                f,
                "a record was duplicated: before record {sequence} an older one comes again"
            ),
            Kind::CutOff { until } => write!(
                f,
                "the end was cut off: record {sequence} is missing, and {until} was signed"
            ),
            Kind::Rewritten { until } => {
                write!(
                    f,
                    "the trail was rewritten from record {sequence} or later on: record {until} was signed with another hash"
                )
            }
            Kind::Forged { key_id } => write!(
                f,
                "the checkpoint of record {sequence} is forged: no given key {key_id} signed it"
            ),
        }
    }
}
