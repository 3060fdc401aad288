"""The client's own certificate: where it is, who may read its key, and what the server asks for."""

from collections.abc import Iterator
from urllib.parse import quote

from case import Case, File, case
from certificates import KEY_PASSWORD

CERT = ".postgresql/postgresql.crt"
KEY = ".postgresql/postgresql.key"
URL = "postgresql://certified@{good}/tarsy"
NAMED = f"{URL}?sslcert={{home}}/a.crt&sslkey={{home}}/a.key"
SCRAM = "postgresql://certified_scram:a%20secret@{good}/tarsy"
WORD = quote(KEY_PASSWORD)


def pair(certificate: str = "client", key: str = "client", mode: int = 0o600) -> dict[str, File]:
    """The two files in the home directory, where libpq looks for them."""
    return {CERT: File(copy_of=f"{certificate}.crt", mode=0o644), KEY: File(copy_of=f"{key}.key", mode=mode)}


def named(certificate: str = "client", key: str = "client", mode: int = 0o600) -> dict[str, File]:
    """The two files where a parameter or a variable names them."""
    return {"a.crt": File(copy_of=f"{certificate}.crt", mode=0o644), "a.key": File(copy_of=f"{key}.key", mode=mode)}


def cases() -> list[Case]:
    return [*sources(), *keys(), *modes(), *certificate_modes(), *MORE]


def sources() -> Iterator[Case]:
    yield case("client/none", URL)
    yield case("client/home", URL, pair())
    yield case("client/named", NAMED, named())
    variables = {"PGSSLCERT": "{home}/a.crt", "PGSSLKEY": "{home}/a.key"}
    yield case("client/variables", URL, named(), **variables)
    yield case("client/url-before-variables", NAMED, named(), PGSSLCERT="/missing", PGSSLKEY="/missing")
    yield case("client/variable-certificate-home-key", URL, pair() | named(), PGSSLCERT="{home}/a.crt")
    yield case("client/named-certificate-home-key", f"{URL}?sslcert={{home}}/a.crt", pair() | named())
    yield case("client/named-certificate-no-key", f"{URL}?sslcert={{home}}/a.crt", named())
    yield case("client/named-key-home-certificate", f"{URL}?sslkey={{home}}/a.key", pair() | named())
    yield case("client/home-without-key", URL, {CERT: File(copy_of="client.crt")})
    yield case("client/home-without-certificate", URL, {KEY: File(copy_of="client.key")})
    yield case("client/named-missing", NAMED)
    yield case("client/named-missing-and-home", NAMED, pair())
    yield case("client/empty-names-and-home", f"{URL}?sslcert=&sslkey=", pair())
    yield case("client/home-with-disable", f"{URL}?sslmode=disable", pair())
    yield case("client/home-with-verify-full", f"{URL}?sslmode=verify-full&sslrootcert={{pki}}/ca.crt", pair())
    yield case("client/named-and-trusted", NAMED.replace("certified", "trusted"), named())
    yield case("client/named-missing-and-trusted", NAMED.replace("certified", "trusted"))
    yield case("client/key-missing-and-trusted", NAMED.replace("certified", "trusted"), {"a.crt": named()["a.crt"]})
    yield case(
        "client/home-without-key-and-trusted", "postgresql://trusted@{good}/tarsy", {CERT: File(copy_of="client.crt")}
    )
    yield case(
        "client/home-without-key-without-tls",
        "postgresql://trusted@{primary}/tarsy",
        {CERT: File(copy_of="client.crt")},
    )
    yield case("client/home-and-server-does-not-ask", "postgresql://trusted@{unasking}/tarsy?sslmode=require", pair())
    yield case(
        "client/home-of-another", URL, {f"other/{name}": file for name, file in pair().items()}, HOME="{home}/other"
    )


