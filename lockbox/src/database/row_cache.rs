//! The rows of statements that many requests repeat, kept until a table that they read changes.
//!
//! Only one process opens a SQLite file, and all of its changes go through one writer, which tells
//! the cache before and after each commit what it wrote. Rows read around a commit are not kept,
//! and while it runs every statement goes to the file: nobody is answered with an older state than
//! somebody else was answered with before. PostgreSQL has no cache: other replicas write there too.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::query::{Query, Row, SqlValue};

/// How long rows are kept. What somebody writes to the file from outside is noticed after that.
const MAX_AGE: Duration = Duration::from_secs(5);

/// The size of all rows above which they are dropped, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// The size of one result above which it is not kept, in bytes.
const MAX_RESULT_BYTES: usize = 64 << 10;

/// What a value costs beside its bytes.
const VALUE_BYTES: usize = size_of::<SqlValue>();

/// The tables that a statement reads, or may write to.
pub(super) type Tables = &'static [&'static str];

/// The results of statements.
#[derive(Default)]
pub(super) struct RowCache(Mutex<State>);

#[derive(Default)]
struct State {
    groups: HashMap<Tables, Group>,
    /// Sum over all results.
    bytes: usize,
    /// Changes when a commit begins or ends.
    epoch: u64,
    /// What the commit under way writes.
    committing: Written,
}

/// The results of statements that read the same tables.
#[derive(Default)]
struct Group(HashMap<Cow<'static, str>, HashMap<Vec<SqlValue>, CachedRows>>);

struct CachedRows {
    rows: Vec<Row>,
    read_at: Instant,
}

/// What is known of a statement's result.
#[derive(Debug)]
pub(super) enum CacheLookup {
    /// The result.
    Hit(Vec<Row>),
    /// It is to be read, and may then be kept.
    Miss(Ticket),
    /// It is to be read, and not to be kept.
    Bypass,
}

/// The state of the cache before a result was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The tables that a transaction wrote to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    tables: BTreeSet<String>,
    /// Whether there was a statement whose tables are not known.
    everything: bool,
}

impl Written {
    /// Adds what a statement writes to.
    pub(super) fn add(&mut self, sql: &str) {
        match target(sql) {
            Target::Nothing => {}
            Target::Table(table) if self.tables.contains(table) => {}
            Target::Table(table) => drop(self.tables.insert(table.to_owned())),
            Target::Unknown => self.everything = true,
        }
    }

    fn touches(&self, tables: Tables) -> bool {
        self.everything || tables.iter().any(|table| self.tables.contains(*table))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Target<'s> {
    Nothing,
    Table(&'s str),
    Unknown,
}

/// The table that a statement writes to. The schema's triggers and foreign keys write to no other.
fn target(sql: &str) -> Target<'_> {
    let mut words = sql.split_ascii_whitespace();
    let table = match words.next() {
        Some("SELECT") => return Target::Nothing,
        Some("UPDATE") => words.next(),
        Some("INSERT") => words.next().filter(|word| *word == "INTO").and_then(|_| words.next()),
        Some("DELETE") => words.next().filter(|word| *word == "FROM").and_then(|_| words.next()),
        _ => None,
    };
    match table {
        Some(table) if table.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') => {
            Target::Table(table)
        }
        _ => Target::Unknown,
    }
}

impl RowCache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a statement, if it is known.
    pub(super) fn get(&self, query: &Query) -> CacheLookup {
        let Some(tables) = query.cached else { return CacheLookup::Bypass };
        let state = self.state();
        if state.committing.touches(tables) {
            return CacheLookup::Bypass;
        }
        let found = state
            .groups
            .get(tables)
            .and_then(|group| group.0.get(&*query.sql)?.get(query.values.as_slice()))
            .filter(|found| found.read_at.elapsed() < MAX_AGE);
        match found {
            Some(found) => CacheLookup::Hit(found.rows.clone()),
            None => CacheLookup::Miss(Ticket(state.epoch)),
        }
    }

    /// Keeps a result that was read after `ticket` was given out, unless something was committed
    /// since. That nothing was found is not kept: anybody can ask for what there is not.
    pub(super) fn put(&self, query: &Query, rows: &[Row], ticket: Ticket) {
        let bytes = size(query, rows);
        let Some(tables) = query.cached else { return };
        if rows.is_empty() || bytes > MAX_RESULT_BYTES {
            return;
        }
        let mut state = self.state();
        if Ticket(state.epoch) != ticket {
            return;
        }
        if state.bytes + bytes > MAX_BYTES {
            state.groups.clear();
            state.bytes = 0;
        }
        let kept = CachedRows { rows: rows.to_vec(), read_at: Instant::now() };
        let group = state.groups.entry(tables).or_default();
        let replaced =
            group.0.entry(query.sql.clone()).or_default().insert(query.values.clone(), kept);
        let replaced = replaced.map_or(0, |old| size(query, &old.rows));
        state.bytes = (state.bytes + bytes).saturating_sub(replaced);
    }

    /// Drops what a transaction changes, and keeps nothing of it until the guard is dropped, once
    /// it is known how the commit ended.
    pub(super) fn begin_commit(&self, written: Written) -> Committing<'_> {
        let mut state = self.state();
        state.epoch = state.epoch.wrapping_add(1);
        let mut dropped = 0;
        state.groups.retain(|tables, group| {
            let is_kept = !written.touches(tables);
            if !is_kept {
                dropped += group.bytes();
            }
            is_kept
        });
        state.bytes = state.bytes.saturating_sub(dropped);
        state.committing = written;
        Committing(self)
    }
}

