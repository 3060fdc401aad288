"""URLs that SQLAlchemy reads: its driver prefixes, its several hosts, and what it does not decode as libpq does."""

from case import IPV6, SQLALCHEMY, Case, File, case

PREFIX = "postgresql+psycopg2://"
TRUSTED = PREFIX + "trusted@"
# Everything that differs is the URL: the name says which form it is.
URLS = {
    "driver": TRUSTED + "{primary}/tarsy",
    "no-driver": "postgresql://trusted@{primary}/tarsy",
    "upper-scheme": "POSTGRESQL://trusted@{primary}/tarsy",
    "upper-driver": "postgresql+PSYCOPG2://trusted@{primary}/tarsy",
    "unknown-driver": "postgresql+nothing://trusted@{primary}/tarsy",
    "unknown-scheme": "mysql+nothing://trusted@{primary}/tarsy",
    "no-scheme": "trusted@{primary}/tarsy",
    "one-slash": "postgresql:/trusted@{primary}/tarsy",
    "host-parameter": TRUSTED + "/tarsy?host={primary_host}&port={port}",
    "host-and-port-parameter": TRUSTED + "/tarsy?host={primary}",
    "hosts": TRUSTED + "/tarsy?host={closed}&host={primary}",
    "hosts-the-other-way": TRUSTED + "/tarsy?host={primary}&host={closed}",
    "hosts-in-one-list": TRUSTED + "/tarsy?host={closed_host},{primary_host}&port={port},{port}",
    "hosts-with-ports-in-one-list": TRUSTED + "/tarsy?host={closed},{primary}",
    "hosts-and-one-port": TRUSTED + "/tarsy?host={closed_host}&host={primary_host}&port={port}",
    "hosts-and-ports": TRUSTED + "/tarsy?host={closed_host}&host={primary_host}&port={port}&port={port}",
    "hosts-and-port-at-the-last": TRUSTED + "{closed_host},{primary}/tarsy",
    "at-sign-in-parameter": TRUSTED + "{primary_host}/tarsy?application_name=a@b&port={port}",
    "at-sign-in-parameter-after-port": TRUSTED + "{primary}/tarsy?application_name=a@{closed_host}",
    "at-sign-in-parameter-after-password": PREFIX + "scram:a%20secret@{primary}/tarsy?application_name=a@b",
    "hosts-mixed": TRUSTED + "/tarsy?host={closed}&host={primary_host}",
    "hosts-in-authority": TRUSTED + "{closed},{primary}/tarsy",
    "host-parameter-beside-port": TRUSTED + ":{port}/tarsy?host={primary_host}",
    "list-beside-port": TRUSTED + ":{port}/tarsy?host={closed_host},{primary_host}",
    "list-and-one-port": TRUSTED + "/tarsy?host={closed_host},{primary_host}&port={port}",
    "list-with-a-colon-in-a-directory": TRUSTED + "/tarsy?host=/nosuch:dir,{primary_host}&port={port},{port}",
    "two-ports-of-one-host": TRUSTED + "/tarsy?host={primary}&port={port}",
    "hosts-in-authority-and-ports": TRUSTED + "{closed_host},{primary_host}/tarsy?port={port},{port}",
    "hosts-in-authority-and-port": TRUSTED + "{closed_host},{primary_host}/tarsy?port={port}",
    "empty-port-without-host": TRUSTED + ":/tarsy?host={primary}",
    "empty-brackets": TRUSTED + "[]:{port}/tarsy",
    "host-parameter-beside-authority": TRUSTED + "{closed}/tarsy?host={primary}",
    "hosts-primary": TRUSTED + "/tarsy?host={standby}&host={primary}&target_session_attrs=primary",
    "hosts-standby": TRUSTED + "/tarsy?host={standby}&host={primary}&target_session_attrs=standby",
    "hosts-read-write": TRUSTED + "/tarsy?host={standby}&host={primary}&target_session_attrs=read-write",
    "socket": TRUSTED + "/tarsy?host={sockets}&port={port}",
    "socket-with-port": TRUSTED + "/tarsy?host={sockets}:{port}",
    "socket-encoded": TRUSTED + "/tarsy?host={encoded_sockets}&port={port}",
    "no-database": TRUSTED + "{primary}",
    "no-database-with-slash": TRUSTED + "{primary}/",
    "encoded-database": TRUSTED + "{primary}/odd%20db",
    "plain-blank-in-database": TRUSTED + "{primary}/odd db",
    "encoded-percent-in-database": TRUSTED + "{primary}/50%25",
    "plain-percent-in-database": TRUSTED + "{primary}/50%",
    "slash-in-database": TRUSTED + "{primary}/tarsy/more",
    "database-parameter": TRUSTED + "{primary}?dbname=tarsy",
    "database-parameter-and-path": TRUSTED + "{primary}/Upper?dbname=tarsy",
    "user-parameter": PREFIX + "{primary}/tarsy?user=trusted",
    "user-parameter-and-authority": PREFIX + "Upper@{primary}/tarsy?user=trusted",
    "password-parameter": PREFIX + "scram@{primary}/tarsy?password=a%20secret",
    "password": PREFIX + "scram:a%20secret@{primary}/tarsy",
    "password-with-plus": PREFIX + "scram:a+secret@{primary}/tarsy",
    "password-with-blank": PREFIX + "scram:a secret@{primary}/tarsy",
    "special-password": PREFIX + "special:a%40b%3Ac%2Fd%3Fe%23f%5Bg%5Dh%25i%26j%3Dk%2Bl@{primary}/tarsy",
    "special-password-half-encoded": PREFIX + "special:a@b:c%2Fd?e#f%5Bg%5Dh%25i&j=k+l@{primary}/tarsy",
    "encoded-user": PREFIX + "%C3%BCn%C3%AF%40x%2Fy%3Az@{primary}/tarsy",
    "user-with-blank": PREFIX + "odd%20name@{primary}/tarsy",
    "user-with-plus": PREFIX + "odd+name@{primary}/tarsy",
    "plus-in-value": TRUSTED + "{primary}/tarsy?application_name=a+b",
    "encoded-plus-in-value": TRUSTED + "{primary}/tarsy?application_name=a%2Bb",
    "encoded-blank-in-value": TRUSTED + "{primary}/tarsy?application_name=a%20b",
    "empty-value": TRUSTED + "{primary}/tarsy?application_name=",
    "no-value": TRUSTED + "{primary}/tarsy?application_name",
    "equals-sign-in-value": TRUSTED + "{primary}/tarsy?application_name=a=b",
    "unknown-parameter": TRUSTED + "{primary}/tarsy?foo=1",
    "parameter-of-asyncpg": TRUSTED + "{primary}/tarsy?ssl=require",
    "prepared-statements-of-asyncpg": TRUSTED + "{primary}/tarsy?prepared_statement_cache_size=0",
    "semicolon": TRUSTED + "{primary}/tarsy?sslmode=disable;application_name=a",
    "empty-query": TRUSTED + "{primary}/tarsy?",
    "fragment": TRUSTED + "{primary}/tarsy#x",
    "empty-port": TRUSTED + "{primary_host}:/tarsy",
    "port-word": TRUSTED + "{primary_host}:http/tarsy",
    "port-zero": TRUSTED + "{primary_host}:0/tarsy",
    "newline-at-end": TRUSTED + "{primary}/tarsy\n",
    "blank-at-end": TRUSTED + "{primary}/tarsy ",
    "blank-at-start": " " + TRUSTED + "{primary}/tarsy",
    "quotes-around": '"' + TRUSTED + '{primary}/tarsy"',
    "byte-order-mark": "\ufeff" + TRUSTED + "{primary}/tarsy",
    "require": TRUSTED + "{good}/tarsy?sslmode=require",
    "verify-full": TRUSTED + "{good}/tarsy?sslmode=verify-full&sslrootcert={pki}/ca.crt",
    "verify-full-by-another": TRUSTED + "{good}/tarsy?sslmode=verify-full&sslrootcert={pki}/other_ca.crt",
    "verify-full-without-root": TRUSTED + "{good}/tarsy?sslmode=verify-full",
    "channel-binding": PREFIX + "scram:a%20secret@{good}/tarsy?sslmode=require&channel_binding=require",
    "wrong-password": PREFIX + "scram:wrong@{primary}/tarsy",
}
OPTIONS = {
    "encoded": "-c%20search_path%3Dother",
    "plus": "-c+search_path%3Dother",
    "short": "-csearch_path=other",
    "list": "-c%20search_path=other,public",
}
IPV6_URLS = {
    "ipv6": TRUSTED + "[::1]:{port}/tarsy",
    "ipv6-parameter": TRUSTED + "/tarsy?host=::1&port={port}",
    "ipv6-parameter-in-brackets": TRUSTED + "/tarsy?host=[::1]&port={port}",
    "ipv6-parameter-with-port": TRUSTED + "/tarsy?host=[::1]:{port}",
    "ipv6-without-brackets": TRUSTED + "::1/tarsy?port={port}",
    "ipv6-list": TRUSTED + "/tarsy?host={closed_host},::1&port={port},{port}",
    "ipv6-list-in-brackets": TRUSTED + "/tarsy?host=[::1],{primary_host}&port={port},{port}",
    "ipv6-repeated": TRUSTED + "/tarsy?host=::1&host={primary}",
    "ipv6-repeated-in-brackets": TRUSTED + "/tarsy?host=[::1]:{port}&host=[::1]:{port}",
    "ipv6-and-more-in-authority": TRUSTED + "[::1],{primary_host}/tarsy",
}
DOWN = "{closed_host},{primary_host}"
SERVICE = {".pg_service.conf": File("[x]\nport={port}\n")}
PLACE = {"PGHOST": "{primary_host}", "PGPORT": "{port}"}


