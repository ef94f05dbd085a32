//! The embedded store as one outside of the ledger's database would be.

use futures_util::future::BoxFuture;
use lockbox::{Capabilities, Put, Reference, StoredVersion};

use super::*;

/// The embedded store as one outside of the ledger's database would be.
pub(super) struct OutsideStore(pub(super) Arc<Embedded>);

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
