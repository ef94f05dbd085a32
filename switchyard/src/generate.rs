//! Generates random values, uniformly distributed over an alphabet.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::fill;
use contract::Redacted;
use contract::api::{Alphabet, Generate};
use zeroize::Zeroizing;

/// The number of random bytes fetched at a time.
const RANDOM_BATCH: usize = 64;

/// Generates a value.
///
/// # Errors
/// The system has no random numbers.
pub(crate) fn generate(how: Generate) -> Result<Redacted, Unspecified> {
    let (alphabet, length) =
        (characters(how.alphabet), usize::try_from(how.length).map_err(|_| Unspecified)?);
    let mut random = Zeroizing::new([0; RANDOM_BATCH]);
    // Allocated at full length, so that growing leaves no partial copy in memory.
    let mut value = Zeroizing::new(Vec::with_capacity(length));
    while value.len() < length {
        fill(random.as_mut())?;
        let missing = length - value.len();
        value.extend(random.iter().filter_map(|byte| pick(&alphabet, *byte)).take(missing));
    }
    Ok(Redacted::new(std::mem::take(&mut *value)))
}

/// The character for a random byte, or `None` for bytes that would bias the distribution (rejection
/// sampling).
fn pick(alphabet: &[u8], byte: u8) -> Option<u8> {
    let (count, byte) = (alphabet.len(), usize::from(byte));
    if byte < 256 - 256 % count { alphabet.get(byte % count).copied() } else { None }
}

fn characters(alphabet: Alphabet) -> Vec<u8> {
    let alphanumeric = || (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9');
    match alphabet {
        Alphabet::Alphanumeric => alphanumeric().collect(),
        Alphabet::Ascii => (b'!'..=b'~').collect(),
        Alphabet::Base64Url => alphanumeric().chain(*b"-_").collect(),
        Alphabet::Hex => (b'0'..=b'9').chain(b'a'..=b'f').collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_has_the_requested_length_and_alphabet() {
        for &alphabet in Alphabet::ALL {
            let all = characters(alphabet);
            for length in [Generate::MIN_LENGTH, 32, 65, Generate::MAX_LENGTH] {
                let value = generate(Generate { length, alphabet }).unwrap();
                assert_eq!(value.len(), usize::try_from(length).unwrap());
                assert!(value.expose().iter().all(|it| all.contains(it)), "{alphabet}");
            }
            let long = generate(Generate { length: Generate::MAX_LENGTH, alphabet }).unwrap();
            assert!(
                all.iter().all(|it| long.expose().contains(it)),
                "{alphabet}: one character of 94 is missing in 4096"
            );
        }
        assert_ne!(generate(Generate::default()).unwrap(), generate(Generate::default()).unwrap());
    }

    #[test]
    fn characters_are_equally_likely() {
        for (alphabet, size) in [
            (Alphabet::Alphanumeric, 62),
            (Alphabet::Ascii, 94),
            (Alphabet::Base64Url, 64),
            (Alphabet::Hex, 16),
        ] {
            let all = characters(alphabet);
            let mut count = BTreeMap::new();
            for byte in 0..=255 {
                if let Some(character) = pick(&all, byte) {
                    *count.entry(character).or_insert(0) += 1;
                }
            }
            assert_eq!(count.len(), size, "{alphabet}");
            assert!(count.values().all(|it| *it == 256 / size), "{alphabet}: {count:?}");
        }
    }
}
