//! The annotations of the pod as a whole: the login, the containers, and how the application is
//! told.

use contract::annotations::{CONTAINERS, RELOAD, SECRETS};
use contract::{Annotations, ReloadRequest};

use super::command;
use super::login::{self, Allowed, LoginChoice};
use super::request::{COMPAT_BUNDLE, Resolver};
use super::table::{PREFIX, Treatment};
use crate::diagnostics::printable;
use crate::pod::Pod;

impl Resolver<'_> {
    /// What the pod chooses of the login.
    pub(super) fn login(&mut self, allowed: &Allowed<'_>) -> LoginChoice {
        let mut login = LoginChoice::default();
        let of_pod = |it: &Self, name: &str| it.values.of_pod.get(name).copied();
        if let Some(found) = of_pod(self, "role") {
            match allowed.role(found.value.trim()) {
                Ok(role) => {
                    self.note(found.key, Treatment::Used, format!("logs in as {role}"));
                    login.role = Some(role);
                }
                Err(why) => self.refuse(found.key, why),
            }
        }
        if let Some(found) = of_pod(self, "auth-path") {
            match allowed.auth_mount(found.value.trim()) {
                Ok(mount) => {
                    self.note(found.key, Treatment::Used, format!("logs in at auth/{mount}"));
                    login.auth_mount = Some(mount);
                }
                Err(why) => self.refuse(found.key, why),
            }
        }
        if let Some(found) = of_pod(self, "namespace") {
            match allowed.namespace(found.value.trim()) {
                Ok(namespace) => {
                    let outcome = format!("in Vault's namespace {namespace}");
                    self.note(found.key, Treatment::Used, outcome);
                    login.namespace = Some(namespace);
                }
                Err(why) => self.refuse(found.key, why),
            }
        }
        if let Some(found) = of_pod(self, "template-static-secret-render-interval") {
            match login::poll_seconds(found.value) {
                Ok(seconds) => {
                    let outcome = format!("looks for changes every {seconds} s");
                    self.note(found.key, Treatment::Used, outcome);
                    login.poll_seconds = Some(seconds);
                }
                Err(why) => self.refuse(found.key, why),
            }
        }
        if let Some(found) = of_pod(self, "auth-type") {
            match found.value.trim() {
                "kubernetes" => self.note(found.key, Treatment::Used, "the Kubernetes auth method"),
                _ => self.refuse(found.key, found.annotation.outcome),
            }
        }
        if self.values.of_pod.contains_key("agent-revoke-on-shutdown") {
            login.revoke_on_shutdown =
                self.switch("agent-revoke-on-shutdown", "revokes the token at the end");
        }
        login
    }

    /// Containers, how the application is told, and whether the agent stays.
    pub(super) fn deliver(
        &mut self,
        pod: &Pod<'_>,
        annotations: &mut Annotations,
        commands: &[(String, String)],
    ) {
        if let Some(found) = self.values.of_pod.get("agent-inject-containers").copied()
            && !found.value.trim().is_empty()
        {
            let names = [(SECRETS, COMPAT_BUNDLE), (CONTAINERS, found.value)];
            match Annotations::parse(names) {
                Ok(parsed) => {
                    let outcome = format!("the files are mounted in {}", printable(found.value));
                    self.note(found.key, Treatment::Used, outcome);
                    annotations.containers = parsed.and_then(|it| it.containers);
                }
                Err(errors) => {
                    let why: Vec<_> = errors.iter().map(|error| error.message()).collect();
                    self.refuse(found.key, why.join("; "));
                }
            }
        }
        let once = self.switch("agent-pre-populate-only", "no sidecar stays");
        annotations.deliver.init_only |= once == Some(true);
        let mut asked: Option<ReloadRequest> = None;
        for (file, text) in commands {
            let key = format!("{PREFIX}agent-inject-command-{file}");
            if pod.annotation(RELOAD).is_some() {
                self.note(&key, Treatment::Ignored, format!("{RELOAD} of the pod counts"));
                continue;
            }
            if annotations.deliver.init_only {
                self.note(&key, Treatment::Ignored, "nothing changes where no sidecar stays");
                continue;
            }
            match command::reload(text) {
                Ok(reload) if asked.as_ref().is_some_and(|it| *it != reload) => {
                    let why = format!(
                        "another file's command is another way to tell the application; write one \
                         as {RELOAD}"
                    );
                    self.refuse(&key, why);
                }
                Ok(reload) => {
                    self.note(&key, Treatment::Used, format!("{RELOAD}: {reload}"));
                    asked = Some(reload);
                }
                Err(error) => self.refuse(&key, error.to_string()),
            }
        }
        if let Some(reload) = asked {
            annotations.reload = reload;
        }
    }
}
