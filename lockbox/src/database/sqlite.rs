//! A SQLite file: one connection writes, a few read, and only one process opens the file.
//!
//! An acknowledged commit is durable (write-ahead log, `synchronous=FULL`). SQLite's own locks
//! would allow a second process, whose writes would not reach the agents of the first.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use runtime::private_file;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags};

use super::OpenError;
use super::error::DatabaseError;
use super::query::{Query, Row, SqlValue};

/// The first release without the bug that could corrupt a database when its log is reset
/// (3.7.0 to 3.51.2).
const MIN_VERSION: (u32, u32, u32) = (3, 51, 3);

/// How long a connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that each connection keeps prepared. The ledger has about 150.
const PREPARED_STATEMENTS: usize = 256;

/// The settings of each connection. The write-ahead log is moved into the file by `fold`, so that
/// no commit has to wait for it.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 0;
    -- What is deleted is overwritten, so that a destroyed data key is not in a free page.
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;";

/// A write without effect, which the writing connection makes first. If a file cannot be opened for
/// writing, SQLite opens it read-only, and the connection would keep failing after the disk becomes
/// writable again.
const WRITE_PROBE: &str = "BEGIN IMMEDIATE; PRAGMA application_id = 0; ROLLBACK;";

/// Names of placeholders. Statements with more make their own.
static PLACEHOLDERS: LazyLock<Vec<String>> =
    LazyLock::new(|| (1..=64).map(|at| format!("${at}")).collect());

pub(super) fn connect_writer(path: &Path) -> Result<Connection, DatabaseError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.execute_batch(WRITE_PROBE)?;
    Ok(connection)
}

pub(super) fn connect_reader(path: &Path) -> Result<Connection, DatabaseError> {
    let connection = connect(path, OpenFlags::empty())?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

/// A connection that moves the write-ahead log into the file.
pub(super) fn connect_checkpointer(path: &Path) -> Result<Connection, DatabaseError> {
    connect(path, OpenFlags::empty())
}

fn connect(path: &Path, more: OpenFlags) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}

/// Checks the version of the SQLite library.
pub(super) fn check_version(path: &Path) -> Result<(), OpenError> {
    let found = rusqlite::version();
    match parse(found) {
        Some(version) if version >= MIN_VERSION => Ok(()),
        _ => Err(OpenError::Version { path: path.to_owned(), found: found.to_owned() }),
    }
}

pub(super) fn rows(connection: &Connection, query: &Query) -> Result<Vec<Row>, DatabaseError> {
    let mut rows = Vec::new();
    each(connection, query, |row| rows.push(row))?;
    Ok(rows)
}

/// Hands each row to `visit`, one at a time.
pub(super) fn each(
    connection: &Connection,
    query: &Query,
    mut visit: impl FnMut(Row),
) -> Result<(), DatabaseError> {
    let mut statement = prepare(connection, query)?;
    let columns: Arc<[String]> = statement.column_names().into_iter().map(String::from).collect();
    let mut found = statement.raw_query();
    while let Some(row) = found.next()? {
        let values = (0..columns.len())
            .map(|at| {
                value(row.get_ref(at)?).ok_or_else(|| DatabaseError::Type(columns[at].clone()))
            })
            .collect::<Result<_, DatabaseError>>()?;
        visit(Row { columns: columns.clone(), values });
    }
    Ok(())
}

pub(super) fn changes(connection: &Connection, query: &Query) -> Result<u64, DatabaseError> {
    let changed = prepare(connection, query)?.raw_execute()?;
    Ok(changed as u64)
}

/// Runs statements without values and rows. Each stays prepared.
pub(super) fn control(connection: &Connection, sql: &str) -> Result<(), DatabaseError> {
    for sql in sql.split(';') {
        connection.prepare_cached(sql)?.raw_execute()?;
    }
    Ok(())
}

fn prepare<'c>(
    connection: &'c Connection,
    query: &Query,
) -> Result<CachedStatement<'c>, DatabaseError> {
    let mut statement = connection.prepare_cached(&query.sql)?;
    let in_order = are_in_order(&query.sql) && statement.parameter_count() == query.values.len();
    for (at, value) in query.values.iter().enumerate() {
        let bound = ToSqlOutput::Borrowed(match value {
            SqlValue::Integer(Some(number)) => ValueRef::Integer(*number),
            SqlValue::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(Some(bytes)) => ValueRef::Blob(bytes),
            SqlValue::Integer(None) | SqlValue::Text(None) | SqlValue::Blob(None) => ValueRef::Null,
        });
        match PLACEHOLDERS.get(at) {
            // SQLite looks for a name among all of them.
            _ if in_order => statement.raw_bind_parameter(at + 1, bound)?,
            Some(name) => statement.raw_bind_parameter(name.as_str(), bound)?,
            None => statement.raw_bind_parameter(format!("${}", at + 1).as_str(), bound)?,
        }
    }
    Ok(statement)
}

