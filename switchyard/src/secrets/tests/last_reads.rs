//! When secrets were last read: the count of the log agrees with who-read, which looks at each
//! secret's events one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::SecretName;
use e2e::random::SeededRng;

use super::*;
use crate::access::{CountLimits, FoundReads, ReadsWanted, count_once, reads_of};
use crate::audit::{Event, Outcome, Pod, Resource, ResourceKind};
use crate::policy::AuditReach;
use crate::repository::{
    AuditEntry, ChangeError, CountedUntil, Fence, LastRead, ListQuery, SearchQuery,
};

const SCOPES: [&str; 4] = ["shop", "shop.prod", "shop.prod.api", "shop.prod.web"];
const NAMES: [&str; 3] = ["A", "B", "C"];

/// As the events of deliveries have them: all of a bundle, some names, and cut in the middle.
const RULES: [&str; 5] = [
    "own-service",
    "grant",
    "grant-of-secrets: A,B of the service",
    "grant-of-secrets: C of environment and service",
    "something that is not known",
];

impl SecretsFixture {
    async fn fence(&self) -> Fence {
        let ttl = Duration::from_secs(600);
        self.secrets.repository.take_lease("read count", "me", ttl).await.unwrap().unwrap()
    }

    /// Counts to the end of the log in batches of this size. Returns how many there were.
    async fn count(&self, limits: CountLimits) -> usize {
        let fence = self.fence().await;
        let mut batches = 1;
        while !count_once(&self.secrets.repository, &fence, limits).await.unwrap() {
            batches += 1;
        }
        batches
    }

    async fn read_event(&self, at: Timestamp, event: Event) {
        let entry = AuditEntry { at, event, report: None };
        self.secrets.repository.append(vec![entry]).await.unwrap();
    }

    /// The last read of each kind that who-read finds.
    async fn found_by_who_read(&self, scope: &Scope, secret: &SecretName) -> LastRead {
        let newest = async |actor_type: &'static str| {
            let wanted = ReadsWanted {
                scope: scope.clone(),
                secret: secret.clone(),
                bundle: None,
                actor_type: Some(actor_type),
                since: None,
                until: None,
                before: 1 << 50,
                limit: 1000,
            };
            let repository = &self.secrets.repository;
            let FoundReads { reads, next, known_since } =
                reads_of(repository, &wanted, (&AuditReach::Everything, None)).await.unwrap();
            assert_eq!((next, known_since), (None, None), "one page has all of them");
            reads.into_iter().map(|it| it.record.at).max()
        };
        LastRead {
            by_pod: newest("pod").await,
            by_person: newest("user").await,
            by_program: newest("token").await.max(newest("workload").await),
        }
    }

    async fn counted(&self) -> BTreeMap<(Scope, SecretName), LastRead> {
        let all = SearchQuery { limit: 1000, ..SearchQuery::default() };
        let found = self.secrets.repository.search(&all).await.unwrap();
        found.into_iter().map(|it| ((it.scope, it.secret.name), it.secret.last_read)).collect()
    }

    /// A read of something by somebody, at a time after all secrets were first written.
    async fn random_read(&self, random: &mut SeededRng, at: Timestamp) {
        let pod = Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: "api-1".into(),
            uid: "1".into(),
        };
        let is_pod = random.below(2) == 0;
        let actor = match (is_pod, random.below(4)) {
            (true, _) => Actor::Pod(pod),
            (false, 0) => Actor::User { name: "ada".into() },
            (false, 1) => Actor::Workload { name: "github:shop/api@x".into() },
            (false, 2) => Actor::Token { name: "ci".into() },
            (false, _) => Actor::System { part: "test" },
        };
        let (resource, version) = if is_pod || random.below(2) == 0 {
            let service = ["api", "web"][usize::try_from(random.below(2)).unwrap()];
            let scope: Scope = format!("shop.prod.{service}").parse().unwrap();
            let bundle = self.secrets.repository.bundle(&scope).await.unwrap();
            let Some(newest) = bundle.map(|it| it.rollout.stable.0) else { return };
            let (id, scope) = (format!("{service}-prod"), Some(scope.to_string()));
            (Resource { kind: ResourceKind::Bundle, id, scope }, 1 + random.below(newest))
        } else {
            let scope = SCOPES[usize::try_from(random.below(4)).unwrap()].parse().unwrap();
            let name = NAMES[usize::try_from(random.below(3)).unwrap()].parse().unwrap();
            let known = self.secrets.repository.secret_id(&scope, &name).await.unwrap();
            if known.is_none() {
                return;
            }
            let (id, scope) = (name.to_string(), Some(scope.to_string()));
            (Resource { kind: ResourceKind::Secret, id, scope }, 1)
        };
        let rule = RULES[usize::try_from(random.below(5)).unwrap()].to_owned();
        let cut = format!("grant-of-secrets: {}", "X_OF_MANY,".repeat(40));
        let details = if random.below(6) == 0 { crate::audit::sanitize(&cut) } else { rule };
        let outcome = [Outcome::Allowed, Outcome::Denied][usize::from(random.below(9) == 0)];
        let action = [Action::Read, Action::List][usize::from(random.below(9) == 0)];
        let origin = Origin::default();
        let details = Some(details);
        let event =
            Event { actor, action, resource, version: Some(version), outcome, origin, details };
        self.read_event(at, event).await;
    }
}

