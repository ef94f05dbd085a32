//! What Vault makes for this pod: a dynamic secret with its lease, or a certificate. It is made
//! once, renewed where that is possible, and made anew before it ends.
//!
//! The one before is left to its end: the application may still use it for a moment, and it ends
//! with its lease or with the token that it was made with.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use contract::Version;
use contract::vault_source::VaultRead;
use tokio::time::Instant;

use super::{LoginToken, needed_fields};
use crate::source::vault::answer::{
    Fields, LeaseAnswer, Question, Trouble, VaultError, WholeAnswer,
};
use crate::source::vault::api;
use crate::source::vault::client::VaultClient;
use crate::source::vault::layout::Content;
use crate::source::vault::lifetime::{Lifetime, Upkeep};
use crate::source::vault::value::Lists;

/// What is known about it.
#[derive(Default)]
pub(super) struct MadeEntry {
    lease: Option<Lease>,
    /// How often it was made. What has neither a lease nor a serial number is told apart by it.
    made: u64,
}

struct Lease {
    /// Empty for a certificate, which outlives the token.
    id: String,
    lifetime: Lifetime,
    /// The number of the login that it was made with.
    login: u32,
    /// When to renew it or make another one; `None` if it never ends.
    due: Option<Instant>,
}

impl Lease {
    fn new(id: String, lifetime: Lifetime, login: u32) -> Self {
        let after = lifetime.due_after(runtime::backoff::random());
        Self { id, lifetime, login, due: after.map(|after| Instant::now() + after) }
    }
}

impl MadeEntry {
    /// Whether it ends with the token of an earlier login.
    pub(super) fn is_of_earlier_login(&self, login: u32) -> bool {
        self.lease.as_ref().is_some_and(|lease| !lease.id.is_empty() && lease.login != login)
    }

    /// When to look at it again; `None` for a secret without a lease.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lease.as_ref().and_then(|lease| lease.due)
    }

    /// Renews it, or has Vault make it, and returns what is new.
    pub(super) async fn keep(
        &mut self,
        client: &mut VaultClient,
        login: &LoginToken<'_>,
        read: &VaultRead,
        known: (Option<&Content>, &BTreeSet<String>),
    ) -> Result<Option<Content>, VaultError> {
        if let Some(lease) = &self.lease
            && lease.login == login.number
            && lease.due.is_none()
        {
            return Ok(None);
        }
        if let Some(lease) = &mut self.lease
            && lease.login == login.number
            && lease.lifetime.upkeep() == Upkeep::Renew
        {
            match renew(client, login, lease).await {
                Ok(renewed) => {
                    let is_lasting = renewed.lifetime.upkeep() == Upkeep::Renew;
                    *lease = renewed;
                    tracing::debug!(secret = %read, is_lasting, "lease renewed");
                    return Ok(None);
                }
                Err(error) => match error.trouble() {
                    Trouble::Unreachable | Trouble::Unavailable => return Err(error),
                    // It was revoked, or the policy does not let it be renewed.
                    Trouble::Forbidden | Trouble::Missing | Trouble::Refused => {
                        lease.lifetime = lease.lifetime.without_renewal();
                        tracing::debug!(secret = %read, %error, "lease not renewed");
                    }
                },
            }
        }
        self.make(client, login, read, known).await
    }

    async fn make(
        &mut self,
        client: &mut VaultClient,
        login: &LoginToken<'_>,
        read: &VaultRead,
        (known, needed): (Option<&Content>, &BTreeSet<String>),
    ) -> Result<Option<Content>, VaultError> {
        let (path, parameters, lists) = match read {
            VaultRead::Dynamic { path, parameters } => {
                (path, (!parameters.is_empty()).then_some(parameters), Lists::Json)
            }
            VaultRead::Pki { path, parameters } => (path, Some(parameters), Lists::Lines),
            VaultRead::Kv { .. } => return Ok(None),
        };
        let verb = if parameters.is_some() { "write" } else { "read" };
        let unusable = |why: String| VaultError::Unusable {
            question: Question { verb, path: path.to_string() },
            why,
        };
        let LeaseAnswer { lease_id, lease_duration, renewable, data } =
            api::make_secret(client, login.token, path, parameters).await?;
        let data = data.ok_or_else(|| unusable("the answer has no data".to_owned()))?;
        let whole = WholeAnswer { lease_id: &lease_id, lease_duration, renewable, data: &data };
        let fields = needed_fields(&data, needed, lists, &whole).map_err(&unusable)?;
        let lifetime = match read {
            VaultRead::Pki { .. } => Some(validity(&data).map_err(&unusable)?),
            _ => (!lease_id.is_empty()).then(|| Lifetime::new(lease_duration, renewable)),
        };
        let Some(lifetime) = lifetime else {
            self.lease = None;
            return Ok(self.without_lease(known, fields));
        };
        self.made += 1;
        let identity = match text(&data, "serial_number") {
            Some(serial) => serial,
            None => lease_id.clone(),
        };
        tracing::info!(
            secret = %read,
            seconds = lifetime.increment(),
            renewable,
            "secret made"
        );
        self.lease = Some(Lease::new(lease_id, lifetime, login.number));
        Ok(Some(Content { identity, version: Version(self.made), fields }))
    }

    /// A secret that Vault does not lease: it is read at each poll, and new if it differs.
    fn without_lease(
        &mut self,
        known: Option<&Content>,
        fields: std::collections::BTreeMap<String, contract::Redacted>,
    ) -> Option<Content> {
        if known.is_some_and(|known| known.fields == fields) {
            return None;
        }
        self.made += 1;
        // Another number in each run of the agent: what it had before is not known.
        let run = runtime::backoff::random();
        let identity = format!("{}@{run}", self.made);
        Some(Content { identity, version: Version(self.made), fields })
    }
}

async fn renew(
    client: &mut VaultClient,
    login: &LoginToken<'_>,
    lease: &Lease,
) -> Result<Lease, VaultError> {
    let asked = (lease.id.as_str(), lease.lifetime.increment());
    let answer = api::renew_lease(client, login.token, asked).await?;
    let lifetime = lease.lifetime.renewed(answer.lease_duration, answer.renewable);
    Ok(Lease::new(lease.id.clone(), lifetime, login.number))
}

/// How long a certificate is valid from now on.
fn validity(data: &Fields) -> Result<Lifetime, String> {
    let expiration = data.get("expiration").and_then(|it| it.get().parse::<u64>().ok());
    let expiration = expiration.ok_or("the answer has no expiration")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or(Duration::ZERO).as_secs();
    match expiration.saturating_sub(now) {
        0 => Err("the certificate has expired already; is this node's clock right?".to_owned()),
        seconds => Ok(Lifetime::new(seconds, false)),
    }
}

fn text(data: &Fields, field: &str) -> Option<String> {
    serde_json::from_str(data.get(field)?.get()).ok()
}
