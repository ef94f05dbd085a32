//! Pruning: what is old goes, and nothing that is new, active, held or recoverable.

use std::time::Duration;

use e2e::random::SeededRng;

use super::*;
use crate::access::{ReadsWanted, reads_of};
use crate::audit::Pod;
use crate::policy::AuditReach;
use crate::repository::{
    AuditEntry, AuditQuery, Bundle, Fence, PodReport, ReportedState, RepositoryError,
};
use crate::secrets::history::{HistoryPolicy, Pruned};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const POLICY: HistoryPolicy =
    HistoryPolicy { generations: 3, age: SignedDuration::from_hours(24), versions: None };

impl SecretsFixture {
    async fn prune_fence(&self) -> Fence {
        let ttl = Duration::from_secs(600);
        self.secrets.repository.take_lease("prune", "me", ttl).await.unwrap().unwrap()
    }

    pub(super) async fn prune(&self, policy: HistoryPolicy) -> Pruned {
        let fence = self.prune_fence().await;
        self.secrets.prune_once(policy, &fence, Duration::ZERO).await.unwrap()
    }

    pub(super) async fn live(&self, by: Duration) {
        let fence = self.prune_fence().await;
        self.secrets.repository.advance_lived_time(by, &fence).await.unwrap();
    }

    /// As if every read so far were counted.
    pub(super) async fn all_counted(&self) {
        let at = Timestamp::now().as_millisecond() + 1000;
        let counted = "UPDATE counted_reads SET at = $1";
        self.database.execute(lockbox::database::query(counted).bind(at)).await.unwrap();
    }

    pub(super) async fn bundle(&self, scope: &str) -> Bundle {
        self.secrets.repository.bundle(&scope.parse().unwrap()).await.unwrap().unwrap()
    }

