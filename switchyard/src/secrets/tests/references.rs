//! References between secrets.

use lockbox::database::query_built;

use super::*;
use crate::policy::MemberFilter;
use crate::references::ReferenceError;
use crate::repository::{Forgery, RepositoryError};

mod model;

use model::references_follow_a_model;

mod each {
    use super::SecretsFixture;
    on_each_database!(
        a_bundle_whose_value_grows_too_large_is_stuck,
        a_value_follows_what_it_refers_to,
        impossible_references_are_refused,
        references_follow_a_model,
        secrets_of_one_write_refer_to_each_other,
        what_somebody_changed_about_references_is_found,
    );
}

const API: &str = "shop.prod.api";
const WEB: &str = "shop.prod.web";
const DB: &str = "other.prod.db";

fn secret(text: &str) -> SecretRef {
    text.parse().unwrap()
}

impl SecretsFixture {
    /// Writes a value with references.
    async fn refer(&self, to: &str, value: &str) -> Result<Written, SecretsError> {
        self.put(to, value, true).await
    }

    async fn put(&self, to: &str, value: &str, references: bool) -> Result<Written, SecretsError> {
        let SecretRef { scope, name } = secret(to);
        let value = NewValue { references, ..NewValue::new(Redacted::from(value.to_owned())) };
        let request = WriteRequest { secrets: [(name, value)].into() };
        let options = WriteOptions::default();
        self.secrets.write(&caller(), &scope, &request, |_| Condition::None, &options).await
    }

    async fn go_back(&self, to: &str, version: u64) -> Result<Written, SecretsError> {
        let (SecretRef { scope, name }, options) = (secret(to), WriteOptions::default());
        self.secrets.rollback(&caller(), &scope, &name, Version(version), &options).await
    }

    async fn remove(&self, from: &str) -> Result<(), SecretsError> {
        let (SecretRef { scope, name }, options) = (secret(from), WriteOptions::default());
        self.secrets.delete(&caller(), &scope, &name, &options).await.map(drop)
    }

    async fn restore(&self, to: &str) -> Result<Written, SecretsError> {
        let (SecretRef { scope, name }, options) = (secret(to), WriteOptions::default());
        self.secrets.undelete(&caller(), &scope, &name, &options).await
    }

    async fn value(&self, of: &str, form: ReadForm) -> Result<String, SecretsError> {
        let SecretRef { scope, name } = secret(of);
        let read = self.secrets.read(&caller(), (&scope, &name), form, None).await?;
        Ok(text(&read.value.value))
    }

    /// What a pod of the service holds, as `NAME=value`, and the generation.
    async fn held(&self, service: &str) -> Result<(u64, Vec<String>), SecretsError> {
        let bundle = self.secrets.repository.bundle(&service.parse().unwrap()).await?.unwrap();
        let stable = bundle.rollout.stable;
        Ok((stable.0, self.held_in(service, stable.0).await?))
    }

    async fn held_in(&self, service: &str, number: u64) -> Result<Vec<String>, SecretsError> {
        let bundle = self.secrets.repository.bundle(&service.parse().unwrap()).await?.unwrap();
        let filter = MemberFilter::everything();
        let held = self.secrets.open(&bundle, Generation(number), &filter).await?;
        let one = |(name, it): (&SecretName, &contract::stream::HeldSecret)| {
            format!("{name}={}", text(&it.value))
        };
        Ok(held.secrets.iter().map(one).collect())
    }

    async fn run_sql(&self, sql: &str) {
        self.database.execute(query_built(sql.to_owned())).await.unwrap();
    }
}

fn text(value: &Redacted) -> String {
    String::from_utf8(value.expose().to_vec()).unwrap()
}

/// Why references were refused.
fn refused<T: std::fmt::Debug>(result: Result<T, SecretsError>) -> ReferenceError {
    match result {
        Err(SecretsError::Change(ChangeError::References { source, .. })) => *source,
        other => panic!("{other:?}"),
    }
}

fn referrers<T: std::fmt::Debug>(result: Result<T, SecretsError>) -> Vec<SecretRef> {
    match result {
        Err(SecretsError::Change(ChangeError::Referenced { referrers, .. })) => referrers,
        other => panic!("{other:?}"),
    }
}

