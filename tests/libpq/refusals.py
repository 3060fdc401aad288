"""What tarsy-db does otherwise than the backend on purpose: the cases, the reason, and words of the message."""

import fnmatch
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Purpose:
    """Cases by their names, which may have a `*`. `told` is a pattern of the message."""

    cases: tuple[str, ...]
    told: str
    reason: str

    def fits(self, name: str, message: str) -> bool:
        # What a message lists as supported is not what it refuses.
        told = message.partition("supported are")[0]
        return any(fnmatch.fnmatchcase(name, case) for case in self.cases) and bool(re.search(self.told, told))


FILES = (
    "root/*missing",
    "root/*not-a-certificate",
    "revocation/*/missing",
    "revocation/*/not-a-list",
    "client/named-missing-and-trusted",
    "client/key-missing-and-trusted",
    "client/home-without-key-and-trusted",
    "client-mode/unused-644-with-tls",
)
UNENCODED = (
    "form/colon-in-password",
    "user/plain-blank",
    "sqlalchemy/password-with-blank",
    "sqlalchemy/at-sign-in-parameter-after-port",
)
# Refused (78) where libpq connects.
REFUSALS = [
    Purpose(
        ("replication/*",),
        "`replication`",
        "a connection of the replication protocol cannot run the statements of tarsy-db",
    ),
    Purpose(
        ("client_encoding/*LATIN1", "client_encoding/*SQL_ASCII"),
        "`(client_encoding|PGCLIENTENCODING)`",
        "tarsy-db reads and writes UTF-8 only; another encoding would change values",
    ),
    Purpose(
        ("gssdelegation/*", "gsslib/*", "krbsrvname/*"),
        "`(gssdelegation|PGGSSDELEGATION|gsslib|PGGSSLIB|krbsrvname|PGKRBSRVNAME)`",
        "tarsy-db is built without GSSAPI, so that it needs no library of Kerberos",
    ),
    Purpose(
        FILES,
        r"(missing|no_certificate|root|a|postgresql)\.(crt|crl|key)",
        "a file that is named has to be readable and sound, also where libpq connects without it or without TLS",
    ),
    Purpose(
        ("sslcertmode/require/*",),
        "`(sslcertmode|PGSSLCERTMODE)`",
        "tarsy-db does not learn whether the server has asked for the certificate",
    ),
    Purpose(
        (
            "mode/empty",
            "mode/empty-and-variable",
            "require_auth/*/empty",
            "require_auth/variable/empty-with-trust",
            "service-empty/require_auth*",
        ),
        "`(sslmode|require_auth|PGREQUIREAUTH)`",
        "an empty value may be one that was lost, and the connection would be less protected than it was meant to be",
    ),
    Purpose(("password/not-utf8/variable",), "`PGPASSWORD`", "a variable that is not UTF-8 may be one that was damaged"),
    Purpose(("requiressl/1-and-disable",), "`sslmode`", "two names of one parameter contradict each other"),
    Purpose(
        ("sqlalchemy/hosts-and-port-at-the-last",),
        "several hosts and one port",
        "for SQLAlchemy it is the port of all hosts, and for libpq of the last one",
    ),
    Purpose(
        ("sqlalchemy/ipv6-list-in-brackets", "sqlalchemy/ipv6-repeated"),
        "SQLAlchemy and libpq read other hosts",
        "the backend leaves out the host that is written, and reaches the next",
    ),
    Purpose(UNENCODED, "percent-encoded", "the backend itself refuses a URL with characters that are not encoded"),
]
# Taken where libpq fails.
TAKEN = [
    Purpose(
        ("place/ipv6-*-in-brackets", "sqlalchemy/ipv6-parameter-*"),
        "",
        "an IPv6 address may have its brackets wherever it is",
    ),
    Purpose(
        ("session-variable/PG*-bogus", "client_encoding/bogus", "client_encoding/variable-bogus"),
        "",
        "tarsy-db works with settings of its own for these, and does not send those of the variable",
    ),
]

URI = "a URI of SQLite opens the file in ways that tarsy-db does not check"
PYTHON = "a setting of Python's driver that has no counterpart"
UNREAD = "SQLAlchemy ignores it, and a wrong name would go unnoticed"
# What tarsy-db says of a URL of SQLite whose file would have a name with a blank or a line end, which is never meant.
SQLITE_BLANKS = "blanks or line ends around it"
# Parameters of URLs of SQLite that are refused (78) where SQLAlchemy opens a file.
SQLITE_REFUSALS = {
    "uri": URI,
    "mode": URI,
    "cache": URI,
    "immutable": URI,
    "isolation_level": PYTHON,
    "detect_types": PYTHON,
    "cached_statements": PYTHON,
    "foo": UNREAD,
    "timeout": "an empty value may be one that was lost",
    "sslmode": UNREAD,
}
