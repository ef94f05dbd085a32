//! Pods whose agents would go to Vault, which is not the operator's source here.

use serde_json::json;

use super::edit::{from_vault, list, replace_in_configuration};
use super::hostile::{CONFIGURATION, Hostile, hostile};

const LOGIN: &str = "does not log in to Vault as the webhook has it";
const OTHER_TOKEN: &str = "audience of the agent's login to Vault";

pub(super) const VAULT: &[Hostile] = &[
    hostile("a source that the operator does not have", CONFIGURATION, from_vault),
    hostile("a login to Vault with another token", LOGIN, |pod| {
        from_vault(pod);
        let kubelets = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        replace_in_configuration(pod, "/run/enclii/identity/token", kubelets);
    }),
    hostile("a second address of Vault", LOGIN, |pod| {
        from_vault(pod);
        replace_in_configuration(pod, r#""role""#, r#""address":"https://evil","role""#);
    }),
    hostile("a second token for Vault", OTHER_TOKEN, |pod| {
        from_vault(pod);
        list(&mut pod["spec"]["volumes"]).push(json!({
            "name": "mine",
            "projected": {"sources": [
                {"serviceAccountToken": {"audience": "vault", "path": "token"}}
            ]}
        }));
    }),
];
