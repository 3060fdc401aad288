"""Several hosts, what the server has to be, and how long a silent one is waited for."""

from collections.abc import Iterator

from case import SQLALCHEMY, Case, File, case
from listeners import MANNERS

SESSIONS = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]
ORDERS = {
    "primary": "{primary}",
    "standby": "{standby}",
    "primary-standby": "{primary},{standby}",
    "standby-primary": "{standby},{primary}",
    "closed-standby-primary": "{closed},{standby},{primary}",
}
BOTH = "{primary_host},{standby_host}"
DOWN = "{closed_host},{primary_host}"
TRUSTED = "postgresql://trusted@"


def cases() -> list[Case]:
    return [*sessions(), *LISTS, *TIMED, *strangers(), *refusals(), *contradictions()]


def sessions() -> Iterator[Case]:
    for order, hosts in ORDERS.items():
        yield case(f"session/{order}/unset", f"{TRUSTED}{hosts}/tarsy")
        for session in SESSIONS:
            url = f"{TRUSTED}{hosts}/tarsy?target_session_attrs={session}"
            yield case(f"session/{order}/{session}", url)
    hosts = ORDERS["standby-primary"]
    for session in [*SESSIONS, "", "bogus"]:
        name = f"session/standby-primary/variable-{session or 'empty'}"
        yield case(name, f"{TRUSTED}{hosts}/tarsy", PGTARGETSESSIONATTRS=session)
    for session in SESSIONS:
        url = f"postgresql://read_only@{{primary}},{{standby}}/tarsy?target_session_attrs={session}"
        yield case(f"session/read-only-role/{session}", url)


def refusals() -> Iterator[Case]:
    """A server with TLS that refuses the password, before one that takes another."""
    passwords = File("localhost:*:*:*:wrong\n127.0.0.1:*:*:*:a secret\n")
    for mode in ["", "disable", "allow", "prefer", "require"]:
        parameters = f"?sslmode={mode}" if mode else ""
        url = f"postgresql://scram@{{good}},{{primary}}/tarsy{parameters}"
        yield case(f"refused-then-open/{mode or 'unset'}", url, {".pgpass": passwords})


def contradictions() -> Iterator[Case]:
    """What contradicts itself, also where no TLS is used."""
    for name, parameters in {
        "direct": "sslnegotiation=direct",
        "system": "sslrootcert=system&sslmode=require",
        "versions": "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
        "low-version": "ssl_max_protocol_version=TLSv1.1",
        "verified": "sslmode=verify-full",
    }.items():
        yield case(f"socket/{name}", f"{TRUSTED}/tarsy?host={{sockets}}&port={{port}}&{parameters}")


def strangers() -> Iterator[Case]:
    """What is no server of PostgreSQL, alone and before one that is."""
    for manner in MANNERS:
        for mode in ["disable", "prefer", "require"]:
            parameters = f"sslmode={mode}&connect_timeout=2"
            yield case(f"stranger/{manner}/{mode}", f"{TRUSTED}{{{manner}}}/tarsy?{parameters}", is_timed=True)
            if manner == "stuffing":
                # libpq waits for more, and then tries the next host. To give up is as good.
                continue
            hosts = f"{{{manner}}},{{good}}"
            yield case(f"stranger/{manner}/{mode}-then-open", f"{TRUSTED}{hosts}/tarsy?{parameters}", is_timed=True)