impl Group {
    fn bytes(&self) -> usize {
        let results = self.0.values().flatten();
        results.map(|(values, found)| size_of_values(values) + size_of_rows(&found.rows)).sum()
    }
}

/// A commit that has not ended.
pub(super) struct Committing<'c>(&'c RowCache);

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.epoch = state.epoch.wrapping_add(1);
        state.committing = Written::default();
    }
}

impl fmt::Debug for RowCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowCache").field("bytes", &self.state().bytes).finish_non_exhaustive()
    }
}

fn size(query: &Query, rows: &[Row]) -> usize {
    size_of_values(&query.values) + size_of_rows(rows)
}

fn size_of_rows(rows: &[Row]) -> usize {
    rows.iter().map(|row| size_of_values(&row.values)).sum()
}

fn size_of_values(values: &[SqlValue]) -> usize {
    let bytes = |value: &SqlValue| match value {
        SqlValue::Text(Some(text)) => text.len(),
        SqlValue::Blob(Some(bytes)) => bytes.len(),
        SqlValue::Integer(_) | SqlValue::Text(None) | SqlValue::Blob(None) => 0,
    };
    values.iter().map(|value| VALUE_BYTES + bytes(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::query;
    use super::*;

    #[test]
    fn a_statement_writes_to_the_table_that_it_names_or_to_an_unknown_one() {
        for (sql, expected) in [
            ("SELECT * FROM it", Target::Nothing),
            ("UPDATE it SET n = 1", Target::Table("it")),
            ("INSERT INTO it (n)\n  VALUES (1)", Target::Table("it")),
            ("  DELETE FROM\n it WHERE n = 1", Target::Table("it")),
            ("INSERT OR REPLACE INTO it (n) VALUES (1)", Target::Unknown),
            ("INSERT INTO it(n) VALUES (1)", Target::Unknown),
            ("UPDATE \"it\" SET n = 1", Target::Unknown),
            ("WITH a AS (SELECT 1) INSERT INTO it SELECT * FROM a", Target::Unknown),
            ("DROP TABLE it", Target::Unknown),
            ("update it set n = 1", Target::Unknown),
            ("", Target::Unknown),
        ] {
            assert_eq!(target(sql), expected, "{sql}");
        }
    }

    fn statement(number: usize) -> Query {
        query("SELECT n FROM a WHERE n = $1").bind(number as i64).cached(&["a", "b"])
    }

    fn rows(bytes: usize) -> Vec<Row> {
        vec![Row { columns: ["n".to_owned()].into(), values: [vec![0_u8; bytes].into()].into() }]
    }

    fn written(sql: &str) -> Written {
        let mut written = Written::default();
        written.add(sql);
        written
    }

    fn read(cache: &RowCache, query: &Query, rows: &[Row]) {
        let CacheLookup::Miss(ticket) = cache.get(query) else { panic!("not a miss") };
        cache.put(query, rows, ticket);
    }

    #[test]
    fn rows_are_known_until_one_of_their_tables_changes() {
        let (cache, one) = (RowCache::default(), statement(1));
        for (sql, is_kept) in [
            ("UPDATE c SET n = 1", true),
            ("SELECT n FROM a", true),
            ("UPDATE a SET n = 1", false),
            ("DELETE FROM b WHERE n = 1", false),
            ("VACUUM", false),
        ] {
            read(&cache, &one, &rows(1));
            let during = cache.begin_commit(written(sql));
            assert_eq!(matches!(cache.get(&one), CacheLookup::Hit(_)), is_kept, "{sql}");
            assert_eq!(matches!(cache.get(&one), CacheLookup::Bypass), !is_kept, "{sql}");
            drop(during);
            assert_eq!(matches!(cache.get(&one), CacheLookup::Hit(_)), is_kept, "{sql}");
            drop(cache.begin_commit(written("UPDATE a SET n = 1")));
        }
        // Another statement, or the same with other values, is another one.
        read(&cache, &one, &rows(1));
        assert!(matches!(cache.get(&statement(2)), CacheLookup::Miss(_)));
        assert!(matches!(cache.get(&one.uncached()), CacheLookup::Bypass));
    }

    #[test]
    fn rows_read_around_a_commit_are_not_kept() {
        let (cache, one) = (RowCache::default(), statement(1));
        let CacheLookup::Miss(before) = cache.get(&one) else { panic!("not a miss") };
        let during = cache.begin_commit(written("UPDATE a SET n = 1"));
        cache.put(&one, &rows(1), before);
        drop(during);
        assert!(matches!(cache.get(&one), CacheLookup::Miss(_)));
        cache.put(&one, &rows(1), before);
        assert!(matches!(cache.get(&one), CacheLookup::Miss(_)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = RowCache::default();
        let size = MAX_RESULT_BYTES - 1000;
        for number in 0..3 * MAX_BYTES / size {
            // The same result again takes no more room.
            for _ in 0..2 {
                let now = Ticket(cache.state().epoch);
                cache.put(&statement(number), &rows(size), now);
            }
            let state = cache.state();
            assert!(state.bytes <= MAX_BYTES);
            assert_eq!(state.bytes, state.groups.values().map(Group::bytes).sum::<usize>());
        }
        assert!(cache.state().bytes > 0);
        drop(cache.begin_commit(written("UPDATE a SET n = 1")));
        assert_eq!(cache.state().bytes, 0);
        // Neither a result that is too large, nor that there is none.
        for rows in [rows(MAX_RESULT_BYTES), Vec::new()] {
            read(&cache, &statement(1), &rows);
            assert!(matches!(cache.get(&statement(1)), CacheLookup::Miss(_)));
        }
    }
}
