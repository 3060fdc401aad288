//! What `init` did, or would do, as tables and as data.

use migration::Revision;
use serde::Serialize;

use crate::database::url::DatabaseUrl;
use crate::output::{Block, Field, Report};
use crate::schema::state_error::described;
use crate::schema::upgrade::assess::Start;
use crate::schema::upgrade::filling::Filling;
use crate::settings::SettingSource;

#[derive(Serialize)]
struct InitSummary {
    database: String,
    outcome: InitOutcome,
    dry_run: bool,
    /// The revision before, if the database had TARSy's tables.
    from: Option<String>,
    revision: Option<String>,
    /// The applied revisions, in order.
    applied: Vec<Step>,
    /// With `dry_run`: the revisions that would be applied.
    pending: Vec<Step>,
    /// With `dry_run`: the rows that would be filled while the tables are locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    filling: Option<Filling>,
    /// With `--create-database`: whether it was created, or with `dry_run` would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_database: Option<bool>,
    /// With `--app-role`.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_role: Option<AppRole>,
    /// With `--sql`: the statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<Vec<String>>,
}

/// What was done, or with `dry_run` would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum InitOutcome {
    /// The settings disable the history.
    Disabled,
    /// The database was already at this revision or a later one.
    Present,
    Created,
    Adopted,
    Upgraded,
}

/// The role of TARSy's backend.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AppRole {
    pub(super) name: String,
    /// The statements that were run, or with `dry_run` would be.
    pub(super) grants: Vec<String>,
}

/// Whether the run changes the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Done,
    DryRun,
}

#[derive(Serialize)]
struct Step {
    revision: &'static str,
    number: usize,
    change: &'static str,
}

/// Of a run that the settings disable.
pub(super) fn disabled(url: &DatabaseUrl, source: &SettingSource) -> Report {
    let line = format!("history is disabled ({source}): {url} was not changed");
    let summary = InitSummary {
        database: url.to_string(),
        outcome: InitOutcome::Disabled,
        dry_run: false,
        from: None,
        revision: None,
        applied: Vec::new(),
        pending: Vec::new(),
        filling: None,
        created_database: None,
        app_role: None,
        sql: None,
    };
    Report::new(&summary, vec![Block::Line(line)])
}

/// What was done to a database, or would be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upgrade<'u> {
    pub(super) url: &'u DatabaseUrl,
    pub(super) start: &'u Start,
    pub(super) pending: &'u [Revision],
    pub(super) revision: &'u str,
    pub(super) effect: Effect,
    /// With [`Effect::DryRun`].
    pub(super) filling: Option<&'u Filling>,
    /// With `--create-database`.
    pub(super) created_database: Option<bool>,
    pub(super) app_role: Option<&'u AppRole>,
}

impl<'u> Upgrade<'u> {
    pub(super) fn report(self, sql: Option<Vec<String>>) -> Report {
        let blocks = match &sql {
            Some(statements) => vec![Block::Script(self.script(statements))],
            None => self.blocks(),
        };
        let is_changed = self.effect == Effect::Done && self.outcome() != InitOutcome::Present;
        Report { committed: is_changed.then(|| self.line()), ..Report::new(&self.summary(sql), blocks) }
    }

    fn outcome(self) -> InitOutcome {
        match (self.start, self.pending.is_empty()) {
            (Start::Empty, _) => InitOutcome::Created,
            (Start::Tables(_), _) => InitOutcome::Adopted,
            (Start::Ledger(_), false) => InitOutcome::Upgraded,
            (Start::Ledger(_), true) => InitOutcome::Present,
        }
    }

