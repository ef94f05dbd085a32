//! Puts the values of targets into a template.

use std::collections::BTreeMap;

use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, SecretRef};

use super::template::Part;
use super::{MAX_DEPTH, Template};

/// The value of a target.
pub(crate) struct Ingredient {
    /// As it is in the store.
    pub(crate) value: Redacted,
    /// Whether it has references itself.
    pub(crate) is_template: bool,
}

/// Why a value cannot be composed: the ledger and the store do not fit together, or it is too
/// large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ComposeError {
    /// A target is not among those that the ledger names, or refers to itself.
    #[error("its references are not those that the ledger has")]
    Inconsistent,
    /// The composed value is too large.
    #[error("it would have more than {MAX_VALUE_BYTES} bytes")]
    TooLarge,
}

/// The value of a template. Every copy of a value on the way is wiped.
///
/// # Errors
/// A target is missing, or a value is too large.
pub(crate) fn compose(
    template: &Redacted,
    ingredients: &BTreeMap<SecretRef, Ingredient>,
) -> Result<Redacted, ComposeError> {
    expand(template, ingredients, &mut BTreeMap::new(), 0)
}

fn expand(
    template: &Redacted,
    ingredients: &BTreeMap<SecretRef, Ingredient>,
    done: &mut BTreeMap<SecretRef, Redacted>,
    level: usize,
) -> Result<Redacted, ComposeError> {
    let parsed = Template::parse(template.expose()).map_err(|_| ComposeError::Inconsistent)?;
    for target in parsed.references().targets.into_keys() {
        let ingredient = ingredients.get(&target).ok_or(ComposeError::Inconsistent)?;
        if ingredient.is_template && !done.contains_key(&target) {
            if level >= MAX_DEPTH {
                return Err(ComposeError::Inconsistent);
            }
            let value = expand(&ingredient.value, ingredients, done, level + 1)?;
            done.insert(target, value);
        }
    }
    let parts: Vec<&[u8]> = parsed
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => *text,
            Part::Target(target) => done
                .get(target)
                .or_else(|| ingredients.get(target).map(|it| &it.value))
                .map(Redacted::expose)
                .unwrap_or_default(),
        })
        .collect();
    let length = parts.iter().map(|part| part.len()).sum();
    if length > MAX_VALUE_BYTES {
        return Err(ComposeError::TooLarge);
    }
    // The buffer does not grow, so it leaves no copy behind.
    let mut value = Vec::with_capacity(length);
    parts.iter().for_each(|part| value.extend_from_slice(part));
    Ok(Redacted::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(value: &str, others: &[(&str, &str, bool)]) -> Result<String, ComposeError> {
        let ingredient = |(name, value, is_template): &(&str, &str, bool)| {
            let value = Redacted::from((*value).to_owned());
            (
                format!("shop/{name}").parse().unwrap(),
                Ingredient { value, is_template: *is_template },
            )
        };
        let others = others.iter().map(ingredient).collect();
        let value = compose(&Redacted::from(value.to_owned()), &others)?;
        Ok(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    #[test]
    fn values_are_put_in_at_every_level_and_never_parsed_unless_they_are_templates() {
        let all = [
            ("HOST", "db.example", false),
            ("LITERAL", "${shop/HOST} $${x}", false),
            ("URL", "postgres://${shop/HOST}/$${db}", true),
        ];
        for (value, expected) in [
            ("", ""),
            ("$${shop/HOST}", "${shop/HOST}"),
            ("${shop/HOST}:5432", "db.example:5432"),
            (
                "<${shop/URL}|${shop/URL}>",
                "<postgres://db.example/${db}|postgres://db.example/${db}>",
            ),
            ("${shop/LITERAL}", "${shop/HOST} $${x}"),
        ] {
            assert_eq!(composed(value, &all).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert_eq!(composed("${shop/A}", &[]), Err(ComposeError::Inconsistent));
        let ring = [("A", "${shop/B}", true), ("B", "${shop/A}", true)];
        assert_eq!(composed("${shop/A}", &ring), Err(ComposeError::Inconsistent));
        let large = "x".repeat(MAX_VALUE_BYTES / 2 + 1);
        let all = [("A", large.as_str(), false)];
        assert!(composed("${shop/A}", &all).is_ok());
        assert_eq!(composed("${shop/A}${shop/A}", &all), Err(ComposeError::TooLarge));
        // A few bytes that would become many gigabytes stop at the first step beyond the limit.
        let mut all = vec![("T0".to_owned(), "x".repeat(1000), false)];
        for at in 1..8 {
            let value = format!("${{shop/T{}}}", at - 1).repeat(1000);
            all.push((format!("T{at}"), value, true));
        }
        let all: Vec<_> = all.iter().map(|(name, value, it)| (&**name, &**value, *it)).collect();
        assert_eq!(composed("${shop/T7}", &all), Err(ComposeError::TooLarge));
    }
}
