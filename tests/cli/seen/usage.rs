//! Invalid command lines and settings.

use crate::support::snapshot::{Scene, assert_seen, directory};
use crate::support::{apply, test};

/// Each invalid command line by the name of its snapshot.
const USAGE: &[(&str, &[&str])] = &[
    ("no-command", &[]),
    ("unknown-command", &["prunee"]),
    ("unknown-flag", &["info", "--everything"]),
    ("similar-flag", &["prune", "--dry-rum"]),
    ("flag-twice", &["prune", "--dry-run", "--dry-run"]),
    ("surplus-word", &["info", "history.db"]),
    ("surplus-url", &["info", "postgresql://tarsy:password@db/tarsy"]),
    ("quiet-and-verbose", &["info", "--quiet", "--verbose"]),
    ("color", &["info", "--color", "green"]),
    ("log-format", &["info", "--log-format", "xml"]),
    ("config-without-value", &["info", "--config"]),
    ("config-is-url", &["info", "--config", "postgresql://tarsy:password@db/tarsy"]),
    ("init-to", &["init", "--to", "nothing"]),
    ("init-to-number", &["init", "--to", "24"]),
    ("init-to-ambiguous", &["init", "--to", "a"]),
    ("init-wait", &["init", "--wait=soon"]),
    ("init-wait-negative", &["init", "--wait", "-5m"]),
    ("init-wait-word", &["init", "--wait", "soon"]),
    ("init-lock-timeout", &["init", "--lock-timeout", "30"]),
    ("wait-timeout-without-value", &["wait", "--timeout", "--for", "connect"]),
    ("wait-max-attempts-negative", &["wait", "--max-attempts", "-3"]),
    ("prune-max-share-negative", &["prune", "--max-share", "-5%"]),
    ("wait-for", &["wait", "--for", "godot"]),
    ("wait-timeout", &["wait", "--timeout", "forever"]),
    ("wait-max-attempts", &["wait", "--max-attempts", "0"]),
    ("wait-max-interval", &["wait", "--max-interval", "-1s"]),
    ("prune-older-than", &["prune", "--older-than", "90"]),
    ("prune-older-than-unit", &["prune", "--older-than", "5x"]),
    ("prune-older-than-and-before", &["prune", "--older-than", "90d", "--before", "2026-01-01T00:00:00Z"]),
    ("prune-before", &["prune", "--before", "yesterday"]),
    ("prune-now", &["prune", "--now", "2026-02-30T00:00:00Z"]),
    ("prune-max-share", &["prune", "--max-share", "half"]),
    ("prune-max-share-beyond", &["prune", "--max-share", "101%"]),
    ("prune-max-share-part", &["prune", "--max-share", "0.6"]),
    ("prune-archive-is-url", &["prune", "--archive", "sqlite:///archive.db"]),
    ("prune-archive-compressed", &["prune", "--archive", "archive.db.zst"]),
    ("prune-archive-and-events", &["prune", "--archive", "archive.db", "--events"]),
    ("prune-compress-alone", &["prune", "--compress"]),
    ("prune-batch-time", &["prune", "--batch-time", "quick"]),
    ("prune-vacuum-and-dry-run", &["prune", "--vacuum", "--dry-run"]),
    ("prune-metrics-and-dry-run", &["prune", "--metrics-file", "prune.prom", "--dry-run"]),
    ("prune-metrics-is-url", &["prune", "--metrics-file", "postgresql://tarsy:password@db/tarsy"]),
    ("prune-max-duration", &["prune", "--max-duration", "long"]),
    ("prune-retry-for", &["prune", "--retry-for", "1"]),
    ("migrate-append-and-check-only", &["migrate-sqlite-to-postgres", "--append", "--check-only"]),
    ("migrate-append-and-verify-only", &["migrate-sqlite-to-postgres", "--append", "--verify-only"]),
    ("migrate-verify", &["migrate-sqlite-to-postgres", "--verify", "some"]),
    ("migrate-check-only-and-to", &["migrate-sqlite-to-postgres", "--check-only", "--to", "postgresql://db/tarsy"]),
    ("migrate-check-only-and-verify", &["migrate-sqlite-to-postgres", "--check-only", "--verify", "counts"]),
    ("migrate-check-only-and-toast", &["migrate-sqlite-to-postgres", "--check-only", "--toast", "keep"]),
    ("migrate-dry-run-and-check-only", &["migrate-sqlite-to-postgres", "--dry-run", "--check-only"]),
    ("migrate-dry-run-and-verify-only", &["migrate-sqlite-to-postgres", "--dry-run", "--verify-only"]),
    ("migrate-verify-only-and-check-only", &["migrate-sqlite-to-postgres", "--verify-only", "--check-only"]),
    ("migrate-verify-only-and-verify", &["migrate-sqlite-to-postgres", "--verify-only", "--verify", "counts"]),
    ("migrate-verify-only-and-toast", &["migrate-sqlite-to-postgres", "--verify-only", "--toast", "keep"]),
    ("migrate-on-alone", &["migrate-sqlite-to-postgres", "--on", "nul=strip"]),
    ("migrate-on-form", &["migrate-sqlite-to-postgres", "--report", "move.json", "--on", "nul"]),
    ("migrate-on-class", &["migrate-sqlite-to-postgres", "--report", "move.json", "--on", "nan=null"]),
    ("migrate-on-policy", &["migrate-sqlite-to-postgres", "--report", "move.json", "--on", "nul=null"]),
    ("migrate-report-is-url", &["migrate-sqlite-to-postgres", "--report", "sqlite:///move.json"]),
    ("migrate-accept-damage-alone", &["migrate-sqlite-to-postgres", "--accept-damage"]),
    (
        "migrate-accept-damage-and-verify-only",
        &["migrate-sqlite-to-postgres", "--accept-damage", "--report", "move.json", "--verify-only"],
    ),
    ("migrate-toast", &["migrate-sqlite-to-postgres", "--toast", "zstd"]),
    ("migrate-lock-timeout", &["migrate-sqlite-to-postgres", "--lock-timeout", "30"]),
    ("completions-no-shell", &["completions"]),
    ("completions-shell", &["completions", "dash"]),
];

