//! The check of the role of TARSy's backend, if another one owns the tables.

use serde_json::json;

use super::finding::Finding;
use crate::database::transaction::Transaction;
use crate::exit_code::ExitCode;
use crate::output::Status;
use crate::schema::app_role::{self, Purpose, RoleChange, RoleFacts};
use crate::schema::state::SchemaState;

const NAME: &str = "backend role";

/// Whether a role has what TARSy's backend needs. Reads the catalog only.
pub(super) async fn app_role(reading: &Transaction, state: &SchemaState, role: &str) -> Finding {
    let facts = match app_role::facts(reading, role).await {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            let missing = Finding::failed(NAME, ExitCode::Configuration, format!("there is no role `{role}`"));
            return missing.because("role_missing").with(json!({ "role": role }));
        }
        Err(error) => return Finding::unanswered(NAME, &error.into()),
    };
    if state.is_empty() {
        return Finding::skipped(NAME, "no tables yet");
    }
    Finding::of(NAME, app_role::changes(reading, role, &[]).await, |changes| judged(role, &facts, &changes))
}

fn judged(role: &str, facts: &RoleFacts, changes: &[RoleChange]) -> Finding {
    let needed = changes.iter().filter(|change| change.purpose == Purpose::Needed);
    let needed: Vec<_> = needed.map(|change| format!("{};", change.statement)).collect();
    let data = json!({ "role": role, "statements": needed });
    let unusable: Vec<_> = [facts.no_login(role), facts.hidden_rows(role)].into_iter().flatten().collect();
    let can = match unusable.is_empty() {
        true => "can read and write all tables",
        false => "has all privileges that TARSy's backend needs",
    };
    let mut worries = unusable;
    worries.extend(app_role::excess(role, changes));
    worries.extend(app_role::shared(role, changes));
    worries.extend(facts.wrong_path(role));
    worries.extend([facts.unenforced_keys(role), facts.other_time_zone(role)].into_iter().flatten());
    let read_only = facts.read_only(role);
    if !needed.is_empty() {
        let title = format!("`{role}` lacks what TARSy's backend needs; `tarsy-db init --app-role` grants it, or run");
        let lines = std::iter::once(title).chain(needed).chain(read_only).chain(worries);
        let finding = Finding::failed(NAME, ExitCode::Privilege, lines.collect::<Vec<_>>());
        return finding.because("privileges_missing").with(data);
    }
    if let Some(read_only) = read_only {
        let lines = std::iter::once(read_only).chain(worries).collect::<Vec<_>>();
        return Finding::failed(NAME, ExitCode::Unavailable, lines).because("read_only").with(data);
    }
    let mut lines = vec![format!("`{role}` {can}")];
    lines.extend(facts.ownership(role));
    let status = match (worries.is_empty(), lines.len()) {
        (false, _) => Status::Warning,
        (true, 1) => Status::Ok,
        (true, _) => Status::Note,
    };
    lines.extend(worries);
    Finding::new(NAME, status, lines).with(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(purpose: Purpose) -> RoleChange {
        RoleChange::new(purpose, &format!("{purpose:?}"))
    }

    #[test]
    fn only_what_the_backend_needs_is_a_failure() {
        let facts = RoleFacts::default();
        let judged = |purposes: &[Purpose]| {
            let changes: Vec<_> = purposes.iter().copied().map(change).collect();
            judged("backend", &facts, &changes)
        };
        let lacking = judged(&[Purpose::Later, Purpose::Excess, Purpose::Needed]);
        assert_eq!((lacking.status, lacking.exit_code), (Status::Failed, ExitCode::Privilege));
        assert_eq!(lacking.detail.0[1], "Needed;");
        assert_eq!(judged(&[Purpose::Later]).status, Status::Ok);
        for (purpose, statement) in [(Purpose::Excess, "Excess;"), (Purpose::Shared, "Shared;")] {
            let found = judged(&[purpose]);
            assert_eq!((found.status, found.detail.0.last().map(String::as_str)), (Status::Warning, Some(statement)));
        }
    }

    #[test]
    fn a_role_that_can_change_the_schema_is_noted() {
        let found = judged("tarsy", &RoleFacts { owned: vec!["chats".to_owned()], ..RoleFacts::default() }, &[]);
        assert_eq!(found.status, Status::Note);
        assert!(found.detail.0[1].ends_with("may act as the owner of chats"), "{found:?}");
    }
}
