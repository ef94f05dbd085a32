//! How Bank-Vaults and 1Password write a reference in the value of a variable.
//!
//! ```text
//! vault:secret/data/shop/api#PASSWORD       also bao:…, and ${vault:…} as the whole value
//! vault:secret/data/shop/api#PASSWORD#3     a version
//! vault:secret/data/shop/api#${.A}:${.B}    a template
//! >>vault:pki/issue/shop#certificate        a write
//! postgres://${vault:…#USER}@db             inside of a text
//! op://Shop/Database/password               also op://VAULT/ITEM/SECTION/FIELD
//! op://Shop/Database/code?attribute=otp     an attribute
//! ```

use contract::annotations;

/// The longest reference, in bytes. A longer value is none.
const MAX_REFERENCE_BYTES: usize = 1024;

/// The store that a reference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scheme {
    Vault,
    OpenBao,
    OnePassword,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::Vault, Self::OpenBao, Self::OnePassword];

    /// The beginning of its references.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Vault => "vault:",
            Self::OpenBao => "bao:",
            Self::OnePassword => "op://",
        }
    }

    /// The scheme of a text, and the rest of it.
    pub(super) fn of(text: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|it| Some((it, text.strip_prefix(it.prefix())?)))
    }

    /// A path or a key in the form in which it is compared: 1Password ignores case.
    pub(super) fn normal(self, text: &str) -> String {
        match self {
            Self::OnePassword => text.to_ascii_lowercase(),
            Self::Vault | Self::OpenBao => text.to_owned(),
        }
    }
}

/// A reference to a secret of another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignReference<'v> {
    pub(crate) scheme: Scheme,
    /// Where the secret is, without its key.
    pub(crate) path: &'v str,
    /// The key in a secret of Vault, or the field of an item; empty if there is none.
    pub(crate) key: &'v str,
    /// What it asks for that a bundle does not give.
    pub(crate) fault: Option<ReferenceFault>,
}

/// Why a reference cannot be replaced by a key of a bundle, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceFault {
    #[error(
        "it names one version, and a pod always has the current one: remove the version, or store \
         that value as a secret of its own"
    )]
    Version,
    #[error(
        "its key is a template: store the whole text as one secret, or render it ({}FILE)",
        annotations::TEMPLATE
    )]
    Template,
    #[error(
        "it writes to the store when the pod starts: store the value with enclii secrets set, and \
         refer to it without >>"
    )]
    Write,
    #[error(
        "it stands inside of a longer text: store the whole text as one secret, or render it \
         ({}FILE)",
        annotations::TEMPLATE
    )]
    Inline,
    #[error("it names no key: write vault:PATH#KEY or op://VAULT/ITEM/FIELD")]
    NoKey,
    #[error("it has $(NAME), which kubelet replaces after admission: write the text out")]
    Expansion,
    #[error(
        "it asks for an attribute (?…=…), which a bundle does not have: store the value that the \
         application needs, and refer to its field"
    )]
    Attribute,
    #[error(
        "it names a section, and the operator's rule for the item leaves open which: have the \
         operator add a rule whose `from` ends with the section"
    )]
    Section,
    #[error(
        "its key is no name of a secret: have the operator give it one (`keys` of the rule for it)"
    )]
    Key,
}

impl<'v> ForeignReference<'v> {
    /// The reference that a value is, or has in it; `None` if there is none.
    pub(crate) fn parse(value: &'v str) -> Option<Self> {
        if value.len() > MAX_REFERENCE_BYTES {
            return None;
        }
        if let Some(found) = Self::whole(value) {
            return Some(found);
        }
        // Bank-Vaults looks for these anywhere.
        let (at, _) = value.match_indices('$').find(|(at, _)| {
            let inner = value[at + 1..].strip_prefix('{').map(|it| it.trim_start_matches('>'));
            let scheme = inner.and_then(Scheme::of).map(|(scheme, _)| scheme);
            scheme.is_some_and(|it| it != Scheme::OnePassword)
        })?;
        let (inner, after) = value[at + 2..].split_once('}')?;
        let found = Self::whole(inner)?;
        let is_all = at == 0 && after.is_empty();
        let fault = found.fault.or_else(|| (!is_all).then_some(ReferenceFault::Inline));
        Some(Self { fault, ..found })
    }

    fn whole(text: &'v str) -> Option<Self> {
        let (read, is_write) = match text.strip_prefix(">>") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (scheme, rest) = Scheme::of(read)?;
        let found = match scheme {
            Scheme::OnePassword if is_write => return None,
            Scheme::OnePassword => Self::of_one_password(rest),
            Scheme::Vault | Scheme::OpenBao => Self::of_vault(scheme, rest),
        };
        let more = [
            is_write.then_some(ReferenceFault::Write),
            text.contains("$(").then_some(ReferenceFault::Expansion),
        ];
        Some(Self { fault: more.into_iter().flatten().next().or(found.fault), ..found })
    }