#[apply(test)]
fn invalid_command_lines() {
    let directory = directory();
    let scene = Scene::bare(directory.path()).with("COLUMNS", "100");
    for (name, words) in USAGE {
        assert_seen(&format!("usage-{name}"), &scene.failure(words));
    }
}

/// Invalid variables, by the name of the snapshot.
const VARIABLES: &[(&str, &[(&str, &str)])] = &[
    ("retention-days", &[("HISTORY_RETENTION_DAYS", "-1")]),
    ("event-retention-hours", &[("EVENT_RETENTION_HOURS", "day")]),
    ("history-enabled", &[("HISTORY_ENABLED", "maybe")]),
    ("schema-target", &[("TARSY_DB_SCHEMA", "nothing")]),
    ("pool-size", &[("POSTGRES_POOL_SIZE", "many")]),
    ("max-overflow", &[("POSTGRES_MAX_OVERFLOW", "4294967296")]),
    ("pool-timeout", &[("POSTGRES_POOL_TIMEOUT", "30s")]),
    ("pool-recycle", &[("POSTGRES_POOL_RECYCLE", "0x10")]),
    ("pool-pre-ping", &[("POSTGRES_POOL_PRE_PING", "2")]),
    ("port", &[("DATABASE_PASSWORD", "secret"), ("DATABASE_PORT", "70000")]),
    ("url-and-file", &[("DATABASE_URL", "sqlite:///history.db"), ("DATABASE_URL_FILE", "url")]),
    ("url-file-missing", &[("DATABASE_URL_FILE", "missing")]),
    ("url-file-empty", &[("DATABASE_URL_FILE", "empty")]),
    ("url-file-is-url", &[("DATABASE_URL_FILE", "postgresql://tarsy:password@db/tarsy")]),
    ("password-file-empty", &[("DATABASE_PASSWORD_FILE", "empty")]),
    ("config-missing", &[("TARSY_DB_CONFIG", "missing")]),
    ("config-is-url", &[("TARSY_DB_CONFIG", "postgresql://tarsy:password@db/tarsy")]),
    ("config-no-toml", &[("TARSY_DB_CONFIG", "no.toml")]),
    ("config-unknown-key", &[("TARSY_DB_CONFIG", "unknown.toml")]),
    ("config-table", &[("TARSY_DB_CONFIG", "table.toml")]),
    ("config-value", &[("TARSY_DB_CONFIG", "value.toml")]),
    ("url-without-scheme", &[("DATABASE_URL", "history.db")]),
    ("url-scheme", &[("DATABASE_URL", "mysql://tarsy:password@db/tarsy")]),
    ("url-unescaped-password", &[("DATABASE_URL", "postgresql://tarsy:pass@word@db/tarsy")]),
    ("url-sqlite-host", &[("DATABASE_URL", "sqlite://history.db")]),
    ("url-port", &[("DATABASE_URL", "postgresql://tarsy:password@db:port/tarsy")]),
    ("url-host-lists", &[("DATABASE_URL", "postgresql://tarsy:password@one,two/tarsy?port=1,2,3")]),
    ("url-unknown-parameter", &[("DATABASE_URL", "postgresql://tarsy:password@db/tarsy?sslmod=require")]),
    ("url-sqlite-parameter", &[("DATABASE_URL", "sqlite:///history.db?mode=ro")]),
    ("url-parameter", &[("DATABASE_URL", "postgresql://tarsy:password@db/tarsy?sslmode=yes")]),
    ("libpq-no-root-certificate", &[("DATABASE_URL", "postgresql://tarsy:password@db/tarsy?sslmode=verify-ca")]),
    (
        "libpq-system-roots",
        &[("DATABASE_URL", "postgresql://tarsy:password@db/tarsy?sslmode=require"), ("PGSSLROOTCERT", "system")],
    ),
    ("libpq-service", &[("DATABASE_URL", "postgresql://tarsy:password@db/tarsy"), ("PGSERVICE", "mine")]),
    ("libpq-sslmode", &[("DATABASE_URL", "postgresql://tarsy:password@db/tarsy"), ("PGSSLMODE", "yes")]),
];

#[apply(test)]
fn invalid_settings() {
    let directory = directory();
    for (name, text) in [
        ("url", "sqlite:///history.db"),
        ("empty", "\n"),
        ("no.toml", "[history\n"),
        ("unknown.toml", "[history]\nretention_day = 3\n"),
        ("table.toml", "[database.url]\nhost = \"db\"\n"),
        ("value.toml", "[postgres]\npool_size = 2.5\n"),
    ] {
        std::fs::write(directory.path().join(name), text).expect("it can be written");
    }
    for (name, variables) in VARIABLES {
        let scene = Scene::bare(directory.path());
        let scene = variables.iter().fold(scene, |scene, (variable, value)| scene.with(variable, value));
        let given: Vec<_> = variables.iter().map(|(variable, value)| format!("{variable}={value}\n")).collect();
        assert_seen(&format!("settings-{name}"), &(given.concat() + &scene.failure(&["info"])));
    }
}
