"""Where the password comes from, what it may hold, and the password file."""

from collections.abc import Iterator
from urllib.parse import quote

from case import SQLALCHEMY, Case, File, case
from roles import BYTES_PASSWORD, PASSWORD, PASSWORDS

BYTES = BYTES_PASSWORD.decode("utf-8", "surrogateescape")
SECRET = quote(PASSWORD)
SCRAM = "postgresql://scram@{primary}/tarsy"
ANY = "*:*:*:*:"


def cases() -> list[Case]:
    return [*methods(), *contents(), *SOURCES, *files(), *modes()]


def methods() -> Iterator[Case]:
    """Each method of authentication with a right, a wrong and no password, plain and with TLS."""
    words = {"right": f":{SECRET}", "wrong": ":wrong", "none": "", "empty": ":", "upper": ":A%20SECRET"}
    for role in ["trusted", "scram", "md5er", "cleartext", "rejected", "without_password", "missing"]:
        for word, text in words.items():
            yield case(f"method/{role}/{word}", f"postgresql://{role}{text}@{{primary}}/tarsy")
    for role in ["scram", "md5er", "cleartext"]:
        for word in ["right", "wrong"]:
            yield case(
                f"method/{role}/{word}-with-tls", f"postgresql://{role}{words[word]}@{{good}}/tarsy?sslmode=require"
            )


def contents() -> Iterator[Case]:
    """Passwords that SASLprep changes or refuses, and those that have to be encoded, from each source."""
    for role, password in PASSWORDS.items():
        encoded = quote(password, safe="")
        yield case(f"password/{role}/url", f"postgresql://{role}:{encoded}@{{primary}}/tarsy")
        yield case(f"password/{role}/variable", f"postgresql://{role}@{{primary}}/tarsy", PGPASSWORD=password)
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        entry = {".pgpass": File(f"{ANY}{escaped}\n")}
        yield case(f"password/{role}/file", f"postgresql://{role}@{{primary}}/tarsy", entry)
    yield case("password/not-utf8/url", "postgresql://not_utf8:latin%20%E9%FF@{primary}/tarsy", judge=SQLALCHEMY)
    yield case("password/not-utf8/variable", "postgresql://not_utf8@{primary}/tarsy", PGPASSWORD=BYTES)
    emoji = quote(PASSWORDS["emoji"])
    yield case("password/md5-emoji/url", f"postgresql://md5_emoji:{emoji}@{{primary}}/tarsy")
    for name, text in {"composed": "%C3%A9", "combining": "e%CC%81"}.items():
        yield case(f"password/{name}-for-combining", f"postgresql://combining:{text}@{{primary}}/tarsy")
    yield case("password/blank-for-no-break-space", "postgresql://no_break_space:no%20break@{primary}/tarsy")
    yield case("password/without-soft-hyphen", "postgresql://soft_hyphen:softhyphen@{primary}/tarsy")
    yield case("password/half-width", "postgresql://full_width:abc@{primary}/tarsy")


SOURCES = [
    case("source/variable", SCRAM, PGPASSWORD=PASSWORD),
    case("source/url-before-variable", f"postgresql://scram:{SECRET}@{{primary}}/tarsy", PGPASSWORD="wrong"),
    case("source/wrong-url-before-variable", "postgresql://scram:wrong@{primary}/tarsy", PGPASSWORD=PASSWORD),
    case("source/empty-in-url-and-variable", "postgresql://scram:@{primary}/tarsy", PGPASSWORD=PASSWORD),
    case("source/parameter", f"{SCRAM}?password={SECRET}"),
    case("source/parameter-wins", f"postgresql://scram:wrong@{{primary}}/tarsy?password={SECRET}"),
    case("source/empty-parameter-and-variable", f"{SCRAM}?password=", PGPASSWORD=PASSWORD),
    case("source/variable-before-file", SCRAM, {".pgpass": File(f"{ANY}wrong")}, PGPASSWORD=PASSWORD),
    case("source/url-before-file", f"postgresql://scram:{SECRET}@{{primary}}/tarsy", {".pgpass": File(f"{ANY}wrong")}),
    case("source/empty-variable-and-file", SCRAM, {".pgpass": File(f"{ANY}{PASSWORD}")}, PGPASSWORD=""),
    case("source/empty-in-url-and-file", "postgresql://scram:@{primary}/tarsy", {".pgpass": File(f"{ANY}{PASSWORD}")}),
]

