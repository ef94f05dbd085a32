//! The path of a container in its pod, for messages and for JSON Patch.

use std::fmt;

use crate::pod_pointer::PodPointer;

/// One of the two container lists of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerList {
    Containers,
    InitContainers,
}

impl ContainerList {
    fn name(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }

    /// The JSON pointer of the list.
    pub(crate) fn pointer(self) -> PodPointer {
        PodPointer::new("/spec").field(self.name())
    }
}

/// The path of a container in its pod. Displayed as `spec.containers[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerPath {
    pub(crate) list: ContainerList,
    pub(crate) index: usize,
}

impl ContainerPath {
    fn list_name(self) -> &'static str {
        self.list.name()
    }

    /// The JSON pointer of the container.
    pub(crate) fn pointer(self) -> PodPointer {
        self.list.pointer().element(self.index)
    }

    /// The keys and indexes that lead to something in the container.
    pub(crate) fn steps(self, rest: &[&str]) -> Vec<String> {
        let index = self.index.to_string();
        let steps = ["spec", self.list_name(), &index];
        steps.iter().chain(rest).map(|step| (*step).to_owned()).collect()
    }

    /// The JSON pointer of a field of the container.
    pub(crate) fn field(self, name: &str) -> PodPointer {
        self.pointer().field(name)
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{}[{}]", self.list_name(), self.index)
    }
}
