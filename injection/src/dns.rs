//! Whether the agent can find the source of the secrets by the name of its Service.

use crate::config::InjectionConfig;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::pod::Pod;

/// Refuses a pod that asks another resolver than the cluster's, if the source's address needs that:
/// the agent would never start. With the policy None, the pod's own resolver may know the name.
pub(crate) fn check(pod: &Pod<'_>, config: &InjectionConfig, diagnostics: &mut Diagnostics) {
    if !is_service_name(config.source_address()) {
        return;
    }
    let on_host = pod.spec.host_network == Some(true);
    match pod.spec.dns_policy.as_deref() {
        Some("ClusterFirstWithHostNet") => {}
        Some("None") => diagnostics.warn(Warning::OwnResolver),
        // On the host's network, ClusterFirst is the host's resolver too.
        None | Some("ClusterFirst") if on_host => diagnostics.deny(Violation::HostResolver {
            at: "spec.hostNetwork: is true, and spec.dnsPolicy is not ClusterFirstWithHostNet"
                .to_owned(),
            policy: "ClusterFirstWithHostNet",
        }),
        None | Some("ClusterFirst") => {}
        Some(other) => diagnostics.deny(Violation::HostResolver {
            at: format!("spec.dnsPolicy: is {}", printable(other)),
            policy: if on_host { "ClusterFirstWithHostNet" } else { "ClusterFirst" },
        }),
    }
}

/// Whether an address `https://HOST[:PORT]` is that of a Service.
fn is_service_name(address: &str) -> bool {
    let host = address.trim_start_matches("https://");
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.ends_with(".svc") || host.contains(".svc.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_from_other_hosts() {
        for (address, expected) in [
            ("https://switchyard.enclii-system.svc", true),
            ("https://switchyard.enclii-system.svc:8443", true),
            ("https://switchyard.enclii-system.svc.cluster.local", true),
            ("https://secrets.example.com", false),
            ("https://secrets.svcs.example.com:443", false),
            ("https://[::1]:8443", false),
        ] {
            assert_eq!(is_service_name(address), expected, "{address}");
        }
    }
}
