//! Which conditions bind a rule to one owner. Pure.
//!
//! An issuer like GitHub signs tokens for everybody who has an account there, with the audience
//! that they ask for. Only a claim that names the owner tells our jobs from theirs.

use super::pattern::Pattern;

/// Whose tokens an issuer signs: which claims name the owner of a job, and the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CiPlatform {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
    /// Another one.
    Other {
        /// The claims that name the owner.
        owner_claims: Vec<String>,
        /// The claim that names the job.
        name_claim: String,
    },
}

/// What a condition says of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerCondition {
    /// One owner.
    Bound,
    /// The claim names the owner, and the pattern matches those of several.
    Open,
    /// Nothing.
    Unrelated,
}

impl CiPlatform {
    /// Conditions that bind, for an error.
    pub(super) fn binding_examples(&self) -> String {
        match self {
            Self::Github => "repository: OWNER/NAME, repository_owner: OWNER, repository_id, \
                repository_owner_id or sub: repo:OWNER/NAME:**"
                .to_owned(),
            Self::Gitlab => "project_path: GROUP/PROJECT, namespace_path: GROUP, project_id, \
                namespace_id or sub: project_path:GROUP/PROJECT:**"
                .to_owned(),
            Self::Other { owner_claims, .. } => {
                format!("an exact value of {}", owner_claims.join(" or "))
            }
        }
    }

    /// What a condition of a claim says of the owner.
    pub(super) fn owner_condition(&self, claim: &str, pattern: &Pattern) -> OwnerCondition {
        let is_bound = match (self, claim) {
            (Self::Github, "repository_owner" | "repository_owner_id" | "repository_id")
            | (Self::Gitlab, "project_id" | "namespace_id") => pattern.is_exact(),
            (Self::Github, "repository") | (Self::Gitlab, "project_path") => has_owner(pattern, ""),
            (Self::Gitlab, "namespace_path") => pattern.is_exact() || has_owner(pattern, ""),
            (Self::Github, "sub") => has_owner(pattern, "repo:"),
            (Self::Gitlab, "sub") => has_owner(pattern, "project_path:"),
            (Self::Other { owner_claims, .. }, claim)
                if owner_claims.iter().any(|it| it == claim) =>
            {
                pattern.is_exact()
            }
            _ => return OwnerCondition::Unrelated,
        };
        if is_bound { OwnerCondition::Bound } else { OwnerCondition::Open }
    }
}

/// Whether every claim that matches begins with `OWNER/` after the prefix.
fn has_owner(pattern: &Pattern, prefix: &str) -> bool {
    let owner = pattern.exact_beginning().strip_prefix(prefix).and_then(|it| it.split_once('/'));
    owner.is_some_and(|(owner, _)| !owner.is_empty())
}
