"""The service file: where it is, what it holds, and what is stronger."""

from collections.abc import Iterator

from case import Case, File, case

FULL = "[tarsy]\nhost={primary_host}\nport={port}\ndbname=tarsy\nuser=trusted\n"
PLACE = "[tarsy]\nhost={primary_host}\nport={port}\n"
NAME = "postgresql:///?service=tarsy"
HOME = ".pg_service.conf"

# Contents of the file, with a URL that names the service and leaves all else to it.
CONTENTS = {
    "full": FULL,
    "other-service": FULL.replace("[tarsy]", "[other]"),
    "second-section": "[other]\nhost={closed_host}\n\n" + FULL,
    "first-of-two": FULL + "[tarsy]\nhost={closed_host}\n",
    "comments": "# a comment\n\n" + FULL.replace("\nport", "\n# another\nport"),
    "blanks": FULL.replace("host=", "  host="),
    "blanks-round-equals": FULL.replace("host=", "host = "),
    "blank-at-end": FULL.replace("user=trusted", "user=trusted "),
    "carriage-returns": FULL.replace("\n", "\r\n"),
    "no-newline": FULL.rstrip(),
    "unknown-parameter": FULL + "foo=1\n",
    "no-equals-sign": FULL + "sslmode\n",
    "nested": FULL + "service=other\n",
    "service-file": FULL + "servicefile=/nowhere\n",
    "twice": FULL + "user=Upper\n",
    "empty-value": FULL + "application_name=\n",
    "empty-value-before-another": FULL.replace("user=", "user=\nuser=") + "application_name=\n",
    "comment-behind-section": FULL.replace("[tarsy]", "[tarsy] # production"),
    "longer-section": FULL.replace("[tarsy]", "[tarsy2]"),
    "blank-beyond-ascii": FULL.replace("trusted", "scram") + "password=a secret\u00a0\n",
    "vertical-tab-at-end": FULL.replace("user=trusted", "user=trusted\v"),
    "application-name": FULL + "application_name=named by the service\n",
    "options": FULL + "options=-csearch_path=other\n",
    "password": FULL.replace("trusted", "scram") + "password=a secret\n",
    "wrong-password": FULL.replace("trusted", "scram") + "password=wrong\n",
    "require-tls": FULL + "sslmode=require\n",
    "bogus-tls": FULL + "sslmode=bogus\n",
    "upper-name": FULL.replace("[tarsy]", "[TARSY]"),
    "blank-in-section": FULL.replace("[tarsy]", "[ tarsy ]"),
    "long-line": FULL + "application_name=" + "x" * 1100 + "\n",
    "ldap": "[tarsy]\nldap://{closed}/dc=x?uid?one?(cn=x)\n",
    "several-hosts": FULL.replace("host={primary_host}", "host={closed_host},{primary_host}"),
    "address": FULL + "hostaddr={standby_host}\n",
    "connect-timeout": FULL + "connect_timeout=5\n",
    "ssl-true": FULL + "ssl=true\n",
    "requiressl": FULL + "requiressl=1\n",
    "empty": "",
}
# Parameters without a value, each with a variable that it hides.
EMPTY = {
    "host": ("PGHOST", "{primary_host}"),
    "hostaddr": ("PGHOSTADDR", "{closed_host}"),
    "port": ("PGPORT", "{port}"),
    "user": ("PGUSER", "trusted"),
    "dbname": ("PGDATABASE", "Upper"),
    "password": ("PGPASSWORD", "wrong"),
    "passfile": ("PGPASSFILE", "/missing"),
    "application_name": ("PGAPPNAME", "hidden"),
    "options": ("PGOPTIONS", "-c nonsense=1"),
    "require_auth": ("PGREQUIREAUTH", "scram-sha-256"),
    "requirepeer": ("PGREQUIREPEER", "nobody"),
    "sslmode": ("PGSSLMODE", "require"),
    "sslrootcert": ("PGSSLROOTCERT", "/missing"),
    "sslcert": ("PGSSLCERT", "/missing"),
    "sslnegotiation": None,
    "sslcertmode": None,
    "sslsni": None,
    "ssl_min_protocol_version": ("PGSSLMINPROTOCOLVERSION", "bogus"),
    "channel_binding": None,
    "gssencmode": None,
    "connect_timeout": ("PGCONNECT_TIMEOUT", "x"),
    "target_session_attrs": None,
    "load_balance_hosts": None,
    "keepalives": None,
    "keepalives_idle": None,
    "tcp_user_timeout": None,
}
TLS = "[tarsy]\nhost=localhost\nport={good_port}\ndbname=tarsy\nuser=trusted\n"
FILES = {HOME: File(FULL)}