# The contents of a password file, and the rest of the URL if it is not the usual one.
FILES = {
    "exact": "{primary_host}:{port}:tarsy:scram:" + PASSWORD,
    "any": ANY + PASSWORD,
    "any-host": "*:{port}:tarsy:scram:" + PASSWORD,
    "any-port": "{primary_host}:*:tarsy:scram:" + PASSWORD,
    "any-database": "{primary_host}:{port}:*:scram:" + PASSWORD,
    "any-user": "{primary_host}:{port}:tarsy:*:" + PASSWORD,
    "other-host": "localhost:{port}:tarsy:scram:" + PASSWORD,
    "other-port": "{primary_host}:1:tarsy:scram:" + PASSWORD,
    "other-database": "{primary_host}:{port}:other:scram:" + PASSWORD,
    "other-user": "{primary_host}:{port}:tarsy:other:" + PASSWORD,
    "upper-user": "{primary_host}:{port}:tarsy:SCRAM:" + PASSWORD,
    "first-line-counts": ANY + "wrong\n" + ANY + PASSWORD,
    "second-line-fits": "other:*:*:*:wrong\n" + ANY + PASSWORD,
    "comment": "# a comment\n\n" + ANY + PASSWORD,
    "comment-that-fits": "#*:*:*:*:wrong\n" + ANY + PASSWORD,
    "carriage-returns": "other:*:*:*:x\r\n" + ANY + PASSWORD + "\r\n",
    "carriage-returns-twice": "other:*:*:*:x\r\r\n" + ANY + PASSWORD + "\r\r\n",
    "no-newline": ANY + PASSWORD,
    "blank-at-end": ANY + PASSWORD + " \n",
    "leading-blank": " " + ANY + PASSWORD,
    "more-fields": ANY + PASSWORD + ":more",
    "too-few-fields": "*:*:*:" + PASSWORD,
    "empty-password": ANY + "\n" + ANY + PASSWORD,
    "empty": "",
    "long-line": "other:*:*:*:" + "x" * 5000 + "\n" + ANY + PASSWORD,
    "byte-order-mark": "\ufeff" + ANY + PASSWORD,
    "escaped-letters": "{primary_host}:{port}:ta\\rsy:scr\\am:a\\ secret",
}


def files() -> Iterator[Case]:
    for name, text in FILES.items():
        yield case(f"passfile/{name}", SCRAM, {".pgpass": File(text)})
    right, wrong = File(ANY + PASSWORD), File(ANY + "wrong")
    yield case("passfile/variable", SCRAM, {"secrets": right}, PGPASSFILE="{home}/secrets")
    yield case("passfile/variable-wins", SCRAM, {"secrets": right, ".pgpass": wrong}, PGPASSFILE="{home}/secrets")
    yield case("passfile/variable-missing", SCRAM, {".pgpass": right}, PGPASSFILE="{home}/missing")
    yield case("passfile/variable-empty", SCRAM, {".pgpass": right}, PGPASSFILE="")
    yield case("passfile/parameter", SCRAM + "?passfile={home}/secrets", {"secrets": right})
    yield case("passfile/parameter-wins", SCRAM + "?passfile={home}/a", {"a": right, "b": wrong}, PGPASSFILE="{home}/b")
    yield case("passfile/parameter-missing", SCRAM + "?passfile={home}/missing", {".pgpass": right})
    yield case("passfile/parameter-is-a-directory", SCRAM + "?passfile={home}", {".pgpass": right})
    yield case("passfile/other-home", SCRAM, {"other/.pgpass": right}, HOME="{home}/other")
    yield case("passfile/relative-home", SCRAM, {"work/other/.pgpass": right}, HOME="other")
    yield case("passfile/empty-home", SCRAM, {".pgpass": right}, HOME="")
    socket = "postgresql://scram@/tarsy?host={sockets}&port={port}"
    for name, host in {"localhost": "localhost", "directory": "{sockets}", "address": "{primary_host}"}.items():
        yield case(f"passfile/socket-{name}", socket, {".pgpass": File(f"{host}:*:*:*:{PASSWORD}")})
    named = "postgresql://scram@x.test:{port}/tarsy?hostaddr={primary_host}"
    for name, host in {"name": "x.test", "address": "{primary_host}"}.items():
        yield case(f"passfile/hostaddr-{name}", named, {".pgpass": File(f"{host}:*:*:*:{PASSWORD}")})
    only = "postgresql://scram@/tarsy?hostaddr={primary_host}&port={port}"
    yield case("passfile/only-hostaddr", only, {".pgpass": File("{primary_host}:*:*:*:" + PASSWORD)})
    ipv6 = {"escaped": "\\:\\:1", "plain": "::1", "brackets": "[\\:\\:1]"}
    for name, host in ipv6.items():
        entry = {".pgpass": File(f"{host}:*:*:*:{PASSWORD}")}
        yield case(f"passfile/ipv6-{name}", "postgresql://scram@[::1]:{port}/tarsy", entry, needs="ipv6")
    lines = "{closed_host}:*:*:*:wrong\n{primary_host}:*:*:*:" + PASSWORD
    yield case("passfile/entry-of-each-host", "postgresql://scram@{closed},{primary}/tarsy", {".pgpass": File(lines)})
    yield case(
        "passfile/default-database", "postgresql://scram@{primary}", {".pgpass": File(f"*:*:scram:*:{PASSWORD}")}
    )
    yield case(
        "passfile/user-of-variable",
        "postgresql://{primary}/tarsy",
        {".pgpass": File(f"*:*:*:scram:{PASSWORD}")},
        PGUSER="scram",
    )


def modes() -> Iterator[Case]:
    for mode in [0o400, 0o600, 0o700, 0o640, 0o660, 0o604, 0o644, 0o610, 0o666, 0o777]:
        yield case(f"passfile/mode-{mode:o}", SCRAM, {".pgpass": File(ANY + PASSWORD, mode=mode)})
    readable = {"secrets": File(ANY + PASSWORD, mode=0o644)}
    yield case("passfile/variable-mode-644", SCRAM, readable, PGPASSFILE="{home}/secrets")
    yield case("passfile/parameter-mode-644", SCRAM + "?passfile={home}/secrets", readable)
