//! The CA bundle that clients trust: PEM, in a fixed order, each certificate once.

use std::sync::Arc;

use crate::certificate::Certificate;

/// A CA bundle in PEM form; may be empty. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundle(Arc<str>);

impl TrustBundle {
    /// Builds a bundle; a repeated certificate keeps its first place.
    pub fn new<'a, I>(certificates: I) -> Self
    where
        I: IntoIterator<Item = &'a Certificate>,
    {
        let mut seen: Vec<&Certificate> = Vec::new();
        for certificate in certificates {
            if seen.iter().all(|one| one.der() != certificate.der()) {
                seen.push(certificate);
            }
        }
        let text: String = seen.into_iter().map(Certificate::pem).collect();
        Self(text.into())
    }

    /// The bundle as PEM text.
    pub fn as_pem(&self) -> &str {
        &self.0
    }

    /// Whether it has no certificate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The certificates in order; those that cannot be read are left out.
    pub fn certificates(&self) -> Vec<Certificate> {
        Certificate::from_pem(self.0.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::issue::create_ca;

    #[test]
    fn order_is_kept_and_repetitions_are_dropped() {
        let made = |name| {
            let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            let pair = create_ca(name, now, Duration::from_secs(3600)).unwrap();
            pair.certificate().clone()
        };
        let (a, b) = (made("a"), made("b"));
        let bundle = TrustBundle::new([&b, &a, &b, &a]);
        assert_eq!(bundle.certificates(), [b.clone(), a.clone()]);
        assert_eq!(bundle.as_pem(), format!("{}{}", b.pem(), a.pem()));
        assert_eq!(bundle, TrustBundle::new([&b, &a]));
    }

    #[test]
    fn a_bundle_of_no_certificates_is_empty() {
        assert!(TrustBundle::new([]).is_empty());
        assert_eq!(TrustBundle::default().certificates(), []);
    }
}
