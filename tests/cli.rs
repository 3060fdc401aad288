//! Runs the binary as a user does, against real databases, and looks at what comes out.

mod support;

use std::process::ExitCode;

#[path = "cli/aborts.rs"]
mod aborts;
#[path = "cli/adoption.rs"]
mod adoption;
#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/backfills.rs"]
mod backfills;
#[path = "cli/baseline.rs"]
mod baseline;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/check_orphans.rs"]
mod check_orphans;
#[path = "cli/documents.rs"]
mod documents;
#[path = "cli/drift.rs"]
mod drift;
#[path = "cli/every_revision.rs"]
mod every_revision;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/fix.rs"]
mod fix;
#[path = "cli/generated.rs"]
mod generated;
#[path = "cli/group_owner.rs"]
mod group_owner;
#[path = "cli/hostile_text.rs"]
mod hostile_text;
#[path = "cli/info.rs"]
mod info;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/large.rs"]
mod large;
#[path = "cli/ledger.rs"]
mod ledger;
#[path = "cli/left_behind.rs"]
mod left_behind;
#[path = "cli/migrate.rs"]
mod migrate;
#[path = "cli/migrate_append.rs"]
mod migrate_append;
#[path = "cli/migrate_crashes.rs"]
mod migrate_crashes;
#[path = "cli/migrate_damage.rs"]
mod migrate_damage;
#[path = "cli/migrate_damaged_indexes.rs"]
mod migrate_damaged_indexes;
#[path = "cli/migrate_early_columns.rs"]
mod migrate_early_columns;
#[path = "cli/migrate_failures.rs"]
mod migrate_failures;
#[path = "cli/migrate_hazards.rs"]
mod migrate_hazards;
#[path = "cli/migrate_moments.rs"]
mod migrate_moments;
#[path = "cli/migrate_network.rs"]
mod migrate_network;
#[path = "cli/migrate_obstacles.rs"]
mod migrate_obstacles;
#[path = "cli/migrate_plan.rs"]
mod migrate_plan;
#[path = "cli/migrate_policies.rs"]
mod migrate_policies;
#[path = "cli/migrate_refusals.rs"]
mod migrate_refusals;
#[path = "cli/migrate_report.rs"]
mod migrate_report;
#[path = "cli/migrate_revisions.rs"]
mod migrate_revisions;
#[path = "cli/migrate_source.rs"]
mod migrate_source;
#[path = "cli/migrate_values.rs"]
mod migrate_values;
#[path = "cli/migrate_verify_only.rs"]
mod migrate_verify_only;
#[path = "cli/operators.rs"]
mod operators;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/prune.rs"]
mod prune;
#[path = "cli/prune_archive.rs"]
mod prune_archive;
#[path = "cli/prune_archive_crashes.rs"]
mod prune_archive_crashes;
#[path = "cli/prune_archive_values.rs"]
mod prune_archive_values;
#[path = "cli/prune_events.rs"]
mod prune_events;
#[path = "cli/prune_failed_commits.rs"]
mod prune_failed_commits;
#[path = "cli/prune_in_use.rs"]
mod prune_in_use;
#[path = "cli/prune_metrics.rs"]
mod prune_metrics;
#[path = "cli/prune_neighbours.rs"]
mod prune_neighbours;
#[path = "cli/prune_network.rs"]
mod prune_network;
#[path = "cli/prune_newest.rs"]
mod prune_newest;
#[path = "cli/prune_orphans.rs"]
mod prune_orphans;
#[path = "cli/prune_plan.rs"]
mod prune_plan;
#[path = "cli/prune_prompt.rs"]
mod prune_prompt;
#[path = "cli/prune_properties.rs"]
mod prune_properties;
#[path = "cli/prune_stops.rs"]
mod prune_stops;
#[path = "cli/prune_vacuum.rs"]
mod prune_vacuum;
#[path = "cli/retention.rs"]
mod retention;
#[path = "cli/revisions.rs"]
mod revisions;
#[path = "cli/row_policies.rs"]
mod row_policies;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/shapes.rs"]
mod shapes;
#[path = "cli/silence.rs"]
mod silence;
#[path = "cli/space.rs"]
mod space;
#[path = "cli/standby.rs"]
mod standby;
#[path = "cli/targets.rs"]
mod targets;
#[path = "cli/tls.rs"]
mod tls;
#[path = "cli/upgrade.rs"]
mod upgrade;
#[path = "cli/wait.rs"]
mod wait;
#[path = "cli/which_database.rs"]
mod which_database;

fn main() -> ExitCode {
    if let Ok(url) = std::env::var(migrate_source::WRITES_TO) {
        migrate_source::write_to(&url);
        return ExitCode::SUCCESS;
    }
    support::harness::run()
}
