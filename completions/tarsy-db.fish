# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tarsy_db_global_optspecs
    string join \n database-url= direct-url= config= output= color= q/quiet v/verbose log-format= h/help V/version
end

function __fish_tarsy_db_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tarsy_db_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tarsy_db_using_subcommand
    set -l cmd (__fish_tarsy_db_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "init" -d 'Create the schema, or upgrade it'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "wait" -d 'Wait until the database is usable, then exit or run a command'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "check" -d 'Check that connection, schema and data are sound'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "info" -d 'Show the contents of the database and the settings in force'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "prune" -d 'Remove old sessions'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "migrate-sqlite-to-postgres" -d 'Migrate a history from SQLite to PostgreSQL, completely or not at all'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "completions" -d 'Print the completions for a shell to standard output'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l to -d 'The revision to upgrade to: `head`, `baseline`, an id or its beginning, or a number from 1 to 23 [env: TARSY_DB_SCHEMA] [default: baseline]' -r -f -a "head\t''
baseline\t''
ae85467a75d2\t'the four tables of EP-0020'
7c617b3e7c2c\t'llm_interactions + interaction_type, filled from the conversations'
3eafea61046d\t'table events'
9d8fd988188d\t'alert_sessions - alert_id: its values are lost'
3d5f7251e766\t'alert_sessions + pod_id, last_interaction_at, both filled'
3717971cb125\t'the foreign keys to sessions and stages cascade'
8bc629164789\t'llm_interactions + mcp_event_id'
ab12cd34ef56\t'alert_sessions + author'
9f8e7d6c5b4a\t'alert_sessions + runbook_url'
da4300b74d0e\t'alert_sessions + mcp_selection'
11b500f06df2\t'tables chats, chat_user_messages; stage_executions + chat_id, chat_user_message_id'
09f57a2a2439\t'stage_executions + current_iteration'
88f7a5fba343\t'alert_sessions + pause_metadata'
921cbd5111ad\t'llm_interactions + response_metadata'
01b89ac17a5e\t'llm_interactions + native_tools_config'
aedb48dd0326\t'alert_sessions + final_analysis_summary'
c2f1e3d4a5b6\t'llm_interactions + thinking_content'
d7e8f9a0b1c2\t'stage_executions + parent_stage_execution_id, parallel_index, parallel_type'
f0dd17b71ce2\t'stage_executions + expected_parallel_count - two indexes'
a1b2c3d4e5f6\t'stage_executions + paused_at_us'
b31503eedb30\t'stage_executions + iteration_strategy'
c4d5e6f7g8h9\t'alert_sessions + executive_summary_error'
b67c135119d7\t'alert_sessions + slack_message_fingerprint'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l app-role -d 'Give this existing role what TARSy\'s backend needs, and nothing that changes the schema. PostgreSQL only' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l wait -d 'First wait up to this long until the database is usable [default with the flag: 5m]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l lock-timeout -d 'How long to wait for a lock that another session or program holds' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l create-database -d 'First create the database of the URL if it does not exist, with the encoding UTF8'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l dry-run -d 'Print what would be done and change nothing'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l sql -d 'Print the SQL that would be run and change nothing'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l strict -d 'Fail with exit code 5 if the schema is newer than the revisions that this version knows'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l for -d 'The state to wait for' -r -f -a "connect\t'The server accepts the connection and the login'
writable\t'The database accepts writes, which a standby does not'
schema\t'The schema is at the revision that the settings ask for, or a later one'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l timeout -d 'Give up after this long, with exit code 124 [default: no limit but that of `--max-attempts`]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l max-attempts -d 'Give up after this many attempts [default: 30, or no limit with `--timeout`]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l max-interval -d 'The longest pause between two attempts. The first pause is 1s, and each next pause is twice as long' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l retry-all -d 'Keep trying after failures that need an operator, such as a wrong password'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l as-role -d 'Also check whether this role has what TARSy\'s backend needs. PostgreSQL only' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l fix -d 'Create missing indexes, rebuild invalid ones and advance sequences that are behind their data, then run the checks'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l deep -d 'Also check every row: SQLite\'s `integrity_check`; on PostgreSQL rows without a parent, from their keys and numbers alone'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l fail-if-overdue -d 'Fail with exit code 6, instead of a warning, if sessions are more than a day past the retention'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l exact -d 'Count rows exactly instead of using PostgreSQL\'s estimate, without a time limit'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l older-than -d 'Remove sessions that started longer ago than this, such as `90d` or `12h` [default: HISTORY_RETENTION_DAYS]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l before -d 'Remove sessions that started before this date (midnight in UTC) or time, such as `2026-01-01` or `2026-01-01T00:00:00Z`' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l now -d 'Use this time instead of the clock to compute ages, so that a run can be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l status -d 'Remove only sessions with this status; may be repeated' -r -f -a "completed\t''
failed\t''
cancelled\t''
timed_out\t''
pending\t''
in_progress\t''
paused\t''
canceling\t''"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l alert-type -d 'Remove only sessions of this alert type; may be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l agent-type -d 'Remove only sessions of this agent type; may be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l kept-file -d 'With `--dry-run`: write all old sessions that are kept to this new file, one JSON object a line' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l max-share -d 'Refuse, with exit code 7, to remove more than this share of all sessions, because the cutoff may be wrong' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l archive -d 'First copy the removed rows into this SQLite file, which is created if it does not exist' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l batch-time -d 'The target duration of a batch [default: adapts to concurrent load]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l metrics-file -d 'Write metrics of the run to this file, for the textfile collector of Prometheus\'s node exporter' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l max-duration -d 'Stop after this long, once the current batch is done, at most 10s later [default: no limit]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l retry-for -d 'How long to retry when the database cannot be reached, the connection is lost, or the database is busy or read-only' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l events -d 'Also remove old events [default age: EVENT_RETENTION_HOURS, or 24 hours]'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l orphans -d 'Also remove orphans: rows whose session, stage or chat no longer exists, as `check` reports them'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l dry-run -d 'Print the plan and change nothing'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l exact -d 'With `--dry-run`: count every row, and look for every session whose stages rows of other sessions refer to'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s y -l yes -d 'Skip the confirmation prompt; needed without a terminal'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l include-active -d 'Also remove sessions that are still open, or that were used after the cutoff'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l compress -d 'Compress the archive at the end of the run: `FILE.zst`, once it was read back, replaces `FILE`'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l vacuum -d 'Afterwards return free space to the operating system: `VACUUM (ANALYZE)` on PostgreSQL\'s tables, a vacuum of the file on SQLite'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l fail-if-remaining -d 'Fail with exit code 6 if sessions that started before the cutoff remain'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l from -d 'The source: a SQLite database, as a path or URL' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l to -d 'The target: a PostgreSQL database, as a URL [default: the database URL of the settings]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l verify -d 'What to compare before the commit' -r -f -a "full\t'Every value, read back from the target'
counts\t'The number of rows'
none\t'Nothing'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l on -d 'What to do with a class of values that PostgreSQL cannot hold; without it the migration is refused' -r -f -a "nul=replace\t'U+0000 in text and JSON is replaced by U+FFFD'
nul=strip\t'U+0000 is removed from text and JSON'
lone-surrogate=replace\t'a lone surrogate in JSON is replaced by U+FFFD'
lone-surrogate=strip\t'a lone surrogate is removed from JSON'
non-finite=null\t'NaN and Infinity in JSON become null'
non-finite=string\t'NaN and Infinity in JSON become strings'
number-range=null\t'a number that jsonb cannot hold becomes null'
number-range=string\t'a number that jsonb cannot hold becomes a string of its digits'
orphan=drop\t'a row that references a missing row is left out'
orphan=adopt\t'a placeholder is added for the missing row that a row references'
integer-range=clamp\t'an integer out of range becomes the nearest value of the column\'s type'
integer-range=null\t'an integer out of range becomes NULL, where the column allows NULL'
invalid-utf8=replace\t'bytes that are not UTF-8 are replaced by U+FFFD'
storage-class=convert\t'a value stored as another class is converted, if that is exact'
inexact=null\t'a value that cannot be converted exactly becomes NULL, where the column allows NULL'
invalid-json=string\t'text that is not JSON becomes one JSON string'
invalid-json=null\t'text that is not JSON becomes JSON null'
depth=string\t'JSON nested too deeply becomes one JSON string'
depth=null\t'JSON nested too deeply becomes JSON null'
too-long=truncate\t'text with too many characters for its column is truncated'
index-entry=truncate\t'indexed text of more than 2,600 bytes is truncated'
duplicate-key=last\t'of several values for one key the last is kept'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l report -d 'Write a JSON report to this file: tables, digests, values that need a policy, and every change made' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l toast -d 'How PostgreSQL compresses the long values that are written' -r -f -a "lz4\t'LZ4, which is faster, if the server supports it'
keep\t'The server\'s own setting'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l lock-timeout -d 'How long to wait for a lock that another session or program holds' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l ignore -d 'Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks; may be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l append -d 'Insert the source\'s rows into a target that already holds rows, for example from an archive of `prune`'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l check-only -d 'Check the source\'s file and list every value that PostgreSQL cannot hold. No target is needed, and nothing is written'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l dry-run -d 'Check every value of the source and the target\'s readiness, and estimate size and duration. Nothing is written'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l verify-only -d 'Compare the source with a target that was filled earlier, by any tool. Nothing is written'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l accept-damage -d 'Migrate although SQLite\'s integrity check finds the source damaged, and record the findings in the report'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l show-values -d 'Also show the values that PostgreSQL cannot hold. They may be confidential'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l direct-url -d 'The same database without its pooler, as a PostgreSQL URL [env: DIRECT_DATABASE_URL or DIRECT_DATABASE_URL_FILE]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l config -d 'The settings file, in TOML [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml, if it exists]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l output -d 'The format of the result on standard output. `json` prints exactly one document, on failure too' -r -f -a "table\t'Tables to read'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l color -d 'When to use colour. `auto` uses it on a terminal, unless NO_COLOR is set to a value or TERM is `dumb`' -r -f -a "auto\t'On a terminal only'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l log-format -d 'The format of the log lines on standard error' -r -f -a "text\t'Lines to read'
json\t'One JSON object per line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s q -l quiet -d 'Print only errors to standard error'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s v -l verbose -d 'Log what is done: attempts, batches, statements that change something, and all of a server\'s answers. Twice: every statement'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "init" -d 'Create the schema, or upgrade it'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "wait" -d 'Wait until the database is usable, then exit or run a command'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "check" -d 'Check that connection, schema and data are sound'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "info" -d 'Show the contents of the database and the settings in force'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "prune" -d 'Remove old sessions'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "migrate-sqlite-to-postgres" -d 'Migrate a history from SQLite to PostgreSQL, completely or not at all'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "completions" -d 'Print the completions for a shell to standard output'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
