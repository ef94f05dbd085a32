//! What was done to a trail, from the records around the first wrong one. Pure.
//!
//! The true records are still in the chain of hashes, whatever number and place somebody gave them:
//! a record is the true number n if it hashes so behind the true one before it.

use super::report::Kind;
use crate::{Hash, Record, chain};

/// Around the first wrong record.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The last right record.
    pub(super) last: u64,
    /// Its hash.
    pub(super) hash: Hash,
    /// Right records, up to the last one.
    pub(super) behind: &'a [(u64, Hash)],
    /// The wrong record, and what came next. Never empty.
    pub(super) ahead: &'a [Record],
    /// Whether the record that was missed came at all.
    pub(super) moved: bool,
}

/// Says what was done.
pub(super) fn diagnose(place: &Place<'_>) -> Kind {
    let Some(wrong) = place.ahead.first() else { return Kind::Edited };
    let expected = place.last + 1;
    if wrong.sequence < expected {
        return again(place, wrong);
    }
    if let Some(kind) = pushed_aside(place, wrong) {
        return kind;
    }
    if wrong.sequence > expected {
        return if place.moved {
            Kind::Reordered
        } else {
            Kind::Deleted { until: Some(wrong.sequence - 1) }
        };
    }
    if is_repeated(place, wrong) {
        return Kind::Duplicated;
    }
    let next = place.ahead.get(1);
    let follows = next
        .is_some_and(|next| next.sequence == expected + 1 && chain(&wrong.hash, next) == next.hash);
    // The numbers behind it were moved down to close the gap.
    match next {
        Some(next) if !follows => closed(place, wrong, next).unwrap_or(Kind::Edited),
        _ => Kind::Edited,
    }
}

/// A number that was there before.
fn again(place: &Place<'_>, wrong: &Record) -> Kind {
    match place.behind.iter().find(|(sequence, _)| *sequence == wrong.sequence) {
        Some((_, hash)) if *hash != wrong.hash => Kind::Inserted,
        _ => Kind::Duplicated,
    }
}

/// The record of an earlier one under a new number.
fn is_repeated(place: &Place<'_>, wrong: &Record) -> bool {
    let before = place.behind.windows(2).any(|pair| {
        let ((_, previous), (sequence, hash)) = (pair[0], pair[1]);
        hash == wrong.hash && chain(&previous, &numbered(wrong, sequence)) == hash
    });
    before || place.behind.first().is_some_and(|(_, hash)| *hash == wrong.hash)
}

/// Whether the true next record is still there, and what the wrong one then is.
fn pushed_aside(place: &Place<'_>, wrong: &Record) -> Option<Kind> {
    let (mut sequence, mut hash) = (place.last + 1, place.hash);
    let mut found = false;
    // The true chain, put together from what is there.
    loop {
        let next = place
            .ahead
            .iter()
            .find(|record| chain(&hash, &numbered(record, sequence)) == record.hash);
        let Some(next) = next else { break };
        if std::ptr::eq(next, wrong) {
            return found.then_some(Kind::Reordered);
        }
        (found, hash, sequence) = (true, next.hash, sequence + 1);
    }
    if !found {
        return None;
    }
    if is_repeated(place, wrong) { Some(Kind::Duplicated) } else { Some(Kind::Inserted) }
}

/// Whether `next` follows the wrong record when both have the numbers that they had before some
/// were deleted.
fn closed(place: &Place<'_>, wrong: &Record, next: &Record) -> Option<Kind> {
    let gap = (1..=super::AHEAD as u64).find(|gap| {
        let number = next.sequence.checked_add(*gap);
        number.is_some_and(|number| chain(&wrong.hash, &numbered(next, number)) == next.hash)
    })?;
    Some(Kind::Deleted { until: Some(place.last + gap) })
}

fn numbered(record: &Record, sequence: u64) -> Record {
    Record { sequence, ..record.clone() }
}
