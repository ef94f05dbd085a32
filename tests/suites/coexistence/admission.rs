//! The API server's mutating admission, as far as webhooks see it: two rounds at most, in the order
//! of the registrations' names (`plugin/webhook/mutating/dispatcher.go`).

use std::collections::BTreeSet;

use injection::{BundleLookup, Decision, InjectionConfig, Pod, admit};
use json_patch::Patch;
use serde_json::{Value, json};

use e2e::other_webhook::{OtherWebhook, StandIns};

/// What runs in other webhooks' containers; nothing does here.
pub(crate) const STAND_INS: StandIns<'_> = StandIns {
    image: "others/proxy:1",
    ends: &["once"],
    serves: &["--listen"],
    hook: &["/proxy", "wait"],
    node_directory: "/var/run/datadog",
};

/// A registered webhook.
#[derive(Clone, Copy)]
pub(crate) enum Webhook {
    Ours,
    Other(OtherWebhook),
}

/// An admitted pod.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) pod: Value,
    /// What ours says of it at the end.
    pub(crate) warnings: Vec<String>,
}

/// A pod's way through admission.
pub(crate) struct Admission<'a, B> {
    pub(crate) bundles: &'a B,
    pub(crate) config: &'a InjectionConfig,
    pub(crate) namespace: &'a str,
}

impl<B: BundleLookup> Admission<'_, B> {
    /// Ours alone: the patch, or why the pod is refused.
    pub(crate) fn ours(&self, pod: &Value) -> Result<(Patch, Vec<String>), String> {
        let json = pod.to_string();
        let parsed = Pod::parse(&json).map_err(|error| error.to_string())?;
        match admit(&parsed, self.namespace, self.bundles, self.config) {
            Decision::Inject { patch, warnings } => Ok((patch.operations().unwrap(), warnings)),
            Decision::Refuse { message, .. } => Err(message),
            Decision::Skip(reason) => Err(format!("skipped: {reason}")),
        }
    }

    /// The pod after both rounds.
    pub(crate) fn admit(&self, pod: &Value, webhooks: &[Webhook]) -> Result<Admitted, String> {
        let mut pod = pod.clone();
        let (mut invoked, mut again) = (BTreeSet::new(), BTreeSet::new());
        let (mut is_changed, mut last) = (false, Value::Null);
        for round in 0..2 {
            add_service_account(&mut pod);
            if round == 1 && pod != last {
                again.append(&mut invoked);
            }
            for (index, webhook) in webhooks.iter().enumerate() {
                if round == 1 && !again.contains(&index) {
                    continue;
                }
                let before = pod.clone();
                self.call(*webhook, &mut pod)?;
                if pod != before {
                    again.append(&mut invoked);
                    is_changed = true;
                }
                if matches!(webhook, Webhook::Ours)
                    || matches!(webhook, Webhook::Other(other) if other.is_reinvoked())
                {
                    invoked.insert(index);
                }
            }
            if !is_changed {
                break;
            }
            last = pod.clone();
        }
        let (_, warnings) = self.ours(&pod)?;
        Ok(Admitted { pod, warnings })
    }

    fn call(&self, webhook: Webhook, pod: &mut Value) -> Result<(), String> {
        let patch = match webhook {
            Webhook::Ours => self.ours(pod)?.0,
            Webhook::Other(other) => other.patch(pod, &STAND_INS),
        };
        json_patch::patch(pod, &patch).map_err(|error| format!("apply patch: {error}"))?;
        set_defaults(pod);
        Ok(())
    }
}

fn containers(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod["spec"].as_object_mut().unwrap().iter_mut();
    let lists = spec.filter(|(key, _)| ["containers", "initContainers"].contains(&key.as_str()));
    lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
}

/// The plugin that mounts the service account's token in containers that lack it, before the
/// webhooks of each round.
fn add_service_account(pod: &mut Value) {
    let (name, path) = ("kube-api-access-x", "/var/run/secrets/kubernetes.io/serviceaccount");
    let mut is_mounted = false;
    for container in containers(pod) {
        let mounts = &mut container["volumeMounts"];
        if !mounts.as_array().into_iter().flatten().any(|it| it["mountPath"] == path) {
            if mounts.is_null() {
                *mounts = json!([]);
            }
            let mount = json!({"name": name, "mountPath": path, "readOnly": true});
            mounts.as_array_mut().unwrap().push(mount);
            is_mounted = true;
        }
    }
    let volumes = &mut pod["spec"]["volumes"];
    if volumes.is_null() {
        *volumes = json!([]);
    }
    let volumes = volumes.as_array_mut().unwrap();
    if is_mounted && !volumes.iter().any(|it| it["name"] == name) {
        volumes.push(json!({"name": name, "projected": {"sources": []}}));
    }
}

/// Some fields that the API server sets before the next webhook sees the pod.
fn set_defaults(pod: &mut Value) {
    for container in containers(pod) {
        for (key, value) in [
            ("terminationMessagePath", "/dev/termination-log"),
            ("terminationMessagePolicy", "File"),
        ] {
            if container[key].is_null() {
                container[key] = json!(value);
            }
        }
    }
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if volume["projected"].is_object() && volume["projected"]["defaultMode"].is_null() {
            volume["projected"]["defaultMode"] = json!(420);
        }
    }
}
