#!/bin/sh
# A tour in a temporary directory: a generated history, what it holds, what `prune` would remove, an archive, and, where a
# PostgreSQL server can be started, a migration. Prints each command before its output; run it with `make demo`.
#
#   TARSY_DB=tarsy-db GENERATE_HISTORY=target/debug/examples/generate_history examples/demo.sh
#
# Needs the program and the example that generates histories. The server is started from its binaries in the PATH or in
# /usr/lib/postgresql, on a Unix socket in the same directory, and stopped at the end.
set -eu

TARSY_DB=${TARSY_DB:-tarsy-db}
GENERATE_HISTORY=${GENERATE_HISTORY:-generate_history}
for program in "$TARSY_DB" "$GENERATE_HISTORY"; do
    command -v "$program" >/dev/null || { echo "$program is missing: run \`make demo\`" >&2; exit 127; }
done
place_of() {
    (cd "$(dirname "$(command -v "$1")")" && pwd)
}
PATH=$(place_of "$TARSY_DB"):$(place_of "$GENERATE_HISTORY"):$PATH

# No variable of the caller names another database or server, or changes what a command does.
for variable in $(env | sed -nE 's/^((PG|DATABASE_|DIRECT_|TARSY_|HISTORY_|EVENT_)[A-Z0-9_]*)=.*/\1/p'); do
    unset "$variable"
done
export HISTORY_RETENTION_DAYS=90

directory=$(cd "$(mktemp -d)" && pwd)
server=
stop_server() {
    if [ -n "$server" ]; then as_server "$server/pg_ctl" -D "$directory/server/data" -m immediate stop >/dev/null 2>&1 || true; fi
}
finish() {
    stop_server
    echo "Remove the files with: rm -r $directory"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$directory"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# A server refuses to run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

# As root it needs the user that the packages of PostgreSQL create.
find_server() {
    if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then return; fi
    for found in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb)"; do
        if [ -x "$found" ]; then dirname "$(readlink -f "$found")"; fi
    done | tail -n 1
}

start_server() {
    mkdir server &&
        { [ "$(id -u)" != 0 ] || { chmod 711 . && chown postgres server; }; } &&
        as_server "$server/initdb" -D "$directory/server/data" -U tarsy -A trust -E UTF8 --locale=C >/dev/null &&
        as_server "$server/pg_ctl" -D "$directory/server/data" -w -l "$directory/server/log" \
            -o "-c listen_addresses= -c unix_socket_directories=$directory/server" start >/dev/null
}

echo "# A history of 500 sessions, as TARSy leaves it in SQLite"
run generate_history --profile small --sessions 500 --now "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --output history.db
run tarsy-db init
run tarsy-db info
echo
echo "# What is older than 90 days: first a look, then an archive of it"
run tarsy-db prune --dry-run
run tarsy-db prune --archive archive.db --max-share 60% --yes
run tarsy-db check

# Named before it starts, so that an interrupted start is stopped, too.
server=$(find_server)
if [ -n "$server" ]; then
    echo
    echo "# From SQLite to PostgreSQL, completely or not at all"
    start_server || { echo "cannot start the server of $server: see above, and $directory/server/log" >&2; exit 1; }
    target="postgresql://tarsy@/tarsy?host=$directory/server"
    run tarsy-db init --create-database --database-url "$target"
    run tarsy-db migrate-sqlite-to-postgres --from history.db --to "$target" --report report.json
    run tarsy-db check --database-url "$target"
else
    echo
    echo "# No migration: there is no PostgreSQL server to start (Debian: sudo apt-get install postgresql)"
fi

stop_server
printf '\n# What was where\n'
for file in history.db archive.db report.json; do
    if [ -e "$file" ]; then echo "$directory/$file"; fi
done
if [ -n "$server" ]; then echo "$directory/server: the data of the server, which is stopped now"; fi
