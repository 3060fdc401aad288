//! How long sessions are kept: the setting, or TARSy's own defaults if it is not set.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cli::parser::Age;
use crate::cli::prune::Prune;
use crate::database::transaction::Transaction;
use crate::error::Error;
use crate::format::counted;
use crate::history::overdue;
use crate::history::retention::policy::{
    ActiveSessions, DAYS_BY_DESIGN, DAYS_OF_RELEASES, Limit, RetentionError, RetentionPolicy,
};
use crate::history::retention::selection::Precision;
use crate::schema::model::Schema;
use crate::schema::state::SchemaState;
use crate::settings::{RETENTION_DAYS, SettingSource, Settings, setting_from};

/// How long sessions are kept, and the source of that setting.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Retention {
    /// In days; `None` if it is not set or not a whole number of days.
    days: Option<u32>,
    /// The flag, variable or file, or `default`.
    source: String,
    /// If it is not set: TARSy's own defaults, and how many sessions each of them would remove.
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
    /// The retention of the settings. At the baseline, whose backend removes nothing itself, the default is that of
    /// TARSy's design. At a later revision there is no default, because the backend may use another number.
    pub(crate) fn of(settings: &Settings, state: &SchemaState) -> Self {
        let setting = &settings.retention_days;
        let is_chosen = setting.source != SettingSource::Default || state.is_baseline();
        let days = is_chosen.then_some(setting.value);
        Self::given(days, &setting.source.to_string(), Limit::OlderThan(of_days(days.unwrap_or(DAYS_OF_RELEASES))))
    }

    /// A retention with its source; `days` is `None` if it is not a whole number of days.
    pub(crate) fn given(days: Option<u32>, source: &str, limit: Limit) -> Self {
        Self { days, source: source.to_owned(), defaults: Vec::new(), limit }
    }

    /// As [`Retention::of`], unless `prune` has `--before` or `--older-than`.
    pub(crate) fn of_prune(arguments: &Prune, settings: &Settings, state: &SchemaState) -> Self {
        match (arguments.before, &arguments.older_than) {
            (Some(time), _) => Self::given(None, "--before", Limit::Before(time)),
            (None, Some(Age::Positive(age))) => Self::given(whole_days(*age), "--older-than", Limit::OlderThan(*age)),
            // An age that is not positive was refused before.
            (None, Some(Age::NotPositive(_)) | None) => Self::of(settings, state),
        }
    }

    /// Whether it is set, or has a default.
    pub(crate) fn is_chosen(&self) -> bool {
        self.days.is_some() || self.source != SettingSource::Default.to_string()
    }

    /// The days in force: the setting, or the longest default of a backend.
    pub(crate) fn days(&self) -> u32 {
        self.days.unwrap_or(DAYS_OF_RELEASES)
    }

    /// Selects the older sessions; if it is not set, by the longest default of a backend.
    pub(crate) fn policy(&self, active: ActiveSessions, now: DateTime<Utc>) -> Result<RetentionPolicy, RetentionError> {
        RetentionPolicy::new(self.limit, active, now)
            .map_err(|error| error.of_setting(&retention_days_from(&self.source)))
    }

    /// If it is not set, counts the sessions that each of TARSy's defaults would remove.
    pub(crate) async fn count(
        &mut self,
        connection: &Transaction,
        schema: &Schema,
        now: DateTime<Utc>,
        precision: Precision,
    ) -> Result<(), Error> {
        if self.is_chosen() {
            return Ok(());
        }
        for days in [DAYS_BY_DESIGN, DAYS_OF_RELEASES] {
            let policy = RetentionPolicy::new(Limit::OlderThan(of_days(days)), ActiveSessions::Keep, now)?;
            let sessions = overdue::count(connection, schema, &policy, precision).await?.removable;
            self.defaults.push(OwnDefault { days, sessions });
        }
        Ok(())
    }

    /// `90 days (HISTORY_RETENTION_DAYS)`.
    pub(crate) fn described(&self) -> String {
        match (self.days, self.is_chosen()) {
            (Some(days), _) => format!("{days} days ({})", self.source),
            (None, true) => self.source.clone(),
            (None, false) => format!(
                "not set; TARSy keeps {DAYS_BY_DESIGN} days by design and {DAYS_OF_RELEASES} days in its releases since January 2026"
            ),
        }
    }

    /// If it is not set, what that means, with the counts of [`Retention::count`].
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines_with("`tarsy-db prune` removes no session (exit code 78)")
    }

    /// The same of a run that succeeds, because it removes other rows.
    pub(crate) fn lines_without_sessions(&self) -> Vec<String> {
        self.lines_with("no session is removed")
    }

    fn lines_with(&self, effect: &str) -> Vec<String> {
        if self.is_chosen() {
            return Vec::new();
        }
        let counts = self.defaults.iter().map(|OwnDefault { days, sessions }| {
            format!("a retention of {days} days would remove {}", counted(*sessions, "session"))
        });
        let effect = format!("{effect} until HISTORY_RETENTION_DAYS is set; use the backend's number");
        std::iter::once(format!("retention: {}", self.described())).chain(counts).chain([effect]).collect()
    }
}

/// `` `HISTORY_RETENTION_DAYS` from /etc/tarsy-db.toml ``.
pub(crate) fn retention_days_from(source: &str) -> String {
    setting_from(RETENTION_DAYS.environment, source)
}

fn of_days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn whole_days(age: Duration) -> Option<u32> {
    let is_whole = age.subsec_nanos() == 0 && age.as_secs().is_multiple_of(86_400);
    u32::try_from(age.as_secs() / 86_400).ok().filter(|_| is_whole)
}
