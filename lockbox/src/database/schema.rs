//! A crate's tables: their migrations in both dialects, compiled into the program.
//!
//! `sqlx::migrate!` would find the files by itself. Its macro crate links the database drivers and
//! their TLS a second time, for the compiler's own use, which took a quarter of a build.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration as SqlxMigration, MigrationType, Migrator};

/// The migrations of one crate, and the table that records which of them were applied.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The table's name.
    pub table: &'static str,
    /// All migrations ever released. Applied ones never change: their checksums are recorded.
    pub migrations: &'static [Migration],
}

/// One migration.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The number at the beginning of the files' name.
    pub version: i64,
    /// The rest of the files' name, with spaces for underscores.
    pub description: &'static str,
    /// The text of the file in `migrations/sqlite`.
    pub sqlite: &'static str,
    /// The text of the file in `migrations/postgres`.
    pub postgres: &'static str,
}

impl Schema {
    /// Applies the migrations to PostgreSQL.
    pub(super) fn migrator(&self) -> Migrator {
        let migrations = self.migrations.iter().map(|it| {
            let (description, sql) = (it.description.into(), it.postgres.into_sql_str());
            SqlxMigration::new(it.version, description, MigrationType::Simple, sql, false)
        });
        let mut migrator = Migrator::with_migrations(migrations.collect());
        migrator.dangerous_set_table_name(self.table);
        migrator
    }

    /// Whether the folder `migrations` of a crate holds these migrations and no others. For a test:
    /// a file that is not in the list would never be applied.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn matches_folder(&self, folder: &Path) -> io::Result<bool> {
        let listed = |text: fn(&Migration) -> &'static str| -> BTreeSet<_> {
            let name = |it: &Migration| {
                format!("{:04}_{}.sql", it.version, it.description.replace(' ', "_"))
            };
            self.migrations.iter().map(|it| (name(it), text(it).to_owned())).collect()
        };
        Ok(read(&folder.join("sqlite"))? == listed(|it| it.sqlite)
            && read(&folder.join("postgres"))? == listed(|it| it.postgres))
    }
}

/// The name and the text of each file.
fn read(folder: &Path) -> io::Result<BTreeSet<(String, String)>> {
    let entry = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Ok((name, std::fs::read_to_string(entry.path())?))
    };
    std::fs::read_dir(folder)?.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::SCHEMA;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");

    #[test]
    fn every_migration_is_listed() {
        assert!(SCHEMA.matches_folder(Path::new(FOLDER)).unwrap());
        let fewer = Schema { migrations: &SCHEMA.migrations[1..], ..SCHEMA };
        assert!(!fewer.matches_folder(Path::new(FOLDER)).unwrap());
    }
}
