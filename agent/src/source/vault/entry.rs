//! One thing that is read from Vault, with what was read last.

mod kv_entry;
mod made_entry;

use std::collections::{BTreeMap, BTreeSet};

use contract::Redacted;
use contract::vault_source::{VaultRead, WHOLE_ANSWER};
use serde::Serialize;
use tokio::time::Instant;

use super::answer::{Fields, Question, Trouble, VaultError};
use super::client::VaultClient;
use super::layout::Content;
use super::value::{self, Lists};
use kv_entry::KvEntry;
use made_entry::MadeEntry;

/// What is read, and its state.
pub(super) struct VaultEntry {
    read: VaultRead,
    /// The fields that the pod needs.
    fields: BTreeSet<String>,
    /// What was read last. It stays when it cannot be read again.
    content: Option<Content>,
    kind: VaultEntryKind,
    /// When to look at it again.
    due: Instant,
    /// The failures in a row.
    failures: u32,
    /// What is wrong with it.
    problem: Option<(Trouble, String)>,
}

enum VaultEntryKind {
    Kv(KvEntry),
    Made(MadeEntry),
}

/// The token that an entry is read with.
pub(super) struct LoginToken<'a> {
    pub(super) token: &'a Redacted,
    /// The number of the login.
    pub(super) number: u32,
}

impl VaultEntry {
    pub(super) fn new(read: VaultRead, fields: BTreeSet<String>) -> Self {
        let kind = match &read {
            VaultRead::Kv { .. } => VaultEntryKind::Kv(KvEntry::default()),
            VaultRead::Dynamic { .. } | VaultRead::Pki { .. } => {
                VaultEntryKind::Made(MadeEntry::default())
            }
        };
        let (content, due) = (None, Instant::now());
        Self { read, fields, content, kind, due, failures: 0, problem: None }
    }

    /// What was read last.
    pub(super) fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// Whether Vault makes it anew each time.
    pub(super) fn is_made(&self) -> bool {
        matches!(self.kind, VaultEntryKind::Made(_))
    }

    /// When to look at it again.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether to look at it before `until`, or at once, because it ends with an earlier login's
    /// token.
    pub(super) fn is_due(&self, until: Instant, login: u32) -> bool {
        let ends = |made: &MadeEntry| self.problem.is_none() && made.is_of_earlier_login(login);
        self.due <= until || matches!(&self.kind, VaultEntryKind::Made(made) if ends(made))
    }

    /// What is wrong with it, and of what kind that is.
    pub(super) fn problem(&self) -> Option<(Trouble, &str)> {
        self.problem.as_ref().map(|(trouble, text)| (*trouble, text.as_str()))
    }

    /// Looks at it. Returns whether there is something new. What has no time of its own is due
    /// again at `next_poll`.
    pub(super) async fn refresh(
        &mut self,
        client: &mut VaultClient,
        login: &LoginToken<'_>,
        next_poll: Instant,
    ) -> Result<bool, VaultError> {
        let (known, fields) = (self.content.as_ref(), &self.fields);
        let (content, due) = match (&mut self.kind, &self.read) {
            (VaultEntryKind::Kv(entry), VaultRead::Kv { mount, path, version }) => {
                let place = ((mount, path), *version);
                (entry.poll(client, login, place, (known, fields)).await?, None)
            }
            (VaultEntryKind::Made(entry), read) => {
                let content = entry.keep(client, login, read, (known, fields)).await?;
                (content, entry.due())
            }
            (VaultEntryKind::Kv(_), _) => (None, None),
        };
        self.due = due.unwrap_or(next_poll);
        self.failures = 0;
        if self.problem.take().is_some() {
            tracing::info!(secret = %self.read, "secret is available again");
        }
        let is_new = content.is_some();
        if is_new {
            self.content = content;
        }
        Ok(is_new)
    }

    /// Takes note of a failure. `delay` is given the number of failures in a row; what is merely
    /// missing is looked for at `next_poll`, as everything else.
    pub(super) fn failed(
        &mut self,
        (trouble, reason): (Trouble, String),
        next_poll: Instant,
        delay: impl FnOnce(u32) -> std::time::Duration,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.due = match trouble {
            Trouble::Missing => next_poll,
            _ => Instant::now() + delay(self.failures),
        };
        if self.problem.as_ref().is_none_or(|(_, known)| *known != reason) {
            let has_value = self.content.is_some();
            tracing::warn!(secret = %self.read, reason, has_value, "secret is not available");
        }
        self.problem = Some((trouble, reason));
    }
}

/// The needed fields of an answer, of which `whole` is all.
///
/// # Errors
/// Why a needed one is not there.
fn needed_fields(
    fields: &Fields,
    needed: &BTreeSet<String>,
    lists: Lists,
    whole: &impl Serialize,
) -> Result<BTreeMap<String, Redacted>, String> {
    let field = |name: &String| {
        let bytes = match name.as_str() {
            WHOLE_ANSWER => serde_json::to_vec(whole).ok().map(Redacted::new),
            name => fields.get(name).and_then(|field| value::bytes_of(field, lists)),
        };
        bytes
            .map(|bytes| (name.clone(), bytes))
            .ok_or_else(|| format!("there is no field {name:?}"))
    };
    needed.iter().map(field).collect()
}

fn absent(path: String, why: String) -> VaultError {
    VaultError::Absent { question: Question { verb: "read", path }, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::vault::answer::WholeAnswer;

    #[test]
    fn a_field_may_be_all_of_the_answer() {
        let json = r#"{"username":"u","n":12345678901234567890123,"none":null}"#;
        let fields: Fields = serde_json::from_str(json).unwrap();
        let whole = WholeAnswer {
            lease_id: "database/creds/app/1",
            lease_duration: 3600,
            renewable: true,
            data: &fields,
        };
        let needed = [WHOLE_ANSWER.to_owned(), "username".to_owned()].into();
        let found = needed_fields(&fields, &needed, Lists::Json, &whole).unwrap();
        let text = |name: &str| std::str::from_utf8(found[name].expose()).unwrap().to_owned();
        assert_eq!(text("username"), "u");
        let expected = concat!(
            r#"{"lease_id":"database/creds/app/1","lease_duration":3600,"renewable":true,"#,
            r#""data":{"n":12345678901234567890123,"none":null,"username":"u"}}"#
        );
        assert_eq!(text(WHOLE_ANSWER), expected);
        let needed = ["none".to_owned()].into();
        assert!(needed_fields(&fields, &needed, Lists::Json, &whole).is_err());
    }
}
