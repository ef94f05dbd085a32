//! An entry of a KV engine (version 2): its metadata is polled, and its data is read when there is
//! a version that is not known.

use std::collections::BTreeSet;

use contract::Version;
use contract::vault_source::VaultPath;

use super::{LoginToken, absent, needed_fields};
use crate::source::vault::answer::{KvData, KvWhole, Question, Trouble, VaultError, WholeAnswer};
use crate::source::vault::api;
use crate::source::vault::client::VaultClient;
use crate::source::vault::kv::{self, KvStep, LastKvVersion};
use crate::source::vault::layout::Content;
use crate::source::vault::value::Lists;

/// What is known about an entry.
#[derive(Default)]
pub(super) struct KvEntry {
    last: Option<LastKvVersion>,
    /// Why the last version is of no use, although it has data.
    unusable: Option<String>,
    /// The login whose policies deny the metadata. Its data is polled instead, which costs more.
    denied_metadata: Option<u32>,
}

impl KvEntry {
    /// Looks for a version that is not known, and returns it.
    pub(super) async fn poll(
        &mut self,
        client: &mut VaultClient,
        login: &LoginToken<'_>,
        (place, pinned): ((&VaultPath, &VaultPath), Option<Version>),
        (known, needed): (Option<&Content>, &BTreeSet<String>),
    ) -> Result<Option<Content>, VaultError> {
        let path = || format!("{}/{}", place.0, place.1);
        let mut is_denied = self.denied_metadata == Some(login.number);
        if !is_denied {
            match api::kv_metadata(client, login.token, place).await {
                Ok(metadata) => match kv::step(&metadata, pinned, self.last.as_ref()) {
                    KvStep::Read => {}
                    KvStep::Gone(why) => return Err(absent(path(), why)),
                    KvStep::Keep => match &self.unusable {
                        Some(why) => return Err(absent(path(), why.clone())),
                        None => return Ok(None),
                    },
                },
                Err(error) if error.trouble() == Trouble::Forbidden => is_denied = true,
                Err(error) => return Err(error),
            }
        }
        let answer = api::kv_data(client, login.token, place, pinned).await?;
        let metadata = answer
            .version()
            .ok_or_else(|| VaultError::Form(Question { verb: "read", path: path() }))?;
        let KvData { data, metadata: raw_metadata } = answer;
        if is_denied && self.denied_metadata.replace(login.number) != Some(login.number) {
            tracing::warn!(
                secret = path(),
                "the policy denies reading the metadata, so the data is read at each poll"
            );
        }
        let had_data = data.is_some();
        let version = self.last.insert(LastKvVersion { version: metadata, had_data });
        let Some(fields) = data else {
            return Err(absent(path(), kv::gone(&version.version)));
        };
        let identity = version.version.identity();
        let whole = WholeAnswer::without_lease(KvWhole { data: &fields, metadata: &raw_metadata });
        match needed_fields(&fields, needed, Lists::Json, &whole) {
            Ok(fields) => {
                self.unusable = None;
                let is_known = known.is_some_and(|known| known.identity == identity);
                let version = Version(version.version.version);
                Ok((!is_known).then_some(Content { identity, version, fields }))
            }
            Err(why) => {
                let why = format!("{why} in version {}", version.version.version);
                self.unusable = Some(why.clone());
                Err(absent(path(), why))
            }
        }
    }
}