fn forgery<T: std::fmt::Debug>(result: Result<T, SecretsError>) -> Forgery {
    match result {
        Err(SecretsError::Repository(RepositoryError::Forged(forgery))) => forgery,
        other => panic!("{other:?}"),
    }
}

async fn a_value_follows_what_it_refers_to(fixture: SecretsFixture) {
    const URL: &str = "postgres://${other.prod.db/HOST}/${other.prod.db/NAME}";
    fixture.put("other.prod.db/HOST", "one.example", false).await.unwrap();
    fixture.put("other.prod.db/NAME", "shop", false).await.unwrap();
    fixture.put("shop.prod.api/LITERAL", URL, false).await.unwrap();
    fixture.refer("shop.prod.api/URL", URL).await.unwrap();
    fixture.refer("shop.prod.web/AGAIN", "<${shop.prod.api/URL}> $${HOME}").await.unwrap();
    let literal = format!("LITERAL={URL}");
    let one = "URL=postgres://one.example/shop".to_owned();
    assert_eq!(fixture.held(API).await.unwrap(), (2, vec![literal.clone(), one.clone()]));
    let again = "AGAIN=<postgres://one.example/shop> ${HOME}".to_owned();
    assert_eq!(fixture.held(WEB).await.unwrap(), (1, vec![again.clone()]));
    // A change of the target moves its own bundle and those that follow it, and tells its writer
    // only of its own.
    let written = fixture.put("other.prod.db/HOST", "two.example", false).await.unwrap();
    let told: Vec<_> = written.bundles.iter().map(|it| it.scope.to_string()).collect();
    assert_eq!(told, [DB]);
    let two = "URL=postgres://two.example/shop".to_owned();
    assert_eq!(fixture.held(API).await.unwrap(), (3, vec![literal.clone(), two.clone()]));
    let (number, held) = fixture.held(WEB).await.unwrap();
    assert_eq!((number, held[0].as_str()), (2, "AGAIN=<postgres://two.example/shop> ${HOME}"));
    // A generation is what it was.
    assert_eq!(fixture.held_in(API, 2).await.unwrap(), [literal.clone(), one.clone()]);
    assert_eq!(fixture.held_in(WEB, 1).await.unwrap(), [again]);
    fixture.go_back("other.prod.db/HOST", 1).await.unwrap();
    assert_eq!(fixture.held(API).await.unwrap(), (4, vec![literal, one]));
    assert_eq!(fixture.held(WEB).await.unwrap().0, 3);
    // Only what they refer to moves them.
    fixture.put("other.prod.db/OTHER", "x", false).await.unwrap();
    assert_eq!((fixture.held(API).await.unwrap().0, fixture.held(WEB).await.unwrap().0), (4, 3));
    let value = fixture.value("shop.prod.api/URL", ReadForm::Resolved).await.unwrap();
    assert_eq!(value, "postgres://one.example/shop");
    assert_eq!(fixture.value("shop.prod.api/URL", ReadForm::Raw).await.unwrap(), URL);
    assert_eq!(fixture.value("shop.prod.api/LITERAL", ReadForm::Resolved).await.unwrap(), URL);
    assert!(fixture.secrets.repository.check_ledger().await.unwrap());
}

