//! The sessions of a server in which this program works.

use std::sync::Mutex;

use crate::mutex::lock;

/// The process ids of the sessions in which transactions began, the newest last. A pooler assigns another one to each
/// transaction, so that only as many as there are connections are ours.
#[derive(Debug)]
pub(super) struct OwnSessions {
    most: usize,
    pids: Mutex<Vec<i32>>,
}

impl OwnSessions {
    pub(super) fn of(connections: Option<u32>) -> Self {
        let most = connections.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        Self { most, pids: Mutex::default() }
    }

    pub(super) fn add(&self, pid: i32) {
        let mut pids = lock(&self.pids);
        pids.retain(|known| *known != pid);
        pids.push(pid);
        if pids.len() > self.most {
            pids.remove(0);
        }
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        lock(&self.pids).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_pooler_a_session_that_another_client_has_by_now_is_not_ours() {
        let sessions = OwnSessions::of(Some(2));
        for pid in [7, 8, 7, 9] {
            sessions.add(pid);
        }
        assert_eq!(sessions.pids(), [7, 9]);
    }
}
