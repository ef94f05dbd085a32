//! The embedded store as one outside of the ledger's database would be.

use futures_util::future::BoxFuture;
use lockbox::database::query;
use lockbox::{Capabilities, Put, Reference, StoredVersion};

use super::*;

/// The embedded store as one outside of the ledger's database would be.
struct OutsideStore(Arc<Embedded>);

impl Store for OutsideStore {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        self.0.write(scope, puts)
    }

    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>> {
        self.0.read_version(scope, name, stored)
    }

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.destroy(scope, name, stored)
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.health()
    }
}

/// A write that the database fails leaves nothing in a store of the same database. A store outside
/// keeps the value: the ledger might refer to it.
#[tokio::test]
async fn a_failed_write_keeps_its_value_only_in_a_store_outside() {
    for (outside, kept) in [(false, 1), (true, 2)] {
        let mut fixture = SecretsFixture::on_sqlite().await;
        if outside {
            fixture.secrets.store = Arc::new(OutsideStore(fixture.store.clone()));
        }
        fixture.write("one").await.unwrap();
        let full = "CREATE TRIGGER full BEFORE INSERT ON generations BEGIN SELECT RAISE(ABORT, \
            'disk full'); END";
        fixture.database.execute(query(full)).await.unwrap();
        fixture.write("two").await.unwrap_err();
        let versions = fixture.store.list_versions(&scope(), &name()).await.unwrap();
        assert_eq!(versions.len(), kept, "outside: {outside}");
        assert_eq!(fixture.read().await.value.expose(), b"one");
        fixture.database.execute(query("DROP TRIGGER full")).await.unwrap();
        assert_eq!(fixture.write("three").await.unwrap().versions[&name()], Version(2));
        assert_eq!(fixture.read().await.value.expose(), b"three");
    }
}
