//! Message, notes, tags and expiry.

use contract::api::MetadataRequest;
use contract::metadata::{MAX_TAGS, SecretMetadata};
use jiff::ToSpan as _;

use super::*;
use crate::repository::ListQuery;

fn json<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

impl SecretsFixture {
    /// Writes a value with what is given beside it, as JSON.
    async fn write_with(&self, beside: &str) -> Written {
        let value = json::<NewValue>(&format!(r#"{{"value":"eA==",{beside}}}"#));
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), value);
        let none = |_: &SecretName| Condition::None;
        let options = WriteOptions::default();
        self.secrets.write(&caller(), &scope(), &request, none, &options).await.unwrap()
    }

    async fn annotate(&self, request: &str) -> Result<SecretMetadata, SecretsError> {
        let (request, options) = (json::<MetadataRequest>(request), WriteOptions::default());
        let done = self.secrets.annotate(&caller(), &scope(), &name(), request, &options).await;
        done.map(|it| it.metadata)
    }

    async fn metadata(&self) -> SecretMetadata {
        self.secrets.repository.find(&scope(), &name()).await.unwrap().unwrap().metadata
    }
}

/// A new version is a new credential: what was said of the old one does not hold for it. Notes and
/// tags are of the secret.
pub(super) async fn a_new_version_has_its_own_message_and_expiry(fixture: SecretsFixture) {
    let first = concat!(
        r#""message":"first","expires_at":"2027-01-31T00:00:00.1239Z","#,
        r#""notes":"of\npayments","tags":{"team":"payments","pci":""}"#
    );
    fixture.write_with(first).await;
    let found = serde_json::to_string(&fixture.metadata().await).unwrap();
    let expected = concat!(
        r#"{"message":"first","expires_at":"2027-01-31T00:00:00.123Z","#,
        r#""tags":{"pci":"","team":"payments"},"notes":"of\npayments"}"#
    );
    assert_eq!(found, expected);
    assert_eq!(serde_json::to_string(&fixture.read().await.metadata).unwrap(), expected);
    fixture.write("two").await.unwrap();
    let second = fixture.metadata().await;
    assert_eq!((second.message, second.expires_at), (None, None));
    assert_eq!((second.tags.len(), second.notes.is_some()), (2, true));
    let options = WriteOptions { message: Some(json("\"back\"")), ..WriteOptions::default() };
    fixture.secrets.rollback(&caller(), &scope(), &name(), Version(1), &options).await.unwrap();
    assert_eq!(serde_json::to_string(&fixture.metadata().await).unwrap(), expected);
    let versions = fixture.secrets.repository.versions(&scope(), &name(), None, 9).await.unwrap();
    let messages: Vec<_> =
        versions.iter().map(|it| it.metadata.message.as_ref().map(ToString::to_string)).collect();
    assert_eq!(messages, [None, Some("first".to_owned())]);
}

