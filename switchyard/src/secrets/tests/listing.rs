//! Lists of a scope's secrets.

use super::*;

/// Whoever may list only single secrets of a scope gets pages of these: no other name decides where
/// a page ends.
pub(super) async fn chosen_names_are_listed_without_the_others(fixture: SecretsFixture) {
    let Secrets { repository, .. } = &fixture.secrets;
    assert!(!repository.scope_exists(&scope()).await.unwrap());
    let mut request = WriteRequest::default();
    for name in ["A", "B", "C", "D"] {
        request.secrets.insert(name.parse().unwrap(), NewValue::new(Redacted::default()));
    }
    let none = |_: &SecretName| Condition::None;
    let (by, of, options) = (caller(), scope(), WriteOptions::default());
    fixture.secrets.write(&by, &of, &request, none, &options).await.unwrap();
    let chosen = ["D", "B", "Z"].map(|name| name.parse::<SecretName>().unwrap());
    for (after, limit, expected) in
        [(None, 10, "B D"), (None, 1, "B"), (Some("B"), 10, "D"), (Some("D"), 10, "")]
    {
        let after = after.map(|name| name.parse().unwrap());
        let query = crate::repository::ListQuery { after, limit, ..Default::default() };
        let found = repository.list_named(&scope(), &chosen, &query).await.unwrap();
        let found: Vec<_> = found.iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(found.join(" "), expected);
    }
    for (scope, exists) in [("shop", true), ("shop.prod", true), ("shop.dev", false)] {
        let scope = scope.parse().unwrap();
        assert_eq!(repository.scope_exists(&scope).await.unwrap(), exists, "{scope}");
    }
}
