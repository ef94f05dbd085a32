//! The path of a Unix socket.

use std::fmt;
use std::str::FromStr;

use crate::file_path;

/// The longest path, in bytes: the kernel's field has 108, with a zero at the end (unix(7)).
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

/// An absolute path: names with a slash before each, none of them `.` or beginning with two dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath(String);

/// A text is not a [`SocketPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse socket {0:?}: must be the absolute path of a socket in a directory, of names that are \
     not '.' and do not begin with '..', and have {MAX_SOCKET_PATH_BYTES} bytes at most"
)]
pub struct SocketPathError(String);

impl SocketPath {
    /// The path's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names in it; at least two.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl FromStr for SocketPath {
    type Err = SocketPathError;

    fn from_str(text: &str) -> Result<Self, SocketPathError> {
        let names = text.strip_prefix('/').and_then(file_path::names);
        let fits = text.len() <= MAX_SOCKET_PATH_BYTES
            && !text.contains(char::is_control)
            && names.is_some_and(|names| names.len() > 1);
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(SocketPathError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_plain_and_short() {
        for text in ["/run/a.sock", "/var/run/haproxy/admin.sock", "/a b/c"] {
            assert_eq!(text.parse::<SocketPath>().unwrap().to_string(), text);
        }
        let long = format!("/run/{}", "x".repeat(103));
        assert!(long[..107].parse::<SocketPath>().is_ok());
        for text in ["", "/", "/a", "a/b", "//a/b", "/a/", "/a/../b", "/a/./b", "/a/..b", "/a/b\n"]
        {
            assert!(text.parse::<SocketPath>().is_err(), "{text:?}");
        }
        assert!(long.parse::<SocketPath>().is_err());
    }
}
