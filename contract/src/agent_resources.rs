//! What a pod asks for its agent: requests and limits, within the operator's bounds.

use std::fmt;

use crate::quantity::{Quantity, QuantityError};

/// The value of `enclii.io/agent-resources`: entries as `limits.memory=32Mi`, named as a
/// ResourceQuota names them, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentResources {
    /// `requests.cpu`.
    pub cpu_request: Option<Quantity>,
    /// `requests.memory`.
    pub memory_request: Option<Quantity>,
    /// `limits.cpu`.
    pub cpu_limit: Option<Quantity>,
    /// `limits.memory`.
    pub memory_limit: Option<Quantity>,
}

/// What is wrong with one entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentResourcesError {
    /// Not one of the four.
    #[error(
        "parse resource {0:?}: must be requests.cpu, requests.memory, limits.cpu or limits.memory \
         and its quantity, as limits.memory=32Mi"
    )]
    Form(String),
    /// Not a quantity.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// The same twice.
    #[error("parse resource: {0} is listed twice")]
    Duplicate(&'static str),
}

impl AgentResources {
    /// Adds one entry.
    pub(crate) fn add(&mut self, entry: &str) -> Result<(), AgentResourcesError> {
        let form = || AgentResourcesError::Form(entry.chars().take(80).collect());
        let (name, quantity) = entry.split_once('=').ok_or_else(form)?;
        let mut all = self.all_mut();
        let known = all.iter_mut().find(|(known, _)| *known == name.trim()).ok_or_else(form)?;
        let quantity: Quantity = quantity.trim().parse()?;
        match known.1.replace(quantity) {
            Some(_) => Err(AgentResourcesError::Duplicate(known.0)),
            None => Ok(()),
        }
    }

    fn all_mut(&mut self) -> [(&'static str, &mut Option<Quantity>); 4] {
        let Self { cpu_request, memory_request, cpu_limit, memory_limit } = self;
        [
            ("requests.cpu", cpu_request),
            ("requests.memory", memory_request),
            ("limits.cpu", cpu_limit),
            ("limits.memory", memory_limit),
        ]
    }
}

impl fmt::Display for AgentResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut own = self.clone();
        let given = own.all_mut().into_iter();
        let given = given.filter_map(|(name, it)| Some(format!("{name}={}", it.as_ref()?)));
        f.write_str(&given.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AgentResources, AgentResourcesError> {
        let mut found = AgentResources::default();
        text.split(',').try_for_each(|entry| found.add(entry.trim())).map(|()| found)
    }

    #[test]
    fn entries_are_named_as_in_a_quota() {
        for text in ["limits.memory=32Mi", "requests.cpu=10m,requests.memory=8Mi,limits.cpu=1"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            parse("limits.cpu = 1 , limits.memory=1Gi").unwrap().to_string(),
            "limits.cpu=1,limits.memory=1Gi"
        );
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for (text, words) in [
            ("memory=32Mi", "parse resource \"memory=32Mi\": must be requests.cpu"),
            ("limits.memory", "parse resource \"limits.memory\": must be"),
            ("limits.memory=much", "parse quantity \"much\""),
            ("limits.cpu=-1", "parse quantity \"-1\""),
            ("limits.cpu=1,limits.cpu=1", "limits.cpu is listed twice"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
