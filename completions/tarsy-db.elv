
use builtin;
use str;

set edit:completion:arg-completer[tarsy-db] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'tarsy-db'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'tarsy-db'= {
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand init 'Create the schema, or upgrade it'
            cand wait 'Wait until the database is usable, then exit or run a command'
            cand check 'Check that connection, schema and data are sound'
            cand info 'Show the contents of the database and the settings in force'
            cand prune 'Remove old sessions'
            cand migrate-sqlite-to-postgres 'Migrate a history from SQLite to PostgreSQL, completely or not at all'
            cand completions 'Print the completions for a shell to standard output'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'tarsy-db;init'= {
            cand --to 'The revision to upgrade to: `head`, `baseline`, an id or its beginning, or a number from 1 to 23 [env: TARSY_DB_SCHEMA] [default: baseline]'
            cand --app-role 'Give this existing role what TARSy''s backend needs, and nothing that changes the schema. PostgreSQL only'
            cand --wait 'First wait up to this long until the database is usable [default with the flag: 5m]'
            cand --lock-timeout 'How long to wait for a lock that another session or program holds'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand --create-database 'First create the database of the URL if it does not exist, with the encoding UTF8'
            cand --dry-run 'Print what would be done and change nothing'
            cand --sql 'Print the SQL that would be run and change nothing'
            cand --strict 'Fail with exit code 5 if the schema is newer than the revisions that this version knows'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;wait'= {
            cand --for 'The state to wait for'
            cand --timeout 'Give up after this long, with exit code 124 [default: no limit but that of `--max-attempts`]'
            cand --max-attempts 'Give up after this many attempts [default: 30, or no limit with `--timeout`]'
            cand --max-interval 'The longest pause between two attempts. The first pause is 1s, and each next pause is twice as long'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand --retry-all 'Keep trying after failures that need an operator, such as a wrong password'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;check'= {
            cand --as-role 'Also check whether this role has what TARSy''s backend needs. PostgreSQL only'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand --fix 'Create missing indexes, rebuild invalid ones and advance sequences that are behind their data, then run the checks'
            cand --deep 'Also check every row: SQLite''s `integrity_check`; on PostgreSQL rows without a parent, from their keys and numbers alone'
            cand --fail-if-overdue 'Fail with exit code 6, instead of a warning, if sessions are more than a day past the retention'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;info'= {
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand --exact 'Count rows exactly instead of using PostgreSQL''s estimate, without a time limit'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;prune'= {
            cand --older-than 'Remove sessions that started longer ago than this, such as `90d` or `12h` [default: HISTORY_RETENTION_DAYS]'
            cand --before 'Remove sessions that started before this date (midnight in UTC) or time, such as `2026-01-01` or `2026-01-01T00:00:00Z`'
            cand --now 'Use this time instead of the clock to compute ages, so that a run can be repeated'
            cand --status 'Remove only sessions with this status; may be repeated'
            cand --alert-type 'Remove only sessions of this alert type; may be repeated'
            cand --agent-type 'Remove only sessions of this agent type; may be repeated'
            cand --kept-file 'With `--dry-run`: write all old sessions that are kept to this new file, one JSON object a line'
            cand --max-share 'Refuse, with exit code 7, to remove more than this share of all sessions, because the cutoff may be wrong'
            cand --archive 'First copy the removed rows into this SQLite file, which is created if it does not exist'
            cand --batch-time 'The target duration of a batch [default: adapts to concurrent load]'
            cand --metrics-file 'Write metrics of the run to this file, for the textfile collector of Prometheus''s node exporter'
            cand --max-duration 'Stop after this long, once the current batch is done, at most 10s later [default: no limit]'
            cand --retry-for 'How long to retry when the database cannot be reached, the connection is lost, or the database is busy or read-only'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand --events 'Also remove old events [default age: EVENT_RETENTION_HOURS, or 24 hours]'
            cand --orphans 'Also remove orphans: rows whose session, stage or chat no longer exists, as `check` reports them'
            cand --dry-run 'Print the plan and change nothing'
            cand --exact 'With `--dry-run`: count every row, and look for every session whose stages rows of other sessions refer to'
            cand -y 'Skip the confirmation prompt; needed without a terminal'
            cand --yes 'Skip the confirmation prompt; needed without a terminal'
            cand --include-active 'Also remove sessions that are still open, or that were used after the cutoff'
            cand --compress 'Compress the archive at the end of the run: `FILE.zst`, once it was read back, replaces `FILE`'
            cand --vacuum 'Afterwards return free space to the operating system: `VACUUM (ANALYZE)` on PostgreSQL''s tables, a vacuum of the file on SQLite'
            cand --fail-if-remaining 'Fail with exit code 6 if sessions that started before the cutoff remain'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;migrate-sqlite-to-postgres'= {
            cand --from 'The source: a SQLite database, as a path or URL'
            cand --to 'The target: a PostgreSQL database, as a URL [default: the database URL of the settings]'
            cand --verify 'What to compare before the commit'
            cand --on 'What to do with a class of values that PostgreSQL cannot hold; without it the migration is refused'
            cand --report 'Write a JSON report to this file: tables, digests, values that need a policy, and every change made'
            cand --toast 'How PostgreSQL compresses the long values that are written'
            cand --lock-timeout 'How long to wait for a lock that another session or program holds'
            cand --ignore 'Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks; may be repeated'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand --append 'Insert the source''s rows into a target that already holds rows, for example from an archive of `prune`'
            cand --check-only 'Check the source''s file and list every value that PostgreSQL cannot hold. No target is needed, and nothing is written'
            cand --dry-run 'Check every value of the source and the target''s readiness, and estimate size and duration. Nothing is written'
            cand --verify-only 'Compare the source with a target that was filled earlier, by any tool. Nothing is written'
            cand --accept-damage 'Migrate although SQLite''s integrity check finds the source damaged, and record the findings in the report'
            cand --show-values 'Also show the values that PostgreSQL cannot hold. They may be confidential'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;completions'= {
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --direct-url 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]'
            cand --config 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]'
            cand --output 'The format of the result on standard output. `json` prints exactly one document, on failure too'
            cand --color 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`'
            cand --log-format 'The format of the log lines on standard error'
            cand -q 'Print only errors to standard error'
            cand --quiet 'Print only errors to standard error'
            cand -v 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand --verbose 'Log what is done: attempts, batches, statements that change something, and all of a server''s answers. Twice: every statement'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;help'= {
            cand init 'Create the schema, or upgrade it'
            cand wait 'Wait until the database is usable, then exit or run a command'
            cand check 'Check that connection, schema and data are sound'
            cand info 'Show the contents of the database and the settings in force'
            cand prune 'Remove old sessions'
            cand migrate-sqlite-to-postgres 'Migrate a history from SQLite to PostgreSQL, completely or not at all'
            cand completions 'Print the completions for a shell to standard output'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'tarsy-db;help;init'= {
        }
        &'tarsy-db;help;wait'= {
        }
        &'tarsy-db;help;check'= {
        }
        &'tarsy-db;help;info'= {
        }
        &'tarsy-db;help;prune'= {
        }
        &'tarsy-db;help;migrate-sqlite-to-postgres'= {
        }
        &'tarsy-db;help;completions'= {
        }
        &'tarsy-db;help;help'= {
        }
    ]
    $completions[$command]
}
