//! Requests and limits of a container or of a whole pod, as they are written.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
pub(crate) struct Requirements<'a> {
    #[serde(borrow)]
    limits: Option<ResourceList<'a>>,
    #[serde(borrow)]
    requests: Option<ResourceList<'a>>,
}

/// Quantities: each a text or, in a manifest, a number.
#[derive(Debug, Deserialize)]
struct ResourceList<'a> {
    #[serde(borrow)]
    cpu: Option<&'a RawValue>,
    #[serde(borrow)]
    memory: Option<&'a RawValue>,
}

/// A resource that an agent has requests and limits of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Cpu,
    Memory,
}

impl<'a> Requirements<'a> {
    /// The limit.
    pub(crate) fn limit(&self, of: Resource) -> Option<&'a str> {
        quantity(self.limits.as_ref(), of)
    }

    /// The request.
    pub(crate) fn request(&self, of: Resource) -> Option<&'a str> {
        quantity(self.requests.as_ref(), of)
    }

    /// Whether there is a request or a limit.
    pub(crate) fn is_set(&self) -> bool {
        let mut all = [Resource::Cpu, Resource::Memory].into_iter();
        all.any(|of| self.limit(of).is_some() || self.request(of).is_some())
    }

    /// Whether the limits are set and equal the requests, as in a pod of the class Guaranteed.
    /// Requests that are not set are the limits.
    pub(crate) fn is_guaranteed(&self) -> bool {
        [Resource::Cpu, Resource::Memory].into_iter().all(|of| {
            let (limit, request) = (self.limit(of), self.request(of));
            limit.is_some() && (request.is_none() || request == limit)
        })
    }
}

fn quantity<'a>(list: Option<&ResourceList<'a>>, of: Resource) -> Option<&'a str> {
    let list = list?;
    let found = match of {
        Resource::Cpu => list.cpu,
        Resource::Memory => list.memory,
    };
    found.map(|found| found.get().trim_matches('"'))
}
