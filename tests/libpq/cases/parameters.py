"""The other parameters of libpq, in the URL and as variables, with values that are right, wrong, empty or odd."""

from collections.abc import Iterator
from urllib.parse import quote

from case import Case, File, case

TRUSTED = "postgresql://trusted@{primary}/tarsy"
# Values of each parameter as a URL writes them, and the variable of the same meaning, if there is one.
VALUES: dict[str, tuple[str, list[str]]] = {
    "application_name": ("PGAPPNAME", ["tarsy-db", "", "w%20x", "%C3%BC", "a" * 80, "%0A", "%22%27"]),
    "fallback_application_name": ("", ["fallen", ""]),
    "client_encoding": ("PGCLIENTENCODING", ["UTF8", "utf-8", "unicode", "LATIN1", "SQL_ASCII", "auto", "bogus", ""]),
    "connect_timeout": ("PGCONNECT_TIMEOUT", ["0", "-1", "1", "10", "", "%2010%20", "x", "10x", "2.5", "99999999999", "+5", "2147483647", "5%C2%A0", "5%0B"]),
    "keepalives": ("", ["0", "1", "2", "-1", "x", "", "%201"]),
    "keepalives_idle": ("", ["5", "0", "-1", "x", "99999999999"]),
    "keepalives_interval": ("", ["5", "0", "x"]),
    "keepalives_count": ("", ["5", "0", "x"]),
    "tcp_user_timeout": ("", ["5000", "0", "-1", "x"]),
    "replication": ("", ["true", "on", "1", "database", "false", "off", "0", "no", "bogus", ""]),
    "gssencmode": ("PGGSSENCMODE", ["disable", "prefer", "require", "bogus", ""]),
    "krbsrvname": ("PGKRBSRVNAME", ["postgres", ""]),
    "gsslib": ("PGGSSLIB", ["gssapi", "bogus"]),
    "gssdelegation": ("PGGSSDELEGATION", ["0", "1", "x"]),
    "requiressl": ("PGREQUIRESSL", ["0", "1", "x", ""]),
    "sslcompression": ("PGSSLCOMPRESSION", ["0", "1", "x", ""]),
    "sslsni": ("PGSSLSNI", ["0", "1", "x", ""]),
    "sslnegotiation": ("PGSSLNEGOTIATION", ["postgres", "direct", "bogus", ""]),
    "sslcertmode": ("PGSSLCERTMODE", ["disable", "allow", "require", "bogus", ""]),
    "sslkey": ("PGSSLKEY", ["/missing.key", ""]),
    "sslcert": ("PGSSLCERT", ["/missing.crt", ""]),
    "sslcrl": ("PGSSLCRL", ["/missing.crl", ""]),
    "sslcrldir": ("PGSSLCRLDIR", ["/missing", ""]),
    "sslpassword": ("", ["unused", ""]),
    "load_balance_hosts": ("PGLOADBALANCEHOSTS", ["disable", "random", ""]),
    "authtype": ("", ["x"]),
    "tty": ("PGTTY", ["x"]),
    "scram_client_key": ("", ["x"]),
    "min_protocol_version": ("PGMINPROTOCOLVERSION", ["3.0"]),
    "oauth_issuer": ("", ["x"]),
}  # fmt: skip
# Variables that libpq sends as settings of the session.
SESSION = {"PGTZ": ["UTC", "Asia/Tokyo", "bogus"], "PGDATESTYLE": ["German", "bogus"], "PGGEQO": ["off", "bogus"]}
SEARCH_PATHS = {
    "short": "-csearch_path=other",
    "blank": "-c search_path=other",
    "long": "--search_path=other",
    "long-hyphen": "--search-path=other",
    "list": "-c search_path=other,public",
    "list-the-other-way": "-c search_path=public,other",
    "escaped-blank": "-c search_path=other,\\ public",
    "quotes": '-c search_path="other"',
    "last-counts": "-c search_path=public -c search_path=other",
    "two-settings": "-c statement_timeout=60s -c search_path=other",
    "only-timeout": "-c statement_timeout=60s",
    "missing-schema": "-c search_path=missing",
    "empty-path": "-c search_path=",
    "upper": "-c SEARCH_PATH=other",
}
OPTIONS = {
    "unknown-setting": "-c nonsense=1",
    "wrong-value": "-c statement_timeout=soon",
    "not-allowed": "-c max_connections=5",
    "role": "-c role=read_only",
    "superuser-only": "-c log_statement=all",
    "client-encoding": "-c client_encoding=LATIN1",
    "read-only": "-c default_transaction_read_only=on",
    "date-style": "-c datestyle=German",
    "old-strings": "-c standard_conforming_strings=off",
    "escape-bytes": "-c bytea_output=escape",
    "empty": "",
    "blanks": "  ",
    "no-setting": "-c",
    "no-option": "nonsense",
}


def cases() -> list[Case]:
    return [*values(), *session(), *options(), *MORE]


