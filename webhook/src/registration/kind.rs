//! The two kinds of objects that register webhooks.

use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Resource;
use kube::core::ClusterResourceScope;
use serde::de::DeserializeOwned;

/// One entry of a registration.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub(super) name: &'a str,
    /// PEM.
    pub(crate) ca_bundle: &'a [u8],
}

impl<'a> Entry<'a> {
    fn new(name: &'a str, config: &'a WebhookClientConfig) -> Self {
        Self { name, ca_bundle: config.ca_bundle.as_ref().map_or(&[], |ca| ca.0.as_slice()) }
    }
}

/// A kind of object that registers webhooks.
pub trait RegistrationKind:
    Resource<DynamicType = (), Scope = ClusterResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The entries, in the order of the object.
    fn entries(&self) -> Vec<Entry<'_>>;
}

impl RegistrationKind for MutatingWebhookConfiguration {
    fn entries(&self) -> Vec<Entry<'_>> {
        let all = self.webhooks.iter().flatten();
        all.map(|it| Entry::new(&it.name, &it.client_config)).collect()
    }
}

impl RegistrationKind for ValidatingWebhookConfiguration {
    fn entries(&self) -> Vec<Entry<'_>> {
        let all = self.webhooks.iter().flatten();
        all.map(|it| Entry::new(&it.name, &it.client_config)).collect()
    }
}
