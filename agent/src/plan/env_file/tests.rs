//! What is rendered is what kubelet reads.

use proptest::prelude::*;

use super::*;

/// Kubelet's parser (`pkg/kubelet/util/env` of Kubernetes 1.37), for a text that it accepts. `None`
/// for an error; an empty value is what kubelet takes for a missing key.
fn kubelet_reads(file: &str, key: &str) -> Option<String> {
    // `bufio.ScanLines`: a line ends at `\n`, and a `\r` before it is dropped.
    let mut lines = file.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.len() >= 64 << 10 {
            return None;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once('=')?;
        let mut rest = rest.strip_prefix('\'')?.to_owned();
        let mut value = String::new();
        loop {
            if let Some((last, after)) = rest.split_once('\'') {
                value.push_str(last);
                let after = after.trim_start_matches([' ', '\t']);
                if !after.is_empty() && !after.starts_with('#') {
                    return None;
                }
                if name == key {
                    return Some(value);
                }
                break;
            }
            value.push_str(&rest);
            value.push('\n');
            rest = lines.next()?.to_owned();
        }
    }
    Some(String::new())
}

fn rendered(name: &str, value: &[u8]) -> Result<String, EnvValueError> {
    let file = render(&name.parse().unwrap(), &Redacted::from(value))?;
    Ok(String::from_utf8(file.expose().to_vec()).unwrap())
}

#[test]
fn values_that_cannot_be_variables_are_named() {
    let long = vec![b'x'; MAX_ENV_VALUE_BYTES + 1];
    for (value, error) in [
        (&b""[..], EnvValueError::Empty),
        (b"it's", EnvValueError::Quote),
        (b"a\0b", EnvValueError::Nul),
        (b"a\r\nb", EnvValueError::CarriageReturn),
        (b"\xff", EnvValueError::NotText),
        (&long, EnvValueError::TooLong(MAX_ENV_VALUE_BYTES + 1)),
    ] {
        assert_eq!(rendered("A", value), Err(error));
    }
    assert!(rendered("A", &long[1..]).is_ok());
}

#[test]
fn awkward_values_arrive_as_they_are() {
    for value in ["#", " x ", "a\nb\n", "\n", "a\rb", "$(B) \\ \"", "=", "ü", "A=\nB=x", "x\r"] {
        let file = rendered("A.b-c", value.as_bytes()).unwrap();
        assert_eq!(kubelet_reads(&file, "A.b-c").as_deref(), Some(value));
    }
}

proptest! {
    #[test]
    fn what_is_rendered_is_what_kubelet_reads(
        value in any::<String>(),
        name in "[A-Za-z_][A-Z.#=-]{0,5}",
    ) {
        prop_assume!(name.parse::<SecretName>().is_ok());
        if let Ok(file) = rendered(&name, value.as_bytes()) {
            prop_assert_eq!(kubelet_reads(&file, &name), Some(value));
        }
    }

    #[test]
    fn no_error_holds_a_value(value in prop::collection::vec(any::<u8>(), 0..40)) {
        let files = [(FileName::from(&"A".parse().unwrap()), Redacted::from(value.as_slice()))];
        let names = ["A".parse().unwrap(), "B".parse().unwrap()];
        let error = render_all(&names, &files.into_iter().collect()).unwrap_err().to_string();
        let text = String::from_utf8_lossy(&value);
        prop_assert!(value.len() < 4 || !error.contains(&*text));
    }
}
