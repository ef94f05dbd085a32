//! Detects the format of a file by its path, or else by its first significant line. Pure.

use std::path::Path;

use super::FileFormat;

/// Extensions of formats that look like another one and are not it.
const OTHER_FORMATS: [&str; 9] =
    ["toml", "ini", "cfg", "conf", "tfvars", "hcl", "xml", "csv", "plist"];

/// The format, unless it is unclear.
pub(super) fn detect(path: &Path, text: &str) -> Option<FileFormat> {
    let extension = path.extension().and_then(|it| it.to_str());
    if extension.is_some_and(|it| OTHER_FORMATS.contains(&it)) {
        return None;
    }
    by_path(path).or_else(|| by_text(text))
}

/// Whether a text is JSON.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '['])
}

/// The format that a file name stands for.
pub(super) fn by_path(path: &Path) -> Option<FileFormat> {
    let name = path.file_name()?.to_str()?;
    match path.extension().and_then(|it| it.to_str()) {
        Some("json") => Some(FileFormat::Json),
        Some("yaml" | "yml") => Some(FileFormat::Yaml),
        Some("env") => Some(FileFormat::Env),
        Some("properties") => Some(FileFormat::Properties),
        _ if name == ".env" || name.starts_with(".env.") => Some(FileFormat::Env),
        _ => None,
    }
}

fn by_text(text: &str) -> Option<FileFormat> {
    if is_json(text) {
        return Some(FileFormat::Json);
    }
    let line = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    if line.starts_with("---") || line.starts_with("%YAML") {
        return Some(FileFormat::Yaml);
    }
    let name = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let rest = name
        .trim_start_matches(|c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '"' | '\'')
        })
        .trim_start();
    match rest.chars().next()? {
        '=' => Some(FileFormat::Env),
        ':' => Some(FileFormat::Yaml),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected() {
        for (path, text, expected) in [
            ("x.json", "", Some(FileFormat::Json)),
            ("x/.env", "", Some(FileFormat::Env)),
            (".env.local", "", Some(FileFormat::Env)),
            ("prod.env", "", Some(FileFormat::Env)),
            ("x.yml", "", Some(FileFormat::Yaml)),
            ("x.properties", "A=b", Some(FileFormat::Properties)),
            ("x.toml", "A = \"b\"", None),
            ("x.ini", "A=b", None),
            ("x.txt", "A=b", Some(FileFormat::Env)),
            ("-", "\n {\"a\": 1}", Some(FileFormat::Json)),
            ("-", "# a\n\nexport A=b: c", Some(FileFormat::Env)),
            ("-", "A = b", Some(FileFormat::Env)),
            ("-", "A: b=c", Some(FileFormat::Yaml)),
            ("-", "\"A\": b", Some(FileFormat::Yaml)),
            ("-", "---\nA: b", Some(FileFormat::Yaml)),
            ("-", "hello there", None),
            ("-", "", None),
        ] {
            assert_eq!(detect(Path::new(path), text), expected, "{path} {text:?}");
        }
    }
}
