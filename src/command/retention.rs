//! How long sessions are kept: the number that was chosen, or what TARSy's own defaults are where none was.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use serde::Serialize;

use crate::cli::prune::Prune;
use crate::error::Error;
use crate::format::counted;
use crate::history::overdue;
use crate::history::retention::policy::{
    ActiveSessions, DAYS_BY_DESIGN, DAYS_OF_RELEASES, Limit, RetentionError, RetentionPolicy,
};
use crate::schema::model::Schema;
use crate::schema::state::SchemaState;
use crate::settings::{SettingSource, Settings};

/// How long sessions are kept, and who says so.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Retention {
    /// In days; `None` where none was chosen, or where it is no whole number of days.
    days: Option<u32>,
    /// The flag, the variable or the file that says so, or `default`.
    source: String,
    /// Where none was chosen: TARSy's own defaults, and the sessions that each of them would remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    defaults: Vec<OwnDefault>,
    #[serde(skip)]
    limit: Limit,
}

/// One of TARSy's own defaults.
#[derive(Debug, Clone, Serialize)]
struct OwnDefault {
    days: u32,
    sessions: u64,
}

impl Retention {
    /// What the settings say for a database. The backend of the baseline removes nothing itself, so that there the
    /// default of its design is one; how long later ones keep sessions is not known here.
    pub(crate) fn of(settings: &Settings, state: &SchemaState) -> Self {
        let setting = &settings.retention_days;
        let is_chosen = setting.source != SettingSource::Default || state.is_baseline();
        let days = is_chosen.then_some(setting.value);
        Self::given(days, &setting.source.to_string(), Limit::OlderThan(of_days(days.unwrap_or(DAYS_OF_RELEASES))))
    }

    /// What `source` says; `days` is `None` where that is no whole number of days.
    pub(crate) fn given(days: Option<u32>, source: &str, limit: Limit) -> Self {
        Self { days, source: source.to_owned(), defaults: Vec::new(), limit }
    }

    /// As [`Retention::of`], unless `prune` was given a limit.
    pub(crate) fn of_prune(arguments: &Prune, settings: &Settings, state: &SchemaState) -> Self {
        match (arguments.before, arguments.older_than) {
            (Some(moment), _) => Self::given(None, "--before", Limit::Before(moment)),
            (None, Some(age)) => Self::given(whole_days(age), "--older-than", Limit::OlderThan(age)),
            (None, None) => Self::of(settings, state),
        }
    }

    /// Whether it was chosen, or the database is one of which nothing else is known.
    pub(crate) fn is_chosen(&self) -> bool {
        self.days.is_some() || self.source != SettingSource::Default.to_string()
    }

    /// The days that count: those that were chosen, or else the most that a backend keeps by default.
    pub(crate) fn days(&self) -> u32 {
        self.days.unwrap_or(DAYS_OF_RELEASES)
    }

    /// The sessions that are older; where none was chosen, than the most that a backend keeps by default.
    pub(crate) fn policy(&self, active: ActiveSessions, now: DateTime<Utc>) -> Result<RetentionPolicy, RetentionError> {
        RetentionPolicy::new(self.limit, active, now)
    }

    /// Where none was chosen, counts what each of TARSy's defaults would remove.
    pub(crate) async fn count(
        &mut self,
        connection: &impl ConnectionTrait,
        schema: &Schema,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        if self.is_chosen() {
            return Ok(());
        }
        for days in [DAYS_BY_DESIGN, DAYS_OF_RELEASES] {
            let policy = RetentionPolicy::new(Limit::OlderThan(of_days(days)), ActiveSessions::Keep, now)?;
            let sessions = overdue::count(connection, schema, &policy).await?.removable;
            self.defaults.push(OwnDefault { days, sessions });
        }
        Ok(())
    }

    /// As people read it: `90 days (HISTORY_RETENTION_DAYS)`.
    pub(crate) fn described(&self) -> String {
        match (self.days, self.is_chosen()) {
            (Some(days), _) => format!("{days} days ({})", self.source),
            (None, true) => self.source.clone(),
            (None, false) => format!(
                "not set: {DAYS_BY_DESIGN} days by TARSy's design, {DAYS_OF_RELEASES} in its releases since January 2026"
            ),
        }
    }

    /// Where none was chosen, what that means, with what [`Retention::count`] found.
    pub(crate) fn lines(&self) -> Vec<String> {
        if self.is_chosen() {
            return Vec::new();
        }
        let counts = self.defaults.iter().map(|OwnDefault { days, sessions }| {
            format!("older than {days} days, and over: {}", counted(*sessions, "session"))
        });
        let refused = "`tarsy-db prune` refuses to remove sessions (78) until HISTORY_RETENTION_DAYS is set to the backend's number";
        std::iter::once(format!("the retention is {}", self.described()))
            .chain(counts)
            .chain([refused.into()])
            .collect()
    }
}

fn of_days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn whole_days(age: Duration) -> Option<u32> {
    let is_whole = age.subsec_nanos() == 0 && age.as_secs().is_multiple_of(86_400);
    u32::try_from(age.as_secs() / 86_400).ok().filter(|_| is_whole)
}
