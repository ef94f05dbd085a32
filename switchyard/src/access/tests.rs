//! Tokens, grants and the audit log's filters in the ledger, on SQLite and on a real PostgreSQL.

use contract::api::{Access as Given, GrantRequest, Role, Subject, SubjectKind};
use jiff::{SignedDuration, Timestamp};
use lockbox::Database;
use lockbox::database::query;

use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use crate::policy::{BundleGrant, Reach};
use crate::repository::{
    AuditEntry, AuditQuery, GrantExtent, IdTokenRef, NewGrant, NewToken, ReadQuery, Repository,
    TokenAdded, TokenSubject,
};

mod forgeries;

fn event() -> Event {
    Event {
        actor: Actor::Anonymous,
        action: Action::Grant,
        resource: Resource { kind: ResourceKind::Grant, id: "x".into(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: None,
    }
}

fn token(name: &str, hash: u8, subject: TokenSubject, lives: SignedDuration) -> NewToken {
    let expires_at = Timestamp::now().checked_add(lives).ok();
    NewToken {
        name: name.into(),
        subject,
        hash: vec![hash; 32],
        expires_at,
        by: "system:test".into(),
        id_token: None,
        kept: None,
    }
}

fn program() -> TokenSubject {
    TokenSubject::Program { role: Role::Developer, scope: Some("shop.prod".parse().unwrap()) }
}

fn grant(
    kind: SubjectKind,
    name: &str,
    scope: &str,
    secret: Option<&str>,
    access: Given,
) -> GrantRequest {
    let subject = Subject { kind, name: name.into() };
    GrantRequest {
        subject,
        scope: scope.parse().unwrap(),
        secret: secret.map(|it| it.parse().unwrap()),
        access,
        expires_at: None,
    }
}

fn new_grant(request: GrantRequest) -> NewGrant {
    let extent = GrantExtent { expires_at: request.expires_at, reach: Reach::Environment };
    NewGrant { request, extent, by: "token:test".into(), idempotency: None }
}

async fn tokens(repository: &Repository) {
    let hour = SignedDuration::from_hours(1);
    let add = async |new: NewToken| repository.add_token(&new, &event()).await.unwrap();
    assert_eq!(add(token("ci", 1, program(), hour)).await, TokenAdded::Added);
    assert_eq!(add(token("ci", 2, program(), hour)).await, TokenAdded::NameTaken);
    let person =
        TokenSubject::Person { name: "ada".into(), groups: vec!["a, b".into(), "c".into()] };
    assert_eq!(add(token("session-1", 3, person.clone(), hour)).await, TokenAdded::Added);
    let found = repository.token(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), &found.subject, found.last_used_at), ("ci", &program(), None));
    assert_eq!(repository.token(&[3; 32]).await.unwrap().unwrap().subject, person);
    assert_eq!(repository.token(&[2; 32]).await.unwrap(), None);

    let now = Timestamp::now();
    repository.record_use(&found, now).await.unwrap();
    let used = repository.token(&[1; 32]).await.unwrap().unwrap();
    assert!(used.last_used_at.is_some() && !used.needs_use_recorded(now));
    assert!(used.needs_use_recorded(now.checked_add(SignedDuration::from_secs(61)).unwrap()));

    assert_eq!(repository.tokens(0, 10).await.unwrap().len(), 2);
    assert_eq!(repository.tokens(found.id, 10).await.unwrap()[0].name, "session-1");
    assert!(repository.revoke_token(found.id, &event(), None).await.unwrap());
    assert!(!repository.revoke_token(found.id, &event(), None).await.unwrap());
    assert_eq!(repository.token_named("ci").await.unwrap(), None);
    assert!(
        repository.token_existed("ci", None).await.unwrap()
            && repository.token_existed("ci", Some(&[1; 32])).await.unwrap()
    );
    assert!(!repository.token_existed("ci", Some(&[9; 32])).await.unwrap());
    // An expired token is not valid, and its name is free again.
    let ended = token("ci", 4, program(), SignedDuration::from_secs(-1));
    assert_eq!(add(ended).await, TokenAdded::Added);
    assert_eq!(repository.token(&[4; 32]).await.unwrap(), None);
    assert!(repository.token_expiry(&[4; 32]).await.unwrap().is_some());
    assert_eq!(add(token("ci", 5, program(), hour)).await, TokenAdded::Added);
    // Its holder still learns that it expired. Nobody learns anything about other tokens.
    assert!(repository.token_expiry(&[4; 32]).await.unwrap().is_some());
    for (hash, what) in [(1, "revoked"), (5, "valid"), (9, "unknown")] {
        assert_eq!(repository.token_expiry(&[hash; 32]).await.unwrap(), None, "{what}");
    }
}

