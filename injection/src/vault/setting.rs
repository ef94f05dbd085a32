//! The operator's settings of Vault, each checked when it is read.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use contract::layout::TOKEN_AUDIENCE as SWITCHYARD;

/// The longest template of a role, in bytes.
const MAX_ROLE_BYTES: usize = 128;

/// The longest audience, in bytes.
const MAX_AUDIENCE_BYTES: usize = 256;

/// The longest CA bundle, in bytes. It is in every pod, beside everything else that the agent's
/// configuration holds.
const MAX_CA_BYTES: usize = 32 << 10;

/// The longest time between two polls, in seconds.
const MAX_POLL_SECONDS: u32 = 3600;

/// The text is not a setting of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultSettingError {
    /// Not a [`VaultAddress`]. Without the text, since an address can hold a password.
    #[error(
        "parse address of Vault: must be https://HOST or https://HOST:PORT, or http://127.0.0.1, \
         http://[::1] or http://localhost with :PORT, and have no quotation mark"
    )]
    Address,
    /// Not [`PemCertificates`].
    #[error(
        "parse CA of Vault: must be PEM certificates and nothing else, {} KiB at most",
        MAX_CA_BYTES >> 10
    )]
    Certificates,
    /// Not a [`RoleTemplate`].
    #[error(
        "parse role {0:?}: must be letters, digits, '_', '-', '.', {{namespace}} and \
         {{service_account}}, {MAX_ROLE_BYTES} bytes at most"
    )]
    Role(String),
    /// Not a [`TokenAudience`].
    #[error(
        "parse audience {text:?}: must be printable without a space, quotation mark or backslash, \
         {MAX_AUDIENCE_BYTES} bytes at most, and neither {SWITCHYARD} (switchyard's) nor the API \
         server's (https://kubernetes.default…), so that the token is good for nothing \
         else than Vault"
    )]
    Audience {
        /// The text, cut to a length.
        text: String,
    },
    /// Not [`PollSeconds`].
    #[error("parse seconds between polls {0}: must be 1 to {MAX_POLL_SECONDS}")]
    Poll(u64),
}

/// Vault's address, without a path. Agents send their token there, so it is HTTPS, or does not
/// leave the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultAddress(String);

impl VaultAddress {
    /// The address, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is HTTPS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromStr for VaultAddress {
    type Err = VaultSettingError;

    fn from_str(text: &str) -> Result<Self, VaultSettingError> {
        let text = text.trim_end_matches('/');
        let is_https = text.strip_prefix("https://").is_some_and(|host| !host.is_empty());
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_loopback = ["127.0.0.1", "[::1]", "localhost"].iter().any(|host| {
            let rest = text.strip_prefix("http://").and_then(|it| it.strip_prefix(host));
            rest.and_then(|rest| rest.strip_prefix(':')).is_some_and(is_port)
        });
        let (_, host) = text.split_once("://").ok_or(VaultSettingError::Address)?;
        let is_host = |byte: u8| {
            byte.is_ascii_graphic()
                && !matches!(byte, b'/' | b'@' | b'?' | b'#' | b'"' | b'\'' | b'\\')
        };
        match (is_https || is_loopback) && host.bytes().all(is_host) {
            true => Ok(Self(text.to_owned())),
            false => Err(VaultSettingError::Address),
        }
    }
}

/// PEM certificates. Only their form is checked here: whoever reads the setting for the cluster
/// parses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemCertificates(String);

impl PemCertificates {
    /// The PEM text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PemCertificates {
    type Err = VaultSettingError;

    fn from_str(text: &str) -> Result<Self, VaultSettingError> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let mut rest = text.trim_ascii();
        let mut count = 0;
        while let Some(begun) = rest.strip_prefix(BEGIN) {
            let Some((body, after)) = begun.split_once(END) else { break };
            let is_base64 = |byte: u8| {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'+' | b'/' | b'=' | b'\n' | b'\r' | b' ')
            };
            if !body.bytes().all(is_base64) {
                break;
            }
            count += 1;
            rest = after.trim_ascii_start();
        }
        match rest.is_empty() && count > 0 && text.len() <= MAX_CA_BYTES {
            true => Ok(Self(text.trim_ascii().to_owned() + "\n")),
            false => Err(VaultSettingError::Certificates),
        }
    }
}

/// The role of a pod: a text in which `{namespace}` and `{service_account}` are the pod's. The pod
/// cannot choose another, and Vault gives a role to none that its bindings do not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTemplate(String);

const NAMESPACE: &str = "{namespace}";
const SERVICE_ACCOUNT: &str = "{service_account}";

impl RoleTemplate {
    /// The role of a pod.
    #[must_use]
    pub fn role(&self, namespace: &str, service_account: &str) -> String {
        // A name has no brace, so what the first writes is not taken for the second.
        let role = self.0.replace(NAMESPACE, namespace);
        role.replace(SERVICE_ACCOUNT, service_account)
    }
}

/// Whether a text can be the name of a role. That of a pod is as long as its names are.
pub(crate) fn is_role(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(fits)
}

