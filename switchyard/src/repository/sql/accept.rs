//! Takes the rows over as they are, under a new key: in the start that creates the key, and when an
//! operator says so. Everything is signed in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::Event;
use contract::{Generation, SecretName, Version};
use jiff::Timestamp;
use lockbox::database::{Query, Row, query};
use lockbox::{Reference, StoredVersion};
use serde::{Deserialize, Serialize};

use super::super::authenticity::Forgery;
use super::super::digest::{Digest, Table};
use super::super::mac::{LedgerKey, RowMac};
use super::super::table_digests::{TableDigest, TableDigests};
use super::super::{BundleId, RepositoryError};
use super::bundles::{bundle, bundle_mac};
use super::generation_row::MemberDigest;
use super::member_targets;
use super::row_macs::{optional_mac, rights_mac, secret_mac, version_mac};
use super::rows::{
    bytes, count, database, integer, name, optional_count, optional_integer, scope, signed, state,
    text,
};
use super::{LedgerTransaction, Repository, audit_events, settings, version_rows};

/// The setting that names the key.
pub(super) const KEY_SETTING: &str = "ledger key";

/// How many rows are read at once.
const PAGE: i64 = 500;

/// Where the store has the ledger's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerKeyRef {
    /// Its name there. Each key has another one.
    pub name: SecretName,
    version: u64,
    reference: String,
}

/// How many rows were taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptedRows {
    /// Secrets.
    pub secrets: u64,
    /// Versions of secrets.
    pub versions: u64,
    /// Bundles.
    pub bundles: u64,
    /// Grants.
    pub grants: u64,
    /// Tokens and sessions.
    pub tokens: u64,
}

impl LedgerKeyRef {
    /// The key in the store.
    #[must_use]
    pub fn new(name: SecretName, stored: &StoredVersion) -> Self {
        Self { name, version: stored.version.0, reference: stored.reference.as_str().to_owned() }
    }

    /// What the store needs to find it.
    #[must_use]
    pub fn stored(&self) -> StoredVersion {
        let reference = Reference::new(self.reference.clone());
        StoredVersion { version: Version(self.version), reference }
    }
}

impl Repository {
    /// Where the ledger's key is, or `None` if it has none yet.
    ///
    /// # Errors
    /// The setting is malformed, or the database failed.
    pub async fn ledger_key(&self) -> Result<Option<LedgerKeyRef>, RepositoryError> {
        parse(self.setting(KEY_SETTING).await?)
    }

    /// Whether the rows were ever taken over, as the audit log says.
    ///
    /// # Errors
    /// The database failed.
    pub async fn was_accepted(&self) -> Result<bool, RepositoryError> {
        let action: &str = audit::Action::Accept.into();
        let found = query("SELECT 1 FROM audit_events WHERE action = $1 LIMIT 1")
            .bind(action)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find event of ledger key"))?;
        Ok(found.is_some())
    }

    /// Goes on with the ledger's key.
    ///
    /// # Errors
    /// The tables' digests are not under this key, or the database failed.
    pub async fn unlock(&self, key: LedgerKey) -> Result<(), RepositoryError> {
        let row = query("SELECT digests FROM audit_head WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read digests"))?;
        if TableDigests::decode(&key, &bytes(&row, "digests")?).is_none() {
            return Err(RepositoryError::Forged(Forgery::digests()));
        }
        self.authenticity.set_key(key);
        Ok(())
    }

    /// Signs every row under a new key, with the event that `event` makes of their numbers, and
    /// goes on with it. `statements` are the store's part. Returns `false`, having changed nothing,
    /// if the key is not `before` any more: another replica was faster.
    ///
    /// # Errors
    /// A row is malformed, or the database failed.
    pub async fn accept_rows(
        &self,
        (key, new): (LedgerKey, &LedgerKeyRef),
        before: Option<&LedgerKeyRef>,
        statements: Vec<Query>,
        event: fn(AcceptedRows) -> Event,
    ) -> Result<bool, RepositoryError> {
        let (key, new, before) = (Arc::new(key), new.clone(), before.cloned());
        let signed_under = key.clone();
        let done = self
            .transaction(async move |tx| {
                if parse(settings::get(tx, KEY_SETTING).await?)? != before {
                    return Ok(false);
                }
                for statement in statements {
                    let stored = statement.execute(tx.connection()).await;
                    stored.map_err(database("insert ledger key"))?;
                }
                let rows = sign_all(tx, &signed_under).await?;
                // Names, numbers and texts always serialize.
                let setting = serde_json::to_string(&new).unwrap_or_default();
                settings::set(tx, KEY_SETTING, setting).await?;
                audit_events::insert(tx, Timestamp::now(), &event(rows)).await?;
                Ok::<_, RepositoryError>(true)
            })
            .await?;
        if done {
            self.authenticity.set_key(key);
        }
        Ok(done)
    }
}

