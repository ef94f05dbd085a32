//! Diagnoses what was done to a log, from the records around the first wrong one.
//!
//! Renumbering and moving records does not change their hashes: a record is the true record `n` if
//! its hash follows from the true record `n - 1`.

use super::report::Tampering;
use crate::{Hash, Record, chain_hash};

/// The records around the first wrong one.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// The sequence of the last valid record.
    pub(super) last: u64,
    /// Its hash.
    pub(super) hash: Hash,
    /// Sequence and hash of valid records, up to the last one.
    pub(super) recent: &'a [(u64, Hash)],
    /// The first wrong record and those after it. Never empty.
    pub(super) suspect: &'a [Record],
    /// Whether the missing record turned up later.
    pub(super) moved: bool,
}

/// Names what was done.
pub(super) fn diagnose(evidence: &Evidence<'_>) -> Tampering {
    let Some(wrong) = evidence.suspect.first() else { return Tampering::Edited };
    let expected = evidence.last + 1;
    if wrong.sequence < expected {
        return repeated_sequence(evidence, wrong);
    }
    if let Some(kind) = displaced(evidence, wrong) {
        return kind;
    }
    if wrong.sequence > expected {
        return if evidence.moved {
            Tampering::Reordered
        } else {
            Tampering::Deleted { until: Some(wrong.sequence - 1) }
        };
    }
    if is_repeated(evidence, wrong) {
        return Tampering::Duplicated;
    }
    let next = evidence.suspect.get(1);
    let follows = next.is_some_and(|next| {
        next.sequence == expected + 1 && chain_hash(&wrong.hash, next) == next.hash
    });
    // Later records may have been renumbered to close a gap.
    match next {
        Some(next) if !follows => closed_gap(evidence, wrong, next).unwrap_or(Tampering::Edited),
        _ => Tampering::Edited,
    }
}

/// A sequence number that was used before.
fn repeated_sequence(evidence: &Evidence<'_>, wrong: &Record) -> Tampering {
    match evidence.recent.iter().find(|(sequence, _)| *sequence == wrong.sequence) {
        Some((_, hash)) if *hash != wrong.hash => Tampering::Inserted,
        _ => Tampering::Duplicated,
    }
}

/// Whether `wrong` is an earlier record under a new number.
fn is_repeated(evidence: &Evidence<'_>, wrong: &Record) -> bool {
    let before = evidence.recent.windows(2).any(|pair| {
        let ((_, previous), (sequence, hash)) = (pair[0], pair[1]);
        hash == wrong.hash && chain_hash(&previous, &numbered(wrong, sequence)) == hash
    });
    before || evidence.recent.first().is_some_and(|(_, hash)| *hash == wrong.hash)
}

/// If the true next record is still there, what the wrong one is.
fn displaced(evidence: &Evidence<'_>, wrong: &Record) -> Option<Tampering> {
    let (mut sequence, mut hash) = (evidence.last + 1, evidence.hash);
    let mut found = false;
    // Rebuild the true chain from the records at hand.
    loop {
        let next = evidence
            .suspect
            .iter()
            .find(|record| chain_hash(&hash, &numbered(record, sequence)) == record.hash);
        let Some(next) = next else { break };
        if std::ptr::eq(next, wrong) {
            return found.then_some(Tampering::Reordered);
        }
        (found, hash, sequence) = (true, next.hash, sequence + 1);
    }
    if !found {
        return None;
    }
    if is_repeated(evidence, wrong) {
        Some(Tampering::Duplicated)
    } else {
        Some(Tampering::Inserted)
    }
}

/// Whether `next` follows `wrong` once both get back the numbers they had before records between
/// them were deleted.
fn closed_gap(evidence: &Evidence<'_>, wrong: &Record, next: &Record) -> Option<Tampering> {
    let gap = (1..=super::MAX_SUSPECT as u64).find(|gap| {
        let number = next.sequence.checked_add(*gap);
        number.is_some_and(|number| chain_hash(&wrong.hash, &numbered(next, number)) == next.hash)
    })?;
    Some(Tampering::Deleted { until: Some(evidence.last + gap) })
}

fn numbered(record: &Record, sequence: u64) -> Record {
    Record { sequence, ..record.clone() }
}