def cases() -> list[Case]:
    urls = [case(f"sqlalchemy/{name}", url, judge=SQLALCHEMY) for name, url in URLS.items()]
    ipv6 = [case(f"sqlalchemy/{name}", url, judge=SQLALCHEMY, needs=IPV6) for name, url in IPV6_URLS.items()]
    options = [
        case(f"sqlalchemy/options-{name}", TRUSTED + "{primary}/tarsy?options=" + text, judge=SQLALCHEMY, sees_schema=True)
        for name, text in OPTIONS.items()
    ]  # fmt: skip
    return [*urls, *ipv6, *options, *VARIABLES]


VARIABLES = [
    case("sqlalchemy/no-host", TRUSTED + "/tarsy", judge=SQLALCHEMY, **PLACE),
    case("sqlalchemy/only-database", PREFIX + "/tarsy", judge=SQLALCHEMY, **PLACE, PGUSER="trusted"),
    case("sqlalchemy/nothing", PREFIX, judge=SQLALCHEMY, **PLACE, PGUSER="trusted", PGDATABASE="tarsy"),
    case("sqlalchemy/list-and-port-variable", TRUSTED + "/tarsy?host=" + DOWN, judge=SQLALCHEMY, PGPORT="{port}"),
    case("sqlalchemy/repeated-and-port-variable", TRUSTED + "/tarsy?host={closed_host}&host={primary_host}", judge=SQLALCHEMY, PGPORT="{port}"),
    case("sqlalchemy/list-and-port-of-a-service", TRUSTED + "/tarsy?service=x&host=" + DOWN, SERVICE, judge=SQLALCHEMY),
    case("sqlalchemy/host-and-port-of-a-service", TRUSTED + "/tarsy?service=x&host={primary_host}", SERVICE, judge=SQLALCHEMY),
    case("sqlalchemy/password-variable", PREFIX + "scram@{primary}/tarsy", judge=SQLALCHEMY, PGPASSWORD="a secret"),
    case("sqlalchemy/empty-password", PREFIX + "scram:@{primary}/tarsy", judge=SQLALCHEMY, PGPASSWORD="a secret"),
    case("sqlalchemy/empty-user", PREFIX + "@{primary}/tarsy", judge=SQLALCHEMY, PGUSER="trusted"),
    case("sqlalchemy/tls-variable", TRUSTED + "{good}/tarsy", judge=SQLALCHEMY, PGSSLMODE="require"),
]  # fmt: skip
