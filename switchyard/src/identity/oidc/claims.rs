//! Whether what the provider signed is for us, for now, and about somebody. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::audit::sanitize;

/// How far the provider's clock may be off, in seconds.
const LEEWAY: i64 = 60;

/// The longest name of a person or a group.
const LONGEST: usize = 300;

/// More groups than anybody is in who could be asked about them.
const MOST_GROUPS: usize = 500;

/// What a token must say.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Who made it.
    pub(super) issuer: String,
    /// For which client.
    pub(super) client: String,
    /// For which audience; usually the client.
    pub(super) audience: String,
    /// The claim with the person's name.
    pub(super) username: String,
    /// The claim with the person's groups, where groups play a part.
    pub(super) groups: Option<String>,
}

/// A person, as the provider names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

/// What is wrong with what was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Claim {
    /// Another issuer's.
    #[error("the ID token is another issuer's")]
    Issuer,
    /// For somebody else.
    #[error("the ID token is for another audience")]
    Audience,
    /// Past its time, or before it.
    #[error("the ID token's time is not now")]
    Time,
    /// For another login.
    #[error("the ID token is of another login")]
    Nonce,
    /// About nobody.
    #[error("the ID token names nobody in the claim {0}")]
    Name(String),
    /// The address is anybody's who typed it.
    #[error("the ID token's email is not verified")]
    Unverified,
    /// Without groups, roles would be guesses.
    #[error("the ID token has no list of groups in the claim {0}")]
    Groups(String),
}

impl Expected {
    /// The person that `claims` are about.
    ///
    /// # Errors
    /// Where they are not for us, not for now, or about nobody.
    pub(super) fn person(
        &self,
        claims: &Map<String, Value>,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Person, Claim> {
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        if text("iss") != Some(&self.issuer) {
            return Err(Claim::Issuer);
        }
        self.audience(claims)?;
        time(claims, now.as_second())?;
        // A client that sends one made it for this login, and finds out where another one's comes
        // back.
        if nonce.is_some_and(|nonce| text("nonce") != Some(nonce)) {
            return Err(Claim::Nonce);
        }
        let name = || Claim::Name(self.username.clone());
        if text("sub").is_none_or(str::is_empty) {
            return Err(Claim::Name("sub".to_owned()));
        }
        let username = text(&self.username).filter(|it| is_name(it)).ok_or_else(name)?;
        if self.username == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err(Claim::Unverified);
        }
        Ok(Person { name: username.to_owned(), groups: self.groups(claims)? })
    }

    fn audience(&self, claims: &Map<String, Value>) -> Result<(), Claim> {
        let audiences = match claims.get("aud") {
            Some(Value::String(only)) => vec![only.as_str()],
            Some(Value::Array(all)) => {
                all.iter().map(|it| it.as_str().ok_or(Claim::Audience)).collect::<Result<_, _>>()?
            }
            _ => return Err(Claim::Audience),
        };
        let party = claims.get("azp");
        let ours = audiences.contains(&self.audience.as_str());
        // With several audiences the token says which client asked for it, and that has to be ours.
        let asked = match party {
            Some(party) => party.as_str() == Some(&self.client),
            None => audiences.len() == 1,
        };
        if ours && asked { Ok(()) } else { Err(Claim::Audience) }
    }

    fn groups(&self, claims: &Map<String, Value>) -> Result<Vec<String>, Claim> {
        let Some(claim) = &self.groups else { return Ok(Vec::new()) };
        let missing = || Claim::Groups(claim.clone());
        let all = claims
            .get(claim)
            .and_then(Value::as_array)
            .filter(|all| all.len() <= MOST_GROUPS)
            .ok_or_else(missing)?;
        all.iter()
            .map(|it| it.as_str().filter(|it| is_text(it)).map(str::to_owned).ok_or_else(missing))
            .collect()
    }
}

fn time(claims: &Map<String, Value>, now: i64) -> Result<(), Claim> {
    // Providers write whole seconds; some write a fraction, which is cut off.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time beyond the range is cut to its end, which no token reaches"
    )]
    let second = |claim: &str| {
        claims
            .get(claim)
            .map(|it| it.as_i64().or_else(|| it.as_f64().map(|it| it as i64)).ok_or(Claim::Time))
            .transpose()
    };
    let (expires, issued) =
        (second("exp")?.ok_or(Claim::Time)?, second("iat")?.ok_or(Claim::Time)?);
    let begins = second("nbf")?.unwrap_or(issued);
    let latest = now.saturating_add(LEEWAY);
    if expires.saturating_add(LEEWAY) > now && issued <= latest && begins <= latest {
        Ok(())
    } else {
        Err(Claim::Time)
    }
}