LISTS = [
    case("hosts/closed-then-open", TRUSTED + "{closed},{primary}/tarsy"),
    case("hosts/open-then-closed", TRUSTED + "{primary},{closed}/tarsy"),
    case("hosts/all-closed", TRUSTED + "{closed},{closed}/tarsy"),
    case("hosts/unknown-name-then-open", TRUSTED + "a..b:{port},{primary}/tarsy"),
    case("hosts/one-port-for-all", TRUSTED + "/tarsy?host={closed_host},{primary_host}&port={port}"),
    case("hosts/a-port-each", TRUSTED + "/tarsy?host={closed_host},{primary_host}&port={port},{port}"),
    case("hosts/too-few-ports", TRUSTED + "/tarsy?host={closed_host},{primary_host},{primary_host}&port={port},{port}"),
    case("hosts/too-many-ports", TRUSTED + "/tarsy?host={primary_host}&port={port},{port}"),
    case("hosts/an-empty-port-is-5432", TRUSTED + "/tarsy?host={closed_host},{primary_host}&port=,{port}"),
    case("hosts/port-only-for-the-first", TRUSTED + "{closed},{primary_host}/tarsy"),
    case("hosts/empty-first", TRUSTED + "/tarsy?host=,{primary_host}&port={port}"),
    case("hosts/variable", TRUSTED + "/tarsy", PGHOST=DOWN, PGPORT="{port}"),
    case("hosts/variable-ports", TRUSTED + "/tarsy", PGHOST=DOWN, PGPORT="{silent_port},{port}"),
    case("hosts/variable-too-many-ports", TRUSTED + "/tarsy", PGHOST=DOWN, PGPORT="1,2,{port}"),
    case("hosts/url-hosts-variable-port", TRUSTED + "{closed_host},{primary_host}/tarsy", judge=SQLALCHEMY, PGPORT="{port}"),
    case("hosts/addresses", TRUSTED + "/tarsy?hostaddr={closed_host},{primary_host}&port={port}"),
    case("hosts/addresses-and-names", TRUSTED + "/tarsy?host=x.test,y.test&hostaddr=" + DOWN + "&port={port}"),
    case("hosts/fewer-addresses", TRUSTED + "/tarsy?host=x.test,y.test&hostaddr={primary_host}&port={port}"),
    case("hosts/socket-then-address", TRUSTED + "/tarsy?host=/nowhere,{primary_host}&port={port}"),
    case("hosts/address-then-socket", TRUSTED + "/tarsy?host={closed_host},{sockets}&port={port}"),
    case("hosts/rejected-then-open", "postgresql://rejected@{primary},{standby}/tarsy"),
    case("hosts/missing-database-then-open", TRUSTED + "{standby},{primary}/missing"),
    case("hosts/database-only-on-the-second", TRUSTED + "{good},{primary}/Upper"),
    case("hosts/wrong-password-then-open", "postgresql://scram:wrong@{primary},{standby}/tarsy"),
    case("hosts/full-then-open", "postgresql://limited@{primary},{standby}/tarsy"),
    case("hosts/tls-only-on-the-second", TRUSTED + "{primary},{good}/tarsy?sslmode=require"),
    case("hosts/trusted-only-on-the-second", TRUSTED + "{other_issuer},{good}/tarsy?sslmode=verify-full&sslrootcert={pki}/ca.crt"),
    case("hosts/plain-only-on-the-second", "postgresql://plain_only@{good},{primary}/tarsy?sslmode=require"),
    case("hosts/balanced-with-one-open", TRUSTED + "{closed},{primary},{closed}/tarsy?load_balance_hosts=random"),
    case("hosts/balanced-not", TRUSTED + "{standby},{primary}/tarsy?load_balance_hosts=disable"),
    case("hosts/balanced-wrongly", TRUSTED + "{primary}/tarsy?load_balance_hosts=bogus"),
    case("hosts/balanced-to-the-primary", TRUSTED + "{standby},{primary}/tarsy?load_balance_hosts=random&target_session_attrs=primary"),
    case("hosts/variable-balanced", TRUSTED + "{closed},{primary}/tarsy", PGLOADBALANCEHOSTS="random"),
    case("hosts/variable-balanced-wrongly", TRUSTED + "{primary}/tarsy", PGLOADBALANCEHOSTS="bogus"),
    case("hosts/different-passwords", "postgresql://scram:wrong@{closed},{primary}/tarsy", PGPASSWORD="a secret"),
    case("hosts/session-bogus", TRUSTED + "{primary}/tarsy?target_session_attrs=bogus"),
]  # fmt: skip

TIMED = [
    case("silent/limit-2", TRUSTED + "{silent}/tarsy?connect_timeout=2", is_timed=True),
    case("silent/limit-1", TRUSTED + "{silent}/tarsy?connect_timeout=1", is_timed=True),
    case("silent/variable", TRUSTED + "{silent}/tarsy", is_timed=True, PGCONNECT_TIMEOUT="2"),
    case("silent/then-open", TRUSTED + "{silent},{primary}/tarsy?connect_timeout=2", is_timed=True),
    case("silent/tls", TRUSTED + "{silent}/tarsy?connect_timeout=2&sslmode=require", is_timed=True),
    case("silent/plain", TRUSTED + "{silent}/tarsy?connect_timeout=2&sslmode=disable", is_timed=True),
    case("silent/then-primary", TRUSTED + "{silent},{standby},{primary}/tarsy?connect_timeout=2&target_session_attrs=primary", is_timed=True),
    case("silent/url-before-variable", TRUSTED + "{silent}/tarsy?connect_timeout=2", is_timed=True, PGCONNECT_TIMEOUT="30"),
    case("silent/no-limit", TRUSTED + "{silent}/tarsy?connect_timeout=0", is_timed=True),
]  # fmt: skip
