//! The `SecretBundle` objects: one in each namespace bound to a bundle, with the names of its keys.

use std::collections::BTreeMap;

use contract::secret_bundle::{API_VERSION, GROUP, KIND, PLURAL, Status};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::{Cluster, ClusterError};
use crate::publisher::SecretBundleKey;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "switchyard";

impl Cluster {
    /// The announcements that we made, as the API server has them now. `None` is one whose status
    /// is missing or not of the form.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub async fn secret_bundles(
        &self,
    ) -> Result<BTreeMap<SecretBundleKey, Option<Status>>, ClusterError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource());
        let ours = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
        let list = self.call("list secretbundles", api.list(&ours)).await?;
        Ok(list
            .into_iter()
            .map(|object| {
                let status = object
                    .data
                    .get("status")
                    .and_then(|status| serde_json::from_value(status.clone()).ok());
                (
                    SecretBundleKey {
                        namespace: object.namespace().unwrap_or_default(),
                        bundle: object.name_any(),
                    },
                    status,
                )
            })
            .collect())
    }

    /// Makes an announcement say `status`. One that a person made keeps the person's labels and
    /// spec, and is not ours to delete later.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn apply_secret_bundle(
        &self,
        key: &SecretBundleKey,
        status: &Status,
    ) -> Result<(), ClusterError> {
        let api = self.bundles_in(&key.namespace);
        let found = self.call("read secretbundle", api.get_opt(&key.bundle)).await?;
        let apply = PatchParams::apply(MANAGER).force();
        let version = format!("{GROUP}/{API_VERSION}");
        if found.as_ref().is_none_or(is_ours) {
            let object = json!({"apiVersion": version, "kind": KIND, "metadata": {"name": key.bundle, "labels": {MANAGED_BY: MANAGER}}});
            self.call("apply secretbundle", api.patch(&key.bundle, &apply, &Patch::Apply(&object)))
                .await?;
        }
        let object = json!({"apiVersion": version, "kind": KIND, "metadata": {"name": key.bundle}, "status": status});
        self.call(
            "apply secretbundle status",
            api.patch_status(&key.bundle, &apply, &Patch::Apply(&object)),
        )
        .await?;
        Ok(())
    }

    /// Takes an announcement of ours back; one that a person made stays.
    ///
    /// # Errors
    /// Where it cannot be deleted.
    pub async fn delete_secret_bundle(&self, key: &SecretBundleKey) -> Result<(), ClusterError> {
        let api = self.bundles_in(&key.namespace);
        let found = self.call("read secretbundle", api.get_opt(&key.bundle)).await?;
        if !found.as_ref().is_some_and(is_ours) {
            return Ok(());
        }
        match self
            .call("delete secretbundle", api.delete(&key.bundle, &DeleteParams::default()))
            .await
        {
            Err(error) if error.is_missing() => Ok(()),
            other => other.map(drop),
        }
    }

    fn bundles_in(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource())
    }
}

fn is_ours(object: &DynamicObject) -> bool {
    object.labels().get(MANAGED_BY).is_some_and(|by| by == MANAGER)
}

fn resource() -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: API_VERSION.to_owned(),
        api_version: format!("{GROUP}/{API_VERSION}"),
        kind: KIND.to_owned(),
        plural: PLURAL.to_owned(),
    }
}
