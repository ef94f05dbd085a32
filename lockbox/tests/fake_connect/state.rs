//! The state of the fake server: vaults, items, tokens, and the behaviour that a test has set.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::{Method, Uri};
use serde_json::{Value, json};

use super::item_json;

/// What a token may do in a vault.
#[derive(Clone, Debug)]
pub(crate) struct VaultGrant {
    pub(crate) vault: String,
    pub(crate) write: bool,
}

/// Where a request stops, for a test that does something during it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopPoint {
    /// Before it is processed.
    Before,
    /// After it was processed, before the answer.
    After,
}

/// A component of the server, as `/health` lists it.
#[derive(Clone, Debug)]
pub(crate) struct ComponentHealth {
    pub(crate) service: &'static str,
    pub(crate) status: &'static str,
    pub(crate) message: &'static str,
}

#[derive(Debug)]
pub(super) struct FakeVault {
    pub(super) id: String,
    pub(super) name: String,
    changes: Vec<Instant>,
    pub(super) items: BTreeMap<String, Vec<Snapshot>>,
}

/// An item, visible from a point in time on; `None` once it is deleted.
#[derive(Debug)]
pub(super) struct Snapshot {
    shows: Instant,
    item: Option<Value>,
}

/// Everything that the server stores.
#[derive(Debug)]
pub(crate) struct ConnectState {
    pub(super) vaults: Vec<FakeVault>,
    pub(super) tokens: BTreeMap<String, Vec<VaultGrant>>,
    numbers: u64,
    clock: u64,
    /// How long a write takes to become visible.
    pub(crate) delay: Duration,
    /// The same for writes whose title contains a text.
    pub(crate) delays: Vec<(String, Duration)>,
    /// The percentage of requests that are refused by mistake.
    pub(crate) spurious: u64,
    /// How often each request was refused by mistake in a row.
    refused_in_a_row: BTreeMap<String, u32>,
    /// How many of the next requests are answered 500.
    pub(crate) unsynced: u32,
    /// How many of the next POSTs succeed while a proxy answers 502.
    pub(crate) lost_posts: u32,
    /// How many of the next POSTs succeed and are never answered.
    pub(crate) hanging_posts: u32,
    /// How many of the next POSTs are processed twice.
    pub(crate) double_posts: u32,
    /// After how many requests one stops without an answer, and where.
    pub(crate) halt: Option<(u32, StopPoint)>,
    /// The stopped requests, as method and path.
    pub(crate) halted: Vec<String>,
    /// The unhealthy components.
    pub(crate) ill: Vec<ComponentHealth>,
    /// Whether a valid token was used since the start.
    pub(crate) used: bool,
    /// The requests so far, as method and path.
    pub(crate) log: Vec<String>,
}

impl Default for ConnectState {
    fn default() -> Self {
        Self {
            vaults: Vec::new(),
            tokens: BTreeMap::new(),
            numbers: 1,
            clock: 0,
            delay: Duration::ZERO,
            delays: Vec::new(),
            spurious: 0,
            refused_in_a_row: BTreeMap::new(),
            unsynced: 0,
            lost_posts: 0,
            hanging_posts: 0,
            double_posts: 0,
            halt: None,
            halted: Vec::new(),
            ill: Vec::new(),
            used: false,
            log: Vec::new(),
        }
    }
}

impl ConnectState {
    pub(crate) fn add_vault(&mut self, name: &str) -> String {
        let id = self.new_id();
        self.vaults.push(FakeVault {
            id: id.clone(),
            name: name.to_owned(),
            changes: Vec::new(),
            items: BTreeMap::new(),
        });
        id
    }

    /// Adds a vault with a given id.
    pub(crate) fn add_vault_with_id(&mut self, id: &str, name: &str) {
        self.vaults.push(FakeVault {
            id: id.to_owned(),
            name: name.to_owned(),
            changes: Vec::new(),
            items: BTreeMap::new(),
        });
    }

    pub(crate) fn add_token(&mut self, token: &str, grants: Vec<VaultGrant>) {
        self.tokens.insert(token.to_owned(), grants);
    }

