//! Verification of an audit log, record by record. The report names the first wrong record and what
//! was done to it.
//!
//! The chain reveals changes inside the log. Only checkpoints stored elsewhere reveal that its end
//! was cut off, or that every record after some point was rewritten.

mod diagnose;
mod report;

use std::collections::VecDeque;

pub use report::{Finding, Report, Tampering};

use crate::{Checkpoint, Hash, PublicKey, Record, chain_hash};
use diagnose::Evidence;

/// Records kept after the first wrong one, to diagnose what was done.
const MAX_SUSPECT: usize = 64;

/// Records remembered before it, to recognise a repeated one.
const MAX_RECENT: usize = 64;

/// Where a verified log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPoint {
    /// At record 1.
    Genesis,
    /// At any record: a partial export. The first record is trusted, unless a checkpoint covers the
    /// record before it.
    Anywhere,
}

/// Verifies a log that arrives record by record.
#[derive(Debug)]
pub struct Verifier {
    start: StartingPoint,
    /// In order of sequence; checkpoints that have been passed are removed.
    checkpoints: VecDeque<Checkpoint>,
    /// Sequence and hash of the last valid record.
    last: Option<(u64, Hash)>,
    recent: VecDeque<(u64, Hash)>,
    /// The first wrong record and those after it, for the diagnosis.
    suspect: Vec<Record>,
    report: Report,
}

impl Verifier {
    /// A verifier for a log with these checkpoints, signed by any of `keys`.
    #[must_use]
    pub fn new(start: StartingPoint, mut checkpoints: Vec<Checkpoint>, keys: &[PublicKey]) -> Self {
        checkpoints.sort_by_key(|checkpoint| checkpoint.sequence);
        let forged = checkpoints
            .iter()
            .find(|checkpoint| !keys.iter().any(|key| checkpoint.is_signed_by(key)));
        let finding = forged.map(|it| Finding {
            sequence: it.sequence,
            kind: Tampering::Forged { key_id: it.key_id.clone() },
        });
        let last = (start == StartingPoint::Genesis).then_some((0, Hash::GENESIS));
        let report = Report { finding, ..Report::default() };
        let (recent, suspect) = (VecDeque::with_capacity(MAX_RECENT), Vec::new());
        Self { start, checkpoints: checkpoints.into(), last, recent, suspect, report }
    }

    /// Checks the next record.
    pub fn push(&mut self, record: &Record) {
        self.report.records += 1;
        if !self.suspect.is_empty() {
            if self.suspect.len() < MAX_SUSPECT {
                self.suspect.push(record.clone());
            }
            // A missing record that turns up later, however far, was moved and not deleted.
            let missed = self.last.is_some_and(|(last, hash)| {
                record.sequence == last + 1 && chain_hash(&hash, record) == record.hash
            });
            self.report.moved |= missed;
            return;
        }
        if self.report.finding.is_some() {
            return;
        }
        let Some(last) = self.last else { return self.begin(record) };
        if record.sequence == last.0.saturating_add(1) && chain_hash(&last.1, record) == record.hash
        {
            self.accept(record);
        } else {
            self.suspect.push(record.clone());
        }
    }

    /// Finishes after the last record.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.partial = self.start == StartingPoint::Anywhere && self.report.first != Some(1);
        if self.report.finding.is_some() {
            return self.report;
        }
        let (last, hash) = self.last.unwrap_or((0, Hash::GENESIS));
        if !self.suspect.is_empty() {
            let evidence = Evidence {
                last,
                hash,
                recent: self.recent.make_contiguous(),
                suspect: &self.suspect,
                moved: self.report.moved,
            };
            self.report.finding =
                Some(Finding { sequence: last + 1, kind: diagnose::diagnose(&evidence) });
        } else if let Some(newest) = self.checkpoints.back() {
            // The record was signed, so it existed.
            self.report.finding = Some(Finding {
                sequence: last + 1,
                kind: Tampering::CutOff { until: newest.sequence },
            });
        }
        self.report
    }

    /// The first record of a partial log.
    fn begin(&mut self, record: &Record) {
        let before = record.sequence.saturating_sub(1);
        let anchor = self
            .checkpoints
            .iter()
            .find(|checkpoint| checkpoint.sequence == before)
            .map(|checkpoint| checkpoint.hash);
        let anchor = if before == 0 { Some(Hash::GENESIS) } else { anchor };
        while self
            .checkpoints
            .front()
            .is_some_and(|checkpoint| checkpoint.sequence < record.sequence)
        {
            self.checkpoints.pop_front();
        }
        self.report.anchored = anchor.is_some();
        match anchor {
            Some(hash) if chain_hash(&hash, record) != record.hash => {
                self.last = Some((before, hash));
                self.suspect.push(record.clone());
            }
            _ => self.accept(record),
        }
    }

    fn accept(&mut self, record: &Record) {
        self.report.first.get_or_insert(record.sequence);
        self.last = Some((record.sequence, record.hash));
        self.report.last = self.last;
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((record.sequence, record.hash));
        while let Some(checkpoint) =
            self.checkpoints.front().filter(|checkpoint| checkpoint.sequence <= record.sequence)
        {
            if checkpoint.sequence == record.sequence && checkpoint.hash != record.hash {
                let kind = Tampering::Rewritten { until: record.sequence };
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

/// Verifies a complete log in memory.
#[must_use]
pub fn verify(records: &[Record], checkpoints: Vec<Checkpoint>, keys: &[PublicKey]) -> Report {
    let mut verifier = Verifier::new(StartingPoint::Genesis, checkpoints, keys);
    records.iter().for_each(|record| verifier.push(record));
    verifier.finish()
}

#[cfg(test)]
mod tests;
