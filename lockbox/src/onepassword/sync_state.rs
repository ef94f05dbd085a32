//! What earlier passes saw of the vault, so that a pass fetches only what moved.

use std::collections::HashMap;

use contract::{Scope, SecretName};

use super::item::ItemSummary;
use super::item_title;
use super::mac::ItemReference;
use crate::store::ActiveSecret;
use crate::value::StoredVersion;

/// What the passes before this one saw.
#[derive(Debug, Default)]
pub(super) struct SyncState {
    pub(super) content_version: Option<i64>,
    pub(super) quiet_polls: u32,
    pub(super) synced: HashMap<SecretKey, SyncedSecret>,
}

pub(super) type SecretKey = (Scope, SecretName);

/// A secret that need not be looked at while its items and its active version stay the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyncedSecret {
    pub(super) stored: StoredVersion,
    current: Option<ItemVersion>,
    record: Option<ItemVersion>,
}

/// An item's id and version.
type ItemVersion = (String, i64);

/// The items of a vault, by title and by id.
pub(super) struct ItemIndex {
    by_title: HashMap<String, Vec<ItemSummary>>,
    pub(super) versions: HashMap<String, i64>,
}

impl ItemIndex {
    pub(super) fn new(items: Vec<ItemSummary>) -> Self {
        let mut by_title: HashMap<String, Vec<ItemSummary>> = HashMap::new();
        let mut versions = HashMap::new();
        for summary in items
            .into_iter()
            .filter(|summary| summary.is_active() && summary.title.starts_with("enclii/"))
        {
            versions.insert(summary.id.clone(), summary.version);
            by_title.entry(summary.title.clone()).or_default().push(summary);
        }
        for summaries in by_title.values_mut() {
            summaries.sort_by(|a, b| a.age().cmp(&b.age()));
        }
        Self { by_title, versions }
    }

    /// The current items of a secret, the oldest first.
    pub(super) fn currents(&self, secret: &ActiveSecret) -> &[ItemSummary] {
        let title = item_title::current(&secret.scope, &secret.name);
        self.by_title.get(&title).map_or(&[], Vec::as_slice)
    }

    /// The secret's active version and its items as they are in this index.
    pub(super) fn snapshot(&self, secret: &ActiveSecret) -> SyncedSecret {
        let current =
            self.currents(secret).first().map(|summary| (summary.id.clone(), summary.version));
        let record = ItemReference::parse(&secret.stored.reference);
        let record =
            record.and_then(|it| self.versions.get(&it.id).map(|version| (it.id, *version)));
        SyncedSecret { stored: secret.stored.clone(), current, record }
    }
}