fn parse(setting: Option<String>) -> Result<Option<LedgerKeyRef>, RepositoryError> {
    let parse = |text: String| serde_json::from_str(&text);
    setting.map(parse).transpose().map_err(|_| RepositoryError::Form("ledger key"))
}

/// Signs every row, and begins the digests of their tables.
async fn sign_all(
    tx: &mut LedgerTransaction<'_>,
    key: &Arc<LedgerKey>,
) -> Result<AcceptedRows, RepositoryError> {
    let mut digests = TableDigests::default();
    let mut add = |table, term: Digest| {
        let TableDigest { rows, .. } = digests.of(table);
        *digests.of_mut(table) = TableDigest { changes: 1, rows: rows.plus(term) };
    };
    let mut accepted = AcceptedRows::default();
    for table in [Table::Grants, Table::Tokens] {
        let (mut after, mut signed) = (i64::MIN, 0);
        loop {
            let rows = page(tx, table, after).await?;
            let Some(last) = rows.last() else { break };
            after = integer(last, "id")?;
            for row in &rows {
                let mac = rights_mac(key, table, row)?;
                set_mac(tx, table, mac, integer(row, "id")?).await?;
                add(table, key.term(table.as_str(), mac, &[]));
                signed += 1;
            }
        }
        match table {
            Table::Grants => accepted.grants = signed,
            _ => accepted.tokens = signed,
        }
    }
    let mut after = i64::MIN;
    loop {
        let rows = page(tx, Table::Secrets, after).await?;
        let Some(last) = rows.last() else { break };
        let last = integer(last, "id")?;
        for row in &rows {
            let mac = secret_mac(key, row)?;
            set_mac(tx, Table::Secrets, mac, integer(row, "id")?).await?;
            add(Table::Secrets, key.term(Table::Secrets.as_str(), mac, &[]));
            accepted.secrets += 1;
        }
        for row in versions(tx, after, last).await? {
            let (scope, name) = (scope(&row)?, name(&row)?);
            let mac = version_mac(key, (&scope, &name), &row)?;
            let state = state(&text(&row, "rotation_status")?)?;
            let lived = optional_integer(&row, "deleted_lived")?;
            query("UPDATE secret_versions SET mac = $1 WHERE secret_id = $2 AND version = $3")
                .bind(mac.0.to_vec())
                .bind(integer(&row, "secret_id")?)
                .bind(integer(&row, "version")?)
                .execute(tx.connection())
                .await
                .map_err(database("sign version"))?;
            add(Table::Versions, version_rows::term(key, mac, state, lived));
            accepted.versions += 1;
        }
        after = last;
    }
    let mut after = i64::MIN;
    loop {
        let rows = page(tx, Table::Bundles, after).await?;
        let Some(last) = rows.last() else { break };
        after = integer(last, "id")?;
        for row in &rows {
            let mac = bundle_mac(key, row)?;
            set_mac(tx, Table::Bundles, mac, integer(row, "id")?).await?;
            add(Table::Bundles, key.term(Table::Bundles.as_str(), mac, &[]));
            sign_generations(tx, key, row).await?;
            accepted.bundles += 1;
        }
    }
    tx.set_digests(digests, key.clone());
    Ok(accepted)
}

async fn page(
    tx: &mut LedgerTransaction<'_>,
    table: Table,
    after: i64,
) -> Result<Vec<Row>, RepositoryError> {
    let sql = match table {
        Table::Grants => "SELECT * FROM grants WHERE id > $1 ORDER BY id LIMIT $2",
        Table::Tokens => "SELECT * FROM api_tokens WHERE id > $1 ORDER BY id LIMIT $2",
        Table::Bundles => "SELECT * FROM bundles WHERE id > $1 ORDER BY id LIMIT $2",
        Table::Secrets | Table::Versions => {
            "SELECT id, project, environment, service, name, current_version, latest_version, \
                deleted_at IS NOT NULL AS is_deleted FROM secrets WHERE id > $1
             ORDER BY id LIMIT $2"
        }
    };
    let rows = query(sql).bind(after).bind(PAGE).fetch_all(tx.connection()).await;
    rows.map_err(database("read rows to sign"))
}

