
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'tarsy-db' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'tarsy-db'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'tarsy-db' {
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Create or upgrade the schema, or make sure that it is there')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until the database is usable, then exit or run a command')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that connection, schema and data are sound')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show what is in the database and which settings are in force')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove old history')
            [CompletionResult]::new('migrate-sqlite-to-postgres', 'migrate-sqlite-to-postgres', [CompletionResultType]::ParameterValue, 'Move a history from SQLite to PostgreSQL, completely or not at all')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell to standard output')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'tarsy-db;init' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'The revision to reach: `head`, `baseline`, an id or the beginning of one, or a number from 1 to 23 [env: TARSY_DB_SCHEMA] [default: baseline]')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Wait for the database first, at most this long [default with the flag: 5m]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for somebody else''s lock')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print what would be done, and change nothing')
            [CompletionResult]::new('--sql', '--sql', [CompletionResultType]::ParameterName, 'Print the SQL that would be run, and change nothing')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Fail with exit code 5 if the schema is newer than this tool knows')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;wait' {
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'What usable means')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, with exit code 124 [default: only the attempts are limited]')
            [CompletionResult]::new('--max-attempts', '--max-attempts', [CompletionResultType]::ParameterName, 'Give up after this many attempts')
            [CompletionResult]::new('--max-interval', '--max-interval', [CompletionResultType]::ParameterName, 'The longest pause between attempts; the first is 1s, each next one twice as long')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('--retry-all', '--retry-all', [CompletionResultType]::ParameterName, 'Go on even after failures that do not heal by themselves')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;check' {
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('--fix', '--fix', [CompletionResultType]::ParameterName, 'Create indexes that are missing and put sequences behind their data, then check')
            [CompletionResult]::new('--deep', '--deep', [CompletionResultType]::ParameterName, 'Also look at every row: SQLite''s `integrity_check`, PostgreSQL''s rows without a parent')
            [CompletionResult]::new('--fail-if-overdue', '--fail-if-overdue', [CompletionResultType]::ParameterName, 'Fail with exit code 6 if sessions are past the retention by more than a day, instead of warning of them')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;info' {
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('--exact', '--exact', [CompletionResultType]::ParameterName, 'Count rows instead of taking PostgreSQL''s estimate, and take as long as it takes')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;prune' {
            [CompletionResult]::new('--older-than', '--older-than', [CompletionResultType]::ParameterName, 'Remove what started longer ago than this, as `90d` or `12h` [default: HISTORY_RETENTION_DAYS]')
            [CompletionResult]::new('--before', '--before', [CompletionResultType]::ParameterName, 'Remove what started before this moment')
            [CompletionResult]::new('--now', '--now', [CompletionResultType]::ParameterName, 'Count the age from this moment instead of the clock, for runs that can be repeated')
            [CompletionResult]::new('--status', '--status', [CompletionResultType]::ParameterName, 'Only sessions with this status; may be repeated')
            [CompletionResult]::new('--alert-type', '--alert-type', [CompletionResultType]::ParameterName, 'Only sessions of this type of alert; may be repeated')
            [CompletionResult]::new('--agent-type', '--agent-type', [CompletionResultType]::ParameterName, 'Only sessions of this type of agent; may be repeated')
            [CompletionResult]::new('--max-share', '--max-share', [CompletionResultType]::ParameterName, 'Refuse, with exit code 7, to remove more than this share of all sessions: the cutoff may be wrong')
            [CompletionResult]::new('--archive', '--archive', [CompletionResultType]::ParameterName, 'Copy what goes into this SQLite file first: a TARSy database at the same revision, which is created if need be')
            [CompletionResult]::new('--batch-time', '--batch-time', [CompletionResultType]::ParameterName, 'How long a batch may take [default: as it suits who else is there]')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Write what was done as metrics for Prometheus''s node exporter (textfile collector)')
            [CompletionResult]::new('--max-duration', '--max-duration', [CompletionResultType]::ParameterName, 'Stop after this long, when the batch in hand is over, 10 s later at most [default: no limit]')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'How long to try again when the connection breaks, or the database is busy or read-only')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('--events', '--events', [CompletionResultType]::ParameterName, 'Remove old events, too: those that are older than the event retention setting, 24 hours unless it is set')
            [CompletionResult]::new('--orphans', '--orphans', [CompletionResultType]::ParameterName, 'Remove orphans, too: rows whose session, stage or chat is gone, as `check` shows them')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the plan and change nothing')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('--include-active', '--include-active', [CompletionResultType]::ParameterName, 'Remove sessions that are not in a terminal status, or in use after the cutoff, too')
            [CompletionResult]::new('--compress', '--compress', [CompletionResultType]::ParameterName, 'Compress the archive in the end: `FILE.zst` takes the place of `FILE`, once it was read back')
            [CompletionResult]::new('--vacuum', '--vacuum', [CompletionResultType]::ParameterName, 'Give the space that is free afterwards back to the operating system as far as possible: `VACUUM (ANALYZE)` on PostgreSQL''s tables; on SQLite free pages leave the file')
            [CompletionResult]::new('--fail-if-remaining', '--fail-if-remaining', [CompletionResultType]::ParameterName, 'Exit with 6 if sessions that started before the cutoff remain')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;migrate-sqlite-to-postgres' {
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'The SQLite database, as a path or URL')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'The PostgreSQL database [default: the database URL]')
            [CompletionResult]::new('--verify', '--verify', [CompletionResultType]::ParameterName, 'What is compared before the commit')
            [CompletionResult]::new('--on', '--on', [CompletionResultType]::ParameterName, 'What is done with a class of values that cannot be carried over exactly, instead of ending the move')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'Write a report in JSON: tables, digests, hazards, policies and every change that they made')
            [CompletionResult]::new('--toast', '--toast', [CompletionResultType]::ParameterName, 'How PostgreSQL compresses long values of this load')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for somebody else''s lock')
            [CompletionResult]::new('--ignore', '--ignore', [CompletionResultType]::ParameterName, 'Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('--append', '--append', [CompletionResultType]::ParameterName, 'Bring the rows to those that the target holds, for instance back from what `prune --archive` kept')
            [CompletionResult]::new('--check-only', '--check-only', [CompletionResultType]::ParameterName, 'Check the source''s file, look at every value and list what PostgreSQL cannot hold; no target is needed, nothing is written')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Go as far as possible without moving a row: look at every value of the source and at what is in the way on the target, and say how large it will be and how long it will take; nothing is written')
            [CompletionResult]::new('--verify-only', '--verify-only', [CompletionResultType]::ParameterName, 'Compare the source with a target that holds it already, by whatever tool it was moved; nothing is written')
            [CompletionResult]::new('--accept-damage', '--accept-damage', [CompletionResultType]::ParameterName, 'Go on although SQLite''s integrity check finds the source damaged, and record the findings in the report')
            [CompletionResult]::new('--show-values', '--show-values', [CompletionResultType]::ParameterName, 'Show the values that cannot be carried over, too: they may be confidential')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;completions' {
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How the result is written to standard output. `json` is exactly one document, also on failure')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines are written to standard error')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say nothing on standard error but errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error; twice for everything')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Create or upgrade the schema, or make sure that it is there')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until the database is usable, then exit or run a command')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that connection, schema and data are sound')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show what is in the database and which settings are in force')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove old history')
            [CompletionResult]::new('migrate-sqlite-to-postgres', 'migrate-sqlite-to-postgres', [CompletionResultType]::ParameterValue, 'Move a history from SQLite to PostgreSQL, completely or not at all')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell to standard output')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'tarsy-db;help;init' {
            break
        }
        'tarsy-db;help;wait' {
            break
        }
        'tarsy-db;help;check' {
            break
        }
        'tarsy-db;help;info' {
            break
        }
        'tarsy-db;help;prune' {
            break
        }
        'tarsy-db;help;migrate-sqlite-to-postgres' {
            break
        }
        'tarsy-db;help;completions' {
            break
        }
        'tarsy-db;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