def values() -> Iterator[Case]:
    for parameter, (variable, texts) in VALUES.items():
        for text in texts:
            label = label_of(text)
            yield case(f"{parameter}/{label}", f"{TRUSTED}?{parameter}={text}")
            if variable and "%" not in text:
                yield case(f"{parameter}/variable-{label}", TRUSTED, **{variable: text})


def label_of(text: str) -> str:
    if len(text) > 20:
        return f"{len(text)}-letters"
    return text.strip("/").replace("/", "-") or "empty"


def session() -> Iterator[Case]:
    for variable, texts in SESSION.items():
        for text in texts:
            yield case(f"session-variable/{variable}-{label_of(text)}", TRUSTED, **{variable: text})


def options() -> Iterator[Case]:
    for name, text in SEARCH_PATHS.items():
        yield case(f"search-path/{name}", f"{TRUSTED}?options={quote(text)}", sees_schema=True)
        yield case(f"search-path/variable-{name}", TRUSTED, sees_schema=True, PGOPTIONS=text)
    for name, text in OPTIONS.items():
        yield case(f"options/{name}", f"{TRUSTED}?options={quote(text)}")
        yield case(f"options/variable-{name}", TRUSTED, PGOPTIONS=text)


OTHER = "-csearch_path%3Dother"
MORE = [
    case("replication/database-with-privilege", "postgresql://replicator@{primary}/tarsy?replication=database"),
    case("search-path/url-before-variable", f"{TRUSTED}?options={OTHER}", sees_schema=True, PGOPTIONS="-csearch_path=public"),
    case("search-path/empty-url-and-variable", f"{TRUSTED}?options=", sees_schema=True, PGOPTIONS="-csearch_path=other"),
    case("search-path/before-that-of-the-role", "postgresql://elsewhere@{primary}/tarsy?options=-csearch_path%3Dpublic", sees_schema=True),
    case("application_name/url-before-variable", f"{TRUSTED}?application_name=url", PGAPPNAME="variable"),
    case("application_name/empty-url-and-variable", f"{TRUSTED}?application_name=", PGAPPNAME="variable"),
    case("application_name/before-fallback", f"{TRUSTED}?application_name=a&fallback_application_name=b"),
    case("application_name/variable-before-fallback", f"{TRUSTED}?fallback_application_name=b", PGAPPNAME="a"),
    case("gssencmode/require-with-tls", "postgresql://trusted@{good}/tarsy?gssencmode=require&sslmode=require"),
    case("gssencmode/variable-require-url-prefer", f"{TRUSTED}?gssencmode=prefer", PGGSSENCMODE="require"),
    case("gssencmode/require-on-socket", "postgresql://trusted@/tarsy?host={sockets}&port={port}&gssencmode=require"),
    case("gssencmode/variable-require-on-socket", "postgresql://trusted@/tarsy?host={sockets}&port={port}", PGGSSENCMODE="require"),
    case("sslnegotiation/direct-with-require", "postgresql://trusted@{good}/tarsy?sslnegotiation=direct&sslmode=require"),
    case("sslnegotiation/direct-with-prefer", "postgresql://trusted@{good}/tarsy?sslnegotiation=direct&sslmode=prefer"),
    case("sslnegotiation/direct-verified", "postgresql://trusted@{good}/tarsy?sslnegotiation=direct&sslmode=verify-full&sslrootcert={pki}/ca.crt"),
    case("sslnegotiation/postgres-with-require", "postgresql://trusted@{good}/tarsy?sslnegotiation=postgres&sslmode=require"),
    case("sslsni/0-with-tls", "postgresql://trusted@{good}/tarsy?sslsni=0&sslmode=verify-full&sslrootcert={pki}/ca.crt"),
    case("sslcompression/1-with-tls", "postgresql://trusted@{good}/tarsy?sslcompression=1&sslmode=require"),
    case("requiressl/1-with-tls", "postgresql://trusted@{good}/tarsy?requiressl=1"),
    case("requiressl/1-and-disable", "postgresql://trusted@{good}/tarsy?requiressl=1&sslmode=disable"),
    case("requiressl/variable-1-with-tls", "postgresql://trusted@{good}/tarsy", PGREQUIRESSL="1"),
    case("requiressl/variable-1-and-disable", "postgresql://trusted@{good}/tarsy?sslmode=disable", PGREQUIRESSL="1"),
    case("requiressl/variable-1-and-variable", "postgresql://trusted@{good}/tarsy", PGREQUIRESSL="1", PGSSLMODE="allow"),
    case("variables/unused", TRUSTED, PGREALM="x", PGCLUSTER="x", PGLOCALEDIR="/nowhere", PG_COLOR="always"),
    case("variables/lower-case", TRUSTED, pghost="{closed_host}", pgsslmode="require"),
    case("variables/files-without-use", TRUSTED, {".postgresql/root.crt": File("nonsense"), ".postgresql/postgresql.crt": File("nonsense")}),
]  # fmt: skip
