//! What a rule is: a name, a confidence, and the shape that it looks for.

use super::name::Name;

/// How sure a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Only credentials have this form.
    Certain,
    /// The name or the form suggests a credential.
    Likely,
}

impl Confidence {
    /// `certain` or `likely`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
        }
    }
}

/// A way to recognize credentials.
#[derive(Debug)]
pub struct Rule {
    /// The name in reports, such as `github-token`. Several rows may share it.
    pub id: &'static str,
    /// What it finds, with an article, as in `a GitHub token`.
    pub what: &'static str,
    /// How sure it is.
    pub confidence: Confidence,
    pub(super) shape: RuleShape,
}

/// Two rules are the same if reports name them alike.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.confidence) == (other.id, other.confidence)
    }
}

/// Whether a text, or a word of it, is a credential.
pub(super) type TextTest = fn(&str) -> bool;

/// Whether a value is a credential beside its name.
pub(super) type NamedTest = fn(&Name, &str) -> bool;

/// What a rule looks for.
#[derive(Debug)]
pub(super) enum RuleShape {
    /// A prefix at the start of a word, and what follows it.
    Token(Token),
    /// A run of letters, digits and `_`, `-`, `.`, `~` with a structure of its own.
    Word(TextTest),
    /// Anything in the text.
    Text(TextTest),
    /// A name and what beside it could be secret.
    Named(NamedTest),
}

/// A prefix, and how many characters of which alphabet follow it.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) prefix: &'static str,
    pub(super) body: Alphabet,
    pub(super) least: usize,
    pub(super) most: usize,
}

/// The characters after a token's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `A-Z0-9`
    Upper,
    /// `a-z0-9`
    Lower,
    /// `a-zA-Z`
    Letters,
    /// `a-f0-9`, in either case
    Hex,
    /// `a-zA-Z0-9`
    Alnum,
    /// Alphanumeric, `_` and `-`
    Word,
    /// Alphanumeric, `+`, `/` and `=`
    Base64,
    /// All of them, `.` and `~`
    Dotted,
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::Letters => byte.is_ascii_alphabetic(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Dotted => {
                Self::Word.has(byte) || Self::Base64.has(byte) || matches!(byte, b'.' | b'~')
            }
        }
    }

    /// Whether random characters of this alphabet are of two classes (upper case, lower case,
    /// digits) in any body long enough to count.
    pub(super) fn is_mixed(self) -> bool {
        self != Self::Upper
    }
}

/// A row that finds a token for certain.
pub(super) const fn token(
    id: &'static str,
    what: &'static str,
    prefix: &'static str,
    body: Alphabet,
    (least, most): (usize, usize),
) -> Rule {
    let shape = RuleShape::Token(Token { prefix, body, least, most });
    Rule { id, what, confidence: Confidence::Certain, shape }
}

/// A row whose prefix is too ordinary to be sure.
pub(super) const fn maybe(
    id: &'static str,
    what: &'static str,
    prefix: &'static str,
    body: Alphabet,
    (least, most): (usize, usize),
) -> Rule {
    let shape = RuleShape::Token(Token { prefix, body, least, most });
    Rule { id, what, confidence: Confidence::Likely, shape }
}

/// A row of another shape.
pub(super) const fn row(
    id: &'static str,
    what: &'static str,
    confidence: Confidence,
    shape: RuleShape,
) -> Rule {
    Rule { id, what, confidence, shape }
}
