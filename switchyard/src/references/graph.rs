//! What the references of a value lead to, without any value.

use std::collections::{BTreeMap, BTreeSet};

use contract::SecretRef;
use contract::layout::{MAX_POD_BYTES, MAX_VALUE_BYTES};

use super::{MAX_ALL_TARGETS, MAX_DEPTH, ReferenceError, ValueReferences};

/// A secret at the version that is active.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    /// The length of its own value in bytes.
    pub(crate) size: u64,
    /// What that refers to, if it is a template.
    pub(crate) references: Option<&'a ValueReferences>,
}

/// What a value with references is composed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The length of the composed value in bytes.
    pub(crate) size: u64,
    /// How many references follow each other.
    pub(crate) depth: usize,
    /// All secrets that it is composed of.
    pub(crate) targets: BTreeSet<SecretRef>,
}

/// The length of a target's composed value, and how many references follow each other in it.
type Measured = (u64, usize);

/// Follows the references of `root`. `node` finds a secret; it gives `Some(None)` for one that does
/// not exist, and `None` for one that was not looked up, because there are too many.
///
/// # Errors
/// A target does not exist, they lead back to the root, or there is too much of them.
pub(crate) fn plan<'a>(
    root: &SecretRef,
    references: &ValueReferences,
    node: impl Fn(&SecretRef) -> Option<Option<Node<'a>>>,
) -> Result<Plan, ReferenceError> {
    let mut walk = Walk { root, node, measured: BTreeMap::new(), read: 0 };
    let (size, depth) = walk.measure(references, 1)?;
    // A long template may become a short value, and is in memory until then.
    for (bytes, most) in [(size, MAX_VALUE_BYTES), (walk.read, MAX_POD_BYTES)] {
        if bytes > most as u64 {
            return Err(ReferenceError::TooLarge(bytes));
        }
    }
    Ok(Plan { size, depth, targets: walk.measured.into_keys().collect() })
}

struct Walk<'r, F> {
    root: &'r SecretRef,
    node: F,
    measured: BTreeMap<SecretRef, Measured>,
    /// The bytes of all targets as they are in the store.
    read: u64,
}

