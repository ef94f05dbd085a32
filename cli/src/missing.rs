//! What was probably meant, when something does not exist.

use contract::api::SecretOrigin;
use contract::{Scope, SecretName};

use crate::client::Client;
use crate::error::Error;

/// Adds to a 404 what was probably meant: another scope, another name, or a secret of a wider
/// scope. Asks switchyard, which tells only what the caller may see.
pub(crate) async fn explain(
    client: &Client<'_>,
    scope: &Scope,
    name: Option<&SecretName>,
    error: Error,
) -> Error {
    match error {
        Error::Refused(problem) if problem.status == 404 => {
            let hint = hint(client, scope, name).await;
            Error::missing(&problem, hint.as_deref())
        }
        other => other,
    }
}

/// What to type instead, as the end of a message.
async fn hint(client: &Client<'_>, scope: &Scope, name: Option<&SecretName>) -> Option<String> {
    let listed = match client.list_inherited(scope).await {
        Ok(listed) => listed,
        Err(Error::Refused(problem)) if problem.status == 404 => {
            let near = similar_scope(client, scope).await?;
            return Some(format!("did you mean {near}?"));
        }
        Err(_) => return None,
    };
    let name = name?;
    if let Some(found) = listed.iter().find(|it| it.name == *name) {
        return (found.origin == SecretOrigin::Inherited).then(|| {
            format!("{} has it, and {scope} inherits it: {}", found.scope, arguments(&found.scope))
        });
    }
    let names = listed.iter().map(|it| it.name.as_str());
    nearest(name.as_str(), names).map(|near| format!("did you mean {near}?"))
}

/// A scope that exists and is spelled like `scope`.
pub(crate) async fn similar_scope(client: &Client<'_>, scope: &Scope) -> Option<String> {
    let scopes = client.scopes().await.ok()?;
    // A service shows that its environment and its project exist.
    let known = scopes
        .into_iter()
        .flat_map(|it| std::iter::successors(Some(it.scope), Scope::parent).collect::<Vec<_>>());
    let known: Vec<String> = known
        .filter(|it| it.kind() == scope.kind() && it != scope)
        .map(|it| it.to_string())
        .collect();
    nearest(&scope.to_string(), known.iter().map(String::as_str))
}

/// The arguments that select a scope.
fn arguments(scope: &Scope) -> String {
    match scope {
        Scope::Project(project) => format!("--project {project} --env '' --service ''"),
        Scope::Environment(project, environment) => {
            format!("--project {project} --env {environment} --service ''")
        }
        Scope::Service(project, environment, service) => {
            format!("--project {project} --env {environment} --service {service}")
        }
    }
}

/// The word that `typed` is probably a misspelling of: at most a third of it differs.
fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = typed.to_lowercase();
    known
        .map(|word| (strsim::damerau_levenshtein(&word.to_lowercase(), &lower), word))
        .min()
        .filter(|(distance, _)| {
            *distance <= (typed.len() / 3).clamp(1, 4) && *distance < typed.chars().count()
        })
        .map(|(_, word)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_near() {
        let known = ["shop.prod.api", "shop.prod.web", "shop.dev.api"];
        let near = |typed| nearest(typed, known.into_iter());
        for (typed, expected) in [
            ("shop.prod.apo", Some("shop.prod.api")),
            ("shop.prdo.web", Some("shop.prod.web")),
            ("shop.prod.database", None),
            ("other.x.y", None),
        ] {
            assert_eq!(near(typed).as_deref(), expected, "{typed}");
        }
        assert_eq!(nearest("db_url", ["DB_URL"].into_iter()).as_deref(), Some("DB_URL"));
        assert_eq!(nearest("A", ["B"].into_iter()), None);
        assert_eq!(nearest("A", ["XYZ"].into_iter()), None);
        assert_eq!(nearest("A", std::iter::empty()), None);
    }

    #[test]
    fn arguments_select_exactly_the_scope() {
        assert_eq!(
            arguments(&"shop.prod".parse().unwrap()),
            "--project shop --env prod --service ''"
        );
    }
}
