"""Which server, which database, which role: parts of the URL, its parameters, and variables."""

from dataclasses import replace

from case import DEFAULT_SOCKETS, IPV6, SQLALCHEMY, Case, case

TRUSTED = "postgresql://trusted@"


def cases() -> list[Case]:
    # How a URL is written is for SQLAlchemy to read.
    written = [replace(one, judge=SQLALCHEMY) for one in [*DATABASES, *FORMS]]
    return [*ADDRESSES, *SOCKETS, *USERS, *SSL, *written, *variable_values()]


ADDRESSES = [
    case("place/address", TRUSTED + "{primary}/tarsy"),
    case("place/name", TRUSTED + "localhost:{port}/tarsy"),
    case("place/postgres-scheme", "postgres://trusted@{primary}/tarsy", judge=SQLALCHEMY),
    case("place/ipv6", TRUSTED + "[::1]:{port}/tarsy", needs=IPV6),
    case("place/ipv6-parameter", TRUSTED + "/tarsy?host=::1&port={port}", needs=IPV6),
    case("place/ipv6-parameter-in-brackets", TRUSTED + "/tarsy?host=[::1]&port={port}", needs=IPV6),
    case("place/ipv6-variable", TRUSTED + "/tarsy", needs=IPV6, PGHOST="::1", PGPORT="{port}"),
    case("place/ipv6-variable-in-brackets", TRUSTED + "/tarsy", needs=IPV6, PGHOST="[::1]", PGPORT="{port}"),
    case("place/ipv6-address-parameter", TRUSTED + "/tarsy?hostaddr=::1&port={port}", needs=IPV6),
    case("place/ipv6-without-end", TRUSTED + "[::1:{port}/tarsy", needs=IPV6),
    case("place/encoded-host", TRUSTED + "127%2E0%2E0%2E1:{port}/tarsy", judge=SQLALCHEMY),
    case("place/short-address", TRUSTED + "127.1:{port}/tarsy"),
    case("place/host-parameter", TRUSTED + "/tarsy?host={primary_host}&port={port}"),
    case("place/host-parameter-wins", TRUSTED + "{standby_host}:{port}/tarsy?host={primary_host}"),
    case("place/port-no-break-space", TRUSTED + "/tarsy?host={primary_host}&port={port}%C2%A0"),
    case("place/port-parameter-wins", TRUSTED + "{primary_host}:1/tarsy?port={port}"),
    case("place/host-variable", TRUSTED + "/tarsy", PGHOST="{primary_host}", PGPORT="{port}"),
    case("place/host-variable-other", TRUSTED + "/tarsy", PGHOST="{standby_host}", PGPORT="{port}"),
    case("place/url-before-variables", TRUSTED + "{primary}/tarsy", PGHOST="{closed_host}", PGPORT="1"),
    case("place/port-variable", TRUSTED + "{primary_host}/tarsy", PGPORT="{port}"),
    case("place/empty-port", TRUSTED + "{primary_host}:/tarsy", PGPORT="{port}"),
    case("place/empty-host-variable", TRUSTED + "localhost/tarsy", PGHOST="", PGPORT="{port}"),
    case("place/nothing-but-variables", "postgresql://", PGHOST="{primary_host}", PGPORT="{port}", PGUSER="trusted", PGDATABASE="tarsy"),
    case("place/slash-and-variables", "postgresql:///", PGHOST="{primary_host}", PGPORT="{port}", PGUSER="trusted", PGDATABASE="tarsy"),
    case("place/database-and-variables", "postgresql:///tarsy", PGHOST="{primary_host}", PGPORT="{port}", PGUSER="trusted"),
    case("place/address-variable", TRUSTED + "/tarsy", PGHOSTADDR="{primary_host}", PGPORT="{port}"),
    case("place/address-variable-and-name", TRUSTED + "x.test:{port}/tarsy", PGHOSTADDR="{primary_host}"),
    case("place/address-variable-before-host", TRUSTED + "{standby}/tarsy", PGHOSTADDR="{primary_host}"),
    case("place/address-variable-and-socket", TRUSTED + "/tarsy?host={sockets}&port={port}", PGHOSTADDR="{standby_host}"),
    case("place/address-variable-wrong", TRUSTED + "{primary}/tarsy", PGHOSTADDR="a name"),
    case("place/address-variable-is-a-name", TRUSTED + "{primary}/tarsy", PGHOSTADDR="localhost"),
    case("place/address-variable-empty", TRUSTED + "{primary}/tarsy", PGHOSTADDR=""),
    case("place/address-parameter", TRUSTED + "/tarsy?hostaddr={primary_host}&port={port}"),
    case("place/address-parameter-and-name", TRUSTED + "x.test:{port}/tarsy?hostaddr={primary_host}"),
    case("place/address-parameter-wins", TRUSTED + "{standby}/tarsy?hostaddr={primary_host}"),
    case("place/address-parameter-before-variable", TRUSTED + "{primary}/tarsy?hostaddr={standby_host}", PGHOSTADDR="{primary_host}"),
    case("place/address-and-host-variable", TRUSTED + "/tarsy?hostaddr={primary_host}&port={port}", PGHOST="x.test"),
    case("place/closed", TRUSTED + "{closed}/tarsy"),
    case("place/unknown-name", TRUSTED + "a..b:{port}/tarsy"),
]  # fmt: skip

