//! What one file is made of: the annotations that end with its name.

use std::collections::BTreeMap;

use contract::FilePath;
use contract::secret_volume::VolumeFileMode;
use contract::vault_template::Delimiters;

use super::annotation::{FoundAnnotation, boolean};
use crate::diagnostics::printable;

/// The default place of the files.
pub(super) const DEFAULT_VOLUME_PATH: &str = "/vault/secrets";

/// A file that the pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestedFile {
    /// The end of the keys.
    pub(super) raw_name: String,
    /// The template, which is the default one if the pod has none.
    pub(super) template: String,
    /// Whether it is the default one.
    pub(super) is_default: bool,
    /// The key that asks for the file, for messages.
    pub(super) key: String,
    pub(super) delimiters: Delimiters,
    pub(super) error_on_missing_key: bool,
    /// Where it is mounted.
    pub(super) volume_path: String,
    /// Its path there.
    pub(super) path: FilePath,
    pub(super) mode: VolumeFileMode,
    /// What is to be run after a change.
    pub(super) command: Option<String>,
}

/// The values of a pod's annotations: those of the pod, and those of each file.
#[derive(Default)]
pub(super) struct Values<'p> {
    pub(super) of_pod: BTreeMap<&'static str, FoundAnnotation<'p>>,
    of_files: BTreeMap<(&'p str, &'static str), FoundAnnotation<'p>>,
}

impl<'p> Values<'p> {
    pub(super) fn insert(&mut self, found: FoundAnnotation<'p>) {
        match found.file {
            None => drop(self.of_pod.insert(found.annotation.name, found)),
            Some(file) => drop(self.of_files.insert((file, found.annotation.name), found)),
        }
    }

    fn get(&self, file: &str, name: &str) -> Option<FoundAnnotation<'p>> {
        let of_file = self.of_files.iter().find(|((of, is), _)| *of == file && *is == name);
        of_file.map(|(_, found)| *found)
    }

    fn value(&self, file: &str, name: &str) -> Option<&'p str> {
        self.get(file, name).map(|found| found.value)
    }

    /// A boolean of a file, or else of the pod.
    fn boolean(&self, file: &str, name: &str) -> Result<bool, String> {
        let found = self.get(file, name).or_else(|| self.of_pod.get(name).copied());
        let Some(found) = found else { return Ok(false) };
        boolean(found.value)
            .ok_or_else(|| format!("annotation {}: must be true or false", printable(found.key)))
    }

    /// Whether the pod has an annotation of a file.
    pub(super) fn has(&self, file: &str, name: &str) -> bool {
        self.get(file, name).is_some()
    }

    /// The names of files, in their order.
    pub(super) fn files(&self) -> Vec<&'p str> {
        let asks = |name: &str| matches!(name, "agent-inject-secret" | "agent-inject-template");
        let names = self
            .of_files
            .iter()
            .filter(|((_, name), found)| asks(name) && !found.value.trim().is_empty());
        let mut names: Vec<_> = names.map(|((file, _), _)| *file).collect();
        names.dedup();
        names
    }

    /// The keys that end with a name for which no file is asked.
    pub(super) fn without_file(&self) -> impl Iterator<Item = &'p str> {
        let files = self.files();
        self.of_files
            .iter()
            .filter(move |((file, _), _)| !files.contains(file))
            .map(|(_, found)| found.key)
    }

    /// What a file is made of.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn file(&self, raw: &'p str, is_json: bool) -> Result<RequestedFile, Vec<String>> {
        let mut errors = Vec::new();
        let mut keep = |result: Result<bool, String>| {
            result.map_err(|error| errors.push(error)).unwrap_or_default()
        };
        let keeps_case = keep(self.boolean(raw, "preserve-secret-case"));
        let error_on_missing_key = keep(self.boolean(raw, "error-on-missing-key"));
        let name = if keeps_case { raw.to_owned() } else { raw.to_lowercase() };
        let template = self.get(raw, "agent-inject-template");
        let template = template.filter(|it| !it.value.trim().is_empty());
        let secret = self.get(raw, "agent-inject-secret");
        let key = template.or(secret).map(|it| it.key.to_owned()).unwrap_or_default();
        let delimiters = Delimiters::default();
        let text = match (template, secret) {
            (Some(template), _) => template.value.to_owned(),
            (None, Some(secret)) => default_template(secret, is_json).unwrap_or_else(|error| {
                errors.push(error);
                String::new()
            }),
            (None, None) => String::new(),
        };
        let delimiter = |name: &str, default: &str| {
            let value = self.value(raw, name).filter(|it| !it.is_empty());
            value.unwrap_or(default).to_owned()
        };
        // The default template has the default ones.
        let delimiters = match template {
            Some(_) => Delimiters(
                delimiter("agent-template-left-delim", &delimiters.0),
                delimiter("agent-template-right-delim", &delimiters.1),
            ),
            None => delimiters,
        };
        let path = self.value(raw, "agent-inject-file").filter(|it| !it.is_empty());
        let path = path.unwrap_or(&name).trim_start_matches('/').parse::<FilePath>();
        let mode = self.value(raw, "agent-inject-perms").map_or(Ok(VolumeFileMode::DEFAULT), mode);
        let volume_path = self.value(raw, "secret-volume-path");
        let of_pod = || self.of_pod.get("secret-volume-path").map(|it| it.value);
        let volume_path = volume_path.or_else(of_pod).unwrap_or(DEFAULT_VOLUME_PATH);
        let volume_path = volume(volume_path);
        let of_file = |error: String| format!("annotation {}: {error}", printable(&key));
        let command = self.value(raw, "agent-inject-command").map(str::to_owned);
        let command = command.filter(|it| !it.trim().is_empty());
        match (path, mode, volume_path, errors.is_empty()) {
            (Ok(path), Ok(mode), Ok(volume_path), true) => Ok(RequestedFile {
                raw_name: raw.to_owned(),
                template: text,
                is_default: template.is_none(),
                key,
                delimiters,
                error_on_missing_key,
                volume_path,
                path,
                mode,
                command,
            }),
            (path, mode, volume_path, _) => {
                errors.extend(path.err().map(|error| of_file(error.to_string())));
                errors.extend(mode.err().map(of_file));
                errors.extend(volume_path.err().map(of_file));
                Err(errors)
            }
        }
    }
}

