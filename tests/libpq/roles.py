"""The roles and databases of every server, and how each role logs in."""

import base64
import getpass
import hashlib
import hmac

PASSWORD = "a secret"
SYSTEM_USER = getpass.getuser()

# Roles that log in without a password.
TRUSTED = ["trusted", "odd name", "Upper", "ünï@x/y:z", "read_only", "elsewhere", "limited", "replicator"]

# What SASLprep changes or refuses, and what a URL, a file or a shell could change.
PASSWORDS = {
    "scram": PASSWORD,
    "emoji": "lock\N{LOCK}x",
    "tab": "tab\there",
    "newline": "newline\n",
    "no_break_space": "no\N{NO-BREAK SPACE}break",
    "soft_hyphen": "soft\N{SOFT HYPHEN}hyphen",
    "full_width": "\N{FULLWIDTH LATIN SMALL LETTER A}bc",
    "right_to_left": "\N{ARABIC LETTER ALEF}a1",
    "unassigned": "new \U0001fae8",
    "normalized_to_older": "pass\N{SQUARED CJK UNIFIED IDEOGRAPH-7A7A}word",
    "only_soft_hyphen": "\N{SOFT HYPHEN}",
    "only_joiners": "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}",
    "tone_mark": "a\N{COMBINING GRAVE TONE MARK}",
    "alef_symbol": "\N{ALEF SYMBOL}a",
    "combining": "e\N{COMBINING ACUTE ACCENT}",
    "private_use": "\ue000private",
    "blank": " ",
    "special": "a@b:c/d?e#f[g]h%i&j=k+l",
    "backslash": "back\\slash:colon",
    "quotes": """it's "quoted\"""",
    "long": "long" * 300,
}
# Not UTF-8: libpq sends the bytes as they are.
BYTES_PASSWORD = b"latin \xe9\xff"


def statements() -> list[str]:
    """Creates all roles, and the databases that every server has."""
    logins = dict.fromkeys([*TRUSTED, "ssl_only", "plain_only", "certified", "rejected"]) | PASSWORDS
    made = [f"CREATE ROLE {quoted(name)} LOGIN" for name in logins]
    if SYSTEM_USER not in logins and SYSTEM_USER != "postgres":
        made.append(f"CREATE ROLE {quoted(SYSTEM_USER)} LOGIN")
    made += [f"ALTER ROLE {quoted(name)} PASSWORD {literal(word)}" for name, word in PASSWORDS.items()]
    return [
        *made,
        f"CREATE ROLE not_utf8 LOGIN PASSWORD {literal(scram_verifier(BYTES_PASSWORD))}",
        f"CREATE ROLE cleartext LOGIN PASSWORD {literal(PASSWORD)}",
        f"CREATE ROLE certified_scram LOGIN PASSWORD {literal(PASSWORD)}",
        "SET password_encryption = 'md5'",
        f"CREATE ROLE md5er LOGIN PASSWORD {literal(PASSWORD)}",
        f"CREATE ROLE md5_emoji LOGIN PASSWORD {literal(PASSWORDS['emoji'])}",
        "RESET password_encryption",
        "CREATE ROLE no_login NOLOGIN",
        "CREATE ROLE without_password LOGIN",
        "ALTER ROLE replicator REPLICATION",
        "ALTER ROLE limited CONNECTION LIMIT 0",
        "ALTER ROLE read_only SET default_transaction_read_only = on",
        "ALTER ROLE elsewhere SET search_path = other",
        "CREATE DATABASE tarsy OWNER trusted STRATEGY file_copy",
    ]


def odd_databases() -> list[str]:
    """Databases with names that are hard to write, and one named like its role; on the primary and its standby."""
    names = ["odd db", "Upper", "50%", "ünï/x?y", "trusted", "a=b"] + [SYSTEM_USER] * (SYSTEM_USER != "postgres")
    return [f"CREATE DATABASE {quoted(name)} STRATEGY file_copy" for name in names]


def access_rules(*, has_tls: bool, asks_for_certificates: bool) -> str:
    """The server's `pg_hba.conf`: the first line that fits counts."""
    lines = ["local all postgres scram-sha-256", "host all rejected all reject"]
    if has_tls:
        lines += ["hostssl all ssl_only all trust", "hostnossl all plain_only all trust"]
    else:
        lines += ["host all plain_only all trust"]
    if asks_for_certificates:
        lines += ["hostssl all certified all cert"]
        lines += ["hostssl all certified_scram all scram-sha-256 clientcert=verify-ca"]
    lines += ["host all ssl_only,plain_only,certified,certified_scram all reject"]
    methods = {
        "trust": [*TRUSTED, "no_login", SYSTEM_USER],
        "scram-sha-256": [*PASSWORDS, "not_utf8", "without_password"],
        "md5": ["md5er", "md5_emoji"],
        "password": ["cleartext"],
    }
    for method, names in methods.items():
        users = ",".join(quoted(name) for name in names)
        lines += [f"local all {users} {method}", f"host all {users} all {method}"]
    return "\n".join(lines) + "\n"


def scram_verifier(password: bytes) -> str:
    """What the server stores; made here because a statement cannot carry a password that is not UTF-8."""
    salt, iterations = b"sixteen bytes of", 4096
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored, server, salted_text = (
        base64.b64encode(part).decode() for part in (hashlib.sha256(client_key).digest(), server_key, salt)
    )
    return f"SCRAM-SHA-256${iterations}:{salted_text}${stored}:{server}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