SOCKETS = [
    case("socket/parameter", TRUSTED + "/tarsy?host={sockets}&port={port}"),
    case("socket/encoded-parameter", TRUSTED + "/tarsy?host={encoded_sockets}&port={port}"),
    case("socket/encoded-host", TRUSTED + "{encoded_sockets}:{port}/tarsy", judge=SQLALCHEMY),
    case("socket/encoded-host-and-variable", TRUSTED + "{encoded_sockets}/tarsy", judge=SQLALCHEMY, PGPORT="{port}"),
    case("socket/variable", TRUSTED + "/tarsy", PGHOST="{sockets}", PGPORT="{port}"),
    case("socket/no-user", "postgresql:///tarsy?host={sockets}&port={port}"),
    case("socket/abstract", TRUSTED + "/tarsy?host={abstract}&port={port}"),
    case("socket/abstract-variable", TRUSTED + "/tarsy", PGHOST="{abstract}", PGPORT="{port}"),
    case("socket/missing-directory", TRUSTED + "/tarsy?host=/nowhere&port={port}"),
    case("socket/wrong-port", TRUSTED + "/tarsy?host={sockets}&port=1"),
    case("socket/long-directory", TRUSTED + "/tarsy?host=/" + "x" * 120 + "&port={port}"),
    case("socket/relative", TRUSTED + "/tarsy?host=.&port={port}"),
    case("socket/password", "postgresql://scram:a%20secret@/tarsy?host={sockets}&port={port}"),
    case("socket/wrong-password", "postgresql://scram:wrong@/tarsy?host={sockets}&port={port}"),
    case("socket/md5", "postgresql://md5er:a%20secret@/tarsy?host={sockets}&port={port}"),
    case("socket/require-tls", TRUSTED + "/tarsy?host={sockets}&port={port}&sslmode=require"),
    case("socket/verify-full", TRUSTED + "/tarsy?host={sockets}&port={port}&sslmode=verify-full&sslrootcert={pki}/ca.crt"),
    case("socket/verify-full-without-root", TRUSTED + "/tarsy?host={sockets}&port={port}&sslmode=verify-full"),
    case("socket/system-roots", TRUSTED + "/tarsy?host={sockets}&port={port}&sslrootcert=system"),
    case("socket/tls-variable", TRUSTED + "/tarsy?host={sockets}&port={port}", PGSSLMODE="verify-full"),
    case("socket/peer", TRUSTED + "/tarsy?host={sockets}&port={port}&requirepeer={server_user}"),
    case("socket/other-peer", TRUSTED + "/tarsy?host={sockets}&port={port}&requirepeer=daemon"),
    case("socket/unknown-peer", TRUSTED + "/tarsy?host={sockets}&port={port}&requirepeer=no-such-user"),
    case("socket/peer-variable", TRUSTED + "/tarsy?host={sockets}&port={port}", PGREQUIREPEER="{server_user}"),
    case("socket/other-peer-variable", TRUSTED + "/tarsy?host={sockets}&port={port}", PGREQUIREPEER="daemon"),
    case("socket/peer-variable-empty", TRUSTED + "/tarsy?host={sockets}&port={port}", PGREQUIREPEER=""),
    case("socket/peer-over-tcp", TRUSTED + "{primary}/tarsy?requirepeer=daemon"),
    case("socket/peer-variable-over-tcp", TRUSTED + "{primary}/tarsy", PGREQUIREPEER="daemon"),
    case("socket/default", TRUSTED + "/tarsy", needs=DEFAULT_SOCKETS, PGPORT="{port}"),
    case("socket/default-with-port", TRUSTED + ":{port}/tarsy", needs=DEFAULT_SOCKETS),
    case("socket/default-with-empty-variable", TRUSTED + ":{port}/tarsy", needs=DEFAULT_SOCKETS, PGHOST=""),
    case("socket/default-with-tls", TRUSTED + ":{port}/tarsy?sslmode=require", needs=DEFAULT_SOCKETS),
]  # fmt: skip