/// An ID token makes sessions until one of them is ended, and that is remembered as long as the ID
/// token lives.
async fn id_tokens(repository: &Repository) {
    let hour = SignedDuration::from_hours(1);
    let long_ago = SignedDuration::from_hours(-24 * 30);
    let session = |hash: u8, id_token: u8, lives, id_token_lives| {
        let person = TokenSubject::Person { name: "eve".into(), groups: vec![] };
        let expires_at = Timestamp::now().checked_add(id_token_lives).unwrap();
        let id_token = Some(IdTokenRef { hash: vec![id_token; 32], expires_at });
        NewToken { id_token, ..token(&format!("session-{hash}"), hash, person, lives) }
    };
    let add = async |new: NewToken| repository.add_token(&new, &event()).await.unwrap();
    let end = async |hash: u8| {
        let id = query("SELECT id FROM api_tokens WHERE name = $1")
            .bind(format!("session-{hash}"))
            .fetch_one(repository.database().reader());
        let id: i64 = id.await.unwrap().scalar().unwrap();
        assert!(repository.revoke_token(id.cast_unsigned(), &event(), None).await.unwrap());
    };
    assert_eq!(add(session(20, 1, hour, hour)).await, TokenAdded::Added);
    assert_eq!(add(session(21, 1, hour, hour)).await, TokenAdded::Added);
    end(20).await;
    assert_eq!(add(session(22, 1, hour, hour)).await, TokenAdded::IdTokenEnded);
    assert_eq!(add(session(23, 2, hour, hour)).await, TokenAdded::Added);
    // Rows of sessions that ended long ago go, except those whose ID token is still accepted.
    for (hash, id_token, id_token_lives) in [(24, 3, hour), (25, 4, long_ago)] {
        let old = session(hash, id_token, long_ago, id_token_lives);
        assert_eq!(add(old).await, TokenAdded::Added);
        end(hash).await;
    }
    assert_eq!(add(session(26, 3, hour, hour)).await, TokenAdded::IdTokenEnded);
    assert_eq!(add(session(27, 4, hour, hour)).await, TokenAdded::Added);
}

async fn grants(repository: &Repository) {
    let add =
        async |new: GrantRequest| repository.add_grant(&new_grant(new), &event()).await.unwrap();
    let one = add(grant(SubjectKind::User, "ada", "shop.prod.api", Some("A"), Given::Read)).await;
    assert_eq!(
        add(grant(SubjectKind::User, "ada", "shop.prod.api", Some("A"), Given::Read)).await,
        one
    );
    add(grant(SubjectKind::Group, "ada", "shop", None, Given::Owner)).await;
    add(grant(SubjectKind::Group, "devs", "shop", None, Given::Developer)).await;
    add(grant(
        SubjectKind::ServiceAccount,
        "shop-prod/jobs",
        "shop.prod.api",
        Some("A"),
        Given::Read,
    ))
    .await;
    add(grant(SubjectKind::ServiceAccount, "shop-prod/jobs", "shop.prod.web", None, Given::Read))
        .await;

    // A group and a person of the same name are different subjects.
    let of = async |user: &str, groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(|it| (*it).to_owned()).collect();
        repository
            .grants_of(user, &groups)
            .await
            .unwrap()
            .into_iter()
            .map(|it| it.access)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("ada", &[]).await, [Given::Read]);
    assert_eq!(of("Ada", &["x"]).await, []);
    assert_eq!(of("bob", &["ada", "devs"]).await, [Given::Owner, Given::Developer]);
    let bundle = |service: &str, secret: Option<&str>| BundleGrant {
        namespace: "shop-prod".into(),
        service_account: "jobs".into(),
        bundle: format!("shop.prod.{service}").parse().unwrap(),
        secret: secret.map(|it| it.parse().unwrap()),
        reach: Reach::Environment,
    };
    let mut found = repository.bundle_grants("shop-prod", "jobs").await.unwrap();
    found.sort_by_key(|it| it.bundle.clone());
    assert_eq!(found, [bundle("api", Some("A")), bundle("web", None)]);
    assert!(repository.bundle_grants("shop-prod", "api").await.unwrap().is_empty());
    // The same grant by somebody who may grant more reaches further, and never less again.
    let whole =
        grant(SubjectKind::ServiceAccount, "shop-prod/jobs", "shop.prod.web", None, Given::Read);
    for (reach, expected) in
        [(Reach::Service, "shop.prod"), (Reach::Project, "shop"), (Reach::Service, "shop")]
    {
        let extent = GrantExtent { expires_at: None, reach };
        let new = NewGrant { extent, ..new_grant(whole.clone()) };
        let again = repository.add_grant(&new, &event()).await.unwrap();
        assert_eq!(again.reach.unwrap().to_string(), expected);
    }

    assert_eq!(repository.grants(0, 100).await.unwrap().len(), 5);
    assert_eq!(repository.grant(one.id).await.unwrap().as_ref(), Some(&one));
    assert!(repository.remove_grant(one.id, &event(), None).await.unwrap());
    assert!(!repository.remove_grant(one.id, &event(), None).await.unwrap());
    assert_eq!(of("ada", &[]).await, []);
}

