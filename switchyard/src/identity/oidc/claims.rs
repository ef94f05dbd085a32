//! Checks the claims of an ID token: issuer, audience, time, nonce, name and groups. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::audit::sanitize;

/// How far the provider's clock may differ.
const LEEWAY_SECONDS: i64 = 60;

/// The maximum length of the name of a person or a group, in characters.
const MAX_NAME_LENGTH: usize = 300;

/// More groups than a person is in.
const MAX_GROUPS: usize = 500;

/// The claims that a token must have.
#[derive(Clone, Debug)]
pub(super) struct ExpectedClaims {
    /// The issuer.
    pub(super) issuer: String,
    /// The client.
    pub(super) client_id: String,
    /// The audience; usually the client.
    pub(super) audience: String,
    /// The claim with the person's name.
    pub(super) username_claim: String,
    /// The claim with the person's groups. `None` ignores groups.
    pub(super) groups_claim: Option<String>,
}

/// A person, as the provider names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

/// Why the claims are not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The issuer is another one.
    #[error("the ID token is from another issuer")]
    Issuer,
    /// The audience is another one.
    #[error("the ID token is for another audience")]
    Audience,
    /// The token is expired or not valid yet.
    #[error("the ID token is expired or not valid yet")]
    Time,
    /// The nonce is of another login.
    #[error("the ID token is from another login")]
    Nonce,
    /// The name is missing or invalid.
    #[error("the ID token has no valid name in the claim {0}")]
    Name(String),
    /// The provider did not verify the email address.
    #[error("the ID token's email is not verified")]
    EmailUnverified,
    /// The groups are missing or invalid, so roles cannot be assigned.
    #[error("the ID token has no list of groups in the claim {0}")]
    Groups(String),
}

impl ExpectedClaims {
    /// The person that the claims identify.
    ///
    /// # Errors
    /// If a claim is missing or not acceptable.
    pub(super) fn person(
        &self,
        claims: &Map<String, Value>,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Person, ClaimError> {
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        if text("iss") != Some(&self.issuer) {
            return Err(ClaimError::Issuer);
        }
        self.audience(claims)?;
        time(claims, now)?;
        // A client that sends a nonce created it for this login.
        if nonce.is_some_and(|nonce| text("nonce") != Some(nonce)) {
            return Err(ClaimError::Nonce);
        }
        let name = || ClaimError::Name(self.username_claim.clone());
        if text("sub").is_none_or(str::is_empty) {
            return Err(ClaimError::Name("sub".to_owned()));
        }
        let username = text(&self.username_claim).filter(|it| is_name(it)).ok_or_else(name)?;
        if self.username_claim == "email"
            && claims.get("email_verified") != Some(&Value::Bool(true))
        {
            return Err(ClaimError::EmailUnverified);
        }
        Ok(Person { name: username.to_owned(), groups: self.groups(claims)? })
    }

    fn audience(&self, claims: &Map<String, Value>) -> Result<(), ClaimError> {
        let audiences = match claims.get("aud") {
            Some(Value::String(only)) => vec![only.as_str()],
            Some(Value::Array(all)) => all
                .iter()
                .map(|it| it.as_str().ok_or(ClaimError::Audience))
                .collect::<Result<_, _>>()?,
            _ => return Err(ClaimError::Audience),
        };
        let authorized_party = claims.get("azp");
        let has_audience = audiences.contains(&self.audience.as_str());
        // A token with several audiences names the client that requested it.
        let is_own_client = match authorized_party {
            Some(party) => party.as_str() == Some(&self.client_id),
            None => audiences.len() == 1,
        };
        if has_audience && is_own_client { Ok(()) } else { Err(ClaimError::Audience) }
    }

    fn groups(&self, claims: &Map<String, Value>) -> Result<Vec<String>, ClaimError> {
        let Some(claim) = &self.groups_claim else { return Ok(Vec::new()) };
        let missing = || ClaimError::Groups(claim.clone());
        let all = claims
            .get(claim)
            .and_then(Value::as_array)
            .filter(|all| all.len() <= MAX_GROUPS)
            .ok_or_else(missing)?;
        let groups: Option<Vec<&str>> =
            all.iter().map(|it| it.as_str().filter(|it| !it.is_empty())).collect();
        // A group with an invisible character has no rights, because nothing can name it: neither a
        // grant nor --oidc-role. Its members still log in.
        let is_named = |it: &&str| is_text(it);
        Ok(groups.ok_or_else(missing)?.into_iter().filter(is_named).map(str::to_owned).collect())
    }
}

/// Checks that the claims are valid at `now`.
///
/// # Errors
/// If they are not, or do not say when.
pub(in crate::identity) fn time(
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<(), ClaimError> {
    let now = now.as_second();
    // Some providers write fractions of a second, which are truncated.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time outside the range saturates, which no real token reaches"
    )]
    let second = |claim: &str| {
        claims
            .get(claim)
            .map(|it| {
                it.as_i64().or_else(|| it.as_f64().map(|it| it as i64)).ok_or(ClaimError::Time)
            })
            .transpose()
    };
    let (expires, issued) =
        (second("exp")?.ok_or(ClaimError::Time)?, second("iat")?.ok_or(ClaimError::Time)?);
    let not_before = second("nbf")?.unwrap_or(issued);
    let latest = now.saturating_add(LEEWAY_SECONDS);
    if expires.saturating_add(LEEWAY_SECONDS) > now && issued <= latest && not_before <= latest {
        Ok(())
    } else {
        Err(ClaimError::Time)
    }
}

