//! By what one sees that a webhook has done its work, and that nobody has undone it.

use serde_json::Value;

use super::OtherWebhook;
use super::edit::{LISTS, has};

/// What a webhook leaves in a pod.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// Variables of the application's containers.
    pub variables: &'static [&'static str],
    /// Paths of mounts in them.
    pub mounts: &'static [&'static str],
    /// The pod's volumes.
    pub volumes: &'static [&'static str],
    /// Containers of either list.
    pub containers: &'static [&'static str],
}

const NONE: Signs = Signs { variables: &[], mounts: &[], volumes: &[], containers: &[] };

const AZURE: Signs = Signs {
    variables: &["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"],
    mounts: &["/var/run/secrets/azure/tokens"],
    volumes: &["azure-identity-token"],
    ..NONE
};

const DATADOG: Signs = Signs {
    variables: &["DD_ENTITY_ID", "DD_EXTERNAL_ENV", "DD_TRACE_AGENT_URL"],
    mounts: &["/var/run/datadog"],
    volumes: &["datadog"],
    ..NONE
};

impl Signs {
    /// Those of a webhook.
    #[must_use]
    pub fn of(webhook: OtherWebhook) -> Self {
        match webhook {
            OtherWebhook::EksRole => Self {
                variables: &["AWS_REGION", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"],
                mounts: &["/var/run/secrets/eks.amazonaws.com/serviceaccount"],
                volumes: &["aws-iam-token"],
                ..NONE
            },
            OtherWebhook::EksPodIdentity => Self {
                variables: &[
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                ],
                mounts: &["/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"],
                volumes: &["eks-pod-identity-token"],
                ..NONE
            },
            OtherWebhook::Azure => AZURE,
            OtherWebhook::AzureProxy => {
                Self { containers: &["azwi-proxy", "azwi-proxy-init"], ..AZURE }
            }
            OtherWebhook::Istio => Self {
                volumes: &["istio-token", "istio-envoy", "istio-podinfo"],
                containers: &["istio-proxy", "istio-init"],
                ..NONE
            },
            OtherWebhook::IstioNative => Self {
                volumes: &["istio-token", "istio-envoy", "istio-podinfo"],
                containers: &["istio-proxy", "istio-validation"],
                ..NONE
            },
            OtherWebhook::Linkerd => Self {
                volumes: &["linkerd-identity-token", "linkerd-identity-end-entity"],
                containers: &["linkerd-proxy", "linkerd-init"],
                ..NONE
            },
            OtherWebhook::LinkerdNative => Self {
                volumes: &["linkerd-identity-token", "linkerd-identity-end-entity"],
                containers: &["linkerd-proxy", "linkerd-network-validator"],
                ..NONE
            },
            OtherWebhook::Datadog | OtherWebhook::DatadogCsi => DATADOG,
            OtherWebhook::DatadogLibrary => Self {
                variables: &["DD_ENTITY_ID", "DD_INJECT_SENDER_TYPE", "LD_PRELOAD"],
                mounts: &["/var/run/datadog", "/etc/ld.so.preload", "/opt/datadog/apm/library"],
                volumes: &["datadog", "datadog-auto-instrumentation"],
                containers: &["datadog-init-apm-inject", "datadog-lib-java-init"],
            },
        }
    }

    /// Those that a pod lacks, looking at the container `application` for variables and mounts.
    #[must_use]
    pub fn missing(&self, pod: &Value, application: &str) -> Vec<&'static str> {
        let spec = &pod["spec"];
        let containers = LISTS.iter().flat_map(|list| spec[*list].as_array().into_iter().flatten());
        let app = containers.clone().find(|it| it["name"] == application).unwrap_or(&Value::Null);
        let mounts: Vec<&Value> = app["volumeMounts"].as_array().into_iter().flatten().collect();
        let absent = |names: &'static [&'static str], is_there: &dyn Fn(&str) -> bool| {
            names.iter().copied().filter(|name| !is_there(name)).collect::<Vec<_>>()
        };
        [
            absent(self.variables, &|name| has(app, "env", name)),
            absent(self.mounts, &|path| mounts.iter().any(|it| it["mountPath"] == path)),
            absent(self.volumes, &|name| has(spec, "volumes", name)),
            absent(self.containers, &|name| containers.clone().any(|it| it["name"] == name)),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::StandIns;
    use super::*;

    const STAND_INS: StandIns<'_> = StandIns {
        image: "i",
        ends: &["once"],
        serves: &["--listen"],
        hook: &["/i"],
        node_directory: "/d",
    };