DATABASES = [
    case("database/none", TRUSTED + "{primary}"),
    case("database/none-with-slash", TRUSTED + "{primary}/"),
    case("database/variable", TRUSTED + "{primary}", PGDATABASE="tarsy"),
    case("database/variable-empty", TRUSTED + "{primary}", PGDATABASE=""),
    case("database/url-before-variable", TRUSTED + "{primary}/tarsy", PGDATABASE="Upper"),
    case("database/parameter", TRUSTED + "{primary}?dbname=tarsy"),
    case("database/parameter-wins", TRUSTED + "{primary}/Upper?dbname=tarsy"),
    case("database/upper", TRUSTED + "{primary}/Upper"),
    case("database/lower-of-upper", TRUSTED + "{primary}/upper"),
    case("database/encoded-blank", TRUSTED + "{primary}/odd%20db"),
    case("database/plain-blank", TRUSTED + "{primary}/odd db"),
    case("database/encoded-percent", TRUSTED + "{primary}/50%25"),
    case("database/plain-percent", TRUSTED + "{primary}/50%"),
    case("database/encoded-letters", TRUSTED + "{primary}/%C3%BCn%C3%AF%2Fx%3Fy"),
    case("database/equals-sign", TRUSTED + "{primary}/a=b"),
    case("database/two-slashes", TRUSTED + "{primary}//tarsy"),
    case("database/path", TRUSTED + "{primary}/tarsy/more"),
    case("database/missing", TRUSTED + "{primary}/missing"),
    case("database/other-variable", TRUSTED + "{primary}", PGDATABASE="odd db"),
    case("database/plus", TRUSTED + "{primary}/odd+db"),
]

USERS = [
    case("user/none", "postgresql://{primary}/tarsy"),
    case("user/none-and-no-database", "postgresql://{primary}"),
    case("user/empty", "postgresql://@{primary}/tarsy"),
    case("user/variable", "postgresql://{primary}/tarsy", PGUSER="trusted"),
    case("user/variable-empty", "postgresql://{primary}/tarsy", PGUSER=""),
    case("user/url-before-variable", TRUSTED + "{primary}/tarsy", PGUSER="Upper"),
    case("user/parameter", "postgresql://{primary}/tarsy?user=trusted"),
    case("user/parameter-wins", "postgresql://Upper@{primary}/tarsy?user=trusted"),
    case("user/upper", "postgresql://Upper@{primary}/tarsy"),
    case("user/lower-of-upper", "postgresql://upper@{primary}/tarsy"),
    case("user/encoded-blank", "postgresql://odd%20name@{primary}/tarsy"),
    case("user/plain-blank", "postgresql://odd name@{primary}/tarsy"),
    case("user/plus", "postgresql://odd+name@{primary}/tarsy"),
    case("user/encoded-letters", "postgresql://%C3%BCn%C3%AF%40x%2Fy%3Az@{primary}/tarsy"),
    case("user/plain-letters", "postgresql://ünï%40x%2Fy%3Az@{primary}/tarsy"),
    case("user/variable-with-odd-letters", "postgresql://{primary}/tarsy", PGUSER="ünï@x/y:z"),
    case("user/missing", "postgresql://missing@{primary}/tarsy"),
    case("user/no-login", "postgresql://no_login@{primary}/tarsy"),
    case("user/full", "postgresql://limited@{primary}/tarsy"),
    case("user/rejected", "postgresql://rejected@{primary}/tarsy"),
    case("user/own-search-path", "postgresql://elsewhere@{primary}/tarsy", sees_schema=True),
    case("user/schema-of-public", "postgresql://trusted@{primary}/tarsy", sees_schema=True),
    case("user/name-of-system", "postgresql://{system_user}@{primary}/tarsy"),
    case("user/long", "postgresql://" + "u" * 80 + "@{primary}/tarsy"),
]  # fmt: skip

