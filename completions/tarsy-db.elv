
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
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand init 'Create or upgrade the schema, or make sure that it is there'
            cand wait 'Wait until the database is usable, then exit or run a command'
            cand check 'Check that connection, schema and data are sound'
            cand info 'Show what is in the database and which settings are in force'
            cand prune 'Remove old history'
            cand migrate-sqlite-to-postgres 'Move a history from SQLite to PostgreSQL, completely or not at all'
            cand completions 'Print the completions for a shell to standard output'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'tarsy-db;init'= {
            cand --to 'The revision to reach: `head`, `baseline`, an id or the beginning of one, or a number from 1 to 23 [env: TARSY_DB_SCHEMA] [default: baseline]'
            cand --wait 'Wait for the database first, at most this long [default with the flag: 5m]'
            cand --lock-timeout 'How long to wait for somebody else''s lock'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand --dry-run 'Print what would be done, and change nothing'
            cand --sql 'Print the SQL that would be run, and change nothing'
            cand --strict 'Fail with exit code 5 if the schema is newer than this tool knows'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;wait'= {
            cand --for 'What usable means'
            cand --timeout 'Give up after this long, with exit code 124 [default: only the attempts are limited]'
            cand --max-attempts 'Give up after this many attempts'
            cand --max-interval 'The longest pause between attempts; the first is 1s, each next one twice as long'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand --retry-all 'Go on even after failures that do not heal by themselves'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;check'= {
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand --fix 'Create indexes that are missing and put sequences behind their data, then check'
            cand --deep 'Also look at every row: SQLite''s `integrity_check`, PostgreSQL''s rows without a parent'
            cand --fail-if-overdue 'Fail with exit code 6 if sessions are past the retention by more than a day, instead of warning of them'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;info'= {
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand --exact 'Count rows instead of taking PostgreSQL''s estimate, and take as long as it takes'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;prune'= {
            cand --older-than 'Remove what started longer ago than this, as `90d` or `12h` [default: HISTORY_RETENTION_DAYS]'
            cand --before 'Remove what started before this moment'
            cand --now 'Count the age from this moment instead of the clock, for runs that can be repeated'
            cand --status 'Only sessions with this status; may be repeated'
            cand --alert-type 'Only sessions of this type of alert; may be repeated'
            cand --agent-type 'Only sessions of this type of agent; may be repeated'
            cand --max-share 'Refuse, with exit code 7, to remove more than this share of all sessions: the cutoff may be wrong'
            cand --archive 'Copy what goes into this SQLite file first: a TARSy database at the same revision, which is created if need be'
            cand --batch-time 'How long a batch may take [default: as it suits who else is there]'
            cand --metrics-file 'Write what was done as metrics for Prometheus''s node exporter (textfile collector)'
            cand --max-duration 'Stop after this long, when the batch in hand is over, 10 s later at most [default: no limit]'
            cand --retry-for 'How long to try again when the connection breaks, or the database is busy or read-only'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand --events 'Remove old events, too: those that are older than the event retention setting, 24 hours unless it is set'
            cand --orphans 'Remove orphans, too: rows whose session, stage or chat is gone, as `check` shows them'
            cand --dry-run 'Print the plan and change nothing'
            cand -y 'Do not ask'
            cand --yes 'Do not ask'
            cand --include-active 'Remove sessions that are not in a terminal status, or in use after the cutoff, too'
            cand --compress 'Compress the archive in the end: `FILE.zst` takes the place of `FILE`, once it was read back'
            cand --vacuum 'Give the space that is free afterwards back to the operating system as far as possible: `VACUUM (ANALYZE)` on PostgreSQL''s tables; on SQLite free pages leave the file'
            cand --fail-if-remaining 'Exit with 6 if sessions that started before the cutoff remain'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;migrate-sqlite-to-postgres'= {
            cand --from 'The SQLite database, as a path or URL'
            cand --to 'The PostgreSQL database [default: the database URL]'
            cand --verify 'What is compared before the commit'
            cand --on 'What is done with a class of values that cannot be carried over exactly, instead of ending the move'
            cand --report 'Write a report in JSON: tables, digests, hazards, policies and every change that they made'
            cand --toast 'How PostgreSQL compresses long values of this load'
            cand --lock-timeout 'How long to wait for somebody else''s lock'
            cand --ignore 'Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks'
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand --append 'Bring the rows to those that the target holds, for instance back from what `prune --archive` kept'
            cand --check-only 'Check the source''s file, look at every value and list what PostgreSQL cannot hold; no target is needed, nothing is written'
            cand --dry-run 'Go as far as possible without moving a row: look at every value of the source and at what is in the way on the target, and say how large it will be and how long it will take; nothing is written'
            cand --verify-only 'Compare the source with a target that holds it already, by whatever tool it was moved; nothing is written'
            cand --accept-damage 'Go on although SQLite''s integrity check finds the source damaged, and record the findings in the report'
            cand --show-values 'Show the values that cannot be carried over, too: they may be confidential'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;completions'= {
            cand --database-url 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]'
            cand --config 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]'
            cand --output 'How the result is written to standard output. `json` is exactly one document, also on failure'
            cand --color 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`'
            cand --log-format 'How log lines are written to standard error'
            cand -q 'Say nothing on standard error but errors'
            cand --quiet 'Say nothing on standard error but errors'
            cand -v 'Say more on standard error; twice for everything'
            cand --verbose 'Say more on standard error; twice for everything'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'tarsy-db;help'= {
            cand init 'Create or upgrade the schema, or make sure that it is there'
            cand wait 'Wait until the database is usable, then exit or run a command'
            cand check 'Check that connection, schema and data are sound'
            cand info 'Show what is in the database and which settings are in force'
            cand prune 'Remove old history'
            cand migrate-sqlite-to-postgres 'Move a history from SQLite to PostgreSQL, completely or not at all'
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