/// A pod reads a generation of a service's bundle, and the read is counted. Returns its time.
pub(super) async fn reads_of_a_pod(
    fixture: &SecretsFixture,
    bundle: &Scope,
    generation: u64,
) -> Timestamp {
    let pod = Pod {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        name: "api-1".into(),
        uid: "1".into(),
    };
    let resource = Resource {
        kind: ResourceKind::Bundle,
        id: "api-prod".into(),
        scope: Some(bundle.to_string()),
    };
    let event = Event {
        actor: Actor::Pod(pod),
        action: Action::Read,
        resource,
        version: Some(generation),
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some(RULES[0].to_owned()),
    };
    let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 1000).unwrap();
    fixture.read_event(now, event).await;
    fixture.count(CountLimits { events: 100, members: 100 }).await;
    now
}

/// In batches of any size, with writes in between, from any point on.
pub(super) async fn last_reads_are_those_that_the_log_has(fixture: SecretsFixture) {
    for seed in 0..4 {
        let mut random = SeededRng::new(seed);
        let later = SignedDuration::from_hours(24 + i64::try_from(seed).unwrap());
        let mut at = Timestamp::now().checked_add(later).unwrap();
        for round in 0..3 {
            for scope in SCOPES {
                let mut request = WriteRequest::default();
                for name in NAMES.into_iter().filter(|_| random.below(2) == 0) {
                    let value = Redacted::from(format!("{seed} {round}"));
                    request.secrets.insert(name.parse().unwrap(), NewValue::new(value));
                }
                if !request.secrets.is_empty() {
                    let (scope, options) = (scope.parse().unwrap(), WriteOptions::default());
                    let condition = |_: &SecretName| Condition::None;
                    let secrets = &fixture.secrets;
                    secrets.write(&caller(), &scope, &request, condition, &options).await.unwrap();
                }
            }
            for _ in 0..25 {
                at = at.checked_add(SignedDuration::from_millis(7)).unwrap();
                fixture.random_read(&mut random, at).await;
            }
            let events = 1 + u32::try_from(random.below(9)).unwrap();
            let members = usize::try_from(1 + random.below(12)).unwrap();
            let batches = fixture.count(CountLimits { events, members }).await;
            assert!(batches > 1 || events > 5, "{events} events in a batch");
        }
        let counted = fixture.counted().await;
        assert!(!counted.is_empty());
        for ((scope, name), found) in counted {
            let expected = fixture.found_by_who_read(&scope, &name).await;
            assert_eq!(found, expected, "seed {seed}: {scope}/{name}");
        }
    }
}

