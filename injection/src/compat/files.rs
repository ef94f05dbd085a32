//! The files of a pod, and what their templates read.

use std::collections::BTreeMap;

use contract::SecretName;
use contract::rendered::{MAX_FILES, MAX_INLINE_BYTES, RequestedContents};
use contract::secret_volume::VolumeItem;
use contract::vault_template::{self, VaultTemplateCall, VaultTemplateOptions};

use super::file::RequestedFile;
use super::login::Allowed;
use super::path;
use super::request::{INJECT, Reads, Resolver};
use super::table::{PREFIX, Treatment};
use crate::diagnostics::printable;
use crate::path_components::components;

impl Resolver<'_> {
    /// The files.
    pub(super) fn files(&mut self) -> Vec<RequestedFile> {
        self.switch("agent-inject", "the pod gets an agent");
        let is_json = match self.values.of_pod.get("agent-inject-default-template").copied() {
            None => false,
            Some(found) => match found.value.trim().to_lowercase().as_str() {
                kind @ ("map" | "json") => {
                    let outcome = format!("files without a template are written as {kind}");
                    self.note(found.key, Treatment::Used, outcome);
                    kind == "json"
                }
                _ => {
                    self.refuse(found.key, "must be map or json");
                    false
                }
            },
        };
        let names = self.values.files();
        if names.is_empty() {
            let why = format!("{INJECT}: no {PREFIX}agent-inject-secret-FILE names a secret");
            self.mapping.errors.push(format!("annotation {why}"));
        }
        if names.len() > MAX_FILES {
            let why = format!("the pod asks for {} files, and {MAX_FILES} at most", names.len());
            self.mapping.errors.push(format!("annotation {PREFIX}agent-inject-secret-…: {why}"));
            return Vec::new();
        }
        let without: Vec<&str> = self.values.without_file().collect();
        for key in without {
            self.note(key, Treatment::Ignored, "no annotation asks for a file of that name");
        }
        let mut files = Vec::new();
        for name in names {
            match self.values.file(name, is_json) {
                Ok(file) => {
                    self.note_file(&file);
                    files.push(file);
                }
                Err(errors) => self.mapping.errors.extend(errors),
            }
        }
        // Before anything is parsed.
        let bytes = files.iter().map(|file| file.template.len()).fold(0, usize::saturating_add);
        if bytes > MAX_INLINE_BYTES {
            self.too_long(bytes);
            return Vec::new();
        }
        files
    }

    fn too_long(&mut self, bytes: usize) {
        self.mapping.errors.push(format!(
            "annotation {PREFIX}agent-inject-template-…: the pod's templates have {bytes} bytes \
             together, and {MAX_INLINE_BYTES} at most fit the agent's configuration"
        ));
    }

    fn note_file(&mut self, file: &RequestedFile) {
        let RequestedFile { raw_name, volume_path, path, mode, .. } = file;
        let place = format!("{volume_path}/{path}");
        let key = |name: &str| format!("{PREFIX}{name}-{raw_name}");
        for (name, outcome) in [
            (
                "agent-inject-secret",
                match file.is_default {
                    true => format!("file {place}, as the Injector writes it by default"),
                    false => format!("file {place}; its template says what is read"),
                },
            ),
            ("agent-inject-template", format!("renders {place}")),
            ("agent-inject-file", format!("{path} in {volume_path}")),
            ("agent-inject-perms", format!("mode {}", String::from(*mode))),
            (
                "agent-template-left-delim",
                format!("begins an action: {}", printable(&file.delimiters.0)),
            ),
            (
                "agent-template-right-delim",
                format!("ends an action: {}", printable(&file.delimiters.1)),
            ),
            ("secret-volume-path", format!("mounted at {volume_path}")),
            (
                "error-on-missing-key",
                match file.error_on_missing_key {
                    true => "a missing key is an error".to_owned(),
                    false => "a missing key is <no value>".to_owned(),
                },
            ),
            ("preserve-secret-case", format!("the file is {path}")),
        ] {
            if self.values.has(raw_name, name) {
                self.note(&key(name), Treatment::Used, outcome);
            }
        }
    }

    /// Finds what a template reads.
    pub(super) fn template(
        &mut self,
        file: &RequestedFile,
        reads: &mut Reads,
        rendered: &BTreeMap<SecretName, RequestedContents>,
        allowed: &Allowed<'_>,
    ) -> VaultTemplateOptions {
        let mut options = VaultTemplateOptions {
            delimiters: file.delimiters.clone(),
            error_on_missing_key: file.error_on_missing_key,
            calls: Vec::new(),
        };
        let calls = match vault_template::check(&file.template, &file.delimiters) {
            Ok(calls) => calls,
            Err(fault) => {
                self.refuse(&file.key, fault.to_string());
                return options;
            }
        };
        for call in calls {
            let secret = path::read(&call, &allowed.compat.kv_mounts)
                .and_then(|read| reads.name(read, |name| rendered.contains_key(name)));
            let secret = match secret {
                Ok(secret) => secret,
                // The first fault is enough, as of the syntax.
                Err(why) => {
                    self.refuse(&file.key, format!("line {}: {why}", call.line));
                    break;
                }
            };
            let (path, parameters) = (call.path, call.parameters);
            let call = VaultTemplateCall { path, parameters, secret };
            if !options.calls.contains(&call) {
                options.calls.push(call);
            }
        }
        options
    }

    pub(super) fn check_files(
        &mut self,
        rendered: &BTreeMap<SecretName, RequestedContents>,
        volumes: &BTreeMap<String, Vec<VolumeItem>>,
    ) {
        let length = |it: &RequestedContents| match it {
            RequestedContents::Vault(template) => {
                serde_json::to_string(template).map_or(usize::MAX, |it| it.len())
            }
            _ => 0,
        };
        let bytes = rendered.values().map(length).fold(0, usize::saturating_add);
        if bytes > MAX_INLINE_BYTES {
            self.too_long(bytes);
        }
        let inside = |one: &str, other: &str| {
            let (one, other) = (components(one), components(other));
            one.len() > other.len() && one.starts_with(&other)
        };
        for volume_path in volumes.keys() {
            if let Some(other) = volumes.keys().find(|other| inside(volume_path, other)) {
                // Both are read-only in the application, so nobody could make the place.
                self.mapping.errors.push(format!(
                    "annotation {PREFIX}secret-volume-path-…: {volume_path} is in {other}; give \
                     the file its own name there, or mount it elsewhere"
                ));
            }
        }
        for (volume_path, items) in volumes {
            for (at, item) in items.iter().enumerate() {
                let is_same = |other: &VolumeItem| other.path == item.path;
                let is_parent = |other: &VolumeItem| item.path.parents().any(|it| it == other.path);
                let before = items[..at].iter().any(is_same);
                if before || items.iter().any(is_parent) {
                    let path = printable(item.path.as_str());
                    self.mapping.errors.push(format!(
                        "annotation {PREFIX}agent-inject-file-…: two files are to be at \
                         {volume_path}/{path}, or one below the other"
                    ));
                }
            }
        }
    }
}