# libpq itself reads this parameter of JDBC.
SSL = [
    case("ssl/true", TRUSTED + "{primary}/tarsy?ssl=true"),
    case("ssl/true-with-tls", TRUSTED + "{good}/tarsy?ssl=true"),
    case("ssl/false", TRUSTED + "{primary}/tarsy?ssl=false"),
]

FORMS = [
    case("form/unknown-parameter", TRUSTED + "{primary}/tarsy?foo=1"),
    case("form/upper-case-parameter", TRUSTED + "{primary}/tarsy?SSLMODE=disable"),
    case("form/ssl-require", TRUSTED + "{good}/tarsy?ssl=require"),
    case("form/no-value", TRUSTED + "{primary}/tarsy?application_name"),
    case("form/two-equals-signs", TRUSTED + "{primary}/tarsy?application_name=a=b"),
    case("form/empty-value", TRUSTED + "{primary}/tarsy?application_name="),
    case("form/empty-query", TRUSTED + "{primary}/tarsy?"),
    case("form/only-ampersand", TRUSTED + "{primary}/tarsy?&"),
    case("form/two-ampersands", TRUSTED + "{primary}/tarsy?sslmode=disable&&application_name=a"),
    case("form/encoded-parameter", TRUSTED + "{primary}/tarsy?application%5Fname=a"),
    case("form/wrong-escape", TRUSTED + "{primary}/tarsy?application_name=%zz"),
    case("form/cut-escape", TRUSTED + "{primary}/tarsy?application_name=a%2"),
    case("form/zero-byte-in-user", "postgresql://trusted%00@{primary}/tarsy"),
    case("form/zero-byte-in-password", "postgresql://scram:a%20secret%00@{primary}/tarsy"),
    case("form/zero-byte-at-end", TRUSTED + "{primary}/tarsy?application_name=a%00"),
    case("form/zero-bytes-before-a-setting", TRUSTED + "{primary}/tarsy?application_name=a%00user%00Upper"),
    case("form/zero-byte", TRUSTED + "{primary}/tarsy?application_name=a%00b"),
    case("form/plus", TRUSTED + "{primary}/tarsy?application_name=a+b"),
    case("form/blank", TRUSTED + "{primary}/tarsy?application_name=a b"),
    case("form/encoded-blank", TRUSTED + "{primary}/tarsy?application_name=a%20b"),
    case("form/fragment", TRUSTED + "{primary}/tarsy#x"),
    case("form/question-mark-in-value", TRUSTED + "{primary}/tarsy?application_name=a?b"),
    case("form/semicolon", TRUSTED + "{primary}/tarsy?sslmode=disable;application_name=a"),
    case("form/at-sign-in-password", "postgresql://scram:a@b@{primary}/tarsy"),
    case("form/colon-in-password", "postgresql://special:a%40b:c%2Fd%3Fe%23f%5Bg%5Dh%25i%26j=k+l@{primary}/tarsy"),
    case("form/options-list", "user=trusted dbname=tarsy host={primary_host} port={port}"),
]  # fmt: skip


def variable_values() -> list[Case]:
    ports = {"zero": "0", "large": "65536", "negative": "-1", "word": "http", "blanks": " {port} ", "fraction": "1.5"}
    ports |= {"trailing": "{port}x", "plus": "+{port}", "leading-zero": "0{port}", "hexadecimal": "0x10"}
    in_url = [case(f"port/url-{name}", TRUSTED + f"{{primary_host}}:{port}/tarsy") for name, port in ports.items()]
    in_variable = [
        case(f"port/variable-{name}", TRUSTED + "{primary_host}/tarsy", PGPORT=port) for name, port in ports.items()
    ]
    return in_url + in_variable