    fn grants(self) -> &'u [String] {
        self.app_role.map_or(&[], |role| &role.grants)
    }

    /// What the backend's role got.
    fn lines_of_role(self) -> Option<Vec<String>> {
        let AppRole { name, grants } = self.app_role?;
        let title = match (grants.is_empty(), self.effect) {
            (true, Effect::DryRun) if self.created_database == Some(true) => {
                format!("`{name}` would get what TARSy's backend needs")
            }
            (true, _) => format!("`{name}` has what TARSy's backend needs: nothing to grant"),
            (false, Effect::DryRun) => format!("`{name}` would get what it lacks"),
            (false, Effect::Done) => format!("`{name}` got what it lacked"),
        };
        Some(std::iter::once(title).chain(grants.iter().map(|statement| format!("    {statement};"))).collect())
    }

    /// The database that was created.
    fn line_of_database(self) -> Option<String> {
        let created = match self.effect {
            Effect::DryRun => "would create",
            Effect::Done => "created",
        };
        self.created_database.filter(|is_created| *is_created)?;
        Some(format!("{created} the database {}", self.url))
    }

    fn line(self) -> String {
        let (url, revision) = (self.url, described(self.revision));
        let [created, adopted, upgraded] = match self.effect {
            Effect::DryRun => ["would create", "would adopt", "would upgrade"],
            Effect::Done => ["created", "adopted", "upgraded"],
        };
        match (self.start, self.pending.is_empty()) {
            (Start::Empty, _) => format!("{created} the schema in {url} at revision {revision}"),
            (Start::Tables(from), is_complete) => {
                let upgraded = match (is_complete, self.effect) {
                    (true, _) => String::new(),
                    (false, Effect::DryRun) => format!(" and upgrade them to {revision}"),
                    (false, Effect::Done) => format!(" and upgraded them to {revision}"),
                };
                format!("{adopted} the tables in {url} (no `alembic_version`; they match revision {from}){upgraded}")
            }
            (Start::Ledger(from), false) => {
                format!("{upgraded} {url} from revision {} to {revision}", described(from))
            }
            (Start::Ledger(_), true) if self.grants().is_empty() => {
                format!("{url} is already at revision {revision}: nothing to do")
            }
            (Start::Ledger(_), true) => format!("{url} is already at revision {revision}"),
        }
    }

    fn blocks(self) -> Vec<Block> {
        let mut lines: Vec<_> = self.line_of_database().into_iter().collect();
        lines.push(self.line());
        let mut blocks = vec![Block::Lines(lines)];
        if *self.start != Start::Empty && !self.pending.is_empty() {
            let rows = self.pending.iter().map(|revision| -> Vec<Field> {
                vec![Field::Number(revision.number().to_string()), revision.id().into(), revision.change().into()]
            });
            let title = match self.effect {
                Effect::DryRun => "pending (nothing was changed)",
                Effect::Done => "applied",
            };
            blocks.push(Block::Table { title, header: vec!["", "revision", "change"], rows: rows.collect() });
        }
        blocks.extend(self.filling.filter(|filling| filling.is_long()).map(|filling| Block::Line(filling.to_string())));
        blocks.extend(self.lines_of_role().map(Block::Lines));
        blocks
    }

    /// The statements, after a comment that says how to run them so that the shell stops at the first error.
    fn script(self, statements: &[String]) -> String {
        let comment = match (statements.is_empty(), self.url) {
            (true, url) => format!("-- {url} is at revision {}: nothing to do", described(self.revision)),
            (false, DatabaseUrl::Sqlite(_)) => "-- run with: sqlite3 -bail FILE".to_owned(),
            (false, DatabaseUrl::Postgresql(_)) => "-- run with: psql --set ON_ERROR_STOP=1".to_owned(),
        };
        let lines = std::iter::once(comment).chain(statements.iter().map(|sql| format!("{sql};")));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn summary(self, sql: Option<Vec<String>>) -> InitSummary {
        let steps = self.pending.iter().map(|revision| Step {
            revision: revision.id(),
            number: revision.number(),
            change: revision.change(),
        });
        let (applied, pending) = match self.effect {
            Effect::DryRun => (Vec::new(), steps.collect()),
            Effect::Done => (steps.collect(), Vec::new()),
        };
        InitSummary {
            database: self.url.to_string(),
            outcome: self.outcome(),
            dry_run: self.effect == Effect::DryRun,
            from: match self.start {
                Start::Empty => None,
                Start::Tables(revision) => Some(revision.id().to_owned()),
                Start::Ledger(revision) => Some(revision.clone()),
            },
            revision: Some(self.revision.to_owned()),
            applied,
            pending,
            filling: self.filling.cloned(),
            created_database: self.created_database,
            app_role: self.app_role.cloned(),
            sql,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> DatabaseUrl {
        DatabaseUrl::sqlite_file("history.db")
    }

    fn at(revision: Revision) -> Start {
        Start::Ledger(revision.id().to_owned())
    }

    fn to_head<'u>(url: &'u DatabaseUrl, start: &'u Start, pending: &'u [Revision], effect: Effect) -> Upgrade<'u> {
        Upgrade {
            url,
            start,
            pending,
            revision: Revision::HEAD.id(),
            effect,
            filling: None,
            created_database: None,
            app_role: None,
        }
    }

    #[test]
    fn the_sentence_says_what_was_done_or_would_be() {
        let (url, baseline, head) = (file(), Revision::BASELINE, Revision::HEAD);
        for (start, pending, outcome, done, would) in [
            (Start::Empty, &[head][..], InitOutcome::Created, "created the schema in ", "would create the schema in "),
            (Start::Tables(head), &[], InitOutcome::Adopted, "adopted the tables in ", "would adopt the tables in "),
            (at(baseline), &[head], InitOutcome::Upgraded, "upgraded ", "would upgrade "),
        ] {
            let [real, dry] = [Effect::Done, Effect::DryRun].map(|effect| to_head(&url, &start, pending, effect));
            assert_eq!(real.outcome(), outcome);
            assert!(real.line().starts_with(done), "{}", real.line());
            assert!(dry.line().starts_with(would), "{}", dry.line());
        }
        let start = at(head);
        let present = to_head(&url, &start, &[], Effect::Done);
        assert_eq!(present.outcome(), InitOutcome::Present);
        assert_eq!(present.line(), format!("{url} is already at revision {head}: nothing to do"));
    }

    #[test]
    fn only_an_upgrade_lists_its_revisions() {
        let url = file();
        let blocks = |start: &Start| to_head(&url, start, &[Revision::HEAD], Effect::DryRun).blocks().len();
        assert_eq!((blocks(&Start::Empty), blocks(&at(Revision::BASELINE))), (1, 2));
    }

    #[test]
    fn a_script_without_statements_says_so() {
        let (url, start) = (file(), at(Revision::HEAD));
        let upgrade = to_head(&url, &start, &[], Effect::DryRun);
        assert_eq!(upgrade.script(&[]), format!("-- {url} is at revision {}: nothing to do", Revision::HEAD));
        assert_eq!(upgrade.script(&["SELECT 1".to_owned()]), "-- run with: sqlite3 -bail FILE\nSELECT 1;");
    }

    #[test]
    fn steps_are_applied_or_pending() {
        let url = file();
        let steps = |effect| {
            let summary = to_head(&url, &Start::Empty, &[Revision::HEAD], effect).summary(None);
            (summary.dry_run, summary.applied.len(), summary.pending.len())
        };
        assert_eq!((steps(Effect::Done), steps(Effect::DryRun)), ((false, 1, 0), (true, 0, 1)));
    }
}
