//! A JSON Pointer (RFC 6901) into a pod: what an operation of a patch changes.

/// As long as most pointers are, in bytes.
const USUAL_BYTES: usize = 64;

/// The path of a field of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodPointer(String);

impl PodPointer {
    /// A pointer to a field whose names need no escapes.
    pub(crate) fn new(path: &'static str) -> Self {
        let mut text = String::with_capacity(USUAL_BYTES);
        text.push_str(path);
        Self(text)
    }

    /// The pointer to a field of what this one leads to.
    pub(crate) fn field(mut self, name: &str) -> Self {
        self.0.push('/');
        for character in name.chars() {
            match character {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// The pointer to an element of the array that this one leads to.
    pub(crate) fn element(&self, index: usize) -> Self {
        let mut text = String::with_capacity(USUAL_BYTES);
        text.push_str(&self.0);
        Self(text).field(&index.to_string())
    }

    /// The pointer behind the last element of the array that this one leads to.
    pub(crate) fn end(&self) -> Self {
        self.clone().field("-")
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let list = PodPointer::new("/spec/containers").element(12).field("a~/b");
        assert_eq!(list.as_str(), "/spec/containers/12/a~0~1b");
        assert_eq!(list.end().as_str(), "/spec/containers/12/a~0~1b/-");
    }
}
