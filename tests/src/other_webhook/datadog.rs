//! Tracing: variables in front of the others, sockets of the node's agent, and libraries.

use serde_json::{Value, json};

use super::StandIns;
use super::edit::{annotate, append_volume, each_container, ending, has, list, mount, variable};

const SOCKETS: &str = "/var/run/datadog";

pub(super) fn host_path(pod: &mut Value, stand_ins: &StandIns<'_>) {
    let path = json!({"path": stand_ins.node_directory, "type": "DirectoryOrCreate"});
    sockets(pod, json!({"name": "datadog", "hostPath": path}));
}

pub(super) fn csi(pod: &mut Value) {
    let driver = json!({
        "driver": "k8s.csi.datadoghq.com", "readOnly": true,
        "volumeAttributes": {"type": "DSDSocketDirectory"},
    });
    sockets(pod, json!({"name": "datadog", "csi": driver}));
}

/// Variables in every container that lacks them. A pod with the volume gets no mount any more.
fn sockets(pod: &mut Value, volume: Value) {
    let field = |path: &str| json!({"fieldRef": {"apiVersion": "v1", "fieldPath": path}});
    each_container(pod, |container| {
        let name = container["name"].as_str().unwrap_or_default();
        let external = format!("it-false,cn-{name},pu-$(DD_INTERNAL_POD_UID)");
        for variable in [
            variable("DD_EXTERNAL_ENV", &external),
            json!({"name": "DD_INTERNAL_POD_UID", "valueFrom": field("metadata.uid")}),
            json!({"name": "DD_ENTITY_ID", "valueFrom": field("metadata.uid")}),
            variable("DD_TRACE_AGENT_URL", &format!("unix://{SOCKETS}/apm.socket")),
            variable("DD_DOGSTATSD_URL", &format!("unix://{SOCKETS}/dsd.socket")),
        ] {
            prepend_variable(container, variable);
        }
    });
    if !has(&pod["spec"], "volumes", "datadog") {
        each_container(pod, |container| {
            list(container, "volumeMounts").push(mount("datadog", SOCKETS));
        });
        append_volume(pod, volume);
        let key = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
        annotate(pod, key, "datadog");
    }
}

/// What later variables may refer to comes first.
fn prepend_variable(container: &mut Value, variable: Value) {
    if !has(container, "env", variable["name"].as_str().unwrap_or_default()) {
        list(container, "env").insert(0, variable);
    }
}

/// Init containers that copy libraries, before all others, and what loads them in the containers.
pub(super) fn library(pod: &mut Value, stand_ins: &StandIns<'_>) {
    if !has(&pod["spec"], "initContainers", "datadog-init-apm-inject") {
        add_library(pod, stand_ins);
    }
    host_path(pod, stand_ins);
}

fn add_library(pod: &mut Value, stand_ins: &StandIns<'_>) {
    let (libraries, etc) = ("datadog-auto-instrumentation", "datadog-auto-instrumentation-etc");
    let packages = "/opt/datadog-packages/datadog-apm-inject";
    let at = |volume: &str, path: &str, sub_path: &str| {
        let mut mount = mount(volume, path);
        mount["subPath"] = json!(sub_path);
        mount
    };
    for container in list(&mut pod["spec"], "containers") {
        let mounts = list(container, "volumeMounts");
        mounts.push(at(libraries, packages, "opt/datadog-packages/datadog-apm-inject"));
        mounts.push(at(libraries, "/opt/datadog/apm/library", "opt/datadog/apm/library"));
        mounts.push(at(etc, "/etc/ld.so.preload", "ld.so.preload"));
        let preload = format!("{packages}/stable/inject/launcher.preload.so");
        prepend_variable(container, variable("DD_INJECT_SENDER_TYPE", "k8s"));
        prepend_variable(container, variable("LD_PRELOAD", &preload));
    }
    let copies = |name: &str| {
        let mounts = json!([
            {"name": libraries, "mountPath": "/datadog-inject"},
            {"name": etc, "mountPath": "/datadog-etc"},
        ]);
        ending(name, stand_ins, &json!({"volumeMounts": mounts}))
    };
    let init = ["datadog-init-apm-inject", "datadog-lib-java-init"].map(copies);
    list(&mut pod["spec"], "initContainers").splice(..0, init);
    for name in [libraries, etc] {
        append_volume(pod, json!({"name": name, "emptyDir": {}}));
    }
}
