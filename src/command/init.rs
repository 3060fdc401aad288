//! `init`: creates the baseline, or makes sure that it is there.

use serde::Serialize;

use super::wait;
use crate::cli::{Init, Wait};
use crate::connection::{self, Access};
use crate::error::Error;
use crate::failure::Failure;
use crate::output::{Block, Report};
use crate::schema::standing;
use crate::schema::upgrade::{self, Outcome};
use crate::settings::Settings;

#[derive(Serialize)]
struct Summary {
    database: String,
    /// `disabled`, `present`, `created` or `adopted`.
    outcome: &'static str,
    revision: Option<String>,
}

pub(super) async fn run(arguments: &Init, settings: &Settings, before_commit: &dyn Fn()) -> Result<Report, Error> {
    let url = &settings.database.value;
    if !settings.history_enabled.value {
        let summary = Summary { database: url.to_string(), outcome: "disabled", revision: None };
        let source = &settings.history_enabled.source;
        let line = format!("history is disabled ({source}): {url} was left alone");
        return Ok(Report::new(&summary, vec![Block::Line(line)]));
    }
    if let Some(timeout) = arguments.wait {
        wait::until_usable(&Wait::at_most(timeout), url).await?;
    }
    let connection = match connection::open(url, Access::Create, arguments.lock_timeout).await {
        Err(error) if error.cause.failure == Failure::Busy => {
            return Err(upgrade::locked_file(url, arguments.lock_timeout).into());
        }
        connection => connection?,
    };
    let (outcome, revision, line) = match upgrade::upgrade(&connection, arguments.lock_timeout, before_commit).await? {
        Outcome::Created => {
            let line = format!("created the schema in {url} at revision {}", standing::described(migration::BASELINE));
            ("created", migration::BASELINE.to_owned(), line)
        }
        Outcome::Adopted => {
            let line = format!(
                "adopted the EP-0020 tables in {url}: the ledger now says {}, the data was not touched",
                standing::described(migration::BASELINE)
            );
            ("adopted", migration::BASELINE.to_owned(), line)
        }
        Outcome::Present { revision } => {
            if arguments.strict && migration::number(&revision).is_none() {
                return Err(Error::Newer(revision));
            }
            let line = format!("{url} is at revision {}: left alone", standing::described(&revision));
            ("present", revision, line)
        }
    };
    connection.close().await.ok();
    let summary = Summary { database: url.to_string(), outcome, revision: Some(revision) };
    Ok(Report::new(&summary, vec![Block::Line(line)]))
}
