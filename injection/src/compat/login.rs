//! How the agent logs in to Vault where the annotations ask for something: only what the operator
//! allows.

use std::num::NonZeroU32;

use contract::vault_source::VaultPath;
use contract::{VaultSource, text};

use crate::diagnostics::printable;
use crate::vault::{VaultCompat, VaultPod, VaultSettings, is_role};

/// The shortest and the longest time between two polls that a pod may ask for, in seconds.
const POLL_SECONDS: std::ops::RangeInclusive<u64> = 5..=3600;

/// What a pod's annotations choose of the login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoginChoice {
    /// The role.
    pub(super) role: Option<String>,
    /// The auth method, below `auth/`.
    pub(super) auth_mount: Option<VaultPath>,
    /// The namespace.
    pub(super) namespace: Option<VaultPath>,
    /// The time between two polls.
    pub(super) poll_seconds: Option<NonZeroU32>,
    /// Whether to revoke the token at the end.
    pub(super) revoke_on_shutdown: Option<bool>,
}

/// Who decides what a pod may choose.
#[derive(Clone, Copy)]
pub(super) struct Allowed<'c> {
    pub(super) compat: &'c VaultCompat,
    pub(super) settings: &'c VaultSettings,
    pub(super) pod: VaultPod<'c>,
}

impl LoginChoice {
    /// Changes the operator's source to what the pod chooses.
    pub(crate) fn apply(&self, source: &mut VaultSource, pod: VaultPod<'_>) {
        let Self { role, auth_mount, namespace, poll_seconds, revoke_on_shutdown } = self.clone();
        if let Some(role) = role {
            source.role = role;
        }
        if let Some(mount) = auth_mount {
            source.auth_mount = mount;
        }
        if namespace.is_some() {
            source.namespace = namespace;
        }
        if let Some(seconds) = poll_seconds {
            source.poll_seconds = seconds;
        }
        if let Some(revoke) = revoke_on_shutdown {
            // As with the operator's own setting.
            source.revoke_on_shutdown = revoke && pod.agent_ends_last;
        }
    }
}

impl Allowed<'_> {
    /// The role that a pod names.
    ///
    /// # Errors
    /// When the operator does not allow it.
    pub(super) fn role(&self, role: &str) -> Result<String, String> {
        let VaultPod { namespace, service_account, .. } = self.pod;
        let of_pod = (namespace, service_account);
        let own = self.settings.role.as_ref().map(|it| it.role(namespace, service_account));
        let is_form = is_role(role);
        let is_allowed = own.as_deref() == Some(role)
            || self.compat.roles.iter().any(|it| it.allows(role, of_pod));
        match is_form && is_allowed {
            true => Ok(role.to_owned()),
            false => Err(format!(
                "the operator does not let this pod log in as {}: its role is {}; to allow more, \
                 add it to compatVault.roles of the webhook's configuration",
                printable(role),
                printable(&own.unwrap_or_default()),
            )),
        }
    }

    /// The auth method that a pod names.
    ///
    /// # Errors
    /// When the operator does not allow it.
    pub(super) fn auth_mount(&self, path: &str) -> Result<VaultPath, String> {
        let below = |path: &VaultPath| {
            let path = path.as_str();
            path.strip_prefix("auth/").unwrap_or(path).to_owned()
        };
        let asked = path.trim_matches('/');
        let asked = asked.strip_prefix("auth/").unwrap_or(asked);
        let own = &self.settings.auth_mount;
        let mut all = self.compat.auth_paths.iter().chain([own]).map(below);
        let found = all.find(|it| it == asked).and_then(|it| it.parse().ok());
        found.ok_or_else(|| not_allowed("auth method", asked, "authPaths"))
    }

    /// The namespace that a pod names.
    ///
    /// # Errors
    /// When the operator does not allow it.
    pub(super) fn namespace(&self, namespace: &str) -> Result<VaultPath, String> {
        let asked = namespace.trim_matches('/');
        let all = self.compat.namespaces.iter().chain(&self.settings.namespace);
        let found = all.into_iter().find(|it| it.as_str().trim_matches('/') == asked).cloned();
        found.ok_or_else(|| not_allowed("namespace of Vault", asked, "namespaces"))
    }
}

fn not_allowed(what: &str, asked: &str, key: &str) -> String {
    format!(
        "the operator does not let a pod choose the {what} {}; to allow it, add it to \
         compatVault.{key} of the webhook's configuration",
        printable(asked)
    )
}

/// A duration of Go, as `5m` or `1m30s`, as the time between two polls.
pub(super) fn poll_seconds(duration: &str) -> Result<NonZeroU32, String> {
    let wrong = || {
        format!(
            "{} is not a duration from {}s to 1h",
            text::escape(&printable(duration)),
            POLL_SECONDS.start()
        )
    };
    let seconds = go_seconds(duration.trim()).ok_or_else(wrong)?;
    let seconds = u32::try_from(seconds).ok().filter(|it| POLL_SECONDS.contains(&u64::from(*it)));
    seconds.and_then(NonZeroU32::new).ok_or_else(wrong)
}

fn go_seconds(mut rest: &str) -> Option<u64> {
    let mut seconds = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, after) = match rest.as_bytes() {
            [b'h', ..] => (3600, 1),
            [b'm', b's', ..] => return None,
            [b'm', ..] => (60, 1),
            [b's', ..] => (1, 1),
            // Vault's own tools take a bare number for seconds.
            [] if seconds == 0 => return Some(number),
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[after..];
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("5m", Some(300)),
            ("1m30s", Some(90)),
            ("30s", Some(30)),
            ("1h", Some(3600)),
            ("60", Some(60)),
            ("1s", None),
            ("2h", None),
            ("500ms", None),
            ("", None),
            ("m", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(poll_seconds(text).ok().map(NonZeroU32::get), expected, "{text}");
        }
    }

    #[test]
    fn a_pod_chooses_what_the_operator_allows() {
        let compat: VaultCompat = serde_json::from_str(
            r#"{"roles":["web-{service_account}","shared"],"authPaths":["auth/k8s-eu"],
                "namespaces":["team-a"]}"#,
        )
        .unwrap();
        let settings = VaultSettings {
            role: Some("{namespace}_{service_account}".parse().unwrap()),
            ..VaultSettings::default()
        };
        let pod = VaultPod { namespace: "shop", service_account: "api", agent_ends_last: true };
        let allowed = Allowed { compat: &compat, settings: &settings, pod };
        for (role, is_allowed) in [
            ("shop_api", true),
            ("web-api", true),
            ("shared", true),
            ("web-other", false),
            ("admin", false),
            ("", false),
            ("web-{service_account}", false),
        ] {
            assert_eq!(allowed.role(role).is_ok(), is_allowed, "{role}");
        }
        let any: VaultCompat = serde_json::from_str(r#"{"roles":["*"]}"#).unwrap();
        let any = Allowed { compat: &any, ..allowed };
        assert!(any.role("admin").is_ok() && any.role("a b").is_err());
        for (path, expected) in [
            ("auth/kubernetes", Some("kubernetes")),
            ("kubernetes/", Some("kubernetes")),
            ("auth/k8s-eu", Some("k8s-eu")),
            ("auth/other", None),
        ] {
            let found = allowed.auth_mount(path).ok();
            assert_eq!(found.as_ref().map(VaultPath::as_str), expected, "{path}");
        }
        assert!(allowed.namespace("team-a").is_ok() && allowed.namespace("team-b").is_err());
    }
}
