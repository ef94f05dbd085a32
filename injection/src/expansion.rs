//! References to removed variables: `$(NAME)` where kubelet expands it, and `$NAME` in a shell.

mod references;

use std::collections::BTreeMap;
use std::fmt::Arguments;

use contract::Delivery;

use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use references::{references, runs_shell, shell_names};

/// The variables that are removed from a container, or lose their literal value.
#[derive(Default)]
pub(crate) struct RemovedVariables(BTreeMap<String, Removed>);

struct Removed {
    /// How its secret is delivered instead.
    delivery: Delivery,
    /// Its first index in `env`; `None` if it came from elsewhere, and so before all of `env`.
    index: Option<usize>,
}

/// Where a reference is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// What kubelet expands when it creates the container.
    Container,
    /// The command of a probe.
    Probe,
    /// The command of a hook.
    Hook,
}

impl Removed {
    /// Whether the container has no such variable.
    fn is_gone(&self) -> bool {
        self.delivery != Delivery::Env
    }
}

impl RemovedVariables {
    /// One whose secret is in a file.
    pub(crate) fn file(&mut self, name: &str, index: Option<usize>) {
        self.insert(name, Delivery::Files, index);
    }

    /// One that the agent's program sets.
    pub(crate) fn exec(&mut self, name: &str, index: Option<usize>) {
        self.insert(name, Delivery::Exec, index);
    }

    /// One that kubelet reads from a file instead. It is there for the command and for every other
    /// variable, and its value in the pod is not.
    pub(crate) fn env(&mut self, name: &str) {
        self.insert(name, Delivery::Env, None);
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// One that stays after all.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    fn insert(&mut self, name: &str, delivery: Delivery, index: Option<usize>) {
        let entry = self.0.entry(name.to_owned()).or_insert(Removed { delivery, index });
        // `None` is the least.
        *entry = Removed { delivery, index: index.min(entry.index) };
    }
}

/// Refuses each reference to a removed variable in what kubelet expands, and in the commands of
/// probes and hooks. Warns of those that a shell finds empty.
///
/// Kubelet expands the command of a probe by the literal values in `env` alone
/// (`ExpandContainerCommandOnlyStatic`): a variable with `valueFrom` becomes an empty text there,
/// and one that is not in `env` stays as it is written. It does not expand the command of a hook.
pub(crate) fn check(
    app: &AppContainer<'_>,
    removed: &RemovedVariables,
    diagnostics: &mut Diagnostics,
) {
    if removed.0.is_empty() {
        return;
    }
    check_command(app, removed, diagnostics);
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        // A variable that is removed itself may refer to anything. Kubelet leaves a reference to a
        // later variable as it is.
        if !removed.0.contains_key(&*variable.name) {
            let is_earlier = |it: &Removed| it.index.is_none_or(|removed| removed < index);
            let at = format_args!(".env[{index}]");
            let text = variable.literal().unwrap_or_default();
            refuse(app, removed, (Place::Container, text, at), is_earlier, diagnostics);
        }
    }
    for (index, mount) in app.container.volume_mounts.iter().flatten().enumerate() {
        let at = format_args!(".volumeMounts[{index}].subPathExpr");
        let text = mount.sub_path_expr.as_deref().unwrap_or_default();
        refuse(app, removed, (Place::Container, text, at), |_| true, diagnostics);
    }
    for (field, handler) in app.container.handlers() {
        let is_shell = runs_shell(handler.command());
        let place = if field.len() == 1 { Place::Probe } else { Place::Hook };
        let field = field.join(".");
        for (index, text) in handler.command().enumerate() {
            let at = format_args!(".{field}.exec.command[{index}]");
            refuse(app, removed, (place, text, at), |_| true, diagnostics);
            if is_shell {
                // It is no child of the agent's program either.
                warn(app, removed, (text, at), Removed::is_gone, diagnostics);
            }
        }
    }
}

/// The command and its arguments, which are one command line.
fn check_command(
    app: &AppContainer<'_>,
    removed: &RemovedVariables,
    diagnostics: &mut Diagnostics,
) {
    let command = app.container.command.iter().flatten().map(|word| ("command", word));
    let args = app.container.args.iter().flatten().map(|word| ("args", word));
    let is_shell = runs_shell(command.clone().chain(args.clone()).map(|(_, word)| &**word));
    for (index, (field, text)) in command.enumerate().chain(args.enumerate()) {
        let at = format_args!(".{field}[{index}]");
        refuse(app, removed, (Place::Container, text, at), |_| true, diagnostics);
        if is_shell {
            let is_file = |it: &Removed| it.delivery == Delivery::Files;
            warn(app, removed, (text, at), is_file, diagnostics);
        }
    }
}

fn refuse(
    app: &AppContainer<'_>,
    removed: &RemovedVariables,
    (place, text, at): (Place, &str, Arguments<'_>),
    matters: impl Fn(&Removed) -> bool,
    diagnostics: &mut Diagnostics,
) {
    let is_lost = |it: &&Removed| matters(it) && (it.is_gone() || place == Place::Probe);
    for name in references(text) {
        if diagnostics.has_more() {
            break;
        }
        let Some(found) = removed.0.get(name).filter(is_lost) else { continue };
        let (at, name) = (app.at(at), printable(name));
        diagnostics.deny(match (found.delivery, place) {
            (Delivery::Files, _) => Violation::RemovedVariableUsed { at, name },
            (_, Place::Container) => Violation::ExecVariableUsed { at, name },
            (_, Place::Probe | Place::Hook) => Violation::HandlerVariableUsed { at, name },
        });
    }
}

fn warn(
    app: &AppContainer<'_>,
    removed: &RemovedVariables,
    (text, at): (&str, Arguments<'_>),
    matters: impl Fn(&Removed) -> bool,
    diagnostics: &mut Diagnostics,
) {
    for name in shell_names(text) {
        if diagnostics.has_all_warnings() {
            break;
        }
        if removed.0.get(name).is_some_and(&matters) {
            diagnostics.warn(Warning::ShellUse { at: app.at(at), name: printable(name) });
        }
    }
}