async fn set_mac(
    tx: &mut LedgerTransaction<'_>,
    table: Table,
    RowMac(mac): RowMac,
    id: i64,
) -> Result<(), RepositoryError> {
    let sql = match table {
        Table::Grants => "UPDATE grants SET mac = $1 WHERE id = $2",
        Table::Tokens => "UPDATE api_tokens SET mac = $1 WHERE id = $2",
        Table::Bundles => "UPDATE bundles SET mac = $1 WHERE id = $2",
        Table::Secrets | Table::Versions => "UPDATE secrets SET mac = $1 WHERE id = $2",
    };
    let done = query(sql).bind(mac.to_vec()).bind(id).execute(tx.connection()).await;
    done.map(drop).map_err(database("sign row"))
}

/// The versions of the secrets after one id up to another.
async fn versions(
    tx: &mut LedgerTransaction<'_>,
    after: i64,
    last: i64,
) -> Result<Vec<Row>, RepositoryError> {
    query(
        "SELECT v.*, s.project, s.environment, s.service, s.name FROM secret_versions v
         JOIN secrets s ON s.id = v.secret_id WHERE v.secret_id > $1 AND v.secret_id <= $2",
    )
    .bind(after)
    .bind(last)
    .fetch_all(tx.connection())
    .await
    .map_err(database("read versions to sign"))
}

/// Signs the generations of a bundle: what each holds follows from where its members begin and end.
async fn sign_generations(
    tx: &mut LedgerTransaction<'_>,
    key: &LedgerKey,
    bundle_row: &Row,
) -> Result<(), RepositoryError> {
    let of = bundle(bundle_row)?;
    let BundleId(id) = of.id;
    let composed = member_targets::sign(tx, key, id).await?;
    let rows = query(
        "SELECT m.name, m.first_generation, m.end_generation, v.mac FROM bundle_members m
         JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
         WHERE m.bundle_id = $1",
    )
    .bind(id)
    .fetch_all(tx.connection())
    .await
    .map_err(database("read members to sign"))?;
    let (mut begin, mut end) = (Vec::new(), Vec::new());
    for row in &rows {
        let (name, first) = (name(row)?, count(row, "first_generation")?);
        let mac = optional_mac(row, "mac")?.ok_or(RepositoryError::Form("mac"))?;
        let mac = composed.get(&(name.clone(), first)).copied().unwrap_or(mac);
        let term = key.member(&of.scope, &name, mac);
        begin.push((first, term));
        end.extend(optional_count(row, "end_generation")?.map(|at| (at, term)));
    }
    let (begin, end) = (by_generation(begin), by_generation(end));
    let rows = query("SELECT number, tag FROM generations WHERE bundle_id = $1 ORDER BY number")
        .bind(id)
        .fetch_all(tx.connection())
        .await
        .map_err(database("read generations to sign"))?;
    let (mut held, mut from) = (MemberDigest::default(), 0);
    for row in &rows {
        let number = count(row, "number")?;
        for term in end.range(from..=number).flat_map(|(_, terms)| terms) {
            held.members = held.members.minus(*term);
            held.secrets = held.secrets.saturating_sub(1);
        }
        for term in begin.range(from..=number).flat_map(|(_, terms)| terms) {
            held.members = held.members.plus(*term);
            held.secrets += 1;
        }
        from = number + 1;
        let columns = held.sign(key, &of.scope, (Generation(number), &text(row, "tag")?));
        query(
            "UPDATE generations SET members = $3, secrets = $4, mac = $5 WHERE bundle_id = $1 AND \
                number = $2",
        )
        .bind(id)
        .bind(signed(number))
        .bind(columns.members)
        .bind(signed(held.secrets))
        .bind(columns.mac)
        .execute(tx.connection())
        .await
        .map_err(database("sign generation"))?;
    }
    Ok(())
}

fn by_generation(terms: Vec<(u64, Digest)>) -> BTreeMap<u64, Vec<Digest>> {
    let mut all: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
    for (number, term) in terms {
        all.entry(number).or_default().push(term);
    }
    all
}