async fn impossible_references_are_refused(fixture: SecretsFixture) {
    let missing = fixture.refer("shop.prod.api/A", "${shop.prod/NONE}").await;
    assert_eq!(refused(missing), ReferenceError::Missing(secret("shop.prod/NONE")));
    assert!(fixture.secrets.repository.bundle(&scope()).await.unwrap().is_none());
    let own = fixture.refer("shop.prod.api/A", "${shop.prod.api/A}").await;
    assert_eq!(refused(own), ReferenceError::Cycle(secret("shop.prod.api/A")));
    fixture.put("shop.prod.api/A", "a", false).await.unwrap();
    fixture.refer("shop.prod.api/B", "${shop.prod.api/A}").await.unwrap();
    fixture.refer("shop.prod.web/C", "${shop.prod.api/B}").await.unwrap();
    let ring = fixture.refer("shop.prod.api/A", "${shop.prod.web/C}").await;
    assert_eq!(refused(ring), ReferenceError::Cycle(secret("shop.prod.web/C")));
    // Nothing of what was refused is there.
    assert_eq!(fixture.value("shop.prod.api/A", ReadForm::Raw).await.unwrap(), "a");
    // What others refer to stays, and a version that would close the circle does not come back.
    let holding = [secret("shop.prod.api/B")];
    assert_eq!(referrers(fixture.remove("shop.prod.api/A").await), holding);
    fixture.put("shop.prod.api/B", "b", false).await.unwrap();
    fixture.refer("shop.prod.api/A", "${shop.prod.web/C}").await.unwrap();
    let ring = fixture.go_back("shop.prod.api/B", 1).await;
    assert_eq!(refused(ring), ReferenceError::Cycle(secret("shop.prod.api/A")));
    // A secret that was deleted refers to nothing, and comes back only to what is there.
    fixture.remove("shop.prod.api/A").await.unwrap();
    fixture.remove("shop.prod.web/C").await.unwrap();
    let restored = fixture.restore("shop.prod.api/A").await;
    assert_eq!(refused(restored), ReferenceError::Missing(secret("shop.prod.web/C")));
    fixture.restore("shop.prod.web/C").await.unwrap();
    fixture.restore("shop.prod.api/A").await.unwrap();
    assert_eq!(fixture.value("shop.prod.api/A", ReadForm::Resolved).await.unwrap(), "b");
    // A chain of eight, from either end.
    for at in 0..9 {
        let value = if at == 0 { "x".into() } else { format!("${{shop/T{}}}", at - 1) };
        fixture.refer(&format!("shop/T{at}"), &value).await.unwrap();
    }
    assert_eq!(fixture.value("shop/T8", ReadForm::Resolved).await.unwrap(), "x");
    let longer = fixture.refer("shop/T9", "${shop/T8}").await;
    assert_eq!(refused(longer), ReferenceError::TooDeep);
    let longer = fixture.refer("shop/T0", "${shop.prod.api/B}").await;
    assert_eq!(refused(longer), ReferenceError::TooDeep);
    let malformed = fixture.refer("shop/T", "${HOME}").await.unwrap_err();
    assert!(matches!(malformed, SecretsError::Template { .. }), "{malformed}");
}

async fn secrets_of_one_write_refer_to_each_other(fixture: SecretsFixture) {
    let value = |text: &str| NewValue {
        references: true,
        ..NewValue::new(Redacted::from(text.to_owned()))
    };
    let request = |all: &[(&str, &str)]| WriteRequest {
        secrets: all.iter().map(|(name, text)| (name.parse().unwrap(), value(text))).collect(),
    };
    let write = async |all: &[(&str, &str)]| {
        let (request, options) = (request(all), WriteOptions::default());
        fixture.secrets.write(&caller(), &scope(), &request, |_| Condition::None, &options).await
    };
    write(&[("A", "${shop.prod.api/Z}"), ("Z", "z")]).await.unwrap();
    assert_eq!(fixture.held(API).await.unwrap(), (1, vec!["A=z".into(), "Z=z".into()]));
    let ring = write(&[("A", "${shop.prod.api/Z}"), ("Z", "${shop.prod.api/A}")]).await;
    assert!(matches!(refused(ring), ReferenceError::Cycle(_)));
    assert_eq!(fixture.held(API).await.unwrap().0, 1);
}

async fn a_bundle_whose_value_grows_too_large_is_stuck(fixture: SecretsFixture) {
    let half = |byte: &str, more: usize| byte.repeat((1 << 19) + more);
    fixture.put("other.prod.db/A", &half("a", 0), false).await.unwrap();
    fixture.refer("shop.prod.api/B", "${other.prod.db/A}${other.prod.db/A}").await.unwrap();
    let too_large = fixture.refer("shop.prod.web/C", "-${shop.prod.api/B}").await;
    assert_eq!(refused(too_large), ReferenceError::TooLarge((1 << 20) + 1));
    // Whoever owns the target is not held up.
    fixture.put("other.prod.db/A", &half("b", 1), false).await.unwrap();
    let bundle = async || fixture.secrets.repository.bundle(&scope()).await.unwrap().unwrap();
    let stuck = bundle().await.stuck.unwrap();
    assert!(
        stuck.contains("B cannot be resolved: its resolved value would have 1048578"),
        "{stuck}"
    );
    let (number, held) = fixture.held(API).await.unwrap();
    assert_eq!((number, held[0].as_str()), (1, format!("B={}", half("a", 0).repeat(2)).as_str()));
    let error = fixture.value("shop.prod.api/B", ReadForm::Resolved).await.unwrap_err();
    assert!(matches!(error, SecretsError::References { .. }), "{error}");
    fixture.put("other.prod.db/A", "small", false).await.unwrap();
    assert_eq!(bundle().await.stuck, None);
    assert_eq!(fixture.held(API).await.unwrap(), (2, vec!["B=smallsmall".into()]));
}