/// Grants with an end: they are not seen after it, and an equal one is made again.
async fn ends(repository: &Repository) {
    let now = Timestamp::now();
    let at = |seconds| now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let request = |expires_at| GrantRequest {
        expires_at,
        ..grant(SubjectKind::User, "zoe", "shop", None, Given::Read)
    };
    let add =
        async |new: GrantRequest| repository.add_grant(&new_grant(new), &event()).await.unwrap();
    let capped = async |expires_at| {
        let extent = GrantExtent { expires_at, reach: Reach::Environment };
        let new = NewGrant { extent, ..new_grant(request(None)) };
        repository.add_grant(&new, &event()).await.unwrap()
    };
    let past = add(request(Some(at(-60)))).await;
    assert!(repository.grants_of("zoe", &[]).await.unwrap().is_empty());
    assert_eq!(repository.grant(past.id).await.unwrap(), None);
    let first = capped(Some(at(600))).await;
    assert!(first.id > past.id, "an id was given again");
    // In milliseconds, as the ledger has them.
    let end = |grant: &contract::api::Grant| grant.expires_at.map(Timestamp::as_millisecond);
    // An end that nobody asked for is moved away and not nearer.
    assert_eq!(end(&capped(Some(at(300))).await), Some(at(600).as_millisecond()));
    assert_eq!(end(&capped(Some(at(900))).await), Some(at(900).as_millisecond()));
    assert_eq!(end(&add(request(Some(at(500)))).await), Some(at(500).as_millisecond()));
    let lasting = capped(None).await;
    assert_eq!((lasting.id, end(&lasting)), (first.id, None));
    assert_eq!(end(&capped(Some(at(900))).await), None);
    assert_eq!(repository.grants_of("zoe", &[]).await.unwrap()[0].expires_at, None);
}

