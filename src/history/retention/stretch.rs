//! The history in stretches of time, none of which has many sessions that are kept: a query names them, so that each is in
//! memory several times.

use sea_orm::sea_query::Condition;
use sea_orm::{ColumnTrait, DbBackend};

use super::known_sessions::MOST_NAMED;
use super::policy::RetentionPolicy;
use super::selection::Selection;
use crate::history::entity::alert_sessions::Column;
use crate::history::id_set::is_none_of;

/// The sessions of a selection that started in a certain time. The stretches of a selection have all of them, in order.
#[derive(Debug)]
pub(crate) struct Stretch<'s> {
    backend: DbBackend,
    /// The first start, in microseconds since the epoch. `None` in the first stretch.
    from_us: Option<i64>,
    /// The selection's policy, with the end of the stretch as its cutoff: of two upper limits SQLite would use only one in
    /// its index, and read the rows up to there.
    policy: RetentionPolicy,
    /// The sessions that are kept although the policy would remove them.
    kept: Vec<&'s str>,
}

impl Selection {
    /// The stretches of the history, from the oldest to the newest: one, unless many sessions are kept.
    pub(crate) fn stretches(&self) -> Vec<Stretch<'_>> {
        self.stretches_of(MOST_NAMED)
    }

    /// The stretches with so many kept sessions; more if they started at the same moment.
    fn stretches_of(&self, most_named: usize) -> Vec<Stretch<'_>> {
        let kept = self.kept();
        let (mut stretches, mut from_us, mut rest) = (Vec::new(), None, &kept[..]);
        loop {
            let last = rest.len().min(most_named).checked_sub(1).map(|last| rest[last].started_at_us);
            let (named, others) = rest.split_at(rest.partition_point(|session| Some(session.started_at_us) <= last));
            let until_us = others.first().map(|session| session.started_at_us);
            let mut policy = self.policy.clone();
            policy.cutoff_us = until_us.unwrap_or(policy.cutoff_us);
            let kept = named.iter().map(|session| &*session.session_id).collect();
            stretches.push(Stretch { backend: self.backend(), from_us, policy, kept });
            if until_us.is_none() {
                return stretches;
            }
            (from_us, rest) = (until_us, others);
        }
    }
}

impl Stretch<'_> {
    /// The condition for sessions to remove.
    pub(crate) fn is_removable(&self) -> Condition {
        let is_removable = self.begun(self.policy.is_removable(self.backend));
        if self.kept.is_empty() {
            return is_removable;
        }
        let kept = self.kept.iter().map(|key| (*key).to_owned()).collect();
        is_removable.add(is_none_of(self.backend, Column::SessionId.as_column_ref(), kept))
    }

    /// The condition for old sessions, also those that are kept.
    pub(super) fn is_old(&self) -> Condition {
        self.begun(self.policy.is_old(self.backend))
    }

    fn begun(&self, condition: Condition) -> Condition {
        condition.add_option(self.from_us.map(|from_us| Column::StartedAtUs.gte(from_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::namespace::Namespace;
    use crate::history::entity::keys_of_sessions;
    use crate::history::retention::known_sessions::{KnownSession, KnownSessions};

    fn selection(needed: &[(&str, i64)], in_use: &[(&str, i64)]) -> Selection {
        let session = |&(key, started_at_us): &(&str, i64)| KnownSession { started_at_us, session_id: key.into() };
        let sessions = |sessions: &[(&str, i64)]| KnownSessions::from(sessions.iter().map(session).collect::<Vec<_>>());
        let mut selection = Selection::of_policy(DbBackend::Postgres);
        (selection.needed.sessions, selection.in_use) = (sessions(needed), sessions(in_use));
        selection
    }

    #[test]
    fn what_other_sessions_need_and_what_is_in_use_is_left_out() {
        let sql = |selection: &Selection| {
            let [stretch] = &selection.stretches()[..] else { panic!("{selection:?}") };
            DbBackend::Postgres.build(&keys_of_sessions(&Namespace::default(), stretch.is_removable()))
        };
        let all = sql(&selection(&[], &[]));
        let found = sql(&selection(&[("needed", 3)], &[("needed", 3), ("used", 1)]));
        assert_eq!(found.sql, format!(r#"{} AND "alert_sessions"."session_id" <> ALL($6)"#, all.sql));
        assert_eq!(found.values.expect("values").0[5], vec!["used".to_owned(), "needed".to_owned()].into());
    }

    #[test]
    fn stretches_follow_on_one_another_and_share_no_moment() {
        let mut selection = selection(&[("a", 1), ("b", 4), ("c", 2), ("d", 2)], &[("e", 3), ("f", 9)]);
        selection.policy.cutoff_us = 10;
        let stretches = |most_named| {
            let stretches = selection.stretches_of(most_named).into_iter();
            stretches
                .map(|stretch| (stretch.from_us, stretch.policy.cutoff_us, stretch.kept.concat()))
                .collect::<Vec<_>>()
        };
        let all = |keys: &str| keys.to_owned();
        assert_eq!(stretches(6), [(None, 10, all("acdebf"))]);
        assert_eq!(stretches(5), [(None, 9, all("acdeb")), (Some(9), 10, all("f"))]);
        assert_eq!(stretches(2), [(None, 3, all("acd")), (Some(3), 9, all("eb")), (Some(9), 10, all("f"))]);
        let stretch = &selection.stretches_of(2)[1];
        let sql = DbBackend::Postgres.build(&keys_of_sessions(&Namespace::default(), stretch.is_old())).sql;
        let expected = r#""started_at_us" < $1 AND "alert_sessions"."started_at_us" >= $2"#;
        assert!(sql.ends_with(expected), "{sql}");
    }
}
