//! Vaults, items, tokens, and what a test has set.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fields;

/// What a token may do in a vault.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) vault: String,
    pub(crate) write: bool,
}

/// Where a request is stopped, for a test that does something in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Before anything of it is done.
    Before,
    /// When it is done, and nobody was told.
    After,
}

/// A part of the server, as `/health` lists it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) service: &'static str,
    pub(crate) status: &'static str,
    pub(crate) message: &'static str,
}

#[derive(Debug)]
pub(super) struct Vault {
    pub(super) id: String,
    pub(super) name: String,
    changes: Vec<Instant>,
    pub(super) items: BTreeMap<String, Vec<Snapshot>>,
}

/// An item from the moment on at which it shows; `None` once it is deleted.
#[derive(Debug)]
pub(super) struct Snapshot {
    shows: Instant,
    item: Option<Value>,
}

/// Everything that the server knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) vaults: Vec<Vault>,
    pub(super) tokens: BTreeMap<String, Vec<Grant>>,
    numbers: u64,
    clock: u64,
    /// How long a write takes to show.
    pub(crate) delay: Duration,
    /// How long writes take to show whose title has this text in it.
    pub(crate) delays: Vec<(String, Duration)>,
    /// Of how many hundred requests one is refused by mistake, in percent.
    pub(crate) spurious: u64,
    /// How many requests from now on are answered 500.
    pub(crate) unsynced: u32,
    /// How many POSTs from now on are done and answered by a proxy that says it failed.
    pub(crate) lost_posts: u32,
    /// How many POSTs from now on are done and never answered.
    pub(crate) hanging_posts: u32,
    /// How many POSTs from now on are done twice.
    pub(crate) double_posts: u32,
    /// After how many requests from now on one is stopped, and where: it gets no answer.
    pub(crate) halt: Option<(u32, Halt)>,
    /// The requests that were stopped, as method and path.
    pub(crate) halted: Vec<String>,
    /// What is wrong with the server's parts.
    pub(crate) ill: Vec<Part>,
    /// Whether a good token was seen since the start.
    pub(crate) used: bool,
    /// The requests so far, as method and path.
    pub(crate) log: Vec<String>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            vaults: Vec::new(),
            tokens: BTreeMap::new(),
            numbers: 1,
            clock: 0,
            delay: Duration::ZERO,
            delays: Vec::new(),
            spurious: 0,
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

impl World {
    pub(crate) fn add_vault(&mut self, name: &str) -> String {
        let id = self.new_id();
        self.vaults.push(Vault {
            id: id.clone(),
            name: name.to_owned(),
            changes: Vec::new(),
            items: BTreeMap::new(),
        });
        id
    }

    /// A vault of a given id.
    pub(crate) fn add_vault_with_id(&mut self, id: &str, name: &str) {
        self.vaults.push(Vault {
            id: id.to_owned(),
            name: name.to_owned(),
            changes: Vec::new(),
            items: BTreeMap::new(),
        });
    }

    pub(crate) fn add_token(&mut self, token: &str, grants: Vec<Grant>) {
        self.tokens.insert(token.to_owned(), grants);
    }

    /// What the first token of a test may do: everything in the first vault.
    pub(crate) fn grants_of_first_vault(&self) -> Vec<Grant> {
        vec![Grant { vault: self.vaults[0].id.clone(), write: true }]
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Whether this is the request to stop, and where.
    pub(super) fn halts(&mut self, request: String) -> Option<Halt> {
        let (left, halt) = self.halt?;
        if let Some(left) = left.checked_sub(1) {
            self.halt = Some((left, halt));
            return None;
        }
        self.halt = None;
        self.halted.push(request);
        Some(halt)
    }

    /// A number that nobody foresees and every run has alike.
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

    /// A time of the server's, in whole seconds as it gives them, so that two writes may have one.
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

    pub(super) fn vault(&self, id: &str) -> Option<&Vault> {
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
        let kept = fields::keep(item, &id, 1, &now, &now, || self.new_id());
        self.store(vault, &id, item["title"].as_str().unwrap_or_default(), Some(kept.clone()));
        kept
    }

    /// Replaces an item; nothing where there is none.
    pub(super) fn replace(&mut self, vault: &str, id: &str, item: &Value) -> Option<Value> {
        let before = self.vault(vault)?.latest(id)?.clone();
        let (version, now) = (before["version"].as_u64().unwrap_or_default() + 1, self.now());
        let created = before["createdAt"].as_str().unwrap_or_default();
        let kept = fields::keep(item, id, version, created, &now, || self.new_id());
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

    /// All items of a title, as they really are, whatever shows.
    pub(crate) fn titled(&self, title: &str) -> Vec<Value> {
        let items = self.vaults.iter().flat_map(|vault| vault.items.values());
        items
            .filter_map(|snapshots| snapshots.last()?.item.clone())
            .filter(|item| item["title"] == title)
            .collect()
    }

    /// The titles of all items, as they really are.
    pub(crate) fn titles(&self) -> Vec<String> {
        let items = self.vaults.iter().flat_map(|vault| vault.items.values());
        let mut titles: Vec<String> = items
            .filter_map(|it| Some(it.last()?.item.as_ref()?["title"].as_str()?.to_owned()))
            .collect();
        titles.sort();
        titles
    }

    /// What a person does to an item in the app.
    pub(crate) fn edit(&mut self, title: &str, edit: impl FnOnce(&mut Value)) {
        let mut item = self.titled(title).into_iter().next().unwrap();
        edit(&mut item);
        let (vault, id) = (
            item["vault"]["id"].as_str().unwrap().to_owned(),
            item["id"].as_str().unwrap().to_owned(),
        );
        self.replace(&vault, &id, &item).unwrap();
    }

    /// A person types another value into the field of that label.
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

    /// A person makes a copy of an item.
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

impl Vault {
    fn latest(&self, id: &str) -> Option<&Value> {
        self.items.get(id)?.last()?.item.as_ref()
    }

    /// The item as it shows.
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
            "id": self.id, "name": self.name, "description": "", "attributeVersion": 1, "contentVersion": changes,
            "items": self.all_shown().count(), "type": "USER_CREATED", "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-01T00:00:00Z",
        })
    }
}