/// The filters and orders of the audit log, which an admin of a scope depends on.
async fn events(repository: &Repository) {
    let of = |actor: Actor, scope: &str, secret: &str| AuditEntry {
        at: Timestamp::now(),
        event: Event {
            actor,
            action: Action::Read,
            resource: Resource {
                kind: ResourceKind::Secret,
                id: secret.into(),
                scope: (!scope.is_empty()).then(|| scope.into()),
            },
            ..event()
        },
        report: None,
    };
    let token = || Actor::Token { name: "x".into() };
    let entries = [
        of(token(), "shop.prod.api", "A"),
        of(Actor::User { name: "x".into() }, "shop.prod", "A"),
        of(token(), "shop.production", "A"),
        of(token(), "", "A"),
        of(token(), "other", "B"),
    ];
    let (before, _) = repository.audit_head().await.unwrap();
    repository.append(entries.into()).await.unwrap();
    let found = async |query: AuditQuery| {
        let query = AuditQuery { after: before, limit: 10, ..query };
        let events = repository.audit(&query).await.unwrap();
        events.iter().map(|it| it.sequence - before).collect::<Vec<_>>()
    };
    let all = AuditQuery::default;
    let within = |scopes: &[&str]| Some(scopes.iter().map(|it| it.parse().unwrap()).collect());
    let name = || "A".parse().unwrap();
    for (query, expected) in [
        (all(), &[1, 2, 3, 4, 5][..]),
        (AuditQuery { newest_first: true, ..all() }, &[5, 4, 3, 2, 1]),
        (AuditQuery { before: Some(before + 3), newest_first: true, ..all() }, &[2, 1]),
        (AuditQuery { within: within(&[]), ..all() }, &[]),
        (AuditQuery { within: within(&["shop.prod"]), ..all() }, &[1, 2]),
        (AuditQuery { within: within(&["shop.prod.api", "other"]), ..all() }, &[1, 5]),
        (AuditQuery { secret: Some((None, name())), ..all() }, &[1, 2, 3, 4]),
        (AuditQuery { secret: Some(("shop.prod".parse().ok(), name())), ..all() }, &[2]),
        (AuditQuery { actor: Some("x".into()), ..all() }, &[1, 2, 3, 4, 5]),
        (AuditQuery { actor: Some("x".into()), actor_type: Some("user".into()), ..all() }, &[2]),
    ] {
        assert_eq!(found(query.clone()).await, expected, "{query:?}");
    }
}

/// What questions about access ask of the ledger.
async fn questions(repository: &Repository) {
    let query = |actor_type, since| ReadQuery {
        scope: "shop.prod.api".parse().unwrap(),
        resource_type: "secret",
        resource: "A".into(),
        after: 0,
        before: 1 << 53,
        actor_type,
        since,
        until: None,
        limit: 10,
    };
    let later = Timestamp::now().checked_add(SignedDuration::from_secs(60)).ok();
    for (query, expected) in [
        (query(None, None), 1),
        (query(Some("token"), None), 1),
        (query(Some("user"), None), 0),
        (query(None, later), 0),
        (ReadQuery { resource_type: "bundle", ..query(None, None) }, 0),
        (ReadQuery { before: 1, ..query(None, None) }, 0),
    ] {
        assert_eq!(repository.reads(&query).await.unwrap().len(), expected, "{query:?}");
    }
    let session = repository.newest_session("ada").await.unwrap().unwrap();
    let groups = vec!["a, b".to_owned(), "c".to_owned()];
    assert_eq!(session.subject, TokenSubject::Person { name: "ada".into(), groups });
    // The name of a token is none of a person.
    assert_eq!(repository.newest_session("ci").await.unwrap(), None);
    let (scope, name) = ("shop".parse().unwrap(), "A".parse().unwrap());
    assert_eq!(repository.secret_id(&scope, &name).await.unwrap(), None);
    assert!(repository.memberships(1, Some(&scope), 10).await.unwrap().is_empty());
    assert!(repository.scopes_with(&scope, None, &name).await.unwrap().is_empty());
    let environment = "prod".parse().unwrap();
    assert!(repository.scopes_with(&scope, Some(&environment), &name).await.unwrap().is_empty());
}

async fn on(database: Database) {
    let repository = crate::repository::open_signed(database).await;
    tokens(&repository).await;
    id_tokens(&repository).await;
    grants(&repository).await;
    ends(&repository).await;
    events(&repository).await;
    questions(&repository).await;
}

#[tokio::test]
async fn on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    on(Database::open(&directory.path().join("x.db")).await.unwrap()).await;
}

#[tokio::test]
async fn forgeries_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    forgeries::on(Database::open(&directory.path().join("x.db")).await.unwrap()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: make test-stores"]
async fn on_postgres() {
    let server = e2e::postgres::Postgres::start().unwrap();
    let url = contract::Redacted::from(server.create_database("forgeries").unwrap());
    forgeries::on(Database::connect(&url).await.unwrap()).await;
    on(Database::connect(&contract::Redacted::from(server.create_database("access").unwrap()))
        .await
        .unwrap())
    .await;
}
