//! Where a container stands in its pod: for a message and for a patch.

use std::fmt;

/// Which of the two lists a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Containers,
    InitContainers,
}

/// Where a container stands in its pod. Written as `spec.containers[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) list: List,
    pub(crate) index: usize,
}

impl Place {
    fn list_name(self) -> &'static str {
        match self.list {
            List::Containers => "containers",
            List::InitContainers => "initContainers",
        }
    }

    /// The JSON pointer of something in the container; `rest` begins with a slash or is empty, and
    /// its parts need no escape.
    pub(crate) fn pointer(self, rest: fmt::Arguments<'_>) -> String {
        format!("/spec/{}/{}{rest}", self.list_name(), self.index)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{}[{}]", self.list_name(), self.index)
    }
}
