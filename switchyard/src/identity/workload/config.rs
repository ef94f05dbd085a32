//! The file that names the trusted issuers and their rules (`--workload-issuers`).
//!
//! What the file says badly is refused at start, above all a rule that a stranger's job could
//! fulfil.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde::Deserialize;

use super::issuer::TrustedIssuer;
use super::owner::{CiPlatform, OwnerCondition};
use super::pattern::Pattern;
use super::rule::{ClaimCondition, Rule, WorkloadRole};

/// The maximum size of the file.
const MAX_FILE_BYTES: usize = 256 << 10;

const MAX_ISSUERS: usize = 20;

/// Of one issuer.
const MAX_RULES: usize = 200;

/// Of one rule: conditions, and roles.
const MAX_PARTS: usize = 20;

/// The maximum length of a name, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// The maximum length of an audience and of the name of a claim, in bytes.
const MAX_TEXT_BYTES: usize = 300;

/// How long a session lasts, unless the rule says otherwise, and at most.
const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_mins(15);
const MAX_LIFETIME: SignedDuration = SignedDuration::from_hours(1);
const MIN_LIFETIME: SignedDuration = SignedDuration::from_mins(1);

/// Why the trusted issuers cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadConfigError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is not valid.
    #[error("read {path}: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what to write instead.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuersFile {
    issuers: Vec<IssuerEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    name: String,
    platform: PlatformWord,
    issuer: String,
    audience: Option<String>,
    #[serde(default)]
    owner_claims: Vec<String>,
    name_claim: Option<String>,
    ca_file: Option<PathBuf>,
    rules: Vec<RuleEntry>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PlatformWord {
    Github,
    Gitlab,
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: String,
    claims: BTreeMap<String, ClaimEntry>,
    roles: Vec<String>,
    lifetime: Option<String>,
}

/// YAML reads `true` and `12` without quotes as what they look like.
#[derive(Deserialize)]
#[serde(untagged)]
enum ClaimEntry {
    Bool(bool),
    Number(u64),
    Text(String),
}

/// The people's identity provider: its tokens are for people.
#[derive(Clone, Copy, Debug)]
pub struct PeopleIssuer<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The audience of its tokens.
    pub audience: &'a str,
}

/// Reads the file.
///
/// # Errors
/// If it cannot be read, or says something that is not allowed.
pub fn read_workload_issuers(
    path: &Path,
    people: Option<PeopleIssuer<'_>>,
) -> Result<Vec<TrustedIssuer>, WorkloadConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| WorkloadConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, people)
        .map_err(|reason| WorkloadConfigError::Form { path: path.to_owned(), reason })
}

pub(super) fn parse(
    text: &str,
    people: Option<PeopleIssuer<'_>>,
) -> Result<Vec<TrustedIssuer>, String> {
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("it has more than {} KiB", MAX_FILE_BYTES >> 10));
    }
    let IssuersFile { issuers } = serde_saphyr::from_str(text).map_err(|it| it.to_string())?;
    if issuers.is_empty() || issuers.len() > MAX_ISSUERS {
        return Err(format!("issuers must be 1 to {MAX_ISSUERS}"));
    }
    let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
    let mut trusted = Vec::new();
    for entry in issuers {
        let at = format!("issuer {}", shown(&entry.name));
        if !names.insert(entry.name.clone()) {
            return Err(format!("{at}: two issuers have this name"));
        }
        if !urls.insert(entry.issuer.clone()) {
            return Err(format!(
                "{at}: another entry has the same issuer; put all rules into one of them"
            ));
        }
        trusted.push(issuer(entry, people).map_err(|reason| format!("{at}: {reason}"))?);
    }
    Ok(trusted)
}

fn issuer(entry: IssuerEntry, people: Option<PeopleIssuer<'_>>) -> Result<TrustedIssuer, String> {
    let IssuerEntry {
        name,
        platform,
        issuer,
        audience,
        owner_claims,
        name_claim,
        ca_file,
        rules: entries,
    } = entry;
    check_name(&name)?;
    let audience = audience.filter(|it| is_text(it)).ok_or(
        "audience is missing: name one that is switchyard's alone, for example its URL; the jobs \
         ask their platform for tokens with it",
    )?;
    // GitLab, for example, signs the tokens of people and of jobs with the same keys.
    if people.is_some_and(|it| it.issuer == issuer && it.audience == audience) {
        return Err(format!(
            "audience {audience} is that of people's ID tokens (--oidc-audience); name another one"
        ));
    }
    let platform = self::platform(platform, owner_claims, name_claim)?;
    if entries.is_empty() || entries.len() > MAX_RULES {
        return Err(format!("rules must be 1 to {MAX_RULES}"));
    }
    let (mut names, mut rules) = (BTreeSet::new(), Vec::new());
    for entry in entries {
        let at = format!("rule {}", shown(&entry.name));
        if !names.insert(entry.name.clone()) {
            return Err(format!("{at}: two rules have this name"));
        }
        rules.push(rule(entry, &platform).map_err(|reason| format!("{at}: {reason}"))?);
    }
    Ok(TrustedIssuer { name, platform, issuer, audience, ca_file, rules })
}

