//! The scope of a secret: a project, one of its environments, or a service in an environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A DNS label (RFC 1123): 1 to 63 of `a-z`, `0-9` and `-`, with a letter or digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// Why a text is not a [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Not of the required form.
    #[error(
        "parse name {0:?}: must be a DNS label: 1 to 63 of a-z, 0-9 and '-', with a letter or \
         digit at both ends"
    )]
    Form(String),
    /// Longer than a label may be.
    #[error(
        "parse name {start:?}…: has {length} characters; a DNS label has at most {MAX_LABEL_LEN}"
    )]
    Long {
        /// The start of the text.
        start: String,
        /// How many characters it has.
        length: usize,
    },
}

/// How many characters a DNS label has at most (RFC 1123).
const MAX_LABEL_LEN: usize = 63;

impl Label {
    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let bytes = text.as_bytes();
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
            && bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric);
        if !fits {
            return Err(LabelError::Form(text.chars().take(80).collect()));
        }
        if bytes.len() > MAX_LABEL_LEN {
            let start = text.chars().take(20).collect();
            return Err(LabelError::Long { start, length: bytes.len() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a secret belongs to. Written with dots: `shop`, `shop.prod`, `shop.prod.api`. When a bundle
/// finds one name in several scopes, the narrowest wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every service of every environment of the project.
    Project(Label),
    /// Every service of one environment.
    Environment(Label, Label),
    /// One service in one environment.
    Service(Label, Label, Label),
}

/// Why a text is not a [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A part is not a DNS label.
    #[error("parse scope {scope:?}")]
    Part {
        /// The scope as it was given.
        scope: String,
        /// Which part, and why.
        source: LabelError,
    },
    /// More than three parts.
    #[error(
        "parse scope {0:?}: has more than three parts; write project, project.environment or \
         project.environment.service"
    )]
    TooManyParts(String),
}

impl Scope {
    /// The narrowest scope that the parts name; `None` for a service without an environment.
    #[must_use]
    pub fn new(project: Label, environment: Option<Label>, service: Option<Label>) -> Option<Self> {
        match (environment, service) {
            (None, None) => Some(Self::Project(project)),
            (Some(environment), None) => Some(Self::Environment(project, environment)),
            (Some(environment), Some(service)) => {
                Some(Self::Service(project, environment, service))
            }
            (None, Some(_)) => None,
        }
    }

    /// The project, which every scope has.
    #[must_use]
    pub fn project(&self) -> &Label {
        match self {
            Self::Project(project)
            | Self::Environment(project, _)
            | Self::Service(project, _, _) => project,
        }
    }

    /// The environment, unless this is a whole project.
    #[must_use]
    pub fn environment(&self) -> Option<&Label> {
        match self {
            Self::Project(_) => None,
            Self::Environment(_, environment) | Self::Service(_, environment, _) => {
                Some(environment)
            }
        }
    }

    /// The service, if this is the narrowest kind.
    #[must_use]
    pub fn service(&self) -> Option<&Label> {
        match self {
            Self::Project(_) | Self::Environment(..) => None,
            Self::Service(_, _, service) => Some(service),
        }
    }

    /// Whether services of `other` see a secret of this scope: the two are equal, or `self` is
    /// wider and contains it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.project() == other.project()
            && self.environment().is_none_or(|it| other.environment() == Some(it))
            && self.service().is_none_or(|it| other.service() == Some(it))
    }

    /// The next wider scope; `None` for a project.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Project(_) => None,
            Self::Environment(project, _) => Some(Self::Project(project.clone())),
            Self::Service(project, environment, _) => {
                Some(Self::Environment(project.clone(), environment.clone()))
            }
        }
    }

    /// The word for the kind of scope: `project`, `environment` or `service`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Project(_) => "project",
            Self::Environment(..) => "environment",
            Self::Service(..) => "service",
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let label = |part: &str| {
            part.parse::<Label>().map_err(|source| ScopeError::Part {
                scope: text.chars().take(200).collect(),
                source,
            })
        };
        let mut parts = text.split('.');
        let project = label(parts.next().unwrap_or_default())?;
        let environment = parts.next().map(label).transpose()?;
        let service = parts.next().map(label).transpose()?;
        if parts.next().is_some() {
            return Err(ScopeError::TooManyParts(text.chars().take(200).collect()));
        }
        Ok(match (environment, service) {
            (Some(environment), Some(service)) => Self::Service(project, environment, service),
            (Some(environment), None) => Self::Environment(project, environment),
            (None, _) => Self::Project(project),
        })
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "{project}"),
            Self::Environment(project, environment) => write!(f, "{project}.{environment}"),
            Self::Service(project, environment, service) => {
                write!(f, "{project}.{environment}.{service}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_invalid_scope_is_refused() {
        for text in [
            "",
            ".",
            "shop.",
            ".prod",
            "Shop",
            "shop..api",
            "shop.prod.api.x",
            "shop/prod",
            "-shop",
            "shop-",
            "sh op",
            "shöp",
            "shop.prod.api\n",
            "../shop",
            "shop.*",
            &"a".repeat(64),
        ] {
            assert!(text.parse::<Scope>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_wider_scope_contains_a_narrower_one() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        for (wide, narrow, expected) in [
            ("shop", "shop.prod.api", true),
            ("shop.prod", "shop.prod.api", true),
            ("shop.prod.api", "shop.prod.api", true),
            ("shop.dev", "shop.prod.api", false),
            ("shop.prod.api", "shop.prod", false),
            ("shop.prod.web", "shop.prod.api", false),
            ("sho", "shop", false),
        ] {
            assert_eq!(scope(wide).contains(&scope(narrow)), expected, "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(
            text in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\
                (\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,2}",
        ) {
            prop_assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
    }
}
