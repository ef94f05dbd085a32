//! When a credential ends, as people read it.

use jiff::Timestamp;

use crate::output::seconds;

/// The time, and whether it has passed.
pub(super) fn expiry(at: Timestamp, now: Timestamp) -> String {
    if at <= now { format!("{} (ended)", seconds(at)) } else { seconds(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_says_so() {
        let (early, late): (Timestamp, Timestamp) =
            ("2026-01-31T00:00:00Z".parse().unwrap(), "2026-01-31T00:00:01Z".parse().unwrap());
        assert_eq!(expiry(early, late), "2026-01-31T00:00:00Z (ended)");
        assert_eq!(expiry(early, early), "2026-01-31T00:00:00Z (ended)");
        assert_eq!(expiry(late, early), "2026-01-31T00:00:01Z");
    }
}