pub(super) async fn tags_are_changed_one_by_one_and_bounded(fixture: SecretsFixture) {
    let nothing = fixture.annotate(r#"{"notes":"x"}"#).await.unwrap_err();
    assert!(matches!(nothing, SecretsError::Change(ChangeError::NotFound(_))), "{nothing}");
    let written = fixture.write_with(r#""tags":{"a":"1","b":"1"},"notes":"n""#).await;
    let changed = fixture
        .annotate(r#"{"tags":{"a":null,"c":"2"},"expires_at":"2027-01-31T00:00:00Z"}"#)
        .await
        .unwrap();
    assert_eq!(changed, fixture.metadata().await);
    assert_eq!(
        serde_json::to_string(&changed).unwrap(),
        r#"{"expires_at":"2027-01-31T00:00:00Z","tags":{"b":"1","c":"2"},"notes":"n"}"#
    );
    let cleared = fixture.annotate(r#"{"notes":null,"expires_at":null}"#).await.unwrap();
    assert_eq!((cleared.notes, cleared.expires_at), (None, None));
    let many: Vec<_> = (0..MAX_TAGS - 2).map(|at| format!(r#""k{at}":"""#)).collect();
    fixture.annotate(&format!(r#"{{"tags":{{{}}}}}"#, many.join(","))).await.unwrap();
    let refused = fixture.annotate(r#"{"tags":{"more":"1"}}"#).await.unwrap_err();
    assert!(matches!(refused, SecretsError::Change(ChangeError::TooManyTags { .. })), "{refused}");
    assert_eq!(fixture.metadata().await.tags.len(), MAX_TAGS);
    // Nothing of it makes a version or a generation.
    let bundle = fixture.secrets.repository.bundle(&scope()).await.unwrap().unwrap();
    assert_eq!(bundle.rollout.stable, written.bundles[0].generation);
    assert_eq!(fixture.read().await.version, Version(1));
}

pub(super) async fn a_secret_set_after_a_delete_has_no_old_notes(fixture: SecretsFixture) {
    fixture.write_with(r#""tags":{"a":"1"},"notes":"n""#).await;
    let options = WriteOptions::default();
    fixture.secrets.delete(&caller(), &scope(), &name(), &options).await.unwrap();
    fixture.secrets.undelete(&caller(), &scope(), &name(), &options).await.unwrap();
    assert_eq!(fixture.metadata().await.tags.len(), 1);
    fixture.secrets.delete(&caller(), &scope(), &name(), &options).await.unwrap();
    fixture.write("two").await.unwrap();
    assert_eq!(fixture.metadata().await, SecretMetadata::default());
}

pub(super) async fn a_repeated_annotation_is_done_once(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let idempotency = Some(Idempotency {
        principal: "token:test".into(),
        key_hash: vec![1],
        fingerprint: vec![2],
    });
    let options = WriteOptions { idempotency, ..WriteOptions::default() };
    let request = json::<MetadataRequest>(r#"{"tags":{"a":"1"},"message":"why"}"#);
    let annotate = async || {
        let request = request.clone();
        fixture.secrets.annotate(&caller(), &scope(), &name(), request, &options).await
    };
    let first = annotate().await.unwrap();
    fixture.annotate(r#"{"tags":{"a":null}}"#).await.unwrap();
    match annotate().await {
        Err(SecretsError::Change(ChangeError::Replayed(answer))) => {
            assert_eq!(answer, serde_json::to_string(&first).unwrap());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.metadata().await, SecretMetadata::default());
}

pub(super) async fn expiring_secrets_are_counted_and_listed(fixture: SecretsFixture) {
    let now = Timestamp::now();
    let mut request = WriteRequest::default();
    for (name, hours) in [("A", Some(-1)), ("B", Some(1)), ("C", Some(48)), ("D", None)] {
        let expires_at = hours.map(|hours: i64| now.checked_add(hours.hours()).unwrap());
        let value = NewValue { expires_at, ..NewValue::default() };
        request.secrets.insert(name.parse().unwrap(), value);
    }
    let (none, options) = (|_: &SecretName| Condition::None, WriteOptions::default());
    fixture.secrets.write(&caller(), &scope(), &request, none, &options).await.unwrap();
    let repository = &fixture.secrets.repository;
    let soon = now.checked_add(24.hours()).unwrap();
    let counts = repository.expiring(now, soon).await.unwrap();
    assert_eq!((counts.ended, counts.soon), (1, 1));
    let first: Vec<_> = counts.first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(first, ["shop.prod.api/A", "shop.prod.api/B"]);
    let query = ListQuery { expiring_before: Some(soon), limit: 10, ..ListQuery::default() };
    let names = |found: Vec<crate::repository::Secret>| {
        found.into_iter().map(|it| it.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(repository.list(&scope(), &query).await.unwrap()), "A B");
    let chosen = ["B", "C", "D"].map(|name| name.parse::<SecretName>().unwrap());
    assert_eq!(names(repository.list_named(&scope(), &chosen, &query).await.unwrap()), "B");
    // A version that is not active counts no more.
    for name in ["A", "B"] {
        let name = name.parse().unwrap();
        fixture.secrets.delete(&caller(), &scope(), &name, &options).await.unwrap();
    }
    assert_eq!(repository.expiring(now, soon).await.unwrap(), Default::default());
}

/// The same order, and the same case of letters, on both databases.
pub(super) async fn a_search_and_the_scopes_are_in_the_order_of_a_tree(fixture: SecretsFixture) {
    let (none, options) = (|_: &SecretName| Condition::None, WriteOptions::default());
    for (scope, name, tag) in [
        ("shop.prod", "b_c", r#"{"team":"Web"}"#),
        ("shop-x", "B_C", r#"{"team":"web"}"#),
        ("shop", "bXc", r#"{"team":"web"}"#),
        ("shop", "B_C", r#"{"team":"web","pci":""}"#),
        ("shop.dev.api", "B", "{}"),
    ] {
        let mut request = WriteRequest::default();
        let value = NewValue { tags: json(tag), ..NewValue::default() };
        request.secrets.insert(name.parse().unwrap(), value);
        let scope = scope.parse().unwrap();
        fixture.secrets.write(&caller(), &scope, &request, none, &options).await.unwrap();
    }
    let repository = &fixture.secrets.repository;
    let (mut found, mut after) = (Vec::new(), None);
    while let [(scope, held)] = repository.scopes(None, after.as_ref(), 1).await.unwrap().as_slice()
    {
        found.push(format!("{scope}:{held}"));
        after = Some(scope.clone());
    }
    assert_eq!(found.join(" "), "shop:2 shop.dev.api:1 shop.prod:1 shop-x:1");
    for (within, text, tags, expected) in [
        (None, "B_c", &[][..], "shop/B_C shop.prod/b_c shop-x/B_C"),
        (Some("shop"), "", &["team=web"], "shop/B_C shop/bXc"),
        (None, "", &["team=web", "pci"], "shop/B_C"),
        (Some("shop.dev"), "", &[], "shop.dev.api/B"),
    ] {
        let mut search = crate::repository::SearchQuery {
            within: within.map(|it: &str| it.parse().unwrap()),
            name: text.to_owned(),
            tags: tags.iter().map(|it| it.parse().unwrap()).collect(),
            limit: 1,
            ..Default::default()
        };
        let mut found = Vec::new();
        while let [one] = repository.search(&search).await.unwrap().as_slice() {
            if search.matches_tags(&one.secret.metadata.tags) {
                found.push(format!("{}/{}", one.scope, one.secret.name));
            }
            search.after = Some((one.scope.clone(), one.secret.name.clone()));
        }
        assert_eq!(found.join(" "), expected, "{within:?} {text} {tags:?}");
    }
}
