//! Changes that people make in 1Password, and the current items that they make them in.
//!
//! A pass asks for the vault's content version first: while that stands still and the ledger does
//! too, it is the only call. Otherwise one list shows which items moved, and those alone are
//! fetched. A secret is left alone once its current item shows the version in use. An edit stays
//! what it is until the ledger has its value, so a pass that is cut off loses none.

use std::collections::{HashMap, HashSet};

use contract::{Redacted, Scope, SecretName, Version};

use super::error::ConnectError;
use super::item::{Content, Item, Summary};
use super::mirror::{Standing, standing};
use super::proof::{ItemReference, Place, Seal};
use super::settle;
use super::store::{OnePassword, content};
use super::title;
use super::write::New;
use crate::store::{Changed, Known, Stored};

/// After so many quiet passes the list is fetched all the same: that the content version moves with
/// every change is what is seen, and nowhere promised.
const QUIET: u32 = 30;
/// The most secrets that one pass looks at, so that it ends.
const MOST: usize = 100;

/// What the passes before this one saw.
#[derive(Debug, Default)]
pub(super) struct Watch {
    content_version: Option<i64>,
    quiet: u32,
    settled: HashMap<(Scope, SecretName), Settled>,
}

/// A secret that needs no look while its items and its version in use stay the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settled {
    stored: Stored,
    current: Option<Moment>,
    record: Option<Moment>,
}

/// An item as it was at one moment: its id and version.
type Moment = (String, i64);

enum Look {
    Settled,
    /// Something moved meanwhile, or was moved by us: the next pass looks again.
    Later,
    Changed(Changed),
}

/// The items of a vault, by title and by id.
struct Index {
    titled: HashMap<String, Vec<Summary>>,
    versions: HashMap<String, i64>,
}

impl Index {
    fn new(items: Vec<Summary>) -> Self {
        let mut titled: HashMap<String, Vec<Summary>> = HashMap::new();
        let mut versions = HashMap::new();
        for summary in items
            .into_iter()
            .filter(|summary| summary.lives() && summary.title.starts_with("enclii/"))
        {
            versions.insert(summary.id.clone(), summary.version);
            titled.entry(summary.title.clone()).or_default().push(summary);
        }
        for summaries in titled.values_mut() {
            summaries.sort_by(|a, b| a.age().cmp(&b.age()));
        }
        Self { titled, versions }
    }

    fn currents(&self, known: &Known) -> &[Summary] {
        self.titled.get(&title::current(&known.scope, &known.name)).map_or(&[], Vec::as_slice)
    }

    fn moment(&self, known: &Known) -> Settled {
        let current =
            self.currents(known).first().map(|summary| (summary.id.clone(), summary.version));
        let record = ItemReference::parse(&known.stored.reference);
        let record =
            record.and_then(|it| self.versions.get(&it.id).map(|version| (it.id, *version)));
        Settled { stored: known.stored.clone(), current, record }
    }
}

