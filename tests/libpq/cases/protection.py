"""Which login is accepted: `require_auth`, `channel_binding`, versions of TLS, and what the server's rules allow."""

from collections.abc import Iterator

from case import Case, case

MODES = ["disable", "allow", "prefer", "require"]
# The URL up to the parameters: each method plain and with TLS.
LOGINS = {
    "trust": "postgresql://trusted@{primary}/tarsy",
    "scram": "postgresql://scram:a%20secret@{primary}/tarsy",
    "md5": "postgresql://md5er:a%20secret@{primary}/tarsy",
    "password": "postgresql://cleartext:a%20secret@{primary}/tarsy",
    "tls-trust": "postgresql://trusted@{good}/tarsy",
    "tls-scram": "postgresql://scram:a%20secret@{good}/tarsy",
    "tls-md5": "postgresql://md5er:a%20secret@{good}/tarsy",
    "tls12-scram": "postgresql://scram:a%20secret@{tls12}/tarsy",
    "rsa-scram": "postgresql://scram:a%20secret@{rsa}/tarsy",
    "sha384-scram": "postgresql://scram:a%20secret@{sha384}/tarsy",
    "rsa-pss-scram": "postgresql://scram:a%20secret@{rsa_pss}/tarsy",
    "ed25519-scram": "postgresql://scram:a%20secret@{ed25519}/tarsy",
    "ed25519-scram-required": "postgresql://scram:a%20secret@{ed25519}/tarsy?sslmode=require",
    "socket-scram": "postgresql://scram:a%20secret@/tarsy?host={sockets}&port={port}",
}
REQUIREMENTS = [
    "scram-sha-256", "md5", "password", "none", "gss", "sspi", "!none", "!password", "!scram-sha-256",
    "scram-sha-256,md5", "!md5,!password", "md5,!password", "scram-sha-256,scram-sha-256", "bogus", "",
]  # fmt: skip
BINDINGS = ["disable", "prefer", "require", "bogus", ""]
VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "tlsv1.3", "bogus", ""]


def cases() -> list[Case]:
    return [*requirements(), *bindings(), *versions(), *rules()]


def with_parameter(url: str, parameter: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{parameter}"


def requirements() -> Iterator[Case]:
    for login in ["trust", "scram", "md5", "password"]:
        for requirement in REQUIREMENTS:
            url = with_parameter(LOGINS[login], f"require_auth={requirement}")
            yield case(f"require_auth/{login}/{requirement or 'empty'}", url)
    for requirement in ["scram-sha-256", "!none", "none", "bogus", ""]:
        name = f"require_auth/variable/{requirement or 'empty'}"
        yield case(name, LOGINS["scram"], PGREQUIREAUTH=requirement)
        yield case(f"{name}-with-trust", LOGINS["trust"], PGREQUIREAUTH=requirement)
    url = with_parameter(LOGINS["trust"], "require_auth=none")
    yield case("require_auth/url-before-variable", url, PGREQUIREAUTH="scram-sha-256")


def bindings() -> Iterator[Case]:
    for login, url in LOGINS.items():
        for binding in BINDINGS:
            name = f"channel_binding/{login}/{binding or 'empty'}"
            yield case(name, with_parameter(url, f"channel_binding={binding}"))
    for binding in BINDINGS:
        yield case(f"channel_binding/variable/{binding or 'empty'}", LOGINS["scram"], PGCHANNELBINDING=binding)
        yield case(f"channel_binding/variable-tls/{binding or 'empty'}", LOGINS["tls-scram"], PGCHANNELBINDING=binding)
    neon = "postgresql://scram:a%20secret@{good}/tarsy?sslmode=require&channel_binding=require"
    yield case("channel_binding/as-neon-writes-it", neon)
    yield case("channel_binding/require-and-no-tls", LOGINS["tls-scram"] + "?sslmode=disable&channel_binding=require")
    yield case("channel_binding/wrong-password", neon.replace("a%20secret", "wrong"))


def versions() -> Iterator[Case]:
    for server in ["good", "tls12"]:
        url = f"postgresql://trusted@{{{server}}}/tarsy?sslmode=require"
        for version in VERSIONS:
            label = version or "empty"
            yield case(f"version/{server}/least-{label}", f"{url}&ssl_min_protocol_version={version}")
            yield case(f"version/{server}/most-{label}", f"{url}&ssl_max_protocol_version={version}")
            yield case(f"version/{server}/variable-least-{label}", url, PGSSLMINPROTOCOLVERSION=version)
        yield case(f"version/{server}/variable-most-TLSv1.2", url, PGSSLMAXPROTOCOLVERSION="TLSv1.2")
        both = "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2"
        yield case(f"version/{server}/none-left", f"{url}&{both}")
        prefer = f"postgresql://trusted@{{{server}}}/tarsy?sslmode=prefer&ssl_min_protocol_version=TLSv1.3"
        yield case(f"version/{server}/least-TLSv1.3-preferred", prefer)
    yield case("version/plain/least-TLSv1.3", LOGINS["trust"] + "?ssl_min_protocol_version=TLSv1.3")
    yield case("version/plain/variable-least-TLSv1.3", LOGINS["trust"], PGSSLMINPROTOCOLVERSION="TLSv1.3")


def rules() -> Iterator[Case]:
    """Roles that the server lets in with TLS only, or without TLS only: where the modes fall back."""
    for role in ["ssl_only", "plain_only", "trusted", "rejected"]:
        for server in ["good", "primary"]:
            yield case(f"rules/{role}/{server}/unset", f"postgresql://{role}@{{{server}}}/tarsy")
            for mode in MODES:
                url = f"postgresql://{role}@{{{server}}}/tarsy"
                yield case(f"rules/{role}/{server}/{mode}", f"{url}?sslmode={mode}")
                yield case(f"rules/{role}/{server}/variable-{mode}", url, PGSSLMODE=mode)
    for role in ["ssl_only", "plain_only", "trusted"]:
        for mode in ["allow", "prefer", "require"]:
            for root in ["ca", "other_ca"]:
                url = f"postgresql://{role}@{{good}}/tarsy?sslmode={mode}&sslrootcert={{pki}}/{root}.crt"
                yield case(f"rules/{role}/good/{mode}-{root}", url)
    for mode in MODES:
        # After a wrong password there is no second try without TLS, or with it.
        url = "postgresql://scram:wrong@{good}/tarsy?sslmode=" + mode
        yield case(f"rules/wrong-password/{mode}", url)
