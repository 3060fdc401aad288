
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
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Create the schema, or upgrade it')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until the database is usable, then exit or run a command')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that connection, schema and data are sound')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show the contents of the database and the settings in force')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove old sessions')
            [CompletionResult]::new('migrate-sqlite-to-postgres', 'migrate-sqlite-to-postgres', [CompletionResultType]::ParameterValue, 'Migrate a history from SQLite to PostgreSQL, completely or not at all')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell to standard output')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'tarsy-db;init' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'The revision to upgrade to: `head`, `baseline`, an id or its beginning, or a number from 1 to 23 [env: TARSY_DB_SCHEMA] [default: baseline]')
            [CompletionResult]::new('--app-role', '--app-role', [CompletionResultType]::ParameterName, 'Give this existing role what TARSy''s backend needs, and nothing that changes the schema. PostgreSQL only')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'First wait up to this long until the database is usable [default with the flag: 5m]')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a lock that another session or program holds')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('--create-database', '--create-database', [CompletionResultType]::ParameterName, 'First create the database of the URL if it does not exist, with the encoding UTF8')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print what would be done and change nothing')
            [CompletionResult]::new('--sql', '--sql', [CompletionResultType]::ParameterName, 'Print the SQL that would be run and change nothing')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Fail with exit code 5 if the schema is newer than the revisions that this version knows')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;wait' {
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'The state to wait for')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, with exit code 124 [default: no limit but that of `--max-attempts`]')
            [CompletionResult]::new('--max-attempts', '--max-attempts', [CompletionResultType]::ParameterName, 'Give up after this many attempts [default: 30, or no limit with `--timeout`]')
            [CompletionResult]::new('--max-interval', '--max-interval', [CompletionResultType]::ParameterName, 'The longest pause between two attempts. The first pause is 1s, and each next pause is twice as long')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('--retry-all', '--retry-all', [CompletionResultType]::ParameterName, 'Keep trying after failures that need an operator, such as a wrong password')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;check' {
            [CompletionResult]::new('--as-role', '--as-role', [CompletionResultType]::ParameterName, 'Also check whether this role has what TARSy''s backend needs. PostgreSQL only')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('--fix', '--fix', [CompletionResultType]::ParameterName, 'Create missing indexes, rebuild invalid ones and advance sequences that are behind their data, then run the checks')
            [CompletionResult]::new('--deep', '--deep', [CompletionResultType]::ParameterName, 'Also check every row: SQLite''s `integrity_check`; on PostgreSQL rows without a parent, from their keys and numbers alone')
            [CompletionResult]::new('--fail-if-overdue', '--fail-if-overdue', [CompletionResultType]::ParameterName, 'Fail with exit code 6, instead of a warning, if sessions are more than a day past the retention')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;info' {
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('--exact', '--exact', [CompletionResultType]::ParameterName, 'Count rows exactly instead of using PostgreSQL''s estimate, without a time limit')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;prune' {
            [CompletionResult]::new('--older-than', '--older-than', [CompletionResultType]::ParameterName, 'Remove sessions that started longer ago than this, such as `90d` or `12h` [default: HISTORY_RETENTION_DAYS]')
            [CompletionResult]::new('--before', '--before', [CompletionResultType]::ParameterName, 'Remove sessions that started before this date (midnight in UTC) or time, such as `2026-01-01` or `2026-01-01T00:00:00Z`')
            [CompletionResult]::new('--now', '--now', [CompletionResultType]::ParameterName, 'Use this time instead of the clock to compute ages, so that a run can be repeated')
            [CompletionResult]::new('--status', '--status', [CompletionResultType]::ParameterName, 'Remove only sessions with this status; may be repeated')
            [CompletionResult]::new('--alert-type', '--alert-type', [CompletionResultType]::ParameterName, 'Remove only sessions of this alert type; may be repeated')
            [CompletionResult]::new('--agent-type', '--agent-type', [CompletionResultType]::ParameterName, 'Remove only sessions of this agent type; may be repeated')
            [CompletionResult]::new('--kept-file', '--kept-file', [CompletionResultType]::ParameterName, 'With `--dry-run`: write all old sessions that are kept to this new file, one JSON object a line')
            [CompletionResult]::new('--max-share', '--max-share', [CompletionResultType]::ParameterName, 'Refuse, with exit code 7, to remove more than this share of all sessions, because the cutoff may be wrong')
            [CompletionResult]::new('--archive', '--archive', [CompletionResultType]::ParameterName, 'First copy the removed rows into this SQLite file, which is created if it does not exist')
            [CompletionResult]::new('--batch-time', '--batch-time', [CompletionResultType]::ParameterName, 'The target duration of a batch [default: adapts to concurrent load]')
            [CompletionResult]::new('--metrics-file', '--metrics-file', [CompletionResultType]::ParameterName, 'Write metrics of the run to this file, for the textfile collector of Prometheus''s node exporter')
            [CompletionResult]::new('--max-duration', '--max-duration', [CompletionResultType]::ParameterName, 'Stop after this long, once the current batch is done, at most 10s later [default: no limit]')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'How long to retry when the database cannot be reached, the connection is lost, or the database is busy or read-only')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('--events', '--events', [CompletionResultType]::ParameterName, 'Also remove old events [default age: EVENT_RETENTION_HOURS, or 24 hours]')
            [CompletionResult]::new('--orphans', '--orphans', [CompletionResultType]::ParameterName, 'Also remove orphans: rows whose session, stage or chat no longer exists, as `check` reports them')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the plan and change nothing')
            [CompletionResult]::new('--exact', '--exact', [CompletionResultType]::ParameterName, 'With `--dry-run`: count every row, and look for every session whose stages rows of other sessions refer to')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Skip the confirmation prompt; needed without a terminal')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Skip the confirmation prompt; needed without a terminal')
            [CompletionResult]::new('--include-active', '--include-active', [CompletionResultType]::ParameterName, 'Also remove sessions that are still open, or that were used after the cutoff')
            [CompletionResult]::new('--compress', '--compress', [CompletionResultType]::ParameterName, 'Compress the archive at the end of the run: `FILE.zst`, once it was read back, replaces `FILE`')
            [CompletionResult]::new('--vacuum', '--vacuum', [CompletionResultType]::ParameterName, 'Afterwards return free space to the operating system: `VACUUM (ANALYZE)` on PostgreSQL''s tables, a vacuum of the file on SQLite')
            [CompletionResult]::new('--fail-if-remaining', '--fail-if-remaining', [CompletionResultType]::ParameterName, 'Fail with exit code 6 if sessions that started before the cutoff remain')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;migrate-sqlite-to-postgres' {
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'The source: a SQLite database, as a path or URL')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'The target: a PostgreSQL database, as a URL [default: the database URL of the settings]')
            [CompletionResult]::new('--verify', '--verify', [CompletionResultType]::ParameterName, 'What to compare before the commit')
            [CompletionResult]::new('--on', '--on', [CompletionResultType]::ParameterName, 'What to do with a class of values that PostgreSQL cannot hold; without it the migration is refused')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'Write a JSON report to this file: tables, digests, values that need a policy, and every change made')
            [CompletionResult]::new('--toast', '--toast', [CompletionResultType]::ParameterName, 'How PostgreSQL compresses the long values that are written')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a lock that another session or program holds')
            [CompletionResult]::new('--ignore', '--ignore', [CompletionResultType]::ParameterName, 'Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks; may be repeated')
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('--append', '--append', [CompletionResultType]::ParameterName, 'Insert the source''s rows into a target that already holds rows, for example from an archive of `prune`')
            [CompletionResult]::new('--check-only', '--check-only', [CompletionResultType]::ParameterName, 'Check the source''s file and list every value that PostgreSQL cannot hold. No target is needed, and nothing is written')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Check every value of the source and the target''s readiness, and estimate size and duration. Nothing is written')
            [CompletionResult]::new('--verify-only', '--verify-only', [CompletionResultType]::ParameterName, 'Compare the source with a target that was filled earlier, by any tool. Nothing is written')
            [CompletionResult]::new('--accept-damage', '--accept-damage', [CompletionResultType]::ParameterName, 'Migrate although SQLite''s integrity check finds the source damaged, and record the findings in the report')
            [CompletionResult]::new('--show-values', '--show-values', [CompletionResultType]::ParameterName, 'Also show the values that PostgreSQL cannot hold. They may be confidential')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;completions' {
            [CompletionResult]::new('--database-url', '--database-url', [CompletionResultType]::ParameterName, 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]')
            [CompletionResult]::new('--direct-url', '--direct-url', [CompletionResultType]::ParameterName, 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'The format of the result on standard output. `json` prints exactly one document, on failure too')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'The format of the log lines on standard error')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only errors to standard error')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'tarsy-db;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Create the schema, or upgrade it')
            [CompletionResult]::new('wait', 'wait', [CompletionResultType]::ParameterValue, 'Wait until the database is usable, then exit or run a command')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check that connection, schema and data are sound')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show the contents of the database and the settings in force')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove old sessions')
            [CompletionResult]::new('migrate-sqlite-to-postgres', 'migrate-sqlite-to-postgres', [CompletionResultType]::ParameterValue, 'Migrate a history from SQLite to PostgreSQL, completely or not at all')
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
