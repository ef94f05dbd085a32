//! The rows of `SHOW PROCESSLIST`, which shows a user's own threads without any right.

use contract::login_check::Sessions;

/// A thread, which serves one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MysqlThread<'t> {
    id: u64,
    user: &'t str,
    host: &'t str,
}

impl<'t> MysqlThread<'t> {
    /// Reads a row: Id, User, Host and others. Threads without a client's port are left out.
    pub(super) fn read(row: &'t [Option<String>]) -> Option<Self> {
        let [Some(id), Some(user), Some(host), ..] = row else { return None };
        let (host, _port) = host.rsplit_once(':')?;
        Some(Self { id: id.parse().ok()?, user, host })
    }
}

/// Where the client of a thread is: an address, or a name.
pub(super) fn host_of<'t>(threads: &[MysqlThread<'t>], id: u64) -> Option<&'t str> {
    threads.iter().find(|thread| thread.id == id).map(|thread| thread.host)
}

/// The sessions of the user and the host of thread `own`. Those after thread `mark` are new.
pub(super) fn own_sessions(
    threads: &[MysqlThread<'_>],
    own: u64,
    mark: u64,
    is_shared: bool,
) -> Option<Sessions> {
    let own = threads.iter().find(|thread| thread.id == own)?;
    let is_session = |thread: &&MysqlThread<'_>| {
        thread.user == own.user
            && thread.host == own.host
            && thread.id != own.id
            // The check that left the mark may not be gone for the server yet.
            && thread.id != mark
    };
    let sessions: Vec<_> = threads.iter().filter(is_session).collect();
    let new = sessions.iter().filter(|thread| thread.id > mark).count();
    Some(Sessions { new: new as u64, old: (sessions.len() - new) as u64, is_shared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_the_same_user_and_host() {
        let rows: Vec<Vec<Option<String>>> = [
            ["3", "app", "10.0.0.1:40000"],
            ["4", "app", "10.0.0.1:40001"],
            ["5", "app", "10.0.0.2:40002"],
            ["6", "root", "10.0.0.1:40003"],
            ["7", "app", "localhost"],
            ["x", "app", "10.0.0.1:1"],
            ["8", "app", "10.0.0.1:40004"],
            ["9", "app", "10.0.0.1:40005"],
            ["10", "app", "fe80::1:40005"],
        ]
        .iter()
        .map(|row| row.iter().map(|field| Some((*field).to_owned())).collect())
        .collect();
        let threads: Vec<_> = rows.iter().filter_map(|row| MysqlThread::read(row)).collect();
        assert_eq!(threads.len(), 7);
        assert_eq!(host_of(&threads, 9), Some("10.0.0.1"));
        assert_eq!(host_of(&threads, 10), Some("fe80::1"));
        for (mark, new, old) in [(4, 1, 1), (8, 0, 2), (2, 3, 0)] {
            let expected = Some(Sessions { new, old, is_shared: true });
            assert_eq!(own_sessions(&threads, 9, mark, true), expected, "{mark}");
        }
        assert_eq!(own_sessions(&threads, 99, 4, false), None);
    }
}
