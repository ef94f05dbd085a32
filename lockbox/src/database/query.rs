//! Statements, the values bound to them, and the rows they return, for both databases.
//!
//! Both take `$1`, `$2`, … as placeholders. A column is read by name, as the type that the caller
//! expects; anything else is an error, not a guess.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::DatabaseError;

/// A value in a statement or a row. `None` is NULL; its variant says of which type, because
/// PostgreSQL asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SqlValue {
    /// A signed integer of 64 bits.
    Integer(Option<i64>),
    /// A text.
    Text(Option<String>),
    /// Bytes.
    Blob(Option<Vec<u8>>),
}

impl SqlValue {
    fn is_null(&self) -> bool {
        matches!(self, Self::Integer(None) | Self::Text(None) | Self::Blob(None))
    }
}

macro_rules! from_rust {
    ($($rust:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$rust> for SqlValue {
            fn from(value: $rust) -> Self {
                Self::$variant(Some(value.into()))
            }
        }
        impl From<Option<$rust>> for SqlValue {
            fn from(value: Option<$rust>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )+};
}

from_rust! {
    i64 => Integer, i32 => Integer, bool => Integer,
    String => Text, &str => Text,
    Vec<u8> => Blob, &[u8] => Blob,
}

/// A type that a column can be read as.
pub trait FromSql: Sized {
    /// Converts `value`, or returns `None` if it has another type.
    fn from_sql(value: SqlValue) -> Option<Self>;
}

impl FromSql for i64 {
    fn from_sql(value: SqlValue) -> Option<Self> {
        match value {
            SqlValue::Integer(value) => value,
            SqlValue::Text(_) | SqlValue::Blob(_) => None,
        }
    }
}

impl FromSql for String {
    fn from_sql(value: SqlValue) -> Option<Self> {
        match value {
            SqlValue::Text(value) => value,
            SqlValue::Integer(_) | SqlValue::Blob(_) => None,
        }
    }
}

impl FromSql for Vec<u8> {
    fn from_sql(value: SqlValue) -> Option<Self> {
        match value {
            SqlValue::Blob(value) => value,
            SqlValue::Integer(_) | SqlValue::Text(_) => None,
        }
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: SqlValue) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_sql(value).map(Some) }
    }
}

/// A row of a result. Clones share its values.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) columns: Arc<[String]>,
    pub(super) values: Arc<[SqlValue]>,
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// If the row has no such column, or its value has another type.
    pub fn try_get<T: FromSql>(&self, column: &str) -> Result<T, DatabaseError> {
        let at = self.columns.iter().position(|name| name == column);
        self.value(at.ok_or_else(|| DatabaseError::Column(column.to_owned()))?)
    }

    /// The value of the first column.
    ///
    /// # Errors
    /// If its value has another type.
    pub fn scalar<T: FromSql>(&self) -> Result<T, DatabaseError> {
        self.value(0)
    }

    fn value<T: FromSql>(&self, at: usize) -> Result<T, DatabaseError> {
        let name = || self.columns.get(at).cloned().unwrap_or_default();
        let value = self.values.get(at).ok_or_else(|| DatabaseError::Column(name()))?;
        T::from_sql(value.clone()).ok_or_else(|| DatabaseError::Type(name()))
    }
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<SqlValue>,
    /// The tables that it reads, if its rows may be kept until one of them changes.
    pub(super) cached: Option<&'static [&'static str]>,
}

/// A statement that is known when the program is compiled.
#[must_use]
pub fn query(sql: &'static str) -> Query {
    Query { sql: Cow::Borrowed(sql), values: Vec::new(), cached: None }
}

/// A statement that is put together at run time. Only placeholders and the program's own words may
/// go into its text; whatever comes from outside is bound.
#[must_use]
pub fn query_built(sql: String) -> Query {
    Query { sql: Cow::Owned(sql), values: Vec::new(), cached: None }
}

/// As many placeholders as `count`, from `$first` on, with commas between them: for a list, or a
/// row of values.
#[must_use]
pub fn placeholders(first: usize, count: usize) -> String {
    let places: Vec<String> = (first..first + count).map(|at| format!("${at}")).collect();
    places.join(", ")
}

/// Something that statements run on: the pool of readers, or the connection of a transaction.
pub trait Executor {
    /// Runs a statement and returns its rows.
    fn rows(self, query: Query) -> impl Future<Output = Result<Vec<Row>, DatabaseError>>;

    /// Runs a statement and returns how many rows it changed.
    fn changes(self, query: Query) -> impl Future<Output = Result<u64, DatabaseError>>;
}

impl Query {
    /// Binds the next placeholder.
    #[must_use]
    pub fn bind(mut self, value: impl Into<SqlValue>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds the next placeholders.
    #[must_use]
    pub fn bind_all(mut self, values: impl IntoIterator<Item = SqlValue>) -> Self {
        self.values.extend(values);
        self
    }

    /// Lets a reader of a SQLite file keep the rows in memory until one of `tables` changes, which
    /// are all that the statement reads and that change its result.
    #[must_use]
    pub fn cached(mut self, tables: &'static [&'static str]) -> Self {
        self.cached = Some(tables);
        self
    }

    /// Reads the rows from the database itself.
    #[must_use]
    pub fn uncached(mut self) -> Self {
        self.cached = None;
        self
    }

    /// Runs the statement and returns how many rows it changed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn execute(self, on: impl Executor) -> Result<u64, DatabaseError> {
        on.changes(self).await
    }

    /// All rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn fetch_all(self, on: impl Executor) -> Result<Vec<Row>, DatabaseError> {
        on.rows(self).await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn fetch_optional(self, on: impl Executor) -> Result<Option<Row>, DatabaseError> {
        Ok(on.rows(self).await?.into_iter().next())
    }

    /// The first row.
    ///
    /// # Errors
    /// If there is none, or the database fails.
    pub async fn fetch_one(self, on: impl Executor) -> Result<Row, DatabaseError> {
        self.fetch_optional(on).await?.ok_or(DatabaseError::NoRow)
    }
}
