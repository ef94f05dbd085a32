//! The ConfigMap `enclii-trust` with the CAs that may have signed our certificate.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};

use super::{Cluster, ClusterError};

const NAME: &str = "enclii-trust";

/// The field manager, as `managedFields` shows it.
const MANAGER: &str = "switchyard";

/// The key in the ConfigMap, and the file name when a directory is used instead.
pub(crate) const TRUST_KEY: &str = "ca.crt";

impl Cluster {
    /// Writes `ca` to the ConfigMap, unless it is there already.
    ///
    /// # Errors
    /// The ConfigMap cannot be read or written.
    pub async fn put_trust(&self, ca: &str) -> Result<(), ClusterError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let data = Some([(TRUST_KEY.to_owned(), ca.to_owned())].into());
        match self.call("read configmap enclii-trust", maps.get_opt(NAME)).await? {
            Some(found)
                if found
                    .data
                    .as_ref()
                    .and_then(|data| data.get(TRUST_KEY))
                    .is_some_and(|found| found == ca) =>
            {
                Ok(())
            }
            Some(_) => {
                let patch = Patch::Merge(ConfigMap { data, ..ConfigMap::default() });
                self.call(
                    "write configmap enclii-trust",
                    maps.patch(NAME, &PatchParams::default(), &patch),
                )
                .await
                .map(drop)
            }
            None => {
                let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data, ..ConfigMap::default() };
                // Server-side apply: the right to create can be given for this name alone.
                self.call(
                    "create configmap enclii-trust",
                    maps.patch(NAME, &PatchParams::apply(MANAGER).force(), &Patch::Apply(map)),
                )
                .await
                .map(drop)
            }
        }
    }
}