impl OnePassword {
    pub(super) async fn look_for_changes(
        &self,
        known: &[Known],
    ) -> Result<Vec<Changed>, ConnectError> {
        let mut watch = self.seen.lock().await;
        let now = self.vault.now().await?.content_version;
        let keys: HashSet<_> = known.iter().map(key).collect();
        watch.settled.retain(|key, _| keys.contains(key));
        let moved = known.iter().any(|known| {
            watch.settled.get(&key(known)).is_none_or(|settled| settled.stored != known.stored)
        });
        watch.quiet += 1;
        if !moved && watch.content_version == Some(now) && watch.quiet < QUIET {
            return Ok(Vec::new());
        }
        // Set again when the pass is through: one that is cut off was none.
        watch.content_version = None;
        watch.quiet = 0;
        let index = Index::new(self.vault.client.items(self.vault.id().await?).await?);
        let (mut changed, mut through, mut looks) = (Vec::new(), true, 0);
        for known in known {
            let moment = index.moment(known);
            if watch.settled.get(&key(known)) == Some(&moment) {
                continue;
            }
            if looks == MOST {
                through = false;
                break;
            }
            looks += 1;
            watch.settled.remove(&key(known));
            match self.look(known, &index).await {
                Ok(Look::Settled) => drop(watch.settled.insert(key(known), moment)),
                Ok(Look::Later) => through = false,
                Ok(Look::Changed(change)) => changed.push(change),
                // Said once, and again when the item moves.
                Err(error @ (ConnectError::Item { .. } | ConnectError::Edited { .. })) => {
                    warn(known, &error);
                    watch.settled.insert(key(known), moment);
                }
                Err(error @ (ConnectError::Token { .. } | ConnectError::Unreachable(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    warn(known, &error);
                    through = false;
                }
            }
        }
        if through {
            watch.content_version = Some(now);
        }
        Ok(changed)
    }

    async fn look(&self, known: &Known, index: &Index) -> Result<Look, ConnectError> {
        let Some(reference) = ItemReference::parse(&known.stored.reference) else {
            return Ok(Look::Settled);
        };
        let place = Place { scope: &known.scope, name: &known.name, version: known.stored.version };
        let item = self.current(place, index.currents(known)).await?;
        let current = item.as_ref().map(content).transpose()?;
        let standing = standing(place, &reference.code, current.as_ref());
        // A record is written once; one that has a later version was edited or mended.
        if standing == Standing::InStep
            && index.versions.get(&reference.id).is_some_and(|version| *version <= 1)
        {
            return Ok(Look::Settled);
        }
        let record = self.vault.client.item(self.vault.id().await?, &reference.id).await?;
        let in_use = match &record {
            Some(record) => Some((record, content(record)?)),
            None => None,
        };
        let sound = in_use.as_ref().filter(|(_, content)| content.fits(place, &reference.code));
        match (standing, &in_use, sound, item, current) {
            (Standing::Edited, _, sound, Some(item), Some(current))
                if sound.is_none_or(|(_, it)| it.value != current.value) =>
            {
                Ok(Look::Changed(changed(known, &item, current.value)))
            }
            // Edited in the record instead of in the item that is for it.
            (_, Some((record, edited)), None, _, _) => {
                Ok(Look::Changed(changed(known, record, edited.value.clone())))
            }
            (Standing::InStep, ..) => Ok(Look::Settled),
            (Standing::Absent, _, Some((_, content)), ..) => self.show(place, content).await,
            (_, _, Some((_, content)), Some(item), Some(current)) => {
                self.follow(place, item, &current, content).await
            }
            _ => {
                tracing::warn!(scope = %known.scope, name = %known.name, version = %known.stored.version, "the item of the version in use is gone from 1Password");
                Ok(Look::Settled)
            }
        }
    }

    /// The current item, which is the oldest of that title. Younger copies of ours go.
    async fn current(
        &self,
        place: Place<'_>,
        currents: &[Summary],
    ) -> Result<Option<Item>, ConnectError> {
        let Some((oldest, younger)) = currents.split_first() else { return Ok(None) };
        let vault = self.vault.id().await?;
        for summary in younger {
            let Some(item) = self.vault.client.item(vault, &summary.id).await? else { continue };
            tracing::warn!(
                title = summary.title,
                id = summary.id,
                "there are several items of this title; the oldest counts"
            );
            if item.content().is_ok_and(|content| content.is_as_written(place)) {
                self.vault.remove(std::slice::from_ref(&summary.id)).await?;
            }
        }
        self.vault.client.item(vault, &oldest.id).await
    }

    /// Makes the current item.
    async fn show(&self, place: Place<'_>, content: &Content) -> Result<Look, ConnectError> {
        let Some(seal) = content.seal.clone() else { return Ok(Look::Settled) };
        let new = New {
            title: title::current(place.scope, place.name),
            place,
            value: &content.value,
            seal,
        };
        let id = self.vault.make(&new).await?;
        self.vault.see(&new, id).await?;
        Ok(Look::Later)
    }

    /// Puts the version in use into the current item, which nobody edited.
    async fn follow(
        &self,
        place: Place<'_>,
        item: Item,
        current: &Content,
        content: &Content,
    ) -> Result<Look, ConnectError> {
        let Some(seal) = content.seal.as_ref() else { return Ok(Look::Settled) };
        if let (Some(version), Some(seal)) = (current.version, &current.seal)
            && current.is_as_written(place)
        {
            self.mend(Place { version, ..place }, &current.value, seal).await?;
        }
        self.replace_if_same(item, place, &content.value, seal).await?;
        Ok(Look::Later)
    }

    /// Before the current item lets go of a version: where the record of that version was edited,
    /// the value goes back into it. A record that is gone was destroyed, and stays so.
    async fn mend(
        &self,
        place: Place<'_>,
        value: &Redacted,
        seal: &Seal,
    ) -> Result<(), ConnectError> {
        let vault = self.vault.id().await?;
        for summary in self
            .vault
            .client
            .titled(vault, &title::record(place.scope, place.name, place.version))
            .await?
        {
            if summary.version <= 1 {
                continue;
            }
            let Some(record) = self.vault.client.item(vault, &summary.id).await? else { continue };
            let ours = record.content().is_ok_and(|content| {
                content.seal.as_ref() == Some(seal) && content.value != *value
            });
            if ours {
                tracing::warn!(
                    title = summary.title,
                    "the record of a version was edited; its value is put back"
                );
                self.replace_if_same(record, place, value, seal).await?;
            }
        }
        Ok(())
    }

    /// Replaces an item that is still as it was read. Connect has no condition for that, so it is
    /// read before and the version is looked at after: a person's edit in between would be one
    /// version more.
    async fn replace_if_same(
        &self,
        seen: Item,
        place: Place<'_>,
        value: &Redacted,
        seal: &Seal,
    ) -> Result<(), ConnectError> {
        let vault = self.vault.id().await?;
        let turn = self.vault.turn().await?;
        let Some(mut item) = self
            .vault
            .client
            .item(vault, &seen.id)
            .await?
            .filter(|item| item.version == seen.version)
        else {
            return Ok(());
        };
        item.set(place, value, seal);
        let replaced = self.vault.replace(&item, seen.version).await?;
        drop(turn);
        if replaced > seen.version + 1 {
            tracing::warn!(
                title = item.title,
                id = item.id,
                "an edit may have been made at this moment and lost; 1Password's item history has it"
            );
        }
        let limit = self.vault.settle;
        let shown = settle::until(limit, || async {
            let item = self.vault.client.item(vault, &seen.id).await?;
            Ok(item.filter(|item| item.version >= replaced))
        });
        shown.await?.map(drop).ok_or_else(|| ConnectError::Unsettled {
            what: format!("item {:?}", item.title),
            limit,
        })
    }
}

fn key(known: &Known) -> (Scope, SecretName) {
    (known.scope.clone(), known.name.clone())
}

fn changed(known: &Known, item: &Item, value: Redacted) -> Changed {
    let Known { scope, name, stored } = known.clone();
    let by = item.editor().unwrap_or("1password").to_owned();
    Changed {
        scope,
        name,
        on: stored,
        value,
        by,
        revision: format!("{}:{}", item.id, item.version),
    }
}

fn warn(known: &Known, error: &ConnectError) {
    let version: Version = known.stored.version;
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(scope = %known.scope, name = %known.name, %version, %error, cause, "current item of a secret not looked at");
}
