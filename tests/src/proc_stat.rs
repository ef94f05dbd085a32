//! What `/proc/PID/stat` says about a process.

/// The state of a process as one letter, and its parent.
pub(crate) fn status(id: u32) -> Option<(String, u32)> {
    let fields = stat_fields(id)?;
    Some((fields.first()?.clone(), fields.get(1)?.parse().ok()?))
}

/// When a process started, in clock ticks since boot. With its id this names one process for good.
pub(crate) fn started_at(id: u32) -> Option<u64> {
    // Field 22 of the whole line, see proc_pid_stat(5); the first one here is field 3.
    stat_fields(id)?.get(19)?.parse().ok()
}

/// The fields of `/proc/PID/stat` behind the program's name.
fn stat_fields(id: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in parentheses, and may hold spaces and parentheses itself.
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_when_it_started() {
        let (own, first) = (started_at(std::process::id()).unwrap(), started_at(1).unwrap());
        assert!(own > first, "{own} {first}");
        assert_eq!(started_at(u32::MAX), None);
    }
}
