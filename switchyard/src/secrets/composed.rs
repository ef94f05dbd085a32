//! Values with references, resolved in memory.

use std::collections::BTreeMap;

use contract::{Redacted, Scope, SecretName, SecretRef};

use super::{Caller, Secrets, SecretsError};
use crate::audit::{Action, Event};
use crate::references::{Ingredient, ValueReferences, compose};
use crate::repository::{Resolved, ValueTarget, ValueTargets};

impl Secrets {
    /// The value with the values of its targets in it, if it has references.
    pub(super) async fn composed(
        &self,
        (scope, name): (&Scope, &SecretName),
        value: Redacted,
        targets: Option<&ValueTargets>,
    ) -> Result<Redacted, SecretsError> {
        let Some(targets) = targets else { return Ok(value) };
        let mut ingredients = BTreeMap::new();
        for (target, ValueTarget { stored, is_template }) in targets {
            let value = self.store.read_version(&target.scope, &target.name, stored).await?;
            let is_template = *is_template;
            ingredients.insert(target.clone(), Ingredient { value, is_template });
        }
        compose(&value, &ingredients).map_err(|source| SecretsError::Compose {
            scope: scope.clone(),
            name: name.clone(),
            source,
        })
    }

    /// What a value with references is composed of now. Nothing for any other one.
    pub(crate) async fn resolve(
        &self,
        (scope, name): (&Scope, &SecretName),
        references: Option<&ValueReferences>,
    ) -> Result<Option<Resolved>, SecretsError> {
        let Some(references) = references else { return Ok(None) };
        let of = SecretRef { scope: scope.clone(), name: name.clone() };
        match self.repository.resolve(&of, references).await? {
            Ok(resolved) => Ok(Some(resolved)),
            Err(source) => {
                let source = Box::new(source);
                Err(SecretsError::References { secret: of, source })
            }
        }
    }
}

/// The reads of the targets that a read of a composed value is as well.
pub(super) fn target_events(
    caller: &Caller,
    (scope, name): (&Scope, &SecretName),
    targets: Option<&ValueTargets>,
) -> Vec<Event> {
    let event = |(target, it): (&SecretRef, &ValueTarget)| {
        let through = Some(format!("through {scope}/{name}"));
        let version = Some(it.stored.version);
        caller.event(Action::Read, &target.scope, &target.name, version, through)
    };
    targets.into_iter().flatten().map(event).collect()
}
