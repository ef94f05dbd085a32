//! Each verb of each role, with the call that needs it. A verb without a reason here is a right
//! that a taken-over program would have for nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::objects::{name, objects, of_kind, texts};

/// What one role may do to one resource, and the calls that need each verb.
struct Right {
    role: &'static str,
    group: &'static str,
    resource: &'static str,
    /// The names of the objects; none is all of them.
    names: &'static [&'static str],
    verbs: &'static [(&'static str, &'static str)],
}

const RIGHTS: &[Right] = &[
    Right {
        role: "ClusterRole/enclii-webhook",
        group: "enclii.io",
        resource: "secretbundles",
        names: &[],
        verbs: &[
            ("list", "the catalog's first read: webhook/src/catalog/kubernetes.rs"),
            ("watch", "the catalog's changes: webhook/src/catalog/kubernetes.rs"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-webhook",
        group: "admissionregistration.k8s.io",
        resource: "mutatingwebhookconfigurations",
        names: &["enclii-webhook"],
        verbs: &[
            ("list", "whether its CAs signed the certificate: webhook/src/registered.rs"),
            ("watch", "their changes: webhook/src/registered.rs"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-webhook",
        group: "admissionregistration.k8s.io",
        resource: "validatingwebhookconfigurations",
        names: &["enclii-plaintext"],
        verbs: &[
            ("list", "the same of the one for plaintext: webhook/src/registered.rs"),
            ("watch", "its changes: webhook/src/registered.rs"),
        ],
    },
    Right {
        role: "Role/enclii-webhook",
        group: "",
        resource: "secrets",
        names: &["enclii-webhook-tls"],
        verbs: &[
            ("get", "the serving certificate: certs/src/followed_secret.rs"),
            ("watch", "its renewal: certs/src/store/secret.rs"),
        ],
    },
    Right {
        role: "Role/enclii-webhook",
        group: "",
        resource: "configmaps",
        names: &["enclii-trust"],
        verbs: &[
            ("list", "switchyard's CA: webhook/src/trust/config_map.rs"),
            ("watch", "its renewal: webhook/src/trust/config_map.rs"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-certificates",
        group: "admissionregistration.k8s.io",
        resource: "mutatingwebhookconfigurations",
        names: &["enclii-webhook"],
        verbs: &[
            ("list", "the registration: webhook/src/registration.rs"),
            ("watch", "its changes by others: webhook/src/registration.rs"),
            ("patch", "the CA in it: webhook/src/registration.rs"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-certificates",
        group: "admissionregistration.k8s.io",
        resource: "validatingwebhookconfigurations",
        names: &["enclii-plaintext"],
        verbs: &[
            ("list", "the policies for plaintext: webhook/src/registration.rs"),
            ("watch", "their changes by others: webhook/src/registration.rs"),
            ("patch", "the CA in them: webhook/src/registration.rs"),
        ],
    },
    Right {
        role: "Role/enclii-certificates",
        group: "",
        resource: "secrets",
        names: &["enclii-webhook-ca", "enclii-webhook-tls"],
        verbs: &[
            ("get", "what is stored: certs/src/store/secret.rs"),
            ("watch", "its changes by others: certs/src/store/secret.rs"),
            ("create", "a Secret that was deleted: certs/src/store/secret.rs"),
            ("patch", "new certificates: certs/src/store/secret.rs"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-switchyard",
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        names: &[],
        verbs: &[("create", "whose a token is: switchyard/src/cluster/token_review.rs")],
    },
    Right {
        role: "ClusterRole/enclii-switchyard",
        group: "",
        resource: "namespaces",
        names: &[],
        verbs: &[
            ("list", "their labels: switchyard/src/cluster/namespaces.rs"),
            ("watch", "changes of them: switchyard/src/cluster/namespaces.rs"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-switchyard",
        group: "enclii.io",
        resource: "secretbundles",
        names: &[],
        verbs: &[
            ("get", "whether it is switchyard's own: switchyard/src/cluster/secret_bundles.rs"),
            ("list", "those that are there: switchyard/src/cluster/secret_bundles.rs"),
            ("create", "a new bundle, by server-side apply: the same file"),
            ("patch", "its label, by server-side apply: the same file"),
            ("delete", "a bundle that is gone: the same file"),
        ],
    },
    Right {
        role: "ClusterRole/enclii-switchyard",
        group: "enclii.io",
        resource: "secretbundles/status",
        names: &[],
        verbs: &[("patch", "the names of the keys: switchyard/src/cluster/secret_bundles.rs")],
    },
    Right {
        role: "ClusterRole/enclii-switchyard",
        group: "events.k8s.io",
        resource: "events",
        names: &[],
        verbs: &[
            ("create", "that a check failed in a pod: switchyard/src/cluster/pod_events.rs"),
            ("patch", "that it did again: switchyard/src/cluster/pod_events.rs"),
        ],
    },
    Right {
        role: "Role/switchyard",
        group: "",
        resource: "secrets",
        names: &["enclii-switchyard-tls"],
        verbs: &[
            ("get", "what is stored: certs/src/store/secret.rs"),
            ("watch", "changes by another replica: certs/src/store/secret.rs"),
            ("patch", "new certificates: certs/src/store/secret.rs"),
        ],
    },
    Right {
        role: "Role/switchyard",
        group: "",
        resource: "secrets",
        names: &["enclii-bootstrap"],
        verbs: &[
            ("get", "the first token: switchyard/src/cluster/bootstrap.rs"),
            ("patch", "to put it there: switchyard/src/cluster/bootstrap.rs"),
        ],
    },
    Right {
        role: "Role/switchyard",
        group: "",
        resource: "configmaps",
        names: &["enclii-trust"],
        verbs: &[
            ("get", "the published CA: switchyard/src/cluster/trust.rs"),
            ("create", "a ConfigMap that was deleted: switchyard/src/cluster/trust.rs"),
            ("patch", "a new CA: switchyard/src/cluster/trust.rs"),
        ],
    },
];

/// One verb of one role on one resource, as a line that a failed comparison shows.
fn line(role: &str, group: &str, resource: &str, names: &[&str], verb: &str) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    let names = if names.is_empty() { "all".to_owned() } else { names.join(" and ") };
    format!("{role}: {verb} {resource}.{group} named {names}")
}

fn expected() -> BTreeSet<String> {
    let lines = RIGHTS.iter().flat_map(|right| {
        right.verbs.iter().map(|(verb, reason)| {
            assert!(!reason.is_empty());
            line(right.role, right.group, right.resource, right.names, verb)
        })
    });
    lines.collect()
}

fn granted(all: &[Value]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for role in of_kind(all, "ClusterRole").chain(of_kind(all, "Role")) {
        let named = format!("{}/{}", role["kind"].as_str().unwrap(), name(role));
        for rule in role["rules"].as_array().unwrap() {
            assert_eq!(rule["nonResourceURLs"], Value::Null, "{named}");
            let names = texts(&rule["resourceNames"]);
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        found.insert(line(&named, group, resource, &names, verb));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_role_has_the_verbs_that_a_call_needs_and_no_other() {
    let granted = granted(&objects(&["base", "certificates"]));
    let without_reason: Vec<_> = granted.difference(&expected()).cloned().collect();
    assert!(without_reason.is_empty(), "no call needs these: {without_reason:#?}");
    let missing: Vec<_> = expected().difference(&granted).cloned().collect();
    assert!(missing.is_empty(), "calls need these: {missing:#?}");
}

#[test]
fn every_role_is_its_own_service_accounts() {
    let all = objects(&["base", "certificates"]);
    let bindings = || of_kind(&all, "ClusterRoleBinding").chain(of_kind(&all, "RoleBinding"));
    for binding in bindings() {
        let subjects = binding["subjects"].as_array().unwrap();
        assert_eq!(subjects.len(), 1, "{binding}");
        let (subject, role) = (&subjects[0], binding["roleRef"]["name"].as_str().unwrap());
        assert_eq!(
            (subject["kind"].as_str(), subject["namespace"].as_str()),
            (Some("ServiceAccount"), Some("enclii-system")),
            "{binding}"
        );
        let account = subject["name"].as_str().unwrap();
        assert!(role == account || role == format!("enclii-{account}"), "{binding}");
    }
    // No account of the default installation gets a role from elsewhere.
    for overlay in ["overlays/postgres", "overlays/cert-manager"] {
        let more = objects(&[overlay]);
        assert!(granted(&more).is_empty(), "{overlay}");
    }
}
