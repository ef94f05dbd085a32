//! The changes to one container's variables, and the operations that make them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use contract::SecretName;

use super::super::new_variable::NewVariable;
use crate::app_container::AppContainer;
use crate::expansion::RemovedVariables;
use crate::pod_patch::PodPatch;

/// The longest names, all together, of the variables that kubelet reads from files, in bytes. Each
/// is in the patch three times.
const MAX_NAME_BYTES: usize = 512 << 10;

/// The secrets of a pod that kubelet reads from files.
#[derive(Default)]
pub(crate) struct FromFiles {
    secrets: BTreeSet<SecretName>,
    name_bytes: usize,
    /// The keys of all sources of variables that were looked at so far, once for each source. Not
    /// every key is a change: it may be refused, or be there already.
    pub(super) source_keys: usize,
}

impl FromFiles {
    /// Adds a variable that is read from a secret's file. `false` if there are too many.
    pub(super) fn add(&mut self, variable: &str, secret: &SecretName) -> bool {
        self.name_bytes += variable.len() + 2 * secret.as_str().len();
        if self.name_bytes > MAX_NAME_BYTES {
            return false;
        }
        if !self.secrets.contains(secret) {
            self.secrets.insert(secret.clone());
        }
        true
    }

    /// Counts the variable of the agent's program, which is in the patch once. `false` if there
    /// are too many.
    pub(super) fn add_program(&mut self, bytes: usize) -> bool {
        self.name_bytes += bytes;
        self.name_bytes <= MAX_NAME_BYTES
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The secrets, in their order.
    pub(crate) fn into_list(self) -> Vec<SecretName> {
        self.secrets.into_iter().collect()
    }
}

/// The changes to one container's variables.
pub(super) struct EnvChanges<'p> {
    /// By index in `env`.
    pub(super) entries: Vec<(usize, EntryChange)>,
    /// New entries at the beginning of `env`.
    pub(super) insertions: Vec<NewVariable>,
    /// Their names.
    pub(super) inserted: HashSet<String>,
    /// New entries at the end of `env`.
    pub(super) additions: Vec<NewVariable>,
    /// Indexes of removed entries of `envFrom`.
    pub(super) removed_sources: Vec<usize>,
    /// The removed variables.
    pub(super) removed: RemovedVariables,
    /// Whether the names of the variables from files are too long together.
    pub(super) is_too_long: bool,
    /// The variables that the agent's program sets, with their secrets.
    pub(super) exec: BTreeMap<String, SecretName>,
    /// The names in `env`.
    pub(super) names: HashSet<&'p str>,
    /// The `NAME_FILE` variables that are written, with the secret whose path each holds.
    pub(super) written: BTreeMap<String, String>,
    /// The indexes in `env` of the variables whose names end as those of files.
    pub(super) file_variables: HashMap<&'p str, Vec<usize>>,
}

pub(super) enum EntryChange {
    Replace(NewVariable),
    Remove,
}

impl<'p> EnvChanges<'p> {
    pub(super) fn new(app: &AppContainer<'p>) -> Self {
        let mut file_variables: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut names = HashSet::new();
        for (index, variable) in app.container.env.iter().flatten().enumerate() {
            names.insert(&*variable.name);
            if variable.name.ends_with("_FILE") {
                file_variables.entry(&variable.name).or_default().push(index);
            }
        }
        Self {
            entries: Vec::new(),
            insertions: Vec::new(),
            inserted: HashSet::new(),
            additions: Vec::new(),
            removed_sources: Vec::new(),
            removed: RemovedVariables::default(),
            is_too_long: false,
            exec: BTreeMap::new(),
            names,
            written: BTreeMap::new(),
            file_variables,
        }
    }

    pub(super) fn write(mut self, app: &AppContainer<'_>, patch: &mut PodPatch) {
        let (env, env_from) = (app.path.field("env"), app.path.field("envFrom"));
        self.entries.sort_by_key(|(index, _)| *index);
        let mut removed = Vec::new();
        for (index, change) in self.entries {
            let path = env.element(index);
            match change {
                EntryChange::Replace(value) => patch.replace(&path, value),
                EntryChange::Remove => removed.push(path),
            }
        }
        let exists = app.container.env.is_some() || !self.insertions.is_empty();
        // From the end, so that no removal shifts the index of another.
        removed.into_iter().rev().for_each(|path| patch.remove(&path));
        if app.container.env.is_some() {
            for (at, value) in self.insertions.into_iter().enumerate() {
                patch.add(&env.element(at), value);
            }
        } else {
            patch.append(&env, false, self.insertions);
        }
        patch.append(&env, exists, self.additions);
        for index in self.removed_sources.into_iter().rev() {
            patch.remove(&env_from.element(index));
        }
    }
}