def keys() -> Iterator[Case]:
    """Forms of keys, passwords of keys, and certificates that the server refuses."""
    for key in ["client_traditional", "client_der", "client_rsa"]:
        yield case(f"client-key/{key}", URL, pair(key=key))
    yield case("client-key/rsa", URL, pair("client_rsa", "client_rsa"))
    yield case("client-key/not-a-key", URL, {CERT: File(copy_of="client.crt"), KEY: File("nonsense")})
    yield case("client-key/certificate-is-nonsense", URL, {CERT: File("nonsense"), KEY: File(copy_of="client.key")})
    for key in ["client_encrypted", "client_traditional_encrypted"]:
        yield case(f"client-key/{key}/right-password", f"{NAMED}&sslpassword={WORD}", named(key=key))
        yield case(f"client-key/{key}/wrong-password", f"{NAMED}&sslpassword=wrong", named(key=key))
        yield case(f"client-key/{key}/no-password", NAMED, named(key=key))
        yield case(f"client-key/{key}/empty-password", f"{NAMED}&sslpassword=", named(key=key))
    yield case("client-key/password-without-use", f"{NAMED}&sslpassword=unused", named())
    yield case("client-key/home-with-password", f"{URL}?sslpassword={WORD}", pair(key="client_encrypted"))
    for certificate in ["client_expired", "client_wrong_name", "client_other_issuer"]:
        yield case(f"client-refused/{certificate}", URL, pair(certificate, certificate))
        trusted = "postgresql://trusted@{good}/tarsy"
        yield case(f"client-refused/{certificate}-and-trusted", trusted, pair(certificate, certificate))
        required = f"{trusted}?sslmode=require"
        yield case(f"client-refused/{certificate}-with-require", required, pair(certificate, certificate))
    with_key = {"a.pem": File(copy_of="client.crt"), "a.key": File(copy_of="client.key")}
    yield case("client-key/engine", f"{URL}?sslcert={{home}}/a.pem&sslkey=engine:key", with_key)


def modes() -> Iterator[Case]:
    for mode in [0o400, 0o600, 0o640, 0o440, 0o644, 0o660, 0o700, 0o604]:
        yield case(f"client-mode/home-{mode:o}", URL, pair(mode=mode))
        yield case(f"client-mode/named-{mode:o}", NAMED, named(mode=mode))
    yield case("client-mode/unused-644", "postgresql://trusted@{primary}/tarsy", pair(mode=0o644))
    yield case("client-mode/unused-644-with-tls", "postgresql://trusted@{good}/tarsy", pair(mode=0o644))
    yield case(
        "client-mode/unused-644-with-require", "postgresql://trusted@{good}/tarsy?sslmode=require", pair(mode=0o644)
    )


def certificate_modes() -> Iterator[Case]:
    for mode in ["disable", "allow", "require"]:
        for server in ["good", "unasking"]:
            for name, files in {"with": pair(), "without": {}}.items():
                url = f"postgresql://trusted@{{{server}}}/tarsy?sslmode=require&sslcertmode={mode}"
                yield case(f"sslcertmode/{mode}/{server}/{name}", url, files)
        yield case(f"sslcertmode/{mode}/needed", f"{URL}?sslcertmode={mode}", pair())
        yield case(f"sslcertmode/{mode}/needed-variable", URL, pair(), PGSSLCERTMODE=mode)
        yield case(f"sslcertmode/{mode}/named", f"{NAMED}&sslcertmode={mode}", named())
    yield case("sslcertmode/require/plain", "postgresql://trusted@{primary}/tarsy?sslcertmode=require", pair())


MORE = [
    case("client/scram-with-certificate", SCRAM, pair()),
    case("client/scram-without-certificate", SCRAM),
    case("client/scram-wrong-password", SCRAM.replace("a%20secret", "wrong"), pair()),
    case("client/require-auth-none", f"{URL}?require_auth=none", pair()),
    case("client/require-auth-scram", f"{URL}?require_auth=scram-sha-256", pair()),
]