async fn what_somebody_changed_about_references_is_found(fixture: SecretsFixture) {
    let is_right = async || fixture.secrets.repository.check_ledger().await.unwrap();
    fixture.put("other.prod.db/HOST", "one", false).await.unwrap();
    fixture.put("other.prod.db/ROOT", "hunter2", false).await.unwrap();
    fixture.refer("shop.prod.api/URL", "${other.prod.db/HOST}").await.unwrap();
    fixture.put("shop.prod.api/TEXT", "${other.prod.db/ROOT}", false).await.unwrap();
    fixture.put("other.prod.db/HOST", "two", false).await.unwrap();
    assert!(is_right().await);
    let id = |path: &str| {
        let SecretRef { scope, name } = secret(path);
        format!("(SELECT id FROM secrets WHERE service = '{}' AND name = '{name}')", {
            scope.service().unwrap()
        })
    };
    let (host, root, url, text) = (
        id("other.prod.db/HOST"),
        id("other.prod.db/ROOT"),
        id("shop.prod.api/URL"),
        id("shop.prod.api/TEXT"),
    );
    for (tamper, mend, kind) in [
        // A text that was meant as it is becomes a reference.
        (
            format!(
                "UPDATE secret_versions SET refs = '0 other.prod.db/ROOT=1' \
                    WHERE secret_id = {text}"
            ),
            format!("UPDATE secret_versions SET refs = NULL WHERE secret_id = {text}"),
            "read",
        ),
        (
            format!(
                "UPDATE secret_versions SET refs = '0 other.prod.db/ROOT=1' \
                    WHERE secret_id = {url}"
            ),
            format!(
                "UPDATE secret_versions SET refs = '0 other.prod.db/HOST=1' \
                    WHERE secret_id = {url}"
            ),
            "read",
        ),
        // Another secret, or another version of the right one, in a generation.
        (
            format!("UPDATE member_targets SET secret_id = {root} WHERE version = 2"),
            format!("UPDATE member_targets SET secret_id = {host} WHERE version = 2"),
            "deliver",
        ),
        (
            "UPDATE member_targets SET version = 1 WHERE version = 2".into(),
            "UPDATE member_targets SET version = 2 WHERE first_generation = 3".into(),
            "deliver",
        ),
        // The secret would follow nothing any more.
        (
            "UPDATE version_references SET version = 9 WHERE version = 1".into(),
            "UPDATE version_references SET version = 1".into(),
            "check",
        ),
    ] {
        // Foreign keys keep honest people from some of it.
        if let Err(error) = attempt(&fixture, &tamper).await {
            assert!(error.contains("FOREIGN") || error.contains("foreign"), "{tamper}: {error}");
            continue;
        }
        assert!(!is_right().await, "{tamper}");
        match kind {
            "read" => {
                let of = if tamper.contains("'TEXT'") { "TEXT" } else { "URL" };
                let of = format!("shop.prod.api/{of}");
                forgery(fixture.value(&of, ReadForm::Resolved).await);
                forgery(fixture.held(API).await);
            }
            "deliver" => drop(forgery(fixture.held(API).await)),
            _ => {}
        }
        fixture.run_sql(&mend).await;
        assert!(is_right().await, "{mend}");
    }
    fixture.run_sql("DELETE FROM version_references").await;
    assert!(!is_right().await);
    assert_eq!(fixture.held(API).await.unwrap().1[1], "URL=two");
}

async fn attempt(fixture: &SecretsFixture, sql: &str) -> Result<(), String> {
    let done = fixture.database.execute(query_built(sql.to_owned())).await;
    done.map(drop).map_err(|error| format!("{:?}", error).replace('\n', " "))
}
