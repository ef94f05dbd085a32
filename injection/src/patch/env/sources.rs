//! Sources of variables (`envFrom`) that name a bundle.

use contract::Delivery;

use super::changes::{EnvChanges, FromFiles};
use super::{exec, file_key, file_variable};
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation};
use crate::requested::RequestedSecrets;

/// The most changes of one pod, and the most keys that are looked at for them: a full bundle in a
/// few containers.
const MAX_CHANGES: usize = 8192;

/// Replaces entries of `envFrom` that name a bundle by one variable for each key, except those that
/// `env` already sets. That tells the asker every key, so it is refused to one who may be anybody.
pub(super) fn change(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    (changes, earlier, from_files): (&mut EnvChanges<'_>, usize, &mut FromFiles),
    diagnostics: &mut Diagnostics,
) {
    for (index, source) in app.container.env_from.iter().flatten().enumerate() {
        let Some((name, bundle)) =
            source.secret_ref.as_ref().and_then(|secret| requested.bundle_named(&secret.name))
        else {
            continue;
        };
        if !requested.may_list_keys() {
            let at = app.at(format_args!(".envFrom[{index}]"));
            let bundle = (*name).clone();
            diagnostics.deny(Violation::SourceListsKeys { at, bundle });
            continue;
        }
        // Each entry may have a prefix of its own, and then it is every key once more.
        let changed = earlier
            + changes.entries.len()
            + changes.additions.len()
            + changes.insertions.len()
            + changes.exec.len();
        let keys = bundle.keys.len();
        if changed.max(from_files.source_keys) + keys > MAX_CHANGES {
            let at = app.at(format_args!(".envFrom[{index}]"));
            diagnostics.deny(Violation::TooManyChanges { at, maximum: MAX_CHANGES });
            break;
        }
        from_files.source_keys += keys;
        changes.removed_sources.push(index);
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for key in &bundle.keys {
            let name = format!("{prefix}{key}");
            match requested.delivery(key.as_str()) {
                Delivery::Files => {
                    let (app, secret) = ((app, requested), (name, key.as_str()));
                    file_variable::add(app, index, secret, changes, diagnostics);
                }
                Delivery::Env => file_key::add(name, key, (&mut *changes, &mut *from_files)),
                Delivery::Exec => exec::add(name, key, changes),
            }
        }
    }
    // `env` overrides `envFrom`: a name that stays in `env` is not removed.
    for variable in app.container.env.iter().flatten() {
        if changes.removed.has(&variable.name) && requested.secret_for(variable).is_none() {
            changes.removed.remove(&variable.name);
        }
    }
}
