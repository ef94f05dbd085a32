//! What the supervisor is told: what is new, and what is wrong.

use std::collections::BTreeMap;

use contract::{Redacted, SecretName};
use tokio::time::Instant;

use super::answer::{Trouble, VaultError};
use super::entry::VaultEntry;
use super::layout::Content;
use super::{SourceChannels, SourceEvent, Vault};
use crate::error::error_chain;
use crate::files::CurrentGeneration;

/// The most reasons that one report has.
const MAX_REASONS: usize = 5;

/// The supervisor does not listen any more.
pub(super) struct Gone;

impl Vault {
    pub(super) fn contents(&self) -> Vec<Option<&Content>> {
        self.entries.iter().map(VaultEntry::content).collect()
    }

    /// The values in the files of the secrets that have none here; `None` if there are no files.
    pub(super) fn kept(
        &self,
        contents: &[Option<&Content>],
    ) -> Option<BTreeMap<SecretName, Redacted>> {
        let mut missing = self.layout.missing(contents).peekable();
        if missing.peek().is_none() {
            return Some(BTreeMap::new());
        }
        let files = CurrentGeneration::open(&self.directory).ok()?;
        let read = |name: &SecretName| Some((name.clone(), files.read(name).ok()?));
        missing.map(read).collect()
    }

    /// Sends what is new, and what is wrong.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub(super) async fn report(
        &mut self,
        pass: &Result<(), VaultError>,
        channels: &SourceChannels,
    ) -> Result<(), Gone> {
        if self.is_changed {
            self.deliver(channels).await?;
        }
        if std::mem::replace(&mut self.is_disconnected, pass.is_err()) && pass.is_ok() {
            tracing::info!(server = %self.client.address(), "connected again");
        }
        let Some((denied, reason)) = self.trouble(pass) else {
            self.last_reason = None;
            return channels.events.send(SourceEvent::Connected).await.map_err(|_| Gone);
        };
        if pass.is_err() && self.last_reason.as_ref() != Some(&reason) {
            let server = self.client.address();
            if denied {
                tracing::error!(%server, reason, "access denied, files unchanged");
            } else {
                tracing::warn!(%server, reason, "not connected, files unchanged");
            }
        }
        let is_known = self.last_reason.as_ref() == Some(&reason);
        self.last_reason = Some(reason.clone());
        // Until there are files, the supervisor decides by each of them.
        if is_known && self.has_delivered {
            return Ok(());
        }
        let event = SourceEvent::Disconnected { denied, reason };
        channels.events.send(event).await.map_err(|_| Gone)
    }

    /// What is wrong, and whether a person has to change something.
    fn trouble(&self, pass: &Result<(), VaultError>) -> Option<(bool, String)> {
        let is_refusal = |trouble| match trouble {
            Trouble::Unreachable | Trouble::Unavailable => false,
            Trouble::Forbidden | Trouble::Missing | Trouble::Refused => true,
        };
        if let Err(error) = pass {
            return Some((is_refusal(error.trouble()), error_chain(error)));
        }
        let problems = || self.entries.iter().filter_map(VaultEntry::problem);
        let reasons: Vec<_> = problems().map(|(_, reason)| reason).take(MAX_REASONS).collect();
        let denied = problems().all(|(trouble, _)| is_refusal(trouble));
        (!reasons.is_empty()).then(|| (denied, reasons.join("; ")))
    }

    async fn deliver(&mut self, channels: &SourceChannels) -> Result<(), Gone> {
        let received_at = Instant::now();
        let contents = self.contents();
        let kept = self.kept(&contents);
        let snapshot = kept.and_then(|kept| self.layout.snapshot(&contents, &kept, &self.last));
        // Something is missing, and no file has it: that is reported, and this waits for it.
        let Some(snapshot) = snapshot else { return Ok(()) };
        let holds = snapshot.holds();
        let event = SourceEvent::Snapshot { snapshot, received_at };
        channels.events.send(event).await.map_err(|_| Gone)?;
        (self.last, self.is_changed, self.has_delivered) = (holds, false, true);
        Ok(())
    }
}
