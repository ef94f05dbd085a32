//! The names that a certificate is valid for: DNS names and IP addresses, ordered, each once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls_pki_types::{DnsName, ServerName};

/// A set of DNS names and IP addresses that is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAltNames(BTreeSet<String>);

/// Why a list of names was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectAltNamesError {
    /// The list is empty.
    #[error("read certificate names: none given")]
    Empty,
    /// Neither a DNS name nor an IP address.
    #[error("read certificate name {0:?}: neither a dns name nor an ip address")]
    Unreadable(String),
}

impl SubjectAltNames {
    /// Reads names as a user gives them.
    ///
    /// # Errors
    /// When the list is empty, or a name is neither a DNS name nor an IP address.
    pub fn parse<I>(names: I) -> Result<Self, SubjectAltNamesError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let names = names.into_iter().map(|name| canonical(name.as_ref()));
        let names = names.collect::<Result<BTreeSet<_>, _>>()?;
        if names.is_empty() {
            return Err(SubjectAltNamesError::Empty);
        }
        Ok(Self(names))
    }

    /// The names a Service answers to inside the cluster: `service`, `service.namespace`,
    /// `service.namespace.svc` and the last with `.cluster.local`.
    ///
    /// # Errors
    /// When the parts do not form DNS names.
    pub fn of_service(service: &str, namespace: &str) -> Result<Self, SubjectAltNamesError> {
        let qualified = format!("{service}.{namespace}");
        Self::parse([
            service,
            &qualified,
            &format!("{qualified}.svc"),
            &format!("{qualified}.svc.cluster.local"),
        ])
    }

    /// The union of both sets.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// The names in order: DNS names in lower case, addresses in their short form.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether the set contains `name`.
    pub fn contains(&self, name: &str) -> bool {
        canonical(name).is_ok_and(|name| self.0.contains(&name))
    }

    pub(crate) fn first(&self) -> Option<ServerName<'_>> {
        let first = self.0.first()?;
        ServerName::try_from(first.as_str()).ok()
    }
}

fn canonical(name: &str) -> Result<String, SubjectAltNamesError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let lower = name.to_ascii_lowercase();
    match DnsName::try_from(lower.as_str()) {
        Ok(_) => Ok(lower),
        Err(_) => Err(SubjectAltNamesError::Unreadable(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_case_and_repetition_do_not_matter() {
        let one = SubjectAltNames::parse(["b.example", "A.example", "::1", "10.0.0.1"]).unwrap();
        let other = SubjectAltNames::parse(["10.0.0.1", "0:0::1", "a.EXAMPLE", "b.example", "::1"])
            .unwrap();
        assert_eq!(one, other);
        assert!(one.contains("B.EXAMPLE") && !one.contains("c.example"));
    }

    #[test]
    fn a_service_has_four_names() {
        let names = SubjectAltNames::of_service("webhook", "enclii-system").unwrap();
        assert_eq!(names.iter().count(), 4);
        assert!(names.contains("webhook.enclii-system.svc"));
    }

    #[test]
    fn an_invalid_name_is_refused_and_quoted() {
        assert_eq!(SubjectAltNames::parse([""; 0]), Err(SubjectAltNamesError::Empty));
        for bad in ["", "a b", "-a", "a..b", "*.*"] {
            let error = SubjectAltNames::parse([bad]).unwrap_err();
            assert_eq!(error, SubjectAltNamesError::Unreadable(bad.to_owned()));
        }
    }
}
