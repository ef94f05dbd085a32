//! Which form a file has, by its name or else by its first line that says something. Pure.

use std::path::Path;

use super::Form;

/// The form, where it is clear.
pub(super) fn form(path: &Path, text: &str) -> Option<Form> {
    by_name(path).or_else(|| by_text(text))
}

/// Whether a text is JSON.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '['])
}

/// The form that a name promises.
pub(super) fn by_name(path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_str()?;
    match path.extension().and_then(|it| it.to_str()) {
        Some("json") => Some(Form::Json),
        Some("yaml" | "yml") => Some(Form::Yaml),
        Some("env") => Some(Form::Env),
        _ if name == ".env" || name.starts_with(".env.") => Some(Form::Env),
        _ => None,
    }
}

fn by_text(text: &str) -> Option<Form> {
    if is_json(text) {
        return Some(Form::Json);
    }
    let line = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    if line.starts_with("---") || line.starts_with("%YAML") {
        return Some(Form::Yaml);
    }
    let name = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let rest = name
        .trim_start_matches(|c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '"' | '\'')
        })
        .trim_start();
    match rest.chars().next()? {
        '=' => Some(Form::Env),
        ':' => Some(Form::Yaml),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (path, text, expected) in [
            ("x.json", "", Some(Form::Json)),
            ("x/.env", "", Some(Form::Env)),
            (".env.local", "", Some(Form::Env)),
            ("prod.env", "", Some(Form::Env)),
            ("x.yml", "", Some(Form::Yaml)),
            ("-", "\n {\"a\": 1}", Some(Form::Json)),
            ("-", "# a\n\nexport A=b: c", Some(Form::Env)),
            ("-", "A = b", Some(Form::Env)),
            ("-", "A: b=c", Some(Form::Yaml)),
            ("-", "\"A\": b", Some(Form::Yaml)),
            ("-", "---\nA: b", Some(Form::Yaml)),
            ("-", "hello there", None),
            ("-", "", None),
        ] {
            assert_eq!(form(Path::new(path), text), expected, "{path} {text:?}");
        }
    }
}
