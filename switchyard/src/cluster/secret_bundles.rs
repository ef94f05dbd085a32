//! `SecretBundle` objects: one per bundle and bound namespace, with the bundle's key names.

use std::collections::BTreeMap;

use contract::secret_bundle::{API_VERSION, GROUP, KIND, PLURAL, Status};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::{Cluster, ClusterError};
use crate::secret_bundle_ref::SecretBundleRef;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "switchyard";

impl Cluster {
    /// Lists the objects that we manage. The status is `None` if it is missing or malformed.
    ///
    /// # Errors
    /// The objects cannot be listed.
    pub async fn secret_bundles(
        &self,
    ) -> Result<BTreeMap<SecretBundleRef, Option<Status>>, ClusterError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource());
        let managed = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
        let list = self.call("list secretbundles", api.list(&managed)).await?;
        Ok(list
            .into_iter()
            .map(|object| {
                let status = object
                    .data
                    .get("status")
                    .and_then(|status| serde_json::from_value(status.clone()).ok());
                (
                    SecretBundleRef {
                        namespace: object.namespace().unwrap_or_default(),
                        bundle: object.name_any(),
                    },
                    status,
                )
            })
            .collect())
    }

    /// Creates or updates an object's status. An object that a person created keeps its labels and
    /// spec, and we never delete it.
    ///
    /// # Errors
    /// The object cannot be written.
    pub async fn apply_secret_bundle(
        &self,
        key: &SecretBundleRef,
        status: &Status,
    ) -> Result<(), ClusterError> {
        let api = self.bundles_in(&key.namespace);
        let found = self.call("read secretbundle", api.get_opt(&key.bundle)).await?;
        let apply = PatchParams::apply(MANAGER).force();
        let version = format!("{GROUP}/{API_VERSION}");
        if found.as_ref().is_none_or(is_managed) {
            let object = json!({"apiVersion": version, "kind": KIND,
                "metadata": {"name": key.bundle, "labels": {MANAGED_BY: MANAGER}}});
            self.call("apply secretbundle", api.patch(&key.bundle, &apply, &Patch::Apply(&object)))
                .await?;
        }
        let object = json!({"apiVersion": version, "kind": KIND,
            "metadata": {"name": key.bundle}, "status": status});
        self.call(
            "apply secretbundle status",
            api.patch_status(&key.bundle, &apply, &Patch::Apply(&object)),
        )
        .await?;
        Ok(())
    }

    /// Deletes an object that we manage. An object that a person created stays.
    ///
    /// # Errors
    /// The object cannot be deleted.
    pub async fn delete_secret_bundle(&self, key: &SecretBundleRef) -> Result<(), ClusterError> {
        let api = self.bundles_in(&key.namespace);
        let found = self.call("read secretbundle", api.get_opt(&key.bundle)).await?;
        if !found.as_ref().is_some_and(is_managed) {
            return Ok(());
        }
        match self
            .call("delete secretbundle", api.delete(&key.bundle, &DeleteParams::default()))
            .await
        {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    fn bundles_in(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource())
    }
}

fn is_managed(object: &DynamicObject) -> bool {
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