/// A name that looks in a log as it is.
fn is_name(text: &str) -> bool {
    is_text(text) && !text.contains(char::is_whitespace)
}

fn is_text(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= LONGEST
        && sanitize(text) == text
        && text.trim() == text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn expected() -> Expected {
        Expected {
            issuer: "https://login.example.com".into(),
            client: "enclii".into(),
            audience: "enclii".into(),
            username: "email".into(),
            groups: Some("groups".into()),
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://login.example.com", "aud": "enclii", "sub": "1", "exp": NOW + 300, "iat": NOW,
            "email": "ada@example.com", "email_verified": true, "groups": ["devs", "cn=ops, dc=example"], "nonce": "n",
        })
    }

    fn read(claims: &Value, nonce: Option<&str>) -> Result<Person, Claim> {
        expected().person(claims.as_object().unwrap(), nonce, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn somebody() {
        let person = Person {
            name: "ada@example.com".into(),
            groups: vec!["devs".into(), "cn=ops, dc=example".into()],
        };
        assert_eq!(read(&good(), None), Ok(person.clone()));
        assert_eq!(read(&good(), Some("n")), Ok(person));
    }

    #[test]
    fn whatever_is_missing_or_odd_is_nobody() {
        let name = || Claim::Name("email".into());
        let groups = || Claim::Groups("groups".into());
        let rows: Vec<(&str, Value, Claim)> = vec![
            ("iss", json!("https://login.example.com/"), Claim::Issuer),
            ("iss", json!("https://login.example.com.evil"), Claim::Issuer),
            ("iss", json!(["https://login.example.com"]), Claim::Issuer),
            ("iss", Value::Null, Claim::Issuer),
            ("aud", json!("other"), Claim::Audience),
            ("aud", json!("Enclii"), Claim::Audience),
            ("aud", json!([]), Claim::Audience),
            ("aud", json!(["enclii", "other"]), Claim::Audience),
            ("aud", json!(["enclii", 1]), Claim::Audience),
            ("aud", Value::Null, Claim::Audience),
            ("azp", json!("other"), Claim::Audience),
            ("azp", json!(["enclii"]), Claim::Audience),
            ("exp", json!(NOW - 60), Claim::Time),
            ("exp", json!(-1), Claim::Time),
            ("exp", json!("2100-01-01"), Claim::Time),
            ("exp", Value::Null, Claim::Time),
            ("iat", json!(NOW + 61), Claim::Time),
            ("iat", Value::Null, Claim::Time),
            ("nbf", json!(NOW + 61), Claim::Time),
            ("nbf", json!("soon"), Claim::Time),
            ("sub", json!(""), Claim::Name("sub".into())),
            ("sub", json!(1), Claim::Name("sub".into())),
            ("email", Value::Null, name()),
            ("email", json!(""), name()),
            ("email", json!(["ada@example.com"]), name()),
            ("email", json!("ada@example.com "), name()),
            ("email", json!("ada@example.com\n"), name()),
            ("email", json!("ada@\u{202e}example.com"), name()),
            ("email", json!("a".repeat(301)), name()),
            ("email_verified", json!(false), Claim::Unverified),
            ("email_verified", json!("true"), Claim::Unverified),
            ("email_verified", Value::Null, Claim::Unverified),
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
            // A claim that is not there is as good as one that says nothing.
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(claim);
                assert_eq!(read(&claims, None), Err(why), "without {claim}");
            }
        }
        assert_eq!(read(&good(), Some("m")), Err(Claim::Nonce));
        let mut without = good();
        without.as_object_mut().unwrap().remove("nonce");
        assert_eq!(read(&without, Some("n")), Err(Claim::Nonce));
    }

    #[test]
    fn clocks_differ_a_little() {
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
    fn several_audiences_and_the_one_who_asked() {
        let mut claims = good();
        claims["aud"] = json!(["enclii", "other"]);
        claims["azp"] = json!("enclii");
        assert!(read(&claims, None).is_ok());
    }

    #[test]
    fn another_claim_can_be_the_name() {
        let by_subject = Expected { username: "sub".into(), groups: None, ..expected() };
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