fn platform(
    word: PlatformWord,
    owner_claims: Vec<String>,
    name_claim: Option<String>,
) -> Result<CiPlatform, String> {
    let known = match word {
        PlatformWord::Github => CiPlatform::Github,
        PlatformWord::Gitlab => CiPlatform::Gitlab,
        PlatformWord::Other => {
            if owner_claims.is_empty()
                || owner_claims.len() > MAX_PARTS
                || !owner_claims.iter().chain(&name_claim).all(|it| is_text(it))
            {
                return Err("owner_claims must name the claims that say whose job it is: with \
                    platform: other, nothing else tells your jobs from a stranger's"
                    .to_owned());
            }
            let name_claim = name_claim.unwrap_or_else(|| "sub".to_owned());
            return Ok(CiPlatform::Other { owner_claims, name_claim });
        }
    };
    if owner_claims.is_empty() && name_claim.is_none() {
        Ok(known)
    } else {
        Err("owner_claims and name_claim are known for this platform; leave them out".to_owned())
    }
}

fn rule(entry: RuleEntry, platform: &CiPlatform) -> Result<Rule, String> {
    let RuleEntry { name, claims, roles, lifetime } = entry;
    check_name(&name)?;
    if claims.len() > MAX_PARTS || roles.is_empty() || roles.len() > MAX_PARTS {
        return Err(format!("it must have 1 to {MAX_PARTS} claims and 1 to {MAX_PARTS} roles"));
    }
    let conditions = claims.into_iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    let mut is_bound = false;
    for ClaimCondition { claim, pattern } in &conditions {
        match platform.owner_condition(claim, pattern) {
            OwnerCondition::Bound => is_bound = true,
            OwnerCondition::Unrelated => {}
            OwnerCondition::Open => {
                return Err(format!(
                    "{claim}: {pattern} matches jobs of other owners; write the owner out, as in \
                     {}",
                    platform.binding_examples()
                ));
            }
        }
    }
    if !is_bound {
        return Err(format!(
            "no condition binds it to one owner, so that anybody's job could match; add {}",
            platform.binding_examples()
        ));
    }
    let roles = roles.iter().map(|it| role(it)).collect::<Result<Vec<_>, _>>()?;
    let lifetime = lifetime.map_or(Ok(DEFAULT_LIFETIME), |it| {
        it.parse().map_err(|_| format!("lifetime {} is not a duration like 15m", shown(&it)))
    })?;
    if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
        return Err("lifetime must be from 1m to 1h".to_owned());
    }
    Ok(Rule { name, conditions, roles, lifetime })
}

fn condition((claim, value): (String, ClaimEntry)) -> Result<ClaimCondition, String> {
    if !is_text(&claim) {
        return Err(format!("{} is not the name of a claim", shown(&claim)));
    }
    let text = match value {
        ClaimEntry::Bool(value) => value.to_string(),
        ClaimEntry::Number(value) => value.to_string(),
        ClaimEntry::Text(text) => text,
    };
    let pattern = Pattern::parse(&text).map_err(|error| format!("claim {claim} {error}"))?;
    Ok(ClaimCondition { claim, pattern })
}

fn role(text: &str) -> Result<WorkloadRole, String> {
    let (role, scope) = text.split_once('@').ok_or_else(|| {
        format!("role {} must be ROLE@SCOPE, for example developer@shop.prod.api", shown(text))
    })?;
    Ok(WorkloadRole {
        role: role.parse().map_err(|error| format!("{error}"))?,
        scope: scope.parse().map_err(|error| format!("{error}"))?,
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name {
        Ok(())
    } else {
        Err(format!("a name has 1 to {MAX_NAME_BYTES} letters, digits and '-'"))
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}
