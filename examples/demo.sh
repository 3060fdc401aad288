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

# As an operator would have it, except for what names another database.
unset DATABASE_URL DATABASE_URL_FILE DATABASE_PASSWORD DATABASE_PASSWORD_FILE DIRECT_DATABASE_URL TARSY_DB_CONFIG
export HISTORY_RETENTION_DAYS=90

directory=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then as_server "$server/pg_ctl" -D "$directory/server/data" -m immediate stop >/dev/null 2>&1 || true; fi
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

find_server() {
    for found in "$(command -v initdb 2>/dev/null)" /usr/lib/postgresql/*/bin/initdb; do
        if [ -x "$found" ]; then dirname "$(readlink -f "$found")"; fi
    done | tail -n 1
}

start_server() {
    [ "$(id -u)" != 0 ] || id postgres >/dev/null 2>&1 || return 1
    mkdir server
    if [ "$(id -u)" = 0 ]; then chmod 711 . && chown postgres server; fi
    as_server "$1/initdb" -D "$directory/server/data" -U tarsy -A trust -E UTF8 >/dev/null
    as_server "$1/pg_ctl" -D "$directory/server/data" -w -l "$directory/server/log" \
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

found=$(find_server)
if [ -n "$found" ] && start_server "$found"; then
    server=$found
    target="postgresql://tarsy@/tarsy?host=$directory/server"
    echo
    echo "# From SQLite to PostgreSQL, completely or not at all"
    run tarsy-db init --create-database --database-url "$target"
    run tarsy-db migrate-sqlite-to-postgres --from history.db --to "$target" --report report.json
    run tarsy-db check --database-url "$target"
else
    echo
    echo "# No migration: there is no PostgreSQL server to start (Debian: sudo apt-get install postgresql)"
fi

printf '\n# What was where\n'
for file in history.db archive.db report.json; do
    if [ -e "$file" ]; then echo "$directory/$file"; fi
done
if [ -n "$server" ]; then echo "$directory/server: the data of the server, which is stopped now"; fi
echo "Remove it with: rm -r $directory"