    fn pods() -> [Value; 3] {
        let plain = json!({"metadata": {"annotations": {}}, "spec": {
            "containers": [{"name": "api"}]
        }});
        let mut more = plain.clone();
        more["metadata"]["labels"] = json!({"a": "b"});
        more["spec"]["initContainers"] = json!([{"name": "migrate", "env": []}]);
        more["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        let mut typed = more.clone();
        typed["spec"]["initContainers"][0]["restartPolicyRules"] = json!([]);
        [plain, more, typed]
    }

    #[test]
    fn each_webhook_leaves_its_signs_once_and_its_patch_does_the_same() {
        for webhook in OtherWebhook::ALL {
            let signs = Signs::of(webhook);
            for pod in pods() {
                assert!(!signs.missing(&pod, "api").is_empty(), "{webhook:?}");
                let once = webhook.mutate(&pod, &STAND_INS);
                assert_eq!(signs.missing(&once, "api"), [""; 0], "{webhook:?}");
                assert_eq!(webhook.mutate(&once, &STAND_INS), once, "{webhook:?}");
                let mut patched = pod.clone();
                json_patch::patch(&mut patched, &webhook.patch(&pod, &STAND_INS)).unwrap();
                assert_eq!(patched, once, "{webhook:?}");
                assert!(webhook.patch(&once, &STAND_INS).is_empty(), "{webhook:?}");
            }
        }
    }

    #[test]
    fn containers_stand_where_the_webhooks_put_them() {
        let names = |list: &Value| -> Vec<String> {
            let all = list.as_array().unwrap().iter();
            all.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
        };
        let [_, pod, _] = pods();
        for (webhook, init, containers) in [
            (OtherWebhook::EksRole, &["migrate"][..], &["api"][..]),
            (OtherWebhook::AzureProxy, &["azwi-proxy", "migrate", "azwi-proxy-init"], &["api"]),
            (OtherWebhook::Istio, &["migrate", "istio-init"], &["istio-proxy", "api"]),
            (OtherWebhook::IstioNative, &["istio-validation", "istio-proxy", "migrate"], &["api"]),
            (OtherWebhook::Linkerd, &["migrate", "linkerd-init"], &["linkerd-proxy", "api"]),
            (
                OtherWebhook::DatadogLibrary,
                &["datadog-init-apm-inject", "datadog-lib-java-init", "migrate"],
                &["api"],
            ),
        ] {
            let spec = &webhook.mutate(&pod, &STAND_INS)["spec"];
            assert_eq!(names(&spec["initContainers"]), init, "{webhook:?}");
            assert_eq!(names(&spec["containers"]), containers, "{webhook:?}");
        }
    }

    #[test]
    fn old_types_lose_a_new_field_and_the_others_lose_none() {
        let [_, _, typed] = pods();
        for webhook in OtherWebhook::ALL {
            let once = webhook.mutate(&typed, &STAND_INS);
            let init = once["spec"]["initContainers"].as_array().unwrap();
            let migrate = init.iter().find(|it| it["name"] == "migrate").unwrap();
            let is_old = webhook.name().starts_with("eks");
            assert_eq!(migrate["restartPolicyRules"].is_null(), is_old, "{webhook:?}");
        }
    }
}
