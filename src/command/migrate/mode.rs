//! What the flags of `migrate-sqlite-to-postgres` ask for, resolved once.

use crate::cli::migrate::MigrateSqliteToPostgres;
use crate::transfer::job::append::AppendMode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The source alone is looked at.
    CheckOnly,
    OnTarget(TargetMode),
}

/// What is done with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetMode {
    /// Its empty tables are filled.
    Load,
    /// It is looked at as for a load, and not changed.
    DryRun,
    /// Rows are brought to those that it holds, or counted only.
    Append(AppendMode),
    /// It is compared with the source.
    VerifyOnly,
}

impl Mode {
    /// The command line has made sure that no two of the flags contradict each other.
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

    /// Whether the target is about to be changed.
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