def cases() -> list[Case]:
    contents = [case(f"service/{name}", NAME, {HOME: File(text)}) for name, text in CONTENTS.items()]
    schema = case("service/search-path", NAME, {HOME: File(CONTENTS["options"])}, sees_schema=True)
    return [*contents, *empty_values(), schema, *WHERE, *ORDER]


def empty_values() -> Iterator[Case]:
    """An empty value is not the default where libpq refuses one, and hides the variable."""
    for name, variable in EMPTY.items():
        text = FULL if f"\n{name}=" in FULL else FULL + f"{name}=\n"
        lines = [f"{name}=" if line.startswith(f"{name}=") else line for line in text.splitlines()]
        files = {HOME: File("\n".join(lines) + "\n")}
        yield case(f"service-empty/{name}", NAME, files)
        if variable:
            yield case(f"service-empty/{name}-and-variable", NAME, files, **dict([variable]))


WHERE = [
    case("service/variable", "postgresql:///", FILES, PGSERVICE="tarsy"),
    case("service/variable-unknown", "postgresql://trusted@{primary}/tarsy", FILES, PGSERVICE="missing"),
    case("service/variable-without-file", "postgresql://trusted@{primary}/tarsy", PGSERVICE="tarsy"),
    case("service/variable-empty", "postgresql://trusted@{primary}/tarsy", PGSERVICE=""),
    case("service/parameter-empty", "postgresql://trusted@{primary}/tarsy?service="),
    case("service/parameter-without-file", "postgresql://trusted@{primary}/tarsy?service=tarsy"),
    case("service/parameter-wins", NAME, FILES, PGSERVICE="missing"),
    case("service/file-variable", NAME, {"services": File(FULL)}, PGSERVICEFILE="{home}/services"),
    case("service/file-variable-missing", NAME, FILES, PGSERVICEFILE="{home}/missing"),
    case("service/file-variable-other", NAME, {**FILES, "services": File(TLS)}, PGSERVICEFILE="{home}/services"),
    case("service/file-variable-empty", NAME, FILES, PGSERVICEFILE=""),
    case("service/file-parameter", NAME + "&servicefile={home}/services", {"services": File(FULL)}),
    case("service/system-file", NAME, {"etc/pg_service.conf": File(FULL)}, PGSYSCONFDIR="{home}/etc"),
    case("service/home-before-system", NAME, {**FILES, "etc/pg_service.conf": File(TLS)}, PGSYSCONFDIR="{home}/etc"),
    case("service/system-if-not-in-home", NAME, {HOME: File("[other]\n"), "etc/pg_service.conf": File(FULL)}, PGSYSCONFDIR="{home}/etc"),
    case("service/file-variable-before-system", NAME, {"a": File("[other]\n"), "etc/pg_service.conf": File(FULL)}, PGSYSCONFDIR="{home}/etc", PGSERVICEFILE="{home}/a"),
    case("service/readable-by-all", NAME, {HOME: File(FULL, mode=0o644)}),
    case("service/file-without-use", "postgresql://trusted@{primary}/tarsy", {HOME: File("nonsense")}),
]  # fmt: skip

ORDER = [
    case("service/url-before-host", "postgresql://{primary}/?service=tarsy", {HOME: File(FULL.replace("{primary_host}", "{closed_host}"))}),
    case("service/url-before-user", "postgresql://Upper@/?service=tarsy", FILES),
    case("service/url-before-database", "postgresql:///Upper?service=tarsy", FILES),
    case("service/before-host-variable", NAME, FILES, PGHOST="{closed_host}", PGPORT="1"),
    case("service/before-user-variable", NAME, FILES, PGUSER="Upper", PGDATABASE="Upper"),
    case("service/rest-from-variables", NAME, {HOME: File(PLACE)}, PGUSER="trusted", PGDATABASE="tarsy"),
    case("service/rest-from-url", "postgresql://trusted@/tarsy?service=tarsy", {HOME: File(PLACE)}),
    case("service/before-tls-variable", NAME, {HOME: File(TLS + "sslmode=require\n")}, PGSSLMODE="disable"),
    case("service/tls-variable", NAME, {HOME: File(TLS)}, PGSSLMODE="require"),
    case("service/verified", NAME, {HOME: File(TLS + "sslmode=verify-full\nsslrootcert={pki}/ca.crt\n")}),
    case("service/verified-by-another", NAME, {HOME: File(TLS + "sslmode=verify-full\nsslrootcert={pki}/other_ca.crt\n")}),
    case("service/weaker-in-url", NAME + "&sslmode=disable", {HOME: File(TLS + "sslmode=require\n")}),
    case("service/password-file", NAME, {HOME: File(FULL.replace("trusted", "scram") + "passfile={home}/a\n"), "a": File("*:*:*:*:a secret")}),
    case("service/password-before-variable", NAME, {HOME: File(CONTENTS["password"])}, PGPASSWORD="wrong"),
]  # fmt: skip