    /// A pod says that it holds this generation.
    async fn hold(&self, uid: &str, bundle: &Bundle, generation: u64) {
        let pod = Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: format!("pod-{uid}"),
            uid: uid.to_owned(),
        };
        let event = caller().event(Action::Applied, &scope(), &name(), Some(Version(1)), None);
        let generation = Generation(generation);
        let state = ReportedState::Applied { generation, tag: None, reload: "none".into() };
        let report = Some(PodReport { pod, bundle: bundle.id, state });
        let entry = AuditEntry { at: Timestamp::now(), event, report };
        self.secrets.repository.append(vec![entry]).await.unwrap();
    }

    /// The generations that can be read, of the first so many.
    pub(super) async fn generations(&self, bundle: &Bundle, until: u64) -> Vec<u64> {
        let mut found = Vec::new();
        for number in 1..=until {
            match self.secrets.repository.members(bundle, Generation(number)).await {
                Ok(_) => found.push(number),
                Err(RepositoryError::Forged(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        found
    }

    pub(super) async fn rows(&self, table: &'static str) -> i64 {
        let counted = lockbox::database::query_built(format!("SELECT count(*) FROM {table}"));
        let row = counted.fetch_one(self.database.reader()).await.unwrap();
        row.scalar().unwrap()
    }

    async fn events_of(&self, action: Action) -> Vec<audit::Record> {
        let word: &str = action.into();
        let asked = AuditQuery { action: Some(word.to_owned()), limit: 1000, ..all_events() };
        self.secrets.repository.audit(&asked).await.unwrap()
    }
}

fn all_events() -> AuditQuery {
    AuditQuery {
        after: 0,
        before: None,
        action: None,
        actor_type: None,
        actor: None,
        secret: None,
        within: None,
        outcome: None,
        since: None,
        until: None,
        newest_first: false,
        limit: 1000,
    }
}

pub(super) async fn old_generations_go_and_nothing_that_is_needed(fixture: SecretsFixture) {
    for at in 0..7 {
        fixture.write(&format!("value {at}")).await.unwrap();
    }
    let bundle = fixture.bundle("shop.prod.api").await;
    fixture.hold("1", &bundle, 2).await;
    let nothing = Pruned::default();
    // A clock that was set forward: everything looks as if it were of last year.
    let age = "UPDATE generations SET created_at = created_at - $1";
    let year = lockbox::database::query(age).bind(365 * 24 * 60 * 60 * 1000_i64);
    fixture.database.execute(year).await.unwrap();
    fixture.all_counted().await;
    assert_eq!(fixture.prune(POLICY).await, nothing);
    fixture.live(2 * DAY).await;
    fixture.secrets.repository.pod_seen("1").await.unwrap();
    // The reads of none of them are counted.
    let none = lockbox::database::query("UPDATE counted_reads SET at = $1").bind(0_i64);
    fixture.database.execute(none).await.unwrap();
    assert_eq!(fixture.prune(POLICY).await, nothing);
    fixture.all_counted().await;
    assert_eq!(fixture.prune(HistoryPolicy { generations: 7, ..POLICY }).await, nothing);
    let old = SignedDuration::from_hours(24 * 3);
    assert_eq!(fixture.prune(HistoryPolicy { age: old, ..POLICY }).await, nothing);
    assert_eq!(fixture.generations(&bundle, 7).await, [1, 2, 3, 4, 5, 6, 7]);

    let members = fixture.rows("bundle_members").await;
    assert_eq!(fixture.prune(POLICY).await, Pruned { generations: 3, ..nothing });
    assert_eq!(fixture.generations(&bundle, 7).await, [2, 5, 6, 7]);
    assert_eq!(fixture.rows("bundle_members").await, members - 3);
    assert_eq!(fixture.prune(POLICY).await, nothing);
    assert_eq!(fixture.read().await.value.expose(), b"value 6");
    assert!(fixture.secrets.repository.check_ledger().await.unwrap());
    let events = fixture.events_of(Action::Prune).await;
    assert_eq!(events.len(), 1);
    let details = events[0].details.as_deref().unwrap();
    assert!(
        details.starts_with("3 generations, 4 the newest of them, with 3 entries"),
        "{details}"
    );
    assert_eq!(
        (events[0].resource_id.as_str(), events[0].actor()),
        ("api-prod", "system:pruning".into())
    );

    // Who read says since when it knows.
    let wanted = ReadsWanted {
        scope: scope(),
        secret: name(),
        bundle: None,
        actor_type: None,
        since: None,
        until: None,
        before: 1 << 50,
        limit: 10,
    };
    let repository = &fixture.secrets.repository;
    let known =
        reads_of(repository, &wanted, (&AuditReach::Everything, None)).await.unwrap().known_since;
    assert!(details.ends_with(&format!("known since {:.0}", known.unwrap())), "{details}");
    let elsewhere = AuditReach::Scopes(["shop.dev".parse().unwrap()].into());
    assert_eq!(reads_of(repository, &wanted, (&elsewhere, None)).await.unwrap().known_since, None);

    // The pod is gone.
    fixture.live(2 * DAY).await;
    assert_eq!(fixture.prune(POLICY).await, Pruned { generations: 1, holdings: 1, versions: 0 });
    assert_eq!(fixture.generations(&bundle, 7).await, [5, 6, 7]);
    assert_eq!(fixture.rows("agent_holdings").await, 0);
    assert_eq!(fixture.events_of(Action::Prune).await.len(), 3);
    assert_eq!(fixture.write("next").await.unwrap().bundles[0].generation, Generation(8));
}

pub(super) async fn old_versions_are_destroyed_only_if_the_operator_says_so(
    fixture: SecretsFixture,
) {
    for at in 0..7 {
        fixture.write(&format!("value {at}")).await.unwrap();
    }
    let bundle = fixture.bundle("shop.prod.api").await;
    fixture.live(2 * DAY).await;
    fixture.hold("1", &bundle, 2).await;
    fixture.all_counted().await;
    assert_eq!(fixture.prune(POLICY).await.versions, 0);
    assert!(fixture.events_of(Action::Destroy).await.is_empty());
    let opted_in = HistoryPolicy { versions: Some(2), ..POLICY };
    // Six is in a generation that is kept, two in one that a pod holds.
    assert_eq!(fixture.prune(opted_in).await.versions, 3);
    assert_eq!(fixture.prune(opted_in).await.versions, 0);
    let destroyed: Vec<_> =
        fixture.events_of(Action::Destroy).await.into_iter().map(|it| it.version).collect();
    assert_eq!(destroyed, [Some(1), Some(3), Some(4)]);
    let rows = fixture.secrets.repository.versions(&scope(), &name(), None, 10).await.unwrap();
    let left: Vec<_> = rows
        .iter()
        .filter(|it| it.state != VersionState::Destroyed)
        .map(|it| it.version.0)
        .collect();
    assert_eq!(left, [7, 6, 5, 2]);
    assert!(fixture.secrets.repository.check_ledger().await.unwrap());
    assert_eq!(fixture.read().await.value.expose(), b"value 6");

    // A secret that was deleted can be restored with all that is left.
    fixture.secrets.delete(&caller(), &scope(), &name(), &WriteOptions::default()).await.unwrap();
    fixture.live(2 * DAY).await;
    fixture.all_counted().await;
    assert_eq!(fixture.prune(opted_in).await.versions, 0);
    fixture.secrets.undelete(&caller(), &scope(), &name(), &WriteOptions::default()).await.unwrap();
    assert_eq!(fixture.read().await.value.expose(), b"value 6");
}

pub(super) async fn a_superseded_leader_prunes_nothing(fixture: SecretsFixture) {
    for at in 0..7 {
        fixture.write(&format!("value {at}")).await.unwrap();
    }
    let bundle = fixture.bundle("shop.prod.api").await;
    fixture.hold("1", &bundle, 2).await;
    fixture.live(2 * DAY).await;
    fixture.all_counted().await;
    let old = fixture.prune_fence().await;
    let repository = &fixture.secrets.repository;
    repository.release_lease(&old).await.unwrap();
    let ttl = Duration::from_secs(600);
    assert!(repository.take_lease("prune", "other", ttl).await.unwrap().is_some());
    let refused = fixture.secrets.prune_once(POLICY, &old, Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, SecretsError::Change(ChangeError::Fenced(_))), "{refused:?}");
    assert_eq!(fixture.generations(&bundle, 7).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(fixture.rows("agent_holdings").await, 1);
}

/// Writes, rotations, deletes and pods in any order, and pruning by any policy in between.
pub(super) async fn what_is_stable_or_held_stays_authentic(fixture: SecretsFixture) {
    let mut random = SeededRng::new(7);
    let (scopes, names) = (["shop", "shop.prod", "shop.prod.api", "shop.prod.web"], ["A", "B"]);
    let mut held: BTreeMap<&str, (Bundle, u64)> = BTreeMap::new();
    let pick = |random: &mut SeededRng, end: u64| usize::try_from(random.below(end)).unwrap();
    let mut pruned = 0;
    for step in 0..60 {
        let of: Scope = scopes[pick(&mut random, 4)].parse().unwrap();
        let secret: SecretName = names[pick(&mut random, 2)].parse().unwrap();
        let (secrets, options) = (&fixture.secrets, WriteOptions::default());
        if random.below(5) == 0 {
            // It may not be there.
            let _ = secrets.delete(&caller(), &of, &secret, &options).await;
        } else {
            let mut request = WriteRequest::default();
            let value = Redacted::from(format!("value {step}"));
            request.secrets.insert(secret, NewValue::new(value));
            let condition = |_: &SecretName| Condition::None;
            secrets.write(&caller(), &of, &request, condition, &options).await.unwrap();
        }
        for service in ["shop.prod.api", "shop.prod.web"] {
            let found = secrets.repository.bundle(&service.parse().unwrap()).await.unwrap();
            let Some(bundle) = found.filter(|_| random.below(6) == 0) else { continue };
            let stable = bundle.rollout.stable.0;
            fixture.hold(service, &bundle, stable).await;
            held.insert(service, (bundle, stable));
        }
        fixture.live(DAY).await;
        fixture.all_counted().await;
        let days = i64::try_from(random.below(4)).unwrap();
        let policy = HistoryPolicy {
            generations: 1 + random.below(4),
            age: SignedDuration::from_hours(24 * days),
            versions: (random.below(2) == 0).then_some(1),
        };
        for service in held.keys() {
            secrets.repository.pod_seen(service).await.unwrap();
        }
        pruned += fixture.prune(policy).await.generations;
        for (bundle, generation) in held.values() {
            let generation = Generation(*generation);
            let rows = secrets.repository.pod_generations(bundle.id).await.unwrap();
            assert!(rows.iter().any(|(_, it)| *it == Some(generation)), "step {step}");
            secrets.repository.members(bundle, generation).await.unwrap();
            let now = fixture.bundle(&bundle.scope.to_string()).await;
            let members = secrets.repository.members(&now, now.rollout.stable).await.unwrap();
            for (secret, member) in members {
                let active = secrets.repository.find(&member.scope, &secret).await.unwrap();
                assert_eq!(active.unwrap().stored, member.stored, "step {step}");
                secrets.store.read_version(&member.scope, &secret, &member.stored).await.unwrap();
            }
        }
        assert!(secrets.repository.check_ledger().await.unwrap(), "step {step}");
    }
    assert!(pruned > 10, "{pruned} generations were pruned");
}