/// The Injector's own template for a path.
fn default_template(secret: FoundAnnotation<'_>, is_json: bool) -> Result<String, String> {
    let path = secret.value.trim();
    if path.contains(['"', '\\', '\n']) {
        let key = printable(secret.key);
        return Err(format!("annotation {key}: the path has a quotation mark or a backslash"));
    }
    Ok(match is_json {
        true => format!("{{{{ with secret \"{path}\" }}}}{{{{ .Data | toJSON }}}}\n{{{{ end }}}}"),
        false => format!(
            "{{{{ with secret \"{path}\" }}}}{{{{ range $k, $v := .Data }}}}{{{{ $k }}}}: \
             {{{{ $v }}}}\n{{{{ end }}}}{{{{ end }}}}"
        ),
    })
}

fn mode(text: &str) -> Result<VolumeFileMode, String> {
    let bits = i64::from_str_radix(text.trim(), 8).ok();
    let found = bits.and_then(|bits| VolumeFileMode::of_kubelet(bits, false));
    found.ok_or_else(|| format!("mode {} is not octal, as 0440", printable(text)))
}

/// A place to mount files at, which the application's image may have.
fn volume(path: &str) -> Result<String, String> {
    let path = path.trim().trim_end_matches('/');
    let is_path = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|it| !it.is_empty() && it != "." && it != ".." && !it.contains(':'))
    });
    let is_run = path == "/run" || path.starts_with("/run/") || path.starts_with("/var/run");
    match (is_path, is_run) {
        (true, false) if path.len() <= 256 && !path.chars().any(char::is_control) => {
            Ok(path.to_owned())
        }
        (true, true) => Err(format!("{} is in /run, which is the agent's own", printable(path))),
        _ => Err(format!("{} is no absolute path to mount files at", printable(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::annotation::find;
    use super::*;

    fn file(pairs: &[(&str, &str)], name: &str) -> Result<RequestedFile, Vec<String>> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (format!("vault.hashicorp.com/{key}"), *value))
            .collect();
        let mut values = Values::default();
        for (key, value) in &pairs {
            values.insert(find(key, value).unwrap());
        }
        assert_eq!(values.files(), [name]);
        values.file(values.files()[0], false)
    }

    #[test]
    fn a_path_alone_is_rendered_as_the_injector_does() {
        let found = file(&[("agent-inject-secret-DB", "database/creds/app")], "DB").unwrap();
        let expected = "{{ with secret \"database/creds/app\" }}{{ range $k, $v := .Data }}\
                        {{ $k }}: {{ $v }}\n{{ end }}{{ end }}";
        assert_eq!(found.template, expected);
        assert_eq!((found.path.as_str(), found.mode.bits()), ("db", 0o644));
        assert_eq!(found.volume_path, "/vault/secrets");
    }

    #[test]
    fn each_annotation_of_a_file_counts() {
        let found = file(
            &[
                ("agent-inject-secret-Db", "x"),
                ("agent-inject-template-Db", "<< 1 >>"),
                ("agent-template-left-delim-Db", "<<"),
                ("agent-template-right-delim-Db", ">>"),
                ("agent-inject-file-Db", "/conf/.env"),
                ("agent-inject-perms-Db", "0400"),
                ("agent-inject-command-Db", "kill -HUP 1"),
                ("secret-volume-path-Db", "/etc/app/"),
                ("secret-volume-path", "/other"),
                ("preserve-secret-case", "true"),
                ("error-on-missing-key-Db", "true"),
            ],
            "Db",
        )
        .unwrap();
        assert_eq!(found.template, "<< 1 >>");
        assert_eq!(found.delimiters, Delimiters("<<".into(), ">>".into()));
        assert_eq!((found.path.as_str(), found.mode.bits()), ("conf/.env", 0o400));
        assert_eq!(found.volume_path, "/etc/app");
        assert_eq!(found.command.as_deref(), Some("kill -HUP 1"));
        assert!(found.error_on_missing_key);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (key, value, expected) in [
            ("agent-inject-perms-a", "rw", "mode rw is not octal"),
            ("agent-inject-file-a", "../x", "parse path"),
            ("secret-volume-path", "secrets", "no absolute path"),
            ("secret-volume-path-a", "/run/secrets", "the agent's own"),
            ("preserve-secret-case-a", "maybe", "must be true or false"),
        ] {
            let errors = file(&[("agent-inject-secret-a", "x"), (key, value)], "a").unwrap_err();
            assert!(errors[0].contains(expected), "{key}: {errors:?}");
        }
        let errors = file(&[("agent-inject-secret-a", "x\" }}{{ env \"y")], "a").unwrap_err();
        assert!(errors[0].contains("a quotation mark"), "{errors:?}");
    }
}
