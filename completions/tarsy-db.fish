# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tarsy_db_global_optspecs
    string join \n database-url= config= output= color= q/quiet v/verbose log-format= h/help V/version
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
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "init" -d 'Create or upgrade the schema, or make sure that it is there'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "wait" -d 'Wait until the database is usable, then exit or run a command'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "check" -d 'Check that connection, schema and data are sound'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "info" -d 'Show what is in the database and which settings are in force'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "prune" -d 'Remove old history'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "migrate-sqlite-to-postgres" -d 'Move a history from SQLite to PostgreSQL, completely or not at all'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "completions" -d 'Print the completions for a shell to standard output'
complete -c tarsy-db -n "__fish_tarsy_db_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l to -d 'The revision to reach: `head`, `baseline`, an id or the beginning of one, or a number from 1 to 23 [env: TARSY_DB_SCHEMA] [default: baseline]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l wait -d 'Wait for the database first, at most this long [default with the flag: 5m]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l lock-timeout -d 'How long to wait for somebody else\'s lock' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l dry-run -d 'Print what would be done, and change nothing'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l sql -d 'Print the SQL that would be run, and change nothing'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -l strict -d 'Fail with exit code 5 if the schema is newer than this tool knows'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand init" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l for -d 'What usable means' -r -f -a "connect\t'A connection is accepted'
writable\t'The database accepts writes: a standby is not enough'
schema\t'The schema is there, at the revision that the settings ask for or beyond'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l timeout -d 'Give up after this long, with exit code 124 [default: only the attempts are limited]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l max-attempts -d 'Give up after this many attempts' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l max-interval -d 'The longest pause between attempts; the first is 1s, each next one twice as long' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -l retry-all -d 'Go on even after failures that do not heal by themselves'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand wait" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l fix -d 'Create indexes that are missing and put sequences behind their data, then check'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l deep -d 'Also look at every row: SQLite\'s `integrity_check`, PostgreSQL\'s rows without a parent'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -l fail-if-overdue -d 'Fail with exit code 6 if sessions are past the retention by more than a day, instead of warning of them'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand check" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -l exact -d 'Count rows instead of taking PostgreSQL\'s estimate, and take as long as it takes'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand info" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l older-than -d 'Remove what started longer ago than this, as `90d` or `12h` [default: HISTORY_RETENTION_DAYS]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l before -d 'Remove what started before this moment' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l now -d 'Count the age from this moment instead of the clock, for runs that can be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l status -d 'Only sessions with this status; may be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l alert-type -d 'Only sessions of this type of alert; may be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l agent-type -d 'Only sessions of this type of agent; may be repeated' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l max-share -d 'Refuse, with exit code 7, to remove more than this share of all sessions: the cutoff may be wrong' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l archive -d 'Copy what goes into this SQLite file first: a TARSy database at the same revision, which is created if need be' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l batch-time -d 'How long a batch may take [default: as it suits who else is there]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l metrics-file -d 'Write what was done as metrics for Prometheus\'s node exporter (textfile collector)' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l max-duration -d 'Stop after this long, when the batch in hand is over, 10 s later at most [default: no limit]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l retry-for -d 'How long to try again when the connection breaks, or the database is busy or read-only' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l events -d 'Remove old events, too: those that are older than the event retention setting, 24 hours unless it is set'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l orphans -d 'Remove orphans, too: rows whose session, stage or chat is gone, as `check` shows them'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l dry-run -d 'Print the plan and change nothing'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s y -l yes -d 'Do not ask'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l include-active -d 'Remove sessions that are not in a terminal status, or in use after the cutoff, too'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l compress -d 'Compress the archive in the end: `FILE.zst` takes the place of `FILE`, once it was read back'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l vacuum -d 'Give the space that is free afterwards back to the operating system as far as possible: `VACUUM (ANALYZE)` on PostgreSQL\'s tables; on SQLite free pages leave the file'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -l fail-if-remaining -d 'Exit with 6 if sessions that started before the cutoff remain'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand prune" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l from -d 'The SQLite database, as a path or URL' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l to -d 'The PostgreSQL database [default: the database URL]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l verify -d 'What is compared before the commit' -r -f -a "full\t'Every value, read back from the target'
counts\t'The number of rows'
none\t'Nothing: the server took every row'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l on -d 'What is done with a class of values that cannot be carried over exactly, instead of ending the move' -r -f -a "nul=replace\t'U+FFFD takes the place of U+0000 in text and JSON'
nul=strip\t'U+0000 is left out of text and JSON'
lone-surrogate=replace\t'U+FFFD takes the place of half a surrogate pair in JSON'
lone-surrogate=strip\t'half a surrogate pair is left out of JSON'
non-finite=null\t'NaN and Infinity in JSON become null'
non-finite=string\t'NaN and Infinity in JSON become the strings that name them'
number-range=null\t'a number that jsonb cannot hold becomes null'
number-range=string\t'a number that jsonb cannot hold becomes a string of its digits'
orphan=drop\t'a row that points to a missing row is left out'
orphan=adopt\t'a row that points to a missing row gets a placeholder to point to'
integer-range=clamp\t'an integer out of range becomes the nearest that the column holds'
integer-range=null\t'an integer out of range becomes NULL, where the column allows NULL'
invalid-utf8=replace\t'U+FFFD takes the place of bytes that are not UTF-8'
storage-class=convert\t'a value stored as another class is converted, if that is exact'
inexact=null\t'a value without exact counterpart becomes NULL, where the column allows it'
invalid-json=string\t'text that is not JSON becomes one JSON string'
invalid-json=null\t'text that is not JSON becomes JSON null'
depth=string\t'JSON nested too deeply becomes one JSON string'
depth=null\t'JSON nested too deeply becomes JSON null'
too-long=truncate\t'text with too many characters for its column loses its end'
index-entry=truncate\t'indexed text of more than 2,600 bytes loses its end'
duplicate-key=last\t'of several values for one key jsonb keeps the last'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l report -d 'Write a report in JSON: tables, digests, hazards, policies and every change that they made' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l toast -d 'How PostgreSQL compresses long values of this load' -r -f -a "lz4\t'With LZ4, which is faster, where the server has it'
keep\t'As the server is set'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l lock-timeout -d 'How long to wait for somebody else\'s lock' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l ignore -d 'Leave out a table (`name`) or a column (`table.name`) of the source that the target lacks' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l append -d 'Bring the rows to those that the target holds, for instance back from what `prune --archive` kept'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l check-only -d 'Check the source\'s file, look at every value and list what PostgreSQL cannot hold; no target is needed, nothing is written'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l dry-run -d 'Go as far as possible without moving a row: look at every value of the source and at what is in the way on the target, and say how large it will be and how long it will take; nothing is written'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l verify-only -d 'Compare the source with a target that holds it already, by whatever tool it was moved; nothing is written'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l accept-damage -d 'Go on although SQLite\'s integrity check finds the source damaged, and record the findings in the report'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -l show-values -d 'Show the values that cannot be carried over, too: they may be confidential'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand migrate-sqlite-to-postgres" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l database-url -d 'The database, as an SQLAlchemy URL [env: DATABASE_URL or DATABASE_URL_FILE] [default: sqlite:///history.db]' -r
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l config -d 'The settings file [env: TARSY_DB_CONFIG] [default: ./tarsy-db.toml if it is there]' -r -F
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l output -d 'How the result is written to standard output. `json` is exactly one document, also on failure' -r -f -a "table\t'Tables for people'
json\t'One JSON document'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l color -d 'When to use colour. `auto`: on a terminal, unless NO_COLOR is set or TERM is `dumb`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -l log-format -d 'How log lines are written to standard error' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s v -l verbose -d 'Say more on standard error; twice for everything'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand completions" -s V -l version -d 'Print version'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "init" -d 'Create or upgrade the schema, or make sure that it is there'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "wait" -d 'Wait until the database is usable, then exit or run a command'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "check" -d 'Check that connection, schema and data are sound'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "info" -d 'Show what is in the database and which settings are in force'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "prune" -d 'Remove old history'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "migrate-sqlite-to-postgres" -d 'Move a history from SQLite to PostgreSQL, completely or not at all'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "completions" -d 'Print the completions for a shell to standard output'
complete -c tarsy-db -n "__fish_tarsy_db_using_subcommand help; and not __fish_seen_subcommand_from init wait check info prune migrate-sqlite-to-postgres completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
