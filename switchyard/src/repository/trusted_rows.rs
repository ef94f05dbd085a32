//! What is known to be in a table whose rows give rights: a copy of their MACs, checked as a whole
//! against the table's digest, and as old as the number of the table's changes says.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::digest::{Digest, Table};
use super::mac::RowMac;
use super::table_digests::TableDigest;

/// How soon a table that was found changed is read again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A copy of the MACs of a table.
#[derive(Debug)]
pub(super) struct TrustedRows {
    pub(super) table: Table,
    state: Mutex<State>,
    /// One reader at a time.
    pub(super) loading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` until the table was found consistent.
    rows: Option<LoadedRows>,
    /// When, and after how many changes, the table was found inconsistent.
    failed: Option<(u64, Instant)>,
}

/// The rows of a table, by id, as one statement read them.
#[derive(Debug, Default)]
pub(super) struct LoadedRows {
    pub(super) macs: HashMap<i64, RowMac>,
    /// The sum of their terms.
    pub(super) rows: Digest,
    /// What the table's digest is to be.
    pub(super) expected: Option<TableDigest>,
}

/// What the copy says about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The table has it.
    Current,
    /// The table does not have it, or not like this.
    NotCurrent,
    /// The copy is older or newer than the row.
    Unknown,
    /// The table was found inconsistent.
    Inconsistent,
}

impl TrustedRows {
    pub(super) fn new(table: Table) -> Self {
        Self { table, state: Mutex::default(), loading: tokio::sync::Mutex::default() }
    }

    /// What is known of a row that was read when the table had changed this often.
    pub(super) fn standing(&self, id: i64, mac: RowMac, changes: u64) -> Standing {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.rows {
            Some(LoadedRows { macs, expected: Some(expected), .. })
                if expected.changes == changes =>
            {
                if macs.get(&id) == Some(&mac) {
                    Standing::Current
                } else {
                    Standing::NotCurrent
                }
            }
            _ => match state.failed {
                Some((at, when)) if at == changes && when.elapsed() < RETRY_AFTER => {
                    Standing::Inconsistent
                }
                _ => Standing::Unknown,
            },
        }
    }

    /// Forgets what was read.
    pub(super) fn clear(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Takes over what was read, if it is consistent. Returns whether it is.
    pub(super) fn replace(&self, loaded: LoadedRows) -> bool {
        let Some(expected) = loaded.expected else { return false };
        let is_consistent = expected.rows == loaded.rows;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if is_consistent {
            *state = State { rows: Some(loaded), failed: None };
        } else {
            state.failed = Some((expected.changes, Instant::now()));
        }
        is_consistent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::digest::DIGEST_BYTES;

    fn loaded(ids: &[i64], changes: u64, is_consistent: bool) -> LoadedRows {
        let rows = Digest([1; DIGEST_BYTES]);
        let expected = if is_consistent { rows } else { Digest::default() };
        let mac = |id: &i64| (*id, RowMac([id.to_be_bytes()[7]; DIGEST_BYTES]));
        LoadedRows {
            macs: ids.iter().map(mac).collect(),
            rows,
            expected: Some(TableDigest { changes, rows: expected }),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_counts_only_as_the_table_has_it() {
        let rows = TrustedRows::new(Table::Grants);
        let standing = |id: u8, mac: u8, changes| {
            rows.standing(id.into(), RowMac([mac; DIGEST_BYTES]), changes)
        };
        assert_eq!(standing(1, 1, 3), Standing::Unknown);
        assert!(rows.replace(loaded(&[1, 2], 3, true)));
        for (id, mac, changes, expected) in [
            (1, 1, 3, Standing::Current),
            (2, 1, 3, Standing::NotCurrent),
            (3, 3, 3, Standing::NotCurrent),
            (1, 1, 4, Standing::Unknown),
            (1, 1, 2, Standing::Unknown),
        ] {
            assert_eq!(standing(id, mac, changes), expected, "{id} {mac} {changes}");
        }
        // A table that was tampered with replaces nothing, and is not read again at once.
        assert!(!rows.replace(loaded(&[1, 2, 3], 4, false)));
        assert_eq!(standing(1, 1, 3), Standing::Current);
        assert_eq!(standing(3, 3, 4), Standing::Inconsistent);
        tokio::time::advance(RETRY_AFTER).await;
        assert_eq!(standing(3, 3, 4), Standing::Unknown);
        assert!(rows.replace(loaded(&[1, 3], 4, true)));
        assert_eq!(standing(3, 3, 4), Standing::Current);
        assert_eq!(standing(2, 2, 4), Standing::NotCurrent);
    }
}
