//! What becomes of references when reads are counted and history is pruned.

use contract::SecretName;

use super::history::POLICY;
use super::last_reads::reads_of_a_pod;
use super::*;
use crate::policy::MemberFilter;

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

impl SecretsFixture {
    async fn compose(&self, scope: &str, name: &str, value: String, references: bool) {
        let value = NewValue { references, ..NewValue::new(Redacted::from(value)) };
        let request = WriteRequest { secrets: [(name.parse().unwrap(), value)].into() };
        let (by, of, options) = (caller(), scope.parse().unwrap(), WriteOptions::default());
        let none = |_: &SecretName| Condition::None;
        self.secrets.write(&by, &of, &request, none, &options).await.unwrap();
    }
}

pub(super) async fn what_a_value_is_composed_of_is_read_and_pruned_with_it(
    fixture: SecretsFixture,
) {
    let (web, host): (Scope, SecretName) =
        ("shop.prod.web".parse().unwrap(), "HOST".parse().unwrap());
    fixture.compose("shop.prod.web", "HOST", "db0".into(), false).await;
    let url = "x://${shop.prod.web/HOST}/".to_owned();
    fixture.compose("shop.prod.api", "URL", url, true).await;
    for at in 1..7 {
        fixture.compose("shop.prod.web", "HOST", format!("db{at}"), false).await;
    }
    let bundle = fixture.bundle("shop.prod.api").await;
    assert_eq!(bundle.rollout.stable, Generation(7));

    // A pod of another service reads it, and only through the value.
    let found = fixture.secrets.repository.find_with_reads(&web, &host).await.unwrap().unwrap();
    assert_eq!(found.last_read.by_pod, None);
    let at = reads_of_a_pod(&fixture, &bundle.scope, 7).await;
    let found = fixture.secrets.repository.find_with_reads(&web, &host).await.unwrap().unwrap();
    assert_eq!(found.last_read.by_pod, Some(at));

    let targets = fixture.rows("member_targets").await;
    fixture.live(2 * DAY).await;
    fixture.all_counted().await;
    assert!(fixture.prune(POLICY).await.generations >= 4);
    assert_eq!(fixture.generations(&bundle, 7).await, [5, 6, 7]);
    assert_eq!(fixture.rows("member_targets").await, targets - 4);
    assert!(fixture.secrets.repository.check_ledger().await.unwrap());
    for (generation, value) in [(5, "x://db4/"), (7, "x://db6/")] {
        let filter = MemberFilter::everything();
        let held = fixture.secrets.open(&bundle, Generation(generation), &filter).await.unwrap();
        let url: SecretName = "URL".parse().unwrap();
        assert_eq!(held.secrets[&url].value.expose(), value.as_bytes());
    }
}
