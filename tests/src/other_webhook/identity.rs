//! Identities of a cloud: a token for it, and variables that say where it is.

use serde_json::{Value, json};

use super::StandIns;
use super::edit::{
    append_mount, append_variable, append_volume, each_container, ending, has, list, mount,
    round_trip_through_old_types, serving, token_volume, variable,
};

const ROLE_DIRECTORY: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
const POD_IDENTITY_DIRECTORY: &str = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount";
const AZURE_DIRECTORY: &str = "/var/run/secrets/azure/tokens";

/// Every container at once; a pod with the volume is left alone.
pub(super) fn eks_role(pod: &mut Value) {
    let variables = [
        variable("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
        variable("AWS_DEFAULT_REGION", "eu-central-1"),
        variable("AWS_REGION", "eu-central-1"),
        variable("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/api"),
        variable("AWS_WEB_IDENTITY_TOKEN_FILE", &format!("{ROLE_DIRECTORY}/token")),
    ];
    let volume = token_volume("aws-iam-token", "sts.amazonaws.com", 86_400, "token");
    eks(pod, &variables, (volume, ROLE_DIRECTORY));
}

pub(super) fn eks_pod_identity(pod: &mut Value) {
    let token = "eks-pod-identity-token";
    let file = format!("{POD_IDENTITY_DIRECTORY}/{token}");
    let variables = [
        variable("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
        variable("AWS_REGION", "eu-central-1"),
        variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file),
    ];
    let volume = token_volume(token, "pods.eks.amazonaws.com", 86_400, token);
    eks(pod, &variables, (volume, POD_IDENTITY_DIRECTORY));
}

/// Writes both lists of containers anew, and the volume at the front.
fn eks(pod: &mut Value, variables: &[Value], (volume, directory): (Value, &str)) {
    let name = volume["name"].as_str().unwrap_or_default().to_owned();
    if has(&pod["spec"], "volumes", &name) {
        return;
    }
    each_container(pod, |container| {
        for variable in variables {
            append_variable(container, variable.clone());
        }
        append_mount(container, mount(&name, directory));
    });
    round_trip_through_old_types(pod);
    list(&mut pod["spec"], "volumes").insert(0, volume);
}

/// Whatever a container lacks, at each call.
pub(super) fn azure(pod: &mut Value) {
    let name = "azure-identity-token";
    let file = format!("{AZURE_DIRECTORY}/{name}");
    each_container(pod, |container| {
        for (key, value) in [
            ("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555"),
            ("AZURE_TENANT_ID", "66666666-7777-8888-9999-000000000000"),
            ("AZURE_FEDERATED_TOKEN_FILE", &*file),
            ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
        ] {
            append_variable(container, variable(key, value));
        }
        append_mount(container, mount(name, AZURE_DIRECTORY));
    });
    append_volume(pod, token_volume(name, "api://AzureADTokenExchange", 3600, name));
}

/// The proxy goes before every init container, and what redirects to it after them.
pub(super) fn azure_proxy(pod: &mut Value, stand_ins: &StandIns<'_>) {
    let init = list(&mut pod["spec"], "initContainers");
    if !init.iter().any(|it| it["name"] == "azwi-proxy-init") {
        // The real one is privileged too.
        let context = json!({
            "runAsUser": 0, "runAsNonRoot": false,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        });
        let more = json!({"env": [variable("PROXY_PORT", "8000")], "securityContext": context});
        init.push(ending("azwi-proxy-init", stand_ins, &more));
        let more = json!({
            "restartPolicy": "Always",
            "ports": [{"containerPort": 8000}],
            "lifecycle": {"postStart": {"exec": {"command": stand_ins.hook}}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            },
        });
        init.insert(0, serving("azwi-proxy", "0.0.0.0:8000", stand_ins, &more));
    }
    azure(pod);
}