impl<'a, F: Fn(&SecretRef) -> Option<Option<Node<'a>>>> Walk<'_, F> {
    fn measure(
        &mut self,
        references: &ValueReferences,
        level: usize,
    ) -> Result<Measured, ReferenceError> {
        let (mut size, mut depth) = (references.literal, 0);
        for (target, count) in &references.targets {
            let (one, below) = self.target(target, level).map_err(|error| match error {
                // What the writer knows is the reference that it wrote.
                ReferenceError::Cycle(_) => ReferenceError::Cycle(target.clone()),
                error => error,
            })?;
            size = size.saturating_add(one.saturating_mul(*count));
            depth = depth.max(below + 1);
        }
        if depth > MAX_DEPTH { Err(ReferenceError::TooDeep) } else { Ok((size, depth)) }
    }

    fn target(&mut self, target: &SecretRef, level: usize) -> Result<Measured, ReferenceError> {
        if target == self.root {
            return Err(ReferenceError::Cycle(target.clone()));
        }
        if let Some(measured) = self.measured.get(target) {
            return Ok(*measured);
        }
        // A circle that does not touch the root, which no write makes, ends here as well.
        if level > MAX_DEPTH {
            return Err(ReferenceError::TooDeep);
        }
        let found = (self.node)(target).ok_or(ReferenceError::TooManyTargets)?;
        let node = found.ok_or_else(|| ReferenceError::Missing(target.clone()))?;
        let measured = match node.references {
            None => (node.size, 0),
            Some(references) => self.measure(references, level + 1)?,
        };
        self.read = self.read.saturating_add(node.size);
        self.measured.insert(target.clone(), measured);
        if self.measured.len() > MAX_ALL_TARGETS {
            return Err(ReferenceError::TooManyTargets);
        }
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;

    fn secret(name: &str) -> SecretRef {
        format!("shop/{name}").parse().unwrap()
    }

    fn references(value: &str) -> ValueReferences {
        Template::parse(value.as_bytes()).unwrap().references()
    }

    /// The plan of `R` with this value, among these secrets: (name, value, is a template).
    fn planned(value: &str, others: &[(&str, &str, bool)]) -> Result<Plan, ReferenceError> {
        let others: BTreeMap<SecretRef, (u64, Option<ValueReferences>)> = others
            .iter()
            .map(|(name, value, is_template)| {
                let it = is_template.then(|| references(value));
                (secret(name), (value.len() as u64, it))
            })
            .collect();
        plan(&secret("R"), &references(value), |it| {
            Some(
                others.get(it).map(|(size, references)| Node {
                    size: *size,
                    references: references.as_ref(),
                }),
            )
        })
    }

    #[test]
    fn a_plan_has_every_secret_once_and_the_size_of_the_value() {
        let all = [
            ("A", "1234", false),
            ("B", "b${shop/A}b${shop/A}", true),
            // The same text in a value that is no template.
            ("C", "${shop/R}", false),
        ];
        let plan = planned("x${shop/A}${shop/B}${shop/B}$${", &all).unwrap();
        assert_eq!((plan.size, plan.depth), (1 + 4 + 2 * 10 + 2, 2));
        assert_eq!(plan.targets, ["A", "B"].map(secret).into());
        assert_eq!(planned("${shop/C}", &all).unwrap().size, 9);
        assert_eq!(planned("nothing", &all).unwrap().depth, 0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = |value, others: &[(&str, &str, bool)]| planned(value, others).unwrap_err();
        assert_eq!(error("${shop/X}", &[]), ReferenceError::Missing(secret("X")));
        assert_eq!(error("${shop/R}", &[]), ReferenceError::Cycle(secret("R")));
        let ring = [("A", "${shop/B}", true), ("B", "${shop/R}", true)];
        assert_eq!(error("${shop/A}", &ring), ReferenceError::Cycle(secret("A")));
        // A circle beside the root, which only somebody else can have made.
        let beside = [("A", "${shop/B}", true), ("B", "${shop/A}", true)];
        assert_eq!(error("${shop/A}", &beside), ReferenceError::TooDeep);
        let chain: Vec<(String, String)> =
            (0..9).map(|at| (format!("T{at}"), format!("${{shop/T{}}}", at + 1))).collect();
        let mut chain: Vec<(&str, &str, bool)> =
            chain.iter().map(|(name, value)| (name.as_str(), value.as_str(), true)).collect();
        chain.push(("T9", "end", false));
        assert_eq!(planned("${shop/T2}", &chain).unwrap().depth, MAX_DEPTH);
        assert_eq!(error("${shop/T1}", &chain), ReferenceError::TooDeep);
        assert_eq!(error("${shop/T1}${shop/T2}", &chain), ReferenceError::TooDeep);
        assert_eq!(error("${shop/T2}${shop/T1}", &chain), ReferenceError::TooDeep);
        let not_looked_up = plan(&secret("R"), &references("${shop/A}"), |_| None);
        assert_eq!(not_looked_up, Err(ReferenceError::TooManyTargets));
    }

    #[test]
    fn the_size_of_a_value_that_grows_at_each_step_is_known_and_bounded() {
        let mut all = vec![("T0".to_owned(), "x".repeat(1000), false)];
        for at in 1..8 {
            let value = format!("${{shop/T{}}}", at - 1).repeat(1000);
            all.push((format!("T{at}"), value, true));
        }
        let all: Vec<_> = all.iter().map(|(name, value, it)| (&**name, &**value, *it)).collect();
        assert_eq!(planned("${shop/T7}", &all), Err(ReferenceError::TooLarge(u64::MAX)));
        assert_eq!(planned("${shop/T1}", &all).unwrap().size, 1_000_000);
        // What is read counts as well, although nothing comes of it.
        let empty = "${shop/E}".repeat(MAX_VALUE_BYTES / 10);
        let many: Vec<String> = (0..10).map(|at| format!("T{at}")).collect();
        let mut all: Vec<_> = many.iter().map(|name| (&**name, &*empty, true)).collect();
        all.push(("E", "", false));
        let value: String = many.iter().map(|name| format!("${{shop/{name}}}")).collect();
        let read = 10 * empty.len() as u64;
        assert_eq!(planned(&value, &all), Err(ReferenceError::TooLarge(read)));
    }
}
