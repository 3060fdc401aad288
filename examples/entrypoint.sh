#!/bin/sh
# Container entrypoint of TARSy's backend: prepares the database, waits until it is usable, then runs the backend
# in its place.
#
#   COPY --from=tarsy-db /usr/local/bin/tarsy-db /usr/local/bin/
#   COPY entrypoint.sh /usr/local/bin/
#   ENTRYPOINT ["entrypoint.sh"]
#   CMD ["make", "run-prod"]
#
# The database is DATABASE_URL or DATABASE_URL_FILE, or else DATABASE_HOST, _PORT, _USER and _NAME with
# DATABASE_PASSWORD or DATABASE_PASSWORD_FILE.
#
# tarsy-db upgrades the schema to the baseline, and the backend upgrades it further; with TARSY_DB_SCHEMA=head
# tarsy-db upgrades it to the newest revision that it knows.
#
# HISTORY_RETENTION_DAYS and EVENT_RETENTION_HOURS are the backend's variables, and `tarsy-db prune` in this container
# reads the same. This script sets neither.
#
# Exit codes are those of tarsy-db: an orchestrator can distinguish a database that is not available yet (69, 124)
# from a wrong password (77) or a wrong setting (78).
set -eu

if [ "$#" -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT]..." >&2
    exit 2
fi

# tarsy-db reads secret files by itself; the backend reads DATABASE_URL only.
if [ -n "${DATABASE_URL_FILE:-}" ]; then
    DATABASE_URL=$(cat "$DATABASE_URL_FILE") || exit 78
    # Setting both is an error in tarsy-db.
    unset DATABASE_URL_FILE
elif [ -z "${DATABASE_URL:-}" ] && [ -n "${DATABASE_PASSWORD_FILE:-}" ]; then
    password=$(cat "$DATABASE_PASSWORD_FILE") || exit 78
    # Every byte as %XX: correct for any password, without a list of special characters.
    encoded=$(printf %s "$password" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g')
    address=${DATABASE_HOST:-localhost}:${DATABASE_PORT:-5432}/${DATABASE_NAME:-tarsy}
    DATABASE_URL=postgresql://${DATABASE_USER:-tarsy}:$encoded@$address
fi
[ -z "${DATABASE_URL:-}" ] || export DATABASE_URL

# Any number of replicas may run this at the same time: one creates the schema, the others find it. It runs in the
# background, because a shell with PID 1 ignores SIGTERM while it waits for a foreground command; the second `wait`
# lets init roll back before the container ends.
tarsy-db init --wait &
init=$!
trap 'kill -TERM "$init" 2>/dev/null || :; wait "$init" || exit $?; exit 143' INT TERM
wait "$init"
trap - INT TERM

# `exec` twice (here and inside tarsy-db): the backend is PID 1 and gets the signals itself.
exec tarsy-db wait --for schema -- "$@"
