//! What this program was built from: `tarsy-db --version --verbose`.

use migration::Revision;

const UNKNOWN: &str = "unknown";

/// The release, as `--version` prints it, and below it what a report of a fault should name.
pub(crate) fn details() -> String {
    // `make` sets it. cargo compiles this crate again if it changes, and nothing else.
    let commit = option_env!("TARSY_DB_COMMIT").filter(|commit| !commit.is_empty());
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    [
        format!("tarsy-db {}", env!("CARGO_PKG_VERSION")),
        format!("commit: {}", commit.or(option_env!("TARSY_DB_PACKAGED_COMMIT")).unwrap_or(UNKNOWN)),
        format!("revisions: {}, {} to {}", Revision::HEAD.number(), Revision::BASELINE.id(), Revision::HEAD.id()),
        format!("SQLite: {}", rusqlite::version()),
        format!("TLS: {}", openssl::version::version()),
        format!("compiler: {}", option_env!("TARSY_DB_COMPILER").unwrap_or(UNKNOWN)),
        format!("target: {} ({linked})\n", option_env!("TARSY_DB_TARGET").unwrap_or(UNKNOWN)),
    ]
    .join("\n")
}