/// As after a crash in the middle, and beside a replica that was the leader before.
pub(super) async fn what_is_counted_is_counted_once_and_by_the_leader(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    fixture.read().await;
    let repository = &fixture.secrets.repository;
    let old = fixture.fence().await;
    let ttl = Duration::from_secs(600);
    let from = repository.counted_reads().await.unwrap();
    assert_eq!(from.sequence, 0);
    // SQLite has one process, which takes any lease; PostgreSQL waits until it is released.
    repository.release_lease(&old).await.unwrap();
    let new = repository.take_lease("read count", "other", ttl).await.unwrap().unwrap();
    let limits = CountLimits { events: 100, members: 100 };
    let refused = count_once(repository, &old, limits).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Fenced(_)), "{refused:?}");
    assert_eq!(repository.counted_reads().await.unwrap(), from);
    assert_eq!(fixture.counted().await[&(scope(), name())], LastRead::default());

    assert!(count_once(repository, &new, limits).await.unwrap());
    let read = fixture.counted().await[&(scope(), name())];
    assert!(read.by_program.is_some() && read.by_pod.is_none() && read.by_person.is_none());
    let until = repository.counted_reads().await.unwrap();
    assert_eq!(until.sequence, repository.newest_event().await.unwrap());
    // A batch that was read from where another one has counted since changes nothing.
    let late = LastRead { by_pod: Some(Timestamp::now()), ..LastRead::default() };
    let id = repository.secret_id(&scope(), &name()).await.unwrap().unwrap();
    let further = CountedUntil { sequence: until.sequence + 5, at: until.at };
    let reads = BTreeMap::from([(id, late)]);
    assert!(!repository.count_reads(reads, from, further, &new).await.unwrap());
    assert_eq!(fixture.counted().await[&(scope(), name())], read);
    // Nothing new: the time goes on, and nothing else.
    assert!(count_once(repository, &new, limits).await.unwrap());
    assert_eq!(fixture.counted().await[&(scope(), name())], read);

    // A secret that was deleted and written again was not read yet.
    let options = WriteOptions::default();
    fixture.secrets.delete(&caller(), &scope(), &name(), &options).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    fixture.write("two").await.unwrap();
    assert_eq!(fixture.counted().await[&(scope(), name())], LastRead::default());
}

pub(super) async fn unused_secrets_are_listed_since_they_were_first_written(
    fixture: SecretsFixture,
) {
    let mut request = WriteRequest::default();
    for name in ["NEVER", "NEW", "POD", "PERSON", "PROGRAM"] {
        request
            .secrets
            .insert(name.parse().unwrap(), NewValue::new(Redacted::from("x".to_owned())));
    }
    let options = WriteOptions::default();
    let condition = |_: &SecretName| Condition::None;
    fixture.secrets.write(&caller(), &scope(), &request, condition, &options).await.unwrap();
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let age = "UPDATE secrets SET created_at = $1 WHERE name <> 'NEW'";
    let created = lockbox::database::query(age).bind(time("2026-01-01T00:00:00Z").as_millisecond());
    fixture.database.execute(created).await.unwrap();
    let pod = Pod {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        name: "api-1".into(),
        uid: "1".into(),
    };
    for (name, at, actor) in [
        ("POD", "2026-02-01T00:00:00Z", Actor::Pod(pod)),
        ("PERSON", "2026-03-01T00:00:00Z", Actor::User { name: "ada".into() }),
        ("PROGRAM", "2026-04-01T00:00:00Z", Actor::Workload { name: "ci:x".into() }),
    ] {
        let (kind, scope) = (ResourceKind::Secret, Some(scope().to_string()));
        let event = Event {
            actor,
            action: Action::Read,
            resource: Resource { kind, id: name.to_owned(), scope },
            version: Some(1),
            outcome: Outcome::Allowed,
            origin: Origin::default(),
            details: None,
        };
        fixture.read_event(time(at), event).await;
    }
    fixture.count(CountLimits { events: 2, members: 1 }).await;
    let all = ["NEVER", "NEW", "PERSON", "POD", "PROGRAM"];
    for (since, expected) in [
        ("2026-01-01T00:00:00Z", &[][..]),
        ("2026-01-01T00:00:01Z", &["NEVER"]),
        ("2026-02-01T00:00:00Z", &["NEVER"]),
        ("2026-02-15T00:00:00Z", &["NEVER", "POD"]),
        ("2026-03-15T00:00:00Z", &["NEVER", "PERSON", "POD"]),
        ("2026-04-15T00:00:00Z", &["NEVER", "PERSON", "POD", "PROGRAM"]),
        ("2100-01-01T00:00:00Z", &all),
    ] {
        let unused_since = Some(time(since));
        let page = ListQuery { unused_since, limit: 10, ..ListQuery::default() };
        let names = all.map(|name| name.parse::<SecretName>().unwrap());
        let repository = &fixture.secrets.repository;
        let listed = repository.list(&scope(), &page).await.unwrap();
        let chosen = repository.list_named(&scope(), &names, &page).await.unwrap();
        assert_eq!(listed, chosen, "{since}");
        let search = SearchQuery { unused_since, limit: 10, ..SearchQuery::default() };
        let found = repository.search(&search).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|it| it.secret).collect();
        assert_eq!(listed, found, "{since}");
        let listed: Vec<_> = listed.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(listed, expected, "{since}");
    }
}
