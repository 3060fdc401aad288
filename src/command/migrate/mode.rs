//! The flags of `migrate-sqlite-to-postgres` as an enum.

use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::transfer::job::append::AppendMode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Only the source is checked.
    CheckOnly,
    OnTarget(TargetMode),
}

/// What to do with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetMode {
    /// Its empty tables are filled.
    Load,
    /// It is checked as for a load, and not changed.
    DryRun,
    /// Rows are inserted beside those that it holds, or only counted.
    Append(AppendMode),
    /// It is compared with the source.
    VerifyOnly,
}

impl Mode {
    /// The command line has refused contradicting flags.
    pub(crate) fn of(arguments: &MigrateSqliteToPostgres) -> Self {
        let MigrateSqliteToPostgres { check_only, append, verify_only, dry_run, .. } = *arguments;
        if check_only {
            return Self::CheckOnly;
        }
        Self::OnTarget(match (append, verify_only, dry_run) {
            (true, _, true) => TargetMode::Append(AppendMode::Count),
            (true, _, false) => TargetMode::Append(AppendMode::Insert),
            (false, true, _) => TargetMode::VerifyOnly,
            (false, false, true) => TargetMode::DryRun,
            (false, false, false) => TargetMode::Load,
        })
    }

    /// Whether the mode may change the target.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::OnTarget(TargetMode::Load | TargetMode::Append(AppendMode::Insert)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn mode(flags: &[&str]) -> Mode {
        let words = ["tarsy-db", "migrate-sqlite-to-postgres"].iter().chain(flags);
        let cli = Cli::try_parse_from(words).expect("the flags go together");
        let Command::MigrateSqliteToPostgres(arguments) = cli.command else { panic!("another command") };
        Mode::of(&arguments)
    }

    #[test]
    fn each_combination_of_flags_is_one_mode() {
        for (flags, expected, writes) in [
            (&[][..], Mode::OnTarget(TargetMode::Load), true),
            (&["--dry-run"], Mode::OnTarget(TargetMode::DryRun), false),
            (&["--append"], Mode::OnTarget(TargetMode::Append(AppendMode::Insert)), true),
            (&["--append", "--dry-run"], Mode::OnTarget(TargetMode::Append(AppendMode::Count)), false),
            (&["--verify-only"], Mode::OnTarget(TargetMode::VerifyOnly), false),
            (&["--check-only"], Mode::CheckOnly, false),
        ] {
            assert_eq!((mode(flags), mode(flags).writes()), (expected, writes), "{flags:?}");
        }
    }
}