    fn of_vault(scheme: Scheme, text: &'v str) -> Self {
        let mut parts = text.splitn(3, '#');
        let (path, key) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let fault = match parts.next() {
            _ if key.is_empty() => Some(ReferenceFault::NoKey),
            _ if key.contains("${") => Some(ReferenceFault::Template),
            Some(_) => Some(ReferenceFault::Version),
            None => None,
        };
        Self { scheme, path, key, fault }
    }

    fn of_one_password(text: &'v str) -> Self {
        let (names, attribute) = match text.split_once('?') {
            Some((names, _)) => (names, true),
            None => (text, false),
        };
        let scheme = Scheme::OnePassword;
        let is_whole = (3..=4).contains(&names.split('/').filter(|it| !it.is_empty()).count());
        match names.rsplit_once('/') {
            Some((path, key)) if is_whole && !key.is_empty() => {
                Self { scheme, path, key, fault: attribute.then_some(ReferenceFault::Attribute) }
            }
            _ => Self { scheme, path: names, key: "", fault: Some(ReferenceFault::NoKey) },
        }
    }

    /// Whether it names a section of an item.
    pub(super) fn has_section(&self) -> bool {
        self.scheme == Scheme::OnePassword && self.path.split('/').count() == 3
    }

    /// What tells it from references to other secrets.
    pub(crate) fn identity(&self) -> (Scheme, String, String) {
        let Self { scheme, path, key, .. } = *self;
        (scheme, scheme.normal(path), scheme.normal(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_of_both_tools() {
        use ReferenceFault as Fault;
        use Scheme::{OnePassword, OpenBao, Vault};
        for (value, expected) in [
            ("vault:secret/data/a#K", Some((Vault, "secret/data/a", "K", None))),
            ("bao:secret/data/a#K", Some((OpenBao, "secret/data/a", "K", None))),
            ("${vault:secret/data/a#K}", Some((Vault, "secret/data/a", "K", None))),
            ("vault:secret/data/a#K#3", Some((Vault, "secret/data/a", "K", Some(Fault::Version)))),
            (
                "vault:secret/data/a#${.A}:${.B}",
                Some((Vault, "secret/data/a", "${.A}:${.B}", Some(Fault::Template))),
            ),
            (">>vault:pki/x#k#{}", Some((Vault, "pki/x", "k", Some(Fault::Write)))),
            ("u:${vault:a/b#K}@h", Some((Vault, "a/b", "K", Some(Fault::Inline)))),
            ("${>>vault:a/b#K}", Some((Vault, "a/b", "K", Some(Fault::Write)))),
            ("vault:a/$(ENV)#K", Some((Vault, "a/$(ENV)", "K", Some(Fault::Expansion)))),
            ("vault:login", Some((Vault, "login", "", Some(Fault::NoKey)))),
            ("vault:a#", Some((Vault, "a", "", Some(Fault::NoKey)))),
            ("op://Shop/DB/password", Some((OnePassword, "Shop/DB", "password", None))),
            (
                "op://Shop/DB/Admin/pass word",
                Some((OnePassword, "Shop/DB/Admin", "pass word", None)),
            ),
            ("op://S/D/f?attribute=otp", Some((OnePassword, "S/D", "f", Some(Fault::Attribute)))),
            ("op://Shop/DB", Some((OnePassword, "Shop/DB", "", Some(Fault::NoKey)))),
            ("op://a/b/c/d/e", Some((OnePassword, "a/b/c/d/e", "", Some(Fault::NoKey)))),
            ("op://a/b/", Some((OnePassword, "a/b/", "", Some(Fault::NoKey)))),
            ("postgres://u:p@h", None),
            ("vaults:a#b", None),
            ("${VAULT}", None),
            ("${op://a/b/c}", None),
            ("${vault:a#b", None),
            (">>op://a/b/c", None),
            ("", None),
        ] {
            let found = ForeignReference::parse(value);
            let found = found.map(|it| (it.scheme, it.path, it.key, it.fault));
            assert_eq!(found, expected, "{value}");
        }
        let long = format!("vault:{}#K", "a".repeat(MAX_REFERENCE_BYTES));
        assert_eq!(ForeignReference::parse(&long), None);
    }

    #[test]
    fn one_password_ignores_case_and_vault_does_not() {
        let identity = |value| ForeignReference::parse(value).unwrap().identity();
        assert_eq!(identity("op://Shop/DB/Password"), identity("op://shop/db/password"));
        assert_ne!(identity("vault:a/B#k"), identity("vault:a/b#k"));
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "[>${}vault:bo#/?() ü]{0,60}") {
            if let Some(found) = ForeignReference::parse(&value) {
                prop_assert!(value.contains(found.path) && value.contains(found.key));
                prop_assert!(found.fault.is_some() || !found.key.is_empty());
            }
        }
    }
}
