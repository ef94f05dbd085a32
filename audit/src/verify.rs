//! Whether a trail is the one that was written: records come one by one, and the first that is
//! wrong is named with what was done to it.
//!
//! The chain shows what happened inside of the trail. That its end was cut off, or that all of it
//! was written anew behind some record, only checkpoints show that were kept elsewhere.

mod diagnose;
mod report;

use std::collections::VecDeque;

pub use report::{Finding, Kind, Report};

use crate::{Checkpoint, Hash, PublicKey, Record, chain};
use diagnose::Place;

/// Records behind the first wrong one that are looked at to say what was done.
const AHEAD: usize = 64;

/// Records before it that are remembered, to know one that comes again.
const BEHIND: usize = 64;

/// Where a trail that is verified begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At record 1, behind nothing.
    Origin,
    /// At whatever comes first: an export of a part. The first record is taken as it is, unless a
    /// checkpoint is of the record before it.
    Anywhere,
}

/// Verifies a trail that comes record by record.
#[derive(Debug)]
pub struct Verifier {
    start: Start,
    /// In order of their numbers; those that are behind are gone.
    checkpoints: VecDeque<Checkpoint>,
    /// The last record that was right: its number and its hash.
    last: Option<(u64, Hash)>,
    behind: VecDeque<(u64, Hash)>,
    /// The wrong record and those behind it, until it can be said what was done.
    ahead: Vec<Record>,
    report: Report,
}

impl Verifier {
    /// With the checkpoints that were kept, and the keys that may have signed them.
    #[must_use]
    pub fn new(start: Start, mut checkpoints: Vec<Checkpoint>, keys: &[PublicKey]) -> Self {
        checkpoints.sort_by_key(|checkpoint| checkpoint.sequence);
        let forged = checkpoints
            .iter()
            .find(|checkpoint| !keys.iter().any(|key| checkpoint.is_signed_by(key)));
        let finding = forged.map(|it| Finding {
            sequence: it.sequence,
            kind: Kind::Forged { key_id: it.key_id.clone() },
        });
        let last = (start == Start::Origin).then_some((0, Hash::ORIGIN));
        let report = Report { finding, ..Report::default() };
        let (behind, ahead) = (VecDeque::with_capacity(BEHIND), Vec::new());
        Self { start, checkpoints: checkpoints.into(), last, behind, ahead, report }
    }

    /// Takes the next record.
    pub fn take(&mut self, record: &Record) {
        self.report.records += 1;
        if !self.ahead.is_empty() {
            if self.ahead.len() < AHEAD {
                self.ahead.push(record.clone());
            }
            // However far behind it comes: a record that was missed was moved and not deleted.
            let missed = self.last.is_some_and(|(last, hash)| {
                record.sequence == last + 1 && chain(&hash, record) == record.hash
            });
            self.report.moved |= missed;
            return;
        }
        if self.report.finding.is_some() {
            return;
        }
        let Some(last) = self.last else { return self.begin(record) };
        if record.sequence == last.0.saturating_add(1) && chain(&last.1, record) == record.hash {
            self.accept(record);
        } else {
            self.ahead.push(record.clone());
        }
    }

    /// What was found, when there is no record any more.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.partial = self.start == Start::Anywhere && self.report.first != Some(1);
        if self.report.finding.is_some() {
            return self.report;
        }
        let (last, hash) = self.last.unwrap_or((0, Hash::ORIGIN));
        if !self.ahead.is_empty() {
            let place = Place {
                last,
                hash,
                behind: self.behind.make_contiguous(),
                ahead: &self.ahead,
                moved: self.report.moved,
            };
            self.report.finding =
                Some(Finding { sequence: last + 1, kind: diagnose::diagnose(&place) });
        } else if let Some(newest) = self.checkpoints.back() {
            // It was signed, so it was there.
            self.report.finding =
                Some(Finding { sequence: last + 1, kind: Kind::CutOff { until: newest.sequence } });
        }
        self.report
    }

    /// The first record of a part.
    fn begin(&mut self, record: &Record) {
        let before = record.sequence.saturating_sub(1);
        let anchor = self
            .checkpoints
            .iter()
            .find(|checkpoint| checkpoint.sequence == before)
            .map(|checkpoint| checkpoint.hash);
        let anchor = if before == 0 { Some(Hash::ORIGIN) } else { anchor };
        while self
            .checkpoints
            .front()
            .is_some_and(|checkpoint| checkpoint.sequence < record.sequence)
        {
            self.checkpoints.pop_front();
        }
        self.report.anchored = anchor.is_some();
        match anchor {
            Some(hash) if chain(&hash, record) != record.hash => {
                self.last = Some((before, hash));
                self.ahead.push(record.clone());
            }
            _ => self.accept(record),
        }
    }

    fn accept(&mut self, record: &Record) {
        self.report.first.get_or_insert(record.sequence);
        self.last = Some((record.sequence, record.hash));
        self.report.last = self.last;
        if self.behind.len() == BEHIND {
            self.behind.pop_front();
        }
        self.behind.push_back((record.sequence, record.hash));
        while let Some(checkpoint) =
            self.checkpoints.front().filter(|checkpoint| checkpoint.sequence <= record.sequence)
        {
            if checkpoint.sequence == record.sequence && checkpoint.hash != record.hash {
                let kind = Kind::Rewritten { until: record.sequence };
                self.report.finding = Some(Finding {
                    sequence: self.report.signed.map_or(0, |(signed, _)| signed) + 1,
                    kind,
                });
                return;
            }
            self.report.checkpoints += 1;
            self.report.signed = Some((checkpoint.sequence, checkpoint.at));
            self.checkpoints.pop_front();
        }
    }
}

/// Verifies a whole trail that is in memory.
#[must_use]
pub fn verify(records: &[Record], checkpoints: Vec<Checkpoint>, keys: &[PublicKey]) -> Report {
    let mut verifier = Verifier::new(Start::Origin, checkpoints, keys);
    records.iter().for_each(|record| verifier.take(record));
    verifier.finish()
}

#[cfg(test)]
mod tests;
