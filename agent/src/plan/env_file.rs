//! The files from which kubelet reads variables (`fileKeyRef`): one for each secret, with
//! `NAME='value'`. Pure.
//!
//! Kubelet's parser (Kubernetes 1.35 to 1.37) takes everything between the quotes as it is, knows
//! no escape, drops a carriage return before a line break, and takes an empty value for a missing
//! one.

use std::fmt;

use contract::layout::MAX_ENV_VALUE_BYTES;
use contract::{FileName, Redacted, SecretName};

use super::FileContents;

/// The most secrets that an error lists.
const MAX_LISTED: usize = 10;

/// Why a value cannot be a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvValueError {
    /// There is no such secret.
    #[error("is in none of the pod's bundles")]
    Missing,
    /// It has no bytes.
    #[error("is empty")]
    Empty,
    /// It exceeds the limit. Holds its size in bytes.
    #[error("has {0} bytes, over the limit of {MAX_ENV_VALUE_BYTES}")]
    TooLong(usize),
    /// Kubelet's format has no escape for it.
    #[error("has a single quote")]
    Quote,
    /// No variable can hold it.
    #[error("has a NUL byte")]
    Nul,
    /// Kubelet would drop it.
    #[error("has a carriage return before a line break")]
    CarriageReturn,
    /// The container runtime takes only UTF-8.
    #[error("is not UTF-8")]
    NotText,
}

/// The secrets of a generation that cannot be variables; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedVariables(Vec<(SecretName, EnvValueError)>);

impl fmt::Display for RefusedVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pod reads as a variable what cannot be one: ")?;
        for (at, (name, reason)) in self.0.iter().take(MAX_LISTED).enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {reason}")?;
        }
        if let Some(more) = self.0.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
            write!(f, " and {more} more")?;
        }
        match self.0.first() {
            Some((name, _)) => write!(
                f,
                "; change the value, or annotate the pod with enclii.io/deliver: {name}=exec or \
                 {name}=files"
            ),
            None => Ok(()),
        }
    }
}

/// The file of each secret in `names`.
///
/// # Errors
/// Every secret that cannot be a variable.
pub(super) fn render_all(
    names: &[SecretName],
    files: &FileContents,
) -> Result<FileContents, RefusedVariables> {
    let (mut rendered, mut refused) = (FileContents::new(), Vec::new());
    for name in names {
        let file = FileName::from(name);
        match files.get(&file).ok_or(EnvValueError::Missing).and_then(|it| render(name, it)) {
            Ok(content) => drop(rendered.insert(file, content)),
            Err(reason) => refused.push((name.clone(), reason)),
        }
    }
    if refused.is_empty() { Ok(rendered) } else { Err(RefusedVariables(refused)) }
}

fn render(name: &SecretName, value: &Redacted) -> Result<Redacted, EnvValueError> {
    let value = value.expose();
    check(value)?;
    // Of the right size from the start: a buffer that grows leaves a copy behind.
    let mut file = Vec::with_capacity(name.as_str().len() + value.len() + 4);
    file.extend_from_slice(name.as_str().as_bytes());
    file.extend_from_slice(b"='");
    file.extend_from_slice(value);
    file.extend_from_slice(b"'\n");
    Ok(Redacted::new(file))
}

fn check(value: &[u8]) -> Result<(), EnvValueError> {
    if value.is_empty() {
        Err(EnvValueError::Empty)
    } else if value.len() > MAX_ENV_VALUE_BYTES {
        Err(EnvValueError::TooLong(value.len()))
    } else if value.contains(&b'\'') {
        Err(EnvValueError::Quote)
    } else if value.contains(&0) {
        Err(EnvValueError::Nul)
    } else if value.windows(2).any(|pair| pair == b"\r\n") {
        Err(EnvValueError::CarriageReturn)
    } else if std::str::from_utf8(value).is_err() {
        Err(EnvValueError::NotText)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