/// Whether the placeholders of a statement first appear in their order. SQLite numbers them as they
/// appear, so that the number in their name is then their index.
fn are_in_order(sql: &str) -> bool {
    let number = |text: &str| {
        let end = text.bytes().position(|it| !it.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let seen = sql.split('$').skip(1).try_fold(0_usize, |seen, text| {
        let number: usize = number(text)?;
        (number <= seen + 1).then_some(seen.max(number))
    });
    seen.is_some()
}

fn value(value: ValueRef<'_>) -> Option<SqlValue> {
    match value {
        ValueRef::Null => Some(SqlValue::Integer(None)),
        ValueRef::Integer(number) => Some(SqlValue::Integer(Some(number))),
        ValueRef::Text(text) => Some(SqlValue::from(String::from_utf8(text.to_vec()).ok()?)),
        ValueRef::Blob(bytes) => Some(SqlValue::from(bytes)),
        ValueRef::Real(_) => None,
    }
}

/// The lock file beside the database. The kernel releases the lock when the process ends, however
/// it ends.
#[derive(Debug)]
pub(super) struct DatabaseLock(File);

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // Closing it is not enough: a child process that is starting may briefly hold a copy.
        let _ = self.0.unlock();
    }
}

/// Creates the file, empty, because SQLite itself would make it readable to others, and narrows
/// the files that are there. SQLite gives new ones beside the database the database's mode.
pub(super) fn make_private(database: &Path) {
    // An existing one is not opened: closing it would release SQLite's locks on it.
    if !database.exists() {
        // Why a file cannot be made is SQLite's to say.
        let _ = private_file::open(File::options().write(true), database);
    }
    for ending in ["", "-wal", "-shm", ".lock"] {
        let path = beside(database, ending);
        match private_file::restrict(&path) {
            Ok(None) => {}
            Ok(Some(mode)) => tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"),
                "others could read this file of the database; now only its owner can"),
            Err(error) => tracing::warn!(path = %path.display(), %error,
                "others can read this file of the database, and its mode cannot be changed"),
        }
    }
}

/// The path of another file of the database.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Takes the lock.
pub(super) fn lock(database: &Path) -> Result<DatabaseLock, OpenError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source| OpenError::LockFile { path: path.clone(), source };
    let file = private_file::open(File::options().write(true), &path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(DatabaseLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(database.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::{Database, query};
    use super::*;

    #[test]
    fn placeholders_have_their_index_if_they_appear_in_order() {
        for (sql, expected) in [
            ("SELECT 1", true),
            ("SELECT $1, $2, $1, $3", true),
            ("SELECT $2, $1", false),
            ("SELECT $1, $3, $2", false),
            ("SELECT $1, '$', $2", false),
            ("SELECT $1, $a", false),
        ] {
            assert_eq!(are_in_order(sql), expected, "{sql}");
        }
        let many: Vec<String> = (1..=100).map(|at| format!("${at}")).collect();
        assert!(are_in_order(&format!("SELECT {}", many.join(","))));
    }

    #[test]
    fn values_go_to_their_placeholders_in_any_order() {
        let connection = Connection::open_in_memory().unwrap();
        for sql in
            ["SELECT $1 AS a, $2 AS b", "SELECT $2 AS b, $1 AS a", "SELECT $2 AS b, $1 AS a, '$3'"]
        {
            let query = query(sql).bind(1).bind("two");
            let row = rows(&connection, &query).unwrap().remove(0);
            let found = (row.try_get::<i64>("a").unwrap(), row.try_get::<String>("b").unwrap());
            assert_eq!(found, (1, "two".to_owned()), "{sql}");
        }
    }

    #[tokio::test]
    async fn only_the_owner_can_read_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("it.db");
        let files = || {
            fs::read_dir(directory.path()).unwrap().map(|entry| {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
                (entry.file_name().into_string().unwrap(), mode)
            })
        };
        let mut open = Vec::new();
        for wide in [0o600, 0o644, 0o666] {
            for (name, _) in files() {
                let wide = Permissions::from_mode(wide);
                fs::set_permissions(directory.path().join(name), wide).unwrap();
            }
            let database = Database::open(&path).await.unwrap();
            let table = query("CREATE TABLE IF NOT EXISTS it (n INTEGER)");
            database.execute(table).await.unwrap();
            let found: std::collections::BTreeMap<_, _> = files().collect();
            let names: Vec<_> = found.keys().map(String::as_str).collect();
            assert_eq!(names, ["it.db", "it.db-shm", "it.db-wal", "it.db.lock"]);
            assert!(found.values().all(|mode| *mode == 0o600), "{found:?}");
            // While it is open, the log and its index stay, as after a crash.
            open.push(database);
            fs::remove_file(directory.path().join("it.db.lock")).unwrap();
        }
    }

    #[test]
    fn versions_compare_by_number() {
        for (version, new_enough) in [
            ("3.51.3", true),
            ("3.52.0", true),
            ("4.0.0", true),
            ("3.51.2", false),
            ("3.9.9", false),
        ] {
            assert_eq!(parse(version).unwrap() >= MIN_VERSION, new_enough, "{version}");
        }
        assert!(parse("3.51").is_none());
        assert!(parse("").is_none());
    }

    #[tokio::test]
    async fn the_database_is_durable_and_opens_in_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a b%20?#\u{fc}.db");
        let database = Database::open(&path).await.unwrap();
        assert!(path.is_file(), "the file has another name than requested");
        for connection in [connect_writer(&path).unwrap(), connect_reader(&path).unwrap()] {
            for (setting, expected) in
                [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)]
            {
                let set: i64 =
                    connection.pragma_query_value(None, setting, |row| row.get(0)).unwrap();
                assert_eq!(set, expected, "{setting}");
            }
            let mode: String =
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
        }
        let error = Database::open(&path).await.unwrap_err();
        assert!(matches!(error, OpenError::Locked(_)), "{error}");
        database.close().await;
        drop(database);
        Database::open(&path).await.unwrap();
    }
}