    /// Full access to the first vault.
    pub(crate) fn grants_of_first_vault(&self) -> Vec<VaultGrant> {
        vec![VaultGrant { vault: self.vaults[0].id.clone(), write: true }]
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Where this request stops, if it is the one to stop.
    pub(super) fn halts(&mut self, request: String) -> Option<StopPoint> {
        let (left, halt) = self.halt?;
        if let Some(left) = left.checked_sub(1) {
            self.halt = Some((left, halt));
            return None;
        }
        self.halt = None;
        self.halted.push(request);
        Some(halt)
    }

    /// Whether this request is one of the [`ConnectState::spurious`] ones. Connect's mistakes pass,
    /// so a request is refused at most twice in a row, unless all of them are to be refused.
    pub(super) fn is_refused_by_mistake(&mut self, method: &Method, uri: &Uri) -> bool {
        if self.spurious == 0 {
            return false;
        }
        let request = format!("{method} {uri}");
        let before = self.refused_in_a_row.remove(&request).unwrap_or_default();
        let may_refuse = before < 2 || self.spurious >= 100;
        let is_refused = may_refuse && self.random() % 100 < self.spurious;
        if is_refused {
            self.refused_in_a_row.insert(request, before + 1);
        }
        is_refused
    }

    /// A pseudo-random number, the same in every run.
    pub(super) fn random(&mut self) -> u64 {
        self.numbers = self
            .numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.numbers >> 33
    }

    pub(crate) fn new_id(&mut self) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..26).map(|_| char::from(LETTERS[self.random() as usize % LETTERS.len()])).collect()
    }

    /// The server's time in whole seconds, so that two writes may have the same.
    fn now(&mut self) -> String {
        self.clock += 1;
        let seconds = self.clock / 2;
        format!(
            "2026-03-01T{:02}:{:02}:{:02}Z",
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60
        )
    }

    pub(super) fn vault(&self, id: &str) -> Option<&FakeVault> {
        self.vaults.iter().find(|vault| vault.id == id)
    }

    fn store(&mut self, vault: &str, id: &str, title: &str, item: Option<Value>) {
        let special = self
            .delays
            .iter()
            .find(|(text, _)| title.contains(text.as_str()))
            .map(|(_, delay)| *delay);
        let shows = Instant::now() + special.unwrap_or(self.delay);
        let vault = self.vaults.iter_mut().find(|it| it.id == vault).unwrap();
        vault.items.entry(id.to_owned()).or_default().push(Snapshot { shows, item });
        vault.changes.push(shows);
    }

    pub(super) fn create(&mut self, vault: &str, item: &Value) -> Value {
        let (id, now) = (self.new_id(), self.now());
        let kept = item_json::keep(item, &id, 1, &now, &now, || self.new_id());
        self.store(vault, &id, item["title"].as_str().unwrap_or_default(), Some(kept.clone()));
        kept
    }

    /// Makes all writes so far visible at once, so that a test need not wait for them.
    pub(crate) fn show_all(&mut self) {
        let now = Instant::now();
        for vault in &mut self.vaults {
            let items = vault.items.values_mut().flatten().map(|snapshot| &mut snapshot.shows);
            for shows in items.chain(&mut vault.changes) {
                *shows = now.min(*shows);
            }
        }
    }

    /// Replaces an item. `None` if it does not exist.
    pub(super) fn replace(&mut self, vault: &str, id: &str, item: &Value) -> Option<Value> {
        let before = self.vault(vault)?.latest(id)?.clone();
        let (version, now) = (before["version"].as_u64().unwrap_or_default() + 1, self.now());
        let created = before["createdAt"].as_str().unwrap_or_default();
        let kept = item_json::keep(item, id, version, created, &now, || self.new_id());
        self.store(vault, id, item["title"].as_str().unwrap_or_default(), Some(kept.clone()));
        Some(kept)
    }

    pub(super) fn delete(&mut self, vault: &str, id: &str) -> bool {
        let Some(title) = self
            .vault(vault)
            .and_then(|vault| vault.latest(id))
            .map(|item| item["title"].as_str().unwrap_or_default().to_owned())
        else {
            return false;
        };
        self.store(vault, id, &title, None);
        true
    }

    /// All items with a title, regardless of visibility.
    pub(crate) fn titled(&self, title: &str) -> Vec<Value> {
        let items = self.vaults.iter().flat_map(|vault| vault.items.values());
        items
            .filter_map(|snapshots| snapshots.last()?.item.clone())
            .filter(|item| item["title"] == title)
            .collect()
    }

    /// The titles of all items, regardless of visibility.
    pub(crate) fn titles(&self) -> Vec<String> {
        let items = self.vaults.iter().flat_map(|vault| vault.items.values());
        let mut titles: Vec<String> = items
            .filter_map(|it| Some(it.last()?.item.as_ref()?["title"].as_str()?.to_owned()))
            .collect();
        titles.sort();
        titles
    }

    /// A person edits an item in the app.
    pub(crate) fn edit(&mut self, title: &str, edit: impl FnOnce(&mut Value)) {
        let mut item = self.titled(title).into_iter().next().unwrap();
        edit(&mut item);
        let (vault, id) = (
            item["vault"]["id"].as_str().unwrap().to_owned(),
            item["id"].as_str().unwrap().to_owned(),
        );
        self.replace(&vault, &id, &item).unwrap();
    }

    /// A person types another value into the field with a label.
    pub(crate) fn type_in(&mut self, title: &str, label: &str, value: &str) {
        self.edit(title, |item| {
            let field = item["fields"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .find(|field| field["label"] == label)
                .unwrap();
            field["value"] = json!(value);
        });
    }

    /// A person copies an item.
    pub(crate) fn duplicate(&mut self, title: &str) {
        let item = self.titled(title).into_iter().next().unwrap();
        let vault = item["vault"]["id"].as_str().unwrap().to_owned();
        self.create(&vault, &item);
    }

    /// A person deletes an item.
    pub(crate) fn trash(&mut self, title: &str) {
        let item = self.titled(title).into_iter().next().unwrap();
        let vault = item["vault"]["id"].as_str().unwrap().to_owned();
        assert!(self.delete(&vault, item["id"].as_str().unwrap()));
    }
}

impl FakeVault {
    fn latest(&self, id: &str) -> Option<&Value> {
        self.items.get(id)?.last()?.item.as_ref()
    }

    /// The visible item.
    pub(super) fn shown(&self, id: &str) -> Option<&Value> {
        let now = Instant::now();
        self.items.get(id)?.iter().rev().find(|snapshot| snapshot.shows <= now)?.item.as_ref()
    }

    pub(super) fn all_shown(&self) -> impl Iterator<Item = &Value> {
        self.items.keys().filter_map(|id| self.shown(id))
    }

    pub(super) fn json(&self) -> Value {
        let now = Instant::now();
        let changes = self.changes.iter().filter(|shows| **shows <= now).count();
        json!({
            "id": self.id, "name": self.name, "description": "", "attributeVersion": 1,
            "contentVersion": changes,
            "items": self.all_shown().count(), "type": "USER_CREATED",
            "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-01T00:00:00Z",
        })
    }
}
