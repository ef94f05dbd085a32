//! Tokens and grants in the ledger, on SQLite and on a real PostgreSQL.

use contract::api::{Access as Given, GrantRequest, Role, Subject, SubjectKind};
use jiff::{SignedDuration, Timestamp};
use lockbox::Database;

use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use crate::policy::BundleGrant;
use crate::repository::{NewToken, Repository, TokenSubject};

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
    }
}

async fn tokens(repository: &Repository) {
    let hour = SignedDuration::from_hours(1);
    assert!(repository.add_token(&token("ci", 1, program(), hour), Some(&event())).await.unwrap());
    assert!(!repository.add_token(&token("ci", 2, program(), hour), Some(&event())).await.unwrap());
    let person =
        TokenSubject::Person { name: "ada".into(), groups: vec!["a, b".into(), "c".into()] };
    assert!(
        repository.add_token(&token("session-1", 3, person.clone(), hour), None).await.unwrap()
    );
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
    assert!(repository.revoke_token(found.id, &event()).await.unwrap());
    assert!(!repository.revoke_token(found.id, &event()).await.unwrap());
    assert_eq!(repository.token_named("ci").await.unwrap(), None);
    assert!(
        repository.token_existed("ci", None).await.unwrap()
            && repository.token_existed("ci", Some(&[1; 32])).await.unwrap()
    );
    assert!(!repository.token_existed("ci", Some(&[9; 32])).await.unwrap());
    // An expired token is not valid, and its name is free again.
    assert!(
        repository
            .add_token(&token("ci", 4, program(), SignedDuration::from_secs(-1)), None)
            .await
            .unwrap()
    );
    assert_eq!(repository.token(&[4; 32]).await.unwrap(), None);
    assert!(repository.add_token(&token("ci", 5, program(), hour), None).await.unwrap());
}

async fn grants(repository: &Repository) {
    let add =
        async |new: GrantRequest| repository.add_grant(&new, "token:test", &event()).await.unwrap();
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
    };
    let mut found = repository.bundle_grants("shop-prod", "jobs").await.unwrap();
    found.sort_by_key(|it| it.bundle.clone());
    assert_eq!(found, [bundle("api", Some("A")), bundle("web", None)]);
    assert!(repository.bundle_grants("shop-prod", "api").await.unwrap().is_empty());

    assert_eq!(repository.grants(0, 100).await.unwrap().len(), 5);
    assert_eq!(repository.grant(one.id).await.unwrap().as_ref(), Some(&one));
    assert!(repository.remove_grant(one.id, &event()).await.unwrap());
    assert!(!repository.remove_grant(one.id, &event()).await.unwrap());
    assert_eq!(of("ada", &[]).await, []);
}

async fn on(database: Database) {
    let repository = Repository::open(database).await.unwrap();
    tokens(&repository).await;
    grants(&repository).await;
}

#[tokio::test]
async fn on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    on(Database::open(&directory.path().join("x.db")).await.unwrap()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: make test-stores"]
async fn on_postgres() {
    let server = e2e::postgres::Postgres::start().unwrap();
    on(Database::connect(&contract::Redacted::from(server.create_database("access").unwrap()))
        .await
        .unwrap())
    .await;
}
