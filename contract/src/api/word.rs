//! Enums that are words wherever they leave a program: in JSON, in the database, on a command line.

/// Not one of the words that are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse {what} {word:?}: must be one of {known}")]
pub struct UnknownWord {
    /// What the word should have been.
    pub what: &'static str,
    /// The word, cut to a length.
    pub word: String,
    /// All that are known.
    pub known: String,
}

/// An enum with one word for each variant: `words! { what it is, Name { Variant = "word", … } }`.
macro_rules! words {
    (
        $what:literal,
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word, as the API and the database have it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::schema::words($what, &[$($word),+])
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::api::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::api::UnknownWord> {
                let unknown = || $crate::api::UnknownWord {
                    what: $what,
                    word: text.chars().take(80).collect(),
                    known: [$($word),+].join(", "),
                };
                Self::ALL.iter().copied().find(|it| it.as_str() == text).ok_or_else(unknown)
            }
        }
    };
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use crate::api::{
        Access, AccessKind, AccessVerb, Alphabet, ExportFormat, GroupSource, Role, SecretOrigin,
        SubjectKind, TokenKind, VersionState,
    };

    #[test]
    fn the_words_of_json_and_of_texts_are_the_same() {
        macro_rules! check {
            ($($name:ident),+) => { $(for &it in $name::ALL {
                assert_eq!(serde_json::to_string(&it).unwrap(), format!("\"{it}\""));
                assert_eq!(serde_json::from_str::<$name>(&format!("\"{it}\"")).unwrap(), it);
                assert_eq!(it.as_str().parse::<$name>().unwrap(), it);
            })+ };
        }
        check!(Access, Alphabet, ExportFormat, Role, SecretOrigin, SubjectKind, TokenKind);
        check!(AccessKind, AccessVerb, GroupSource, VersionState);
    }

    #[test]
    fn what_is_no_word() {
        for text in ["", "Owner", "root", "owner "] {
            assert!(text.parse::<Role>().is_err(), "{text:?} was taken");
        }
        assert_eq!(
            "root".parse::<Role>().unwrap_err().to_string(),
            "parse role \"root\": must be one of readonly, developer, admin, owner"
        );
    }
}