impl FromStr for RoleTemplate {
    type Err = VaultSettingError;

    fn from_str(text: &str) -> Result<Self, VaultSettingError> {
        let rest = text.replace(NAMESPACE, "n").replace(SERVICE_ACCOUNT, "s");
        match text.len() <= MAX_ROLE_BYTES && is_role(&rest) {
            true => Ok(Self(text.to_owned())),
            false => Err(VaultSettingError::Role(text.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for RoleTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The audience of the token with which an agent logs in to Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAudience(String);

impl TokenAudience {
    /// The audience's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TokenAudience {
    fn default() -> Self {
        Self("vault".to_owned())
    }
}

impl FromStr for TokenAudience {
    type Err = VaultSettingError;

    fn from_str(text: &str) -> Result<Self, VaultSettingError> {
        let is_text = !text.is_empty()
            && text.len() <= MAX_AUDIENCE_BYTES
            && text.bytes().all(|it| it.is_ascii_graphic() && !matches!(it, b'"' | b'\'' | b'\\'));
        // Whoever gets such a token could use it as the pod's.
        let is_others = text == SWITCHYARD || text.starts_with("https://kubernetes.default");
        match is_text && !is_others {
            true => Ok(Self(text.to_owned())),
            false => Err(VaultSettingError::Audience { text: text.chars().take(200).collect() }),
        }
    }
}

/// How often agents look for changes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollSeconds(NonZeroU32);

impl PollSeconds {
    /// The longest.
    pub const MAX: u32 = MAX_POLL_SECONDS;
}

impl From<PollSeconds> for NonZeroU32 {
    fn from(seconds: PollSeconds) -> Self {
        seconds.0
    }
}

impl TryFrom<u64> for PollSeconds {
    type Error = VaultSettingError;

    fn try_from(seconds: u64) -> Result<Self, VaultSettingError> {
        let fits = u32::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_POLL_SECONDS);
        fits.and_then(NonZeroU32::new).map(Self).ok_or(VaultSettingError::Poll(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_loopback() {
        for (text, expected) in [
            ("https://vault.vault.svc:8200/", "https://vault.vault.svc:8200"),
            ("https://vault", "https://vault"),
            ("http://127.0.0.1:8200", "http://127.0.0.1:8200"),
            ("http://[::1]:8200", "http://[::1]:8200"),
            ("http://localhost:8200", "http://localhost:8200"),
        ] {
            assert_eq!(text.parse::<VaultAddress>().unwrap().as_str(), expected);
        }
        for text in [
            "",
            "https://",
            "http://vault:8200",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1.evil.example:8200",
            "http://localhost@evil:8200",
            "https://a/b",
            "https://user:password@a",
            "https://a b",
            "https://a\"",
            "https://a'",
            "vault:8200",
        ] {
            let error = text.parse::<VaultAddress>().unwrap_err().to_string();
            assert!(!error.contains("password"), "{error}");
        }
    }

    #[test]
    fn a_ca_is_pem_and_nothing_else() {
        let one = "-----BEGIN CERTIFICATE-----\nAA+/==\n-----END CERTIFICATE-----\n";
        let two = format!("\n{one}\n{one}");
        assert_eq!(one.parse::<PemCertificates>().unwrap().as_str(), one);
        assert!(two.parse::<PemCertificates>().is_ok());
        for text in [
            "",
            "PEM",
            "-----BEGIN CERTIFICATE-----\nAA",
            &one.replace("CERTIFICATE", "PRIVATE KEY"),
            &one.replace("AA", "\"A"),
            &format!("{one}a note\n"),
            &format!("# a note\n{one}"),
            &one.repeat(1000),
        ] {
            assert!(text.parse::<PemCertificates>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_role_follows_from_the_pod_alone() {
        for (text, expected) in [
            ("{namespace}-{service_account}", "shop-prod-api.v2"),
            ("enclii_{service_account}.{namespace}", "enclii_api.v2.shop-prod"),
            ("one-role", "one-role"),
        ] {
            let role = text.parse::<RoleTemplate>().unwrap();
            assert_eq!(role.role("shop-prod", "api.v2"), expected);
            assert_eq!(role.to_string(), text);
        }
        for text in
            ["", "{pod}", "{namespace", "a b", "a/b", "{{namespace}}", "é", &"a".repeat(129)]
        {
            assert!(text.parse::<RoleTemplate>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_audience_is_good_for_vault_alone() {
        for text in ["vault", "https://vault.example.com", "vault.example.com/prod"] {
            assert_eq!(text.parse::<TokenAudience>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "a b",
            "a\"",
            "it's",
            "enclii.io",
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.cluster.local",
            &"a".repeat(257),
        ] {
            assert!(text.parse::<TokenAudience>().is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_between_polls_are_bounded() {
        for (seconds, is_right) in [(0, false), (1, true), (3600, true), (3601, false)] {
            assert_eq!(PollSeconds::try_from(seconds).is_ok(), is_right, "{seconds}");
        }
    }
}
