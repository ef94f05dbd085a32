//! Signal sets in `/proc/PID/status`: see proc_pid_status(5).

/// The set in a field such as `SigIgn:`. Bit 0 is signal 1.
pub(super) fn parse(status: &str, field: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix(field))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_parsed() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(
            (parse(status, "SigIgn:"), parse(status, "SigCgt:"), parse(status, "SigBlk:")),
            (Some(0x1001), Some(2), None)
        );
    }
}
