//! One writer per scope in this process.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use tokio::sync::{Mutex, MutexGuard};

/// Locks that writers of one scope queue for: without them they would only conflict in Vault. Two
/// scopes may share a lock.
#[derive(Debug)]
pub(super) struct ScopeLocks([Mutex<()>; 64]);

impl Default for ScopeLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl ScopeLocks {
    pub(super) async fn lock(&self, path: &str) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(path);
        self.0[usize::try_from(hash % 64).unwrap_or_default()].lock().await
    }
}
