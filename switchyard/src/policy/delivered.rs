//! What the audit event of a delivery says about one secret: the inverse of how it is printed.

use contract::{Scope, SecretName};

use super::{BundleRule, MemberFilter, Reach};

/// Whether a delivery had a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It had it.
    Yes,
    /// It had other ones.
    No,
    /// The event was cut, and what is left does not say.
    Unknown,
}

/// Whether a delivery whose event has these details had the secret `name` of `scope`, as a member
/// of the bundle's generation. `is_cut` says whether the details may go on.
#[must_use]
pub fn delivered(details: &str, is_cut: bool, name: &SecretName, scope: &Scope) -> Delivered {
    let (rule, selected) = details.split_once(": ").unwrap_or((details, ""));
    let is = |known: BundleRule| rule == known.as_str();
    if is(BundleRule::OwnService) || (details == BundleRule::Grant.as_str()) {
        return Delivered::Yes;
    }
    if !is(BundleRule::Grant) && !is(BundleRule::GrantOfSecrets) {
        return Delivered::Unknown;
    }
    let mut words: Vec<&str> = selected.split(',').collect();
    if is_cut {
        words.pop();
    }
    let mut filter = MemberFilter::default();
    for word in words {
        let (secret, reach) = match word.rsplit_once("of ") {
            Some((secret, "the service")) => (secret, Reach::Service),
            Some((secret, "environment and service")) => (secret, Reach::Environment),
            _ => (word, Reach::Project),
        };
        match secret.trim_end() {
            "" => filter.add(None, reach),
            secret => match secret.parse() {
                Ok(secret) => filter.add(Some(&secret), reach),
                Err(_) => return Delivered::Unknown,
            },
        }
    }
    match (filter.matches(name, scope), is_cut) {
        (true, _) => Delivered::Yes,
        (false, true) => Delivered::Unknown,
        (false, false) => Delivered::No,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reach() -> impl Strategy<Value = Reach> {
        prop::sample::select(vec![Reach::Service, Reach::Environment, Reach::Project])
    }

    proptest! {
        /// What is printed is read again, and a cut text says nothing that is wrong.
        #[test]
        fn the_event_of_a_delivery_says_what_it_had(
            grants in prop::collection::vec((prop::option::of("[AB_of]{1,3}"), reach()), 1..5),
            name in "[AB_of]{1,3}", depth in 1_usize..4, kept in 0_usize..80,
        ) {
            let mut filter = MemberFilter::default();
            for (secret, reach) in &grants {
                filter.add(secret.as_ref().map(|it| it.parse().unwrap()).as_ref(), *reach);
            }
            let rule = match filter.has_all_names() {
                true => BundleRule::Grant,
                false => BundleRule::GrantOfSecrets,
            };
            let (name, scope) = (name.parse().unwrap(), ["shop", "prod", "api"][..depth].join("."));
            let scope: Scope = scope.parse().unwrap();
            let printed = rule.with(&filter);
            let had = filter.matches(&name, &scope);
            let expected = if had { Delivered::Yes } else { Delivered::No };
            prop_assert_eq!(delivered(&printed, false, &name, &scope), expected, "{}", printed);
            let cut = &printed[..kept.min(printed.len())];
            let is_cut = kept < printed.len();
            let read = delivered(cut, is_cut && cut.contains(": "), &name, &scope);
            if is_cut && cut.contains(": ") {
                prop_assert!(read == expected || read == Delivered::Unknown, "{} {:?}", cut, read);
            }
        }
    }

    #[test]
    fn the_own_bundle_is_delivered_as_a_whole() {
        let (name, scope) = ("A".parse().unwrap(), "shop".parse().unwrap());
        let read = |details| delivered(details, false, &name, &scope);
        assert_eq!(read("own-service"), Delivered::Yes);
        assert_eq!(read("grant"), Delivered::Yes);
        assert_eq!(read("something else"), Delivered::Unknown);
        assert_eq!(read(""), Delivered::Unknown);
    }
}
