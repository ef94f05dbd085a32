//! The JSON Patch of an injection, as the text that the API server gets.

use std::fmt;

use serde::Serialize;

use crate::pod_pointer::PodPointer;

/// As long as the patch of an ordinary pod, in bytes, so that it grows in one piece.
const USUAL_BYTES: usize = 6 << 10;

/// A JSON Patch (RFC 6902). Each operation is written as it is added, since a review sends the text
/// and needs no tree of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PodPatch {
    /// The whole text; empty while there is no operation.
    json: Vec<u8>,
    operations: usize,
    is_broken: bool,
}

/// A value of an operation cannot be written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("serialize patch: it is not valid JSON")]
pub struct PatchError;

impl PodPatch {
    /// Whether it has no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// The text, an array of operations.
    ///
    /// # Errors
    /// If an operation could not be written. Without it, the patch must not be applied.
    pub fn json(&self) -> Result<&[u8], PatchError> {
        match self.json.as_slice() {
            _ if self.is_broken => Err(PatchError),
            [] => Ok(b"[]"),
            json => Ok(json),
        }
    }

    /// The operations, for those who apply them.
    ///
    /// # Errors
    /// If one could not be written.
    pub fn operations(&self) -> Result<json_patch::Patch, PatchError> {
        serde_json::from_slice(self.json()?).map_err(|_| PatchError)
    }

    /// How many operations it has.
    pub(crate) fn len(&self) -> usize {
        self.operations
    }

    pub(crate) fn add(&mut self, path: &PodPointer, value: impl Serialize) {
        self.push("add", path, Some(value));
    }

    pub(crate) fn remove(&mut self, path: &PodPointer) {
        self.push("remove", path, None::<()>);
    }

    pub(crate) fn replace(&mut self, path: &PodPointer, value: impl Serialize) {
        self.push("replace", path, Some(value));
    }

    /// Appends `values` to the array at `path`. Creates the array if it does not exist: `add` at
    /// `/-` of an absent array fails, and `add` of a whole array replaces an existing one.
    pub(crate) fn append(&mut self, path: &PodPointer, exists: bool, values: Vec<impl Serialize>) {
        if exists {
            let end = path.end();
            for value in values {
                self.add(&end, value);
            }
        } else if !values.is_empty() {
            self.add(path, values);
        }
    }

    fn push(&mut self, operation: &str, path: &PodPointer, value: Option<impl Serialize>) {
        // The bracket at the end is that of the array.
        match self.json.last_mut() {
            Some(end) => *end = b',',
            None => {
                self.json.reserve(USUAL_BYTES);
                self.json.push(b'[');
            }
        }
        self.json.extend_from_slice(br#"{"op":""#);
        self.json.extend_from_slice(operation.as_bytes());
        self.json.extend_from_slice(br#"","path":"#);
        self.write(&path.as_str());
        if let Some(value) = value {
            self.json.extend_from_slice(br#","value":"#);
            self.write(&value);
        }
        self.json.extend_from_slice(b"}]");
        self.operations += 1;
    }

    fn write(&mut self, value: &impl Serialize) {
        self.is_broken |= serde_json::to_writer(&mut self.json, value).is_err();
    }
}

impl fmt::Display for PodPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.json().unwrap_or_default()))
    }
}

/// As it is displayed.
impl fmt::Debug for PodPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn operations_are_one_array() {
        let mut patch = PodPatch::default();
        assert_eq!((patch.is_empty(), patch.to_string()), (true, "[]".to_owned()));
        let list = PodPointer::new("/a");
        patch.append(&list, false, Vec::<u8>::new());
        patch.append(&list, false, vec![1, 2]);
        patch.append(&list, true, vec!["\""]);
        patch.replace(&PodPointer::new("").field("b/c"), None::<u8>);
        patch.remove(&PodPointer::new("/d"));
        let expected = concat!(
            r#"[{"op":"add","path":"/a","value":[1,2]},{"op":"add","path":"/a/-","value":"\""},"#,
            r#"{"op":"replace","path":"/b~1c","value":null},{"op":"remove","path":"/d"}]"#
        );
        assert_eq!((patch.len(), patch.to_string()), (4, expected.to_owned()));
        assert_eq!(patch.operations().unwrap().0.len(), 4);
    }

    #[test]
    fn a_patch_with_an_operation_that_is_not_written_is_none() {
        let mut patch = PodPatch::default();
        patch.add(&PodPointer::new("/a"), HashMap::from([((1, 2), 3)]));
        patch.remove(&PodPointer::new("/b"));
        assert_eq!(patch.json(), Err(PatchError));
        assert!(patch.operations().is_err());
    }
}
