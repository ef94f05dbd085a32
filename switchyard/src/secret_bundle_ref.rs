//! The key of a published `SecretBundle`, shared by the publisher and the Kubernetes client.

/// Names a `SecretBundle` object, as namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretBundleRef {
    /// The namespace.
    pub namespace: String,
    /// The bundle's name, which is also the object's name.
    pub bundle: String,
}
