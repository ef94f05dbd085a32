//! What the webhooks of clouds, meshes and tracers do to a pod, as pure functions: the variables,
//! volumes, mounts, containers, hooks and annotations that they add, and where they put them.
//!
//! The shapes are theirs and the programs are not: [`StandIns`] says what runs in their containers.

mod datadog;
mod edit;
mod identity;
mod mesh;
mod signs;

use json_patch::Patch;
use serde_json::Value;

pub use signs::Signs;

/// Another webhook, in one of the forms that an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherWebhook {
    /// EKS: roles of service accounts.
    EksRole,
    /// EKS: Pod Identity.
    EksPodIdentity,
    /// Azure Workload Identity.
    Azure,
    /// The same with its proxy for applications that only know the metadata server.
    AzureProxy,
    /// Istio with `holdApplicationUntilProxyStarts`: the proxy is the first container.
    Istio,
    /// Istio with its CNI plugin and the proxy as a native sidecar, before every init container.
    IstioNative,
    /// Linkerd: the proxy is the first container, and the others wait for it.
    Linkerd,
    /// Linkerd with its CNI plugin and the proxy as a native sidecar.
    LinkerdNative,
    /// Datadog's admission controller, with the sockets in a directory of the node.
    Datadog,
    /// The same, with the sockets from a CSI driver.
    DatadogCsi,
    /// The same, with libraries that instrument the application.
    DatadogLibrary,
}

/// What runs in the containers that these webhooks add.
#[derive(Clone, Copy, Debug)]
pub struct StandIns<'a> {
    /// An image that runs as any user.
    pub image: &'a str,
    /// Arguments with which it ends at once, without an error.
    pub ends: &'a [&'a str],
    /// Arguments with which it serves on an address, which follows.
    pub serves: &'a [&'a str],
    /// A command in it that ends at once, for hooks.
    pub hook: &'a [&'a str],
    /// A directory of the node.
    pub node_directory: &'a str,
}

impl OtherWebhook {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::EksRole,
        Self::EksPodIdentity,
        Self::Azure,
        Self::AzureProxy,
        Self::Istio,
        Self::IstioNative,
        Self::Linkerd,
        Self::LinkerdNative,
        Self::Datadog,
        Self::DatadogCsi,
        Self::DatadogLibrary,
    ];

    /// A name for objects and paths.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EksRole => "eks-role",
            Self::EksPodIdentity => "eks-pod-identity",
            Self::Azure => "azure",
            Self::AzureProxy => "azure-proxy",
            Self::Istio => "istio",
            Self::IstioNative => "istio-native",
            Self::Linkerd => "linkerd",
            Self::LinkerdNative => "linkerd-native",
            Self::Datadog => "datadog",
            Self::DatadogCsi => "datadog-csi",
            Self::DatadogLibrary => "datadog-library",
        }
    }

    /// Whether the API server calls it again after a later webhook has changed the pod. The
    /// installers of the meshes do not ask for it.
    #[must_use]
    pub fn is_reinvoked(self) -> bool {
        !matches!(self, Self::Istio | Self::IstioNative | Self::Linkerd | Self::LinkerdNative)
    }

    /// The patch that it answers with; empty where it has nothing to do (any more).
    #[must_use]
    pub fn patch(self, pod: &Value, stand_ins: &StandIns<'_>) -> Patch {
        json_patch::diff(pod, &self.mutate(pod, stand_ins))
    }

    /// The pod after it.
    #[must_use]
    pub fn mutate(self, pod: &Value, stand_ins: &StandIns<'_>) -> Value {
        let mut pod = pod.clone();
        match self {
            Self::EksRole => identity::eks_role(&mut pod),
            Self::EksPodIdentity => identity::eks_pod_identity(&mut pod),
            Self::Azure => identity::azure(&mut pod),
            Self::AzureProxy => identity::azure_proxy(&mut pod, stand_ins),
            Self::Istio => mesh::istio(&mut pod, stand_ins),
            Self::IstioNative => mesh::istio_native(&mut pod, stand_ins),
            Self::Linkerd => mesh::linkerd(&mut pod, stand_ins),
            Self::LinkerdNative => mesh::linkerd_native(&mut pod, stand_ins),
            Self::Datadog => datadog::host_path(&mut pod, stand_ins),
            Self::DatadogCsi => datadog::csi(&mut pod),
            Self::DatadogLibrary => datadog::library(&mut pod, stand_ins),
        }
        pod
    }
}