/// From when on the claims are no longer accepted.
pub(super) fn end(claims: &Map<String, Value>) -> Timestamp {
    let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or(f64::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "a time outside the range saturates")]
    let second = expires.ceil() as i64;
    Timestamp::from_second(second.saturating_add(LEEWAY_SECONDS)).unwrap_or(Timestamp::MAX)
}

/// A name that a log line shows unchanged.
fn is_name(text: &str) -> bool {
    is_text(text) && !text.contains(char::is_whitespace)
}

fn is_text(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= MAX_NAME_LENGTH
        && sanitize(text) == text
        && text.trim() == text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn expected() -> ExpectedClaims {
        ExpectedClaims {
            issuer: "https://login.example.com".into(),
            client_id: "enclii".into(),
            audience: "enclii".into(),
            username_claim: "email".into(),
            groups_claim: Some("groups".into()),
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://login.example.com",
            "aud": "enclii",
            "sub": "1",
            "exp": NOW + 300,
            "iat": NOW,
            "email": "ada@example.com",
            "email_verified": true,
            "groups": ["devs", "cn=ops, dc=example"],
            "nonce": "n",
        })
    }

    fn read(claims: &Value, nonce: Option<&str>) -> Result<Person, ClaimError> {
        expected().person(claims.as_object().unwrap(), nonce, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn valid_claims_identify_a_person() {
        let person = Person {
            name: "ada@example.com".into(),
            groups: vec!["devs".into(), "cn=ops, dc=example".into()],
        };
        assert_eq!(read(&good(), None), Ok(person.clone()));
        assert_eq!(read(&good(), Some("n")), Ok(person));
    }

    #[test]
    fn a_missing_or_malformed_claim_is_refused() {
        let name = || ClaimError::Name("email".into());
        let groups = || ClaimError::Groups("groups".into());
        let rows: Vec<(&str, Value, ClaimError)> = vec![
            ("iss", json!("https://login.example.com/"), ClaimError::Issuer),
            ("iss", json!("https://login.example.com.evil"), ClaimError::Issuer),
            ("iss", json!(["https://login.example.com"]), ClaimError::Issuer),
            ("iss", Value::Null, ClaimError::Issuer),
            ("aud", json!("other"), ClaimError::Audience),
            ("aud", json!("Enclii"), ClaimError::Audience),
            ("aud", json!([]), ClaimError::Audience),
            ("aud", json!(["enclii", "other"]), ClaimError::Audience),
            ("aud", json!(["enclii", 1]), ClaimError::Audience),
            ("aud", Value::Null, ClaimError::Audience),
            ("azp", json!("other"), ClaimError::Audience),
            ("azp", json!(["enclii"]), ClaimError::Audience),
            ("exp", json!(NOW - 60), ClaimError::Time),
            ("exp", json!(-1), ClaimError::Time),
            ("exp", json!("2100-01-01"), ClaimError::Time),
            ("exp", Value::Null, ClaimError::Time),
            ("iat", json!(NOW + 61), ClaimError::Time),
            ("iat", Value::Null, ClaimError::Time),
            ("nbf", json!(NOW + 61), ClaimError::Time),
            ("nbf", json!("soon"), ClaimError::Time),
            ("sub", json!(""), ClaimError::Name("sub".into())),
            ("sub", json!(1), ClaimError::Name("sub".into())),
            ("email", Value::Null, name()),
            ("email", json!(""), name()),
            ("email", json!(["ada@example.com"]), name()),
            ("email", json!("ada@example.com "), name()),
            ("email", json!("ada@example.com\n"), name()),
            ("email", json!("ada@\u{202e}example.com"), name()),
            ("email", json!("a".repeat(301)), name()),
            ("email_verified", json!(false), ClaimError::EmailUnverified),
            ("email_verified", json!("true"), ClaimError::EmailUnverified),
            ("email_verified", Value::Null, ClaimError::EmailUnverified),
            ("groups", Value::Null, groups()),
            ("groups", json!("devs"), groups()),
            ("groups", json!(["devs", 1]), groups()),
            ("groups", json!(["devs", ""]), groups()),
            ("groups", json!(vec!["x"; 501]), groups()),
        ];
        for (claim, value, why) in rows {
            let mut claims = good();
            let before = claims[claim].clone();
            claims[claim] = value.clone();
            assert_ne!(before, value);
            assert_eq!(read(&claims, None), Err(why.clone()), "{claim} = {value}");
            // A missing claim is treated like a null one.
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(claim);
                assert_eq!(read(&claims, None), Err(why), "without {claim}");
            }
        }
        assert_eq!(read(&good(), Some("m")), Err(ClaimError::Nonce));
        let mut without = good();
        without.as_object_mut().unwrap().remove("nonce");
        assert_eq!(read(&without, Some("n")), Err(ClaimError::Nonce));
    }

    #[test]
    fn a_group_that_nothing_can_name_is_left_out() {
        let mut claims = good();
        let long = "a".repeat(301);
        claims["groups"] = json!(["devs", "ops\u{2060}", "\u{1f6e1}\u{fe0f} security", " x", long]);
        assert_eq!(read(&claims, None).unwrap().groups, ["devs"]);
        for c in ["\u{61c}", "\u{ad}", "\u{3164}", "\u{180e}", "\u{e0041}"] {
            claims["email"] = json!(format!("ada{c}@example.com"));
            assert_eq!(read(&claims, None), Err(ClaimError::Name("email".into())), "{c:?}");
        }
    }

    #[test]
    fn a_small_clock_difference_is_tolerated() {
        for (claim, value) in [
            ("exp", json!(NOW - 59)),
            ("exp", json!(1_800_000_300.5)),
            ("iat", json!(NOW + 60)),
            ("nbf", json!(NOW + 60)),
        ] {
            let mut claims = good();
            claims[claim] = value.clone();
            assert!(read(&claims, None).is_ok(), "{claim} = {value}");
        }
    }

    #[test]
    fn several_audiences_need_the_authorized_party() {
        let mut claims = good();
        claims["aud"] = json!(["enclii", "other"]);
        claims["azp"] = json!("enclii");
        assert!(read(&claims, None).is_ok());
    }

    #[test]
    fn another_claim_can_be_the_name() {
        let by_subject =
            ExpectedClaims { username_claim: "sub".into(), groups_claim: None, ..expected() };
        let mut claims = good();
        for claim in ["email", "email_verified", "groups"] {
            claims.as_object_mut().unwrap().remove(claim);
        }
        let person = by_subject.person(
            claims.as_object().unwrap(),
            None,
            Timestamp::from_second(NOW).unwrap(),
        );
        assert_eq!(person, Ok(Person { name: "1".into(), groups: vec![] }));
    }
}
