//! `prune`: removes old sessions while the backend keeps running.
//!
//! | module | what it is for |
//! |---|---|
//! | [`mod@run`] | a run: a dry run, nothing to do, or a removal |
//! | [`question`] | the confirmation prompt |
//! | [`batches`] | removes what was planned, in batches |
//! | [`attempt`] | one batch: begins it, commits it, adapts the batch size |
//! | [`retry`] | what to do after a failed batch |
//! | [`removal`] | the state of a running removal: limits, progress, pauses |
//! | [`blocks`] | what would be done or was done, as text |
//! | [`summary`] | the same as JSON |
//! | [`next_command`] | the dry run that a report recommends |
//! | [`prepare`] | plans the removal |
//! | [`kept_file`] | the file with all sessions that are kept |
//! | [`obstacle`] | what would make a run fail although its plan succeeded |
//! | [`history`] | the open database, and what is planned |
//! | [`request`] | the flags and the settings, resolved |
//! | [`bounds`] | the limits of each part of a run |
//! | [`outcome`] | the outcome of a removal, and the exit code |

mod attempt;
mod batches;
mod blocks;
mod bounds;
mod history;
mod kept_file;
mod next_command;
mod obstacle;
mod outcome;
mod prepare;
mod question;
mod removal;
mod request;
mod retry;
mod run;
mod summary;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::context::Context;
use crate::cli::prune::Prune;
use crate::database::failure::Verb;
use crate::database::watchdog::Watch;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::format::io_message;
use crate::interrupt::Interrupt;
use crate::metrics::{self, Metrics};
use crate::output::Report;
use crate::settings::Settings;

pub(crate) async fn run(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let watch = Arc::new(Watch::new(&settings.database.value, (Verb::Prune, "the history"), &|| ()));
    let Some(path) = &arguments.metrics_file else {
        return prune(arguments, settings, context, interrupt, &watch, &mut None).await;
    };
    // A wrong path fails before anything is removed.
    metrics::earlier(path)?;
    let started = Instant::now();
    let mut metrics = Some(Metrics::of(&settings.database.value.to_string()));
    let mut result = prune(arguments, settings, context, interrupt, &watch, &mut metrics).await;
    if let Some(mut metrics) = metrics {
        metrics.duration = started.elapsed();
        metrics.finished_at = context.now + started.elapsed();
        write_metrics(&mut metrics, path, &mut result);
    }
    result
}

/// Prunes and fills `metrics`; sets it to `None` if another run is active, which writes the metrics.
async fn prune(
    arguments: &Prune,
    settings: &Settings,
    context: &Context,
    interrupt: &Interrupt,
    watch: &Arc<Watch<'static>>,
    metrics: &mut Option<Metrics>,
) -> Result<Report, Error> {
    let result = Box::pin(run::prune(arguments, settings, context, interrupt, watch, metrics)).await;
    if matches!(&result, Err(Error::Interrupted(_))) {
        watch.end_sessions().await;
    }
    result
}

/// Writes the metrics. If that fails, it is the error of a run that has no other error.
fn write_metrics(metrics: &mut Metrics, path: &Path, result: &mut Result<Report, Error>) {
    metrics.exit_code = match result {
        Ok(report) => report.exit_code,
        Err(error) => error.exit_code(),
    };
    match (metrics.write(path), result) {
        (Err(error), Ok(report)) if report.exit_code == ExitCode::Done => {
            let error = Error::from(error);
            report.exit_code = error.exit_code();
            report.error = Some(error);
        }
        (Err(error), _) => tracing::error!("{error}: {}", io_message(&error.source)),
        (Ok(()), _) => {}
    }
}
