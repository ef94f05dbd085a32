//! A store on SQLite for one test, whose keys can change.

use std::path::PathBuf;

use contract::{Redacted, Scope, SecretName, Version};
use lockbox::database::query_built;
use lockbox::embedded::EmbeddedError;
use lockbox::key_source::KeySource;
use lockbox::{Database, Embedded, KeyConfig, KeyFile, Put, Store, StoreError, StoredVersion};

pub(crate) struct TestDatabase {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) database: Database,
}

pub(crate) fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

pub(crate) fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

impl TestDatabase {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("switchyard.db")).await.unwrap();
        Self { directory, database }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> KeyFile {
        KeyFile::new(self.path(name))
    }

    pub(crate) fn keys(&self, current: &str, previous: &[&str]) -> KeyConfig {
        let previous = previous.iter().map(|name| KeySource::File(self.file(name))).collect();
        KeyConfig { previous, ..KeyConfig::from_file(self.file(current)) }
    }

    /// Opens the store with these keys.
    pub(crate) async fn try_open(
        &self,
        current: &str,
        previous: &[&str],
    ) -> Result<Embedded, EmbeddedError> {
        Embedded::with_keys(self.database.clone(), &self.keys(current, previous)).await
    }

    pub(crate) async fn open(&self, current: &str, previous: &[&str]) -> Embedded {
        self.try_open(current, previous).await.unwrap()
    }

    /// Changes the database without the store.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        self.database.execute(query_built(sql.to_owned())).await.unwrap()
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        let row = query_built(sql.to_owned()).fetch_one(self.database.reader()).await.unwrap();
        row.scalar().unwrap()
    }

    pub(crate) async fn bytes(&self, sql: &str) -> Vec<u8> {
        let row = query_built(sql.to_owned()).fetch_one(self.database.reader()).await.unwrap();
        row.scalar().unwrap()
    }
}

pub(crate) async fn put(store: &Embedded, name: &str, version: u64, value: &str) -> StoredVersion {
    let (name, value) = (secret(name), Redacted::from(value.to_owned()));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await
        .unwrap();
    StoredVersion { version: Version(version), reference: references[0].clone() }
}

pub(crate) async fn get(
    store: &Embedded,
    name: &str,
    stored: &StoredVersion,
) -> Result<String, StoreError> {
    let value = store.read_version(&scope(), &secret(name), stored).await?;
    Ok(String::from_utf8(value.expose().to_vec()).unwrap())
}
