//! A path in a template, as what the agent reads from Vault.

use std::collections::BTreeMap;

use contract::Version;
use contract::vault_source::{VaultPath, VaultRead};
use contract::vault_template::SecretCall;

use crate::diagnostics::printable;

/// The longest name that is made of a path, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// What the agent reads for a call. `kv_mounts` are the KV engines of version 2 that the operator
/// names: there a path may do without `data/`.
///
/// # Errors
/// When it is no path.
pub(super) fn read(call: &SecretCall, kv_mounts: &[VaultPath]) -> Result<VaultRead, String> {
    let (path, version) = versioned(&call.path)?;
    let parse = |text: &str| text.parse::<VaultPath>().map_err(|error| error.to_string());
    let parameters = call.parameters.clone();
    let segments: Vec<&str> = path.split('/').collect();
    let is_issued = segments.iter().skip(1).any(|it| matches!(*it, "issue" | "sign"));
    if call.is_certificate || (!parameters.is_empty() && is_issued) {
        return Ok(VaultRead::Pki { path: parse(path)?, parameters });
    }
    if !parameters.is_empty() {
        return Ok(VaultRead::Dynamic { path: parse(path)?, parameters });
    }
    let below = |mount: &VaultPath| path.strip_prefix(mount.as_str())?.strip_prefix('/');
    let mounts = kv_mounts.iter().filter_map(|mount| Some((mount.as_str(), below(mount)?)));
    let named = mounts.max_by_key(|(mount, _)| mount.len());
    let named = named.map(|(mount, rest)| (mount, rest.strip_prefix("data/").unwrap_or(rest)));
    let found = named.or_else(|| {
        path.split_once("/data/").filter(|(mount, rest)| !mount.is_empty() && !rest.is_empty())
    });
    match found {
        Some((mount, rest)) => {
            Ok(VaultRead::Kv { mount: parse(mount)?, path: parse(rest)?, version })
        }
        None => Ok(VaultRead::Dynamic { path: parse(path)?, parameters: BTreeMap::new() }),
    }
}

/// A path without its slash at the beginning, and the version in it: `secret/data/a?version=3`.
fn versioned(path: &str) -> Result<(&str, Option<Version>), String> {
    let path = path.trim().trim_start_matches('/');
    let Some((path, query)) = path.split_once('?') else { return Ok((path, None)) };
    let version = query.strip_prefix("version=").and_then(|it| it.parse::<u64>().ok());
    match version.filter(|it| *it > 0) {
        Some(version) => Ok((path, Some(Version(version)))),
        None => Err(format!("{}: of a query only version=NUMBER is known", printable(path))),
    }
}

/// What the name of the secret that has the answer to a read begins with.
pub(super) fn stem(read: &VaultRead) -> String {
    let plain = |it: char| match it {
        it if it.is_ascii_alphanumeric() || matches!(it, '-' | '_') => it,
        _ => '.',
    };
    let text = read.to_string();
    std::iter::once('_').chain(text.chars().map(plain).take(MAX_NAME_BYTES)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str, parameters: &[(&str, &str)]) -> SecretCall {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        SecretCall {
            line: 1,
            is_certificate: false,
            path: path.to_owned(),
            parameters: parameters.iter().map(pair).collect(),
        }
    }

    #[test]
    fn paths_become_reads() {
        let mounts = ["kv", "team/kv"].map(|it| it.parse().unwrap());
        let cn = [("common_name", "a.example")];
        for (call, expected) in [
            (call("secret/data/app", &[]), r#"{"type":"kv","mount":"secret","path":"app"}"#),
            (
                call("/team/secret/data/a/data/b", &[]),
                r#"{"type":"kv","mount":"team/secret","path":"a/data/b"}"#,
            ),
            (
                call("secret/data/app?version=3", &[]),
                r#"{"type":"kv","mount":"secret","path":"app","version":3}"#,
            ),
            (call("kv/app", &[]), r#"{"type":"kv","mount":"kv","path":"app"}"#),
            (call("team/kv/data/app", &[]), r#"{"type":"kv","mount":"team/kv","path":"app"}"#),
            (call("kv1/app", &[]), r#"{"type":"dynamic","path":"kv1/app"}"#),
            (call("database/creds/app", &[]), r#"{"type":"dynamic","path":"database/creds/app"}"#),
            (
                call("pki/issue/web", &cn),
                r#"{"type":"pki","path":"pki/issue/web","parameters":{"common_name":"a.example"}}"#,
            ),
            (
                call("transit/encrypt/a", &[("plaintext", "x")]),
                r#"{"type":"dynamic","path":"transit/encrypt/a","parameters":{"plaintext":"x"}}"#,
            ),
        ] {
            let found = read(&call, &mounts).unwrap();
            assert_eq!(serde_json::to_string(&found).unwrap(), expected, "{}", call.path);
        }
        let certificate = SecretCall { is_certificate: true, ..call("pki/x", &[]) };
        assert!(matches!(read(&certificate, &mounts), Ok(VaultRead::Pki { .. })));
        for path in ["", "a//b", "secret/data/../x", "secret/data/a?x=1", "a?version=0"] {
            assert!(read(&call(path, &[]), &mounts).is_err(), "{path}");
        }
    }

    #[test]
    fn names_are_made_of_paths() {
        let read = read(&call("secret/data/team a/é", &[]), &[]).unwrap();
        assert_eq!(stem(&read), "_secret.team.a..");
    }

    #[test]
    fn what_a_pod_writes_is_quoted_on_one_line() {
        let why = read(&call("a\nFORGED\u{202e}?x=1", &[]), &[]).unwrap_err();
        assert!(!why.contains(['\n', '\u{202e}']), "{why:?}");
        let long = format!("{}?x=1", "a".repeat(30_000));
        assert!(read(&call(&long, &[]), &[]).unwrap_err().len() < 1000);
    }
}
