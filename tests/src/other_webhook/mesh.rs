//! Meshes: a proxy, what redirects connections to it, and a token for its certificate.

use serde_json::{Value, json};

use super::StandIns;
use super::edit::{
    annotate, append_volume, ending, label, list, mount, serving, token_volume, variable,
};

const ISTIO_TOKENS: &str = "/var/run/secrets/tokens";

/// The proxy first among the containers, with a hook that holds the others back; what redirects
/// last among the init containers, so that they reach the network.
pub(super) fn istio(pod: &mut Value, stand_ins: &StandIns<'_>) {
    if is_meshed(pod, "istio-proxy") {
        return;
    }
    let hook = json!({"postStart": {"exec": {"command": stand_ins.hook}}});
    let proxy = istio_proxy(stand_ins, &json!({"lifecycle": hook}));
    list(&mut pod["spec"], "containers").insert(0, proxy);
    let context = json!({
        "runAsUser": 0, "runAsNonRoot": false, "allowPrivilegeEscalation": false,
        "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
    });
    let redirect = ending("istio-init", stand_ins, &json!({"securityContext": context}));
    list(&mut pod["spec"], "initContainers").push(redirect);
    if pod["spec"]["securityContext"]["fsGroup"].is_null() {
        pod["spec"]["securityContext"]["fsGroup"] = json!(1337);
    }
    istio_metadata(pod);
}

/// The check of the CNI plugin's work and the proxy, before every init container.
pub(super) fn istio_native(pod: &mut Value, stand_ins: &StandIns<'_>) {
    if is_meshed(pod, "istio-proxy") {
        return;
    }
    let probe = json!({"tcpSocket": {"port": 15021}, "periodSeconds": 1, "failureThreshold": 600});
    let more = json!({"restartPolicy": "Always", "startupProbe": probe});
    let proxy = istio_proxy(stand_ins, &more);
    let context = json!({
        "runAsUser": 1337, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
    });
    let validation = ending("istio-validation", stand_ins, &json!({"securityContext": context}));
    list(&mut pod["spec"], "initContainers").splice(..0, [validation, proxy]);
    istio_metadata(pod);
}

fn istio_proxy(stand_ins: &StandIns<'_>, more: &Value) -> Value {
    let mut proxy = serving("istio-proxy", "0.0.0.0:15021", stand_ins, more);
    let field = |path: &str| json!({"fieldRef": {"apiVersion": "v1", "fieldPath": path}});
    proxy["env"] = json!([
        variable("PILOT_CERT_PROVIDER", "istiod"),
        variable("CA_ADDR", "istiod.istio-system.svc:15012"),
        {"name": "POD_NAME", "valueFrom": field("metadata.name")},
        {"name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace")},
        variable("PROXY_CONFIG", "{}\n"),
        variable("ISTIO_META_APP_CONTAINERS", "api"),
    ]);
    proxy["securityContext"] = json!({
        "runAsUser": 1337, "runAsGroup": 1337, "runAsNonRoot": true, "privileged": false,
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    proxy["volumeMounts"] = json!([
        {"name": "workload-socket", "mountPath": "/var/run/secrets/workload-spiffe-uds"},
        {"name": "credential-socket", "mountPath": "/var/run/secrets/credential-uds"},
        {"name": "workload-certs", "mountPath": "/var/run/secrets/workload-spiffe-credentials"},
        {"name": "istio-data", "mountPath": "/var/lib/istio/data"},
        {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
        {"name": "istio-token", "mountPath": ISTIO_TOKENS},
        {"name": "istio-podinfo", "mountPath": "/etc/istio/pod"},
    ]);
    proxy
}

fn istio_metadata(pod: &mut Value) {
    for name in ["workload-socket", "credential-socket", "workload-certs", "istio-data"] {
        append_volume(pod, json!({"name": name, "emptyDir": {}}));
    }
    append_volume(pod, json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}));
    let labels = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
    append_volume(pod, json!({"name": "istio-podinfo", "downwardAPI": {"items": [labels]}}));
    append_volume(pod, token_volume("istio-token", "istio-ca", 43_200, "istio-token"));
    annotate(pod, "sidecar.istio.io/status", r#"{"containers":["istio-proxy"]}"#);
    annotate(pod, "kubectl.kubernetes.io/default-container", "api");
    label(pod, "security.istio.io/tlsMode", "istio");
}

/// The proxy first, with a hook; what redirects after the init containers.
pub(super) fn linkerd(pod: &mut Value, stand_ins: &StandIns<'_>) {
    if is_meshed(pod, "linkerd-proxy") {
        return;
    }
    let hook = json!({"postStart": {"exec": {"command": stand_ins.hook}}});
    let proxy = linkerd_proxy(stand_ins, &json!({"lifecycle": hook}));
    list(&mut pod["spec"], "containers").insert(0, proxy);
    let more = json!({
        "securityContext": {
            "runAsUser": 65_534, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]},
        },
        "volumeMounts": [{"name": "linkerd-proxy-init-xtables-lock", "mountPath": "/run"}],
    });
    list(&mut pod["spec"], "initContainers").push(ending("linkerd-init", stand_ins, &more));
    append_volume(pod, json!({"name": "linkerd-proxy-init-xtables-lock", "emptyDir": {}}));
    linkerd_metadata(pod);
}

pub(super) fn linkerd_native(pod: &mut Value, stand_ins: &StandIns<'_>) {
    if is_meshed(pod, "linkerd-proxy") {
        return;
    }
    let probe = json!({"tcpSocket": {"port": 4191}, "periodSeconds": 1, "failureThreshold": 120});
    let more = json!({"restartPolicy": "Always", "startupProbe": probe});
    let proxy = linkerd_proxy(stand_ins, &more);
    let context = json!({"runAsUser": 65_534, "runAsNonRoot": true});
    let more = json!({"securityContext": context});
    let validator = ending("linkerd-network-validator", stand_ins, &more);
    list(&mut pod["spec"], "initContainers").splice(..0, [validator, proxy]);
    linkerd_metadata(pod);
}

fn linkerd_proxy(stand_ins: &StandIns<'_>, more: &Value) -> Value {
    let mut proxy = serving("linkerd-proxy", "0.0.0.0:4191", stand_ins, more);
    proxy["env"] = json!([
        variable("LINKERD2_PROXY_LOG", "warn,linkerd=info"),
        variable("LINKERD2_PROXY_IDENTITY_DIR", "/var/run/linkerd/identity/end-entity"),
        variable("_l5d_ns", "linkerd"),
    ]);
    proxy["securityContext"] = json!({
        "runAsUser": 2102, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true, "seccompProfile": {"type": "RuntimeDefault"},
    });
    proxy["volumeMounts"] = json!([
        {
            "name": "linkerd-identity-end-entity",
            "mountPath": "/var/run/linkerd/identity/end-entity",
        },
        mount("linkerd-identity-token", "/var/run/secrets/tokens"),
    ]);
    proxy
}

fn linkerd_metadata(pod: &mut Value) {
    let keys = json!({"name": "linkerd-identity-end-entity", "emptyDir": {"medium": "Memory"}});
    append_volume(pod, keys);
    let name = "linkerd-identity-token";
    append_volume(pod, token_volume(name, "identity.l5d.io", 86_400, name));
    annotate(pod, "linkerd.io/proxy-version", "test");
    label(pod, "linkerd.io/control-plane-ns", "linkerd");
}

fn is_meshed(pod: &Value, proxy: &str) -> bool {
    super::edit::LISTS.iter().any(|list| super::edit::has(&pod["spec"], list, proxy))
}
