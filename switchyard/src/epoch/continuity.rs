//! Decides whether a ledger is the continuation of the one that was seen before. Pure.

use audit::Hash;
use serde::{Deserialize, Serialize};

use crate::repository::LedgerTables;

/// What was last seen of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    /// Its epoch.
    pub(super) epoch: String,
    /// The sequence of its last event.
    pub(super) sequence: u64,
    /// The hash of that event.
    pub(super) hash: Hash,
    /// The tables that decide. Empty in an anchor of before there was a key.
    #[serde(default)]
    pub(super) tables: LedgerTables,
}

/// The ledger as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundLedger {
    /// Its epoch, or `None` before its first one.
    pub(super) epoch: Option<String>,
    /// Whether the anchor's epoch is one of its epochs.
    pub(super) knows_anchor: bool,
    /// The hash of its event with the anchor's sequence.
    pub(super) hash_at_anchor: Option<Hash>,
    /// Whether it is on the server, and in the table, where it was last opened.
    pub(super) is_same_server: bool,
    /// Whether the server is on the timeline where it was last opened.
    pub(super) is_same_timeline: bool,
    /// The tables that decide.
    pub(super) tables: LedgerTables,
}

/// Why a ledger is not the continuation of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Discontinuity {
    /// It ends before the anchor, or says otherwise there.
    #[error("the audit log does not continue from event {0}, which was there before")]
    Older(u64),
    /// Its tables are older than its audit log.
    #[error("grants, tokens, secrets or bundles are older than the audit log: they were put back")]
    OlderTables,
    /// Its tables are under another key, and nobody said why.
    #[error("the ledger's key is another one than before")]
    OtherKey,
    /// It never was in the anchor's epoch.
    #[error("the database is another one than before, or a copy from before its last restore")]
    OtherLedger,
    /// It was copied to this server or into this table.
    #[error("the ledger was copied here from another server or database")]
    OtherServer,
    /// The server was restored to a point in time, or failed over, and nothing shows what was lost.
    #[error("the database server was restored or failed over")]
    OtherTimeline,
}

/// Whether the ledger continues the one that the anchor is of.
pub(super) fn check_continuity(
    anchor: Option<&Anchor>,
    found: &FoundLedger,
) -> Result<(), Discontinuity> {
    if !found.is_same_server {
        return Err(Discontinuity::OtherServer);
    }
    let Some(anchor) = anchor else {
        return if found.is_same_timeline { Ok(()) } else { Err(Discontinuity::OtherTimeline) };
    };
    if found.epoch.as_ref() != Some(&anchor.epoch) {
        // Another replica began an epoch since.
        return if found.knows_anchor { Ok(()) } else { Err(Discontinuity::OtherLedger) };
    }
    if anchor.sequence != 0 && found.hash_at_anchor != Some(anchor.hash) {
        return Err(Discontinuity::Older(anchor.sequence));
    }
    match (&anchor.tables.key, &found.tables.key) {
        (Some(before), Some(key)) if before != key => Err(Discontinuity::OtherKey),
        // Without a key the ledger is not opened.
        (Some(_), Some(_)) if found.tables.changes < anchor.tables.changes => {
            Err(Discontinuity::OlderTables)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ledger_with_what_was_seen_before_is_its_continuation() {
        let tables = LedgerTables { key: Some("key_one".into()), changes: 5 };
        let anchor = Anchor {
            epoch: "one".into(),
            sequence: 7,
            hash: Hash([7; 32]),
            tables: tables.clone(),
        };
        let good = FoundLedger {
            epoch: Some("one".into()),
            knows_anchor: true,
            hash_at_anchor: Some(Hash([7; 32])),
            is_same_server: true,
            is_same_timeline: true,
            tables,
        };
        let with = |change: fn(&mut FoundLedger)| {
            let mut found = good.clone();
            change(&mut found);
            found
        };
        let older = Err(Discontinuity::Older(7));
        for (found, expected, without_anchor) in [
            (good.clone(), Ok(()), Ok(())),
            (with(|it| it.hash_at_anchor = None), older, Ok(())),
            (with(|it| it.hash_at_anchor = Some(Hash([8; 32]))), older, Ok(())),
            (with(|it| it.epoch = Some("two".into())), Ok(()), Ok(())),
            (with(|it| it.tables.changes = 6), Ok(()), Ok(())),
            (with(|it| it.tables.changes = 4), Err(Discontinuity::OlderTables), Ok(())),
            (
                with(|it| it.tables.key = Some("key_two".into())),
                Err(Discontinuity::OtherKey),
                Ok(()),
            ),
            (with(|it| it.tables.key = None), Ok(()), Ok(())),
            (
                with(|it| {
                    it.epoch = Some("zero".into());
                    it.knows_anchor = false;
                }),
                Err(Discontinuity::OtherLedger),
                Ok(()),
            ),
            (
                with(|it| {
                    it.epoch = None;
                    it.knows_anchor = false;
                }),
                Err(Discontinuity::OtherLedger),
                Ok(()),
            ),
            (
                with(|it| it.is_same_server = false),
                Err(Discontinuity::OtherServer),
                Err(Discontinuity::OtherServer),
            ),
            // A failover that lost nothing.
            (with(|it| it.is_same_timeline = false), Ok(()), Err(Discontinuity::OtherTimeline)),
        ] {
            assert_eq!(check_continuity(Some(&anchor), &found), expected, "{found:?}");
            assert_eq!(check_continuity(None, &found), without_anchor, "{found:?}");
        }
        let empty = Anchor { sequence: 0, ..anchor };
        assert_eq!(check_continuity(Some(&empty), &with(|it| it.hash_at_anchor = None)), Ok(()));
    }
}
