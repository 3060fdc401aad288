"""Which server is trusted: each certificate with each `sslmode` and each source of a root certificate."""

from collections.abc import Iterator

from case import SQLALCHEMY, Case, File, case
from lab import TLS_SERVERS

MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
HOME_ROOT = ".postgresql/root.crt"
HOME_LIST = ".postgresql/root.crl"
AUTHORITY = {HOME_ROOT: File(copy_of="ca.crt", mode=0o644)}
URL = "postgresql://trusted@{good}/tarsy"
FULL = f"{URL}?sslmode=verify-full&sslrootcert={{pki}}/ca.crt"
# The authority that signed the certificate, where it is not the usual one.
ROOTS = {"self_signed": "self_signed.crt", "ed25519": "ed25519.crt", "rsa_pss": "rsa_pss.crt"}
# Servers that differ from `good` in something else.
SAME_CERTIFICATE = {"unasking", "tls12"}


def cases() -> list[Case]:
    return [*certificates(), *sources(), *NAMES, *ROOT_FILES, *MODE_VALUES, *lists()]


def address(server: str) -> str:
    """The host of the URL; that of the wildcard is found by its address."""
    return f"{{{server}}}" if server != "wildcard" else "db.example.test:{wildcard_port}"


def certificates() -> Iterator[Case]:
    for server in TLS_SERVERS:
        if server in SAME_CERTIFICATE:
            continue
        url = f"postgresql://trusted@{address(server)}/tarsy"
        # The name does not resolve, so the address is given.
        more = "&hostaddr={primary_host}" if server == "wildcard" else ""
        root = ROOTS.get(server, "ca.crt")
        for mode in MODES:
            yield case(f"tls/{server}/{mode}/root", f"{url}?sslmode={mode}&sslrootcert={{pki}}/{root}{more}")
        for mode in ["require", "verify-ca", "verify-full"]:
            yield case(f"tls/{server}/{mode}/none", f"{url}?sslmode={mode}{more}")
            home = {HOME_ROOT: File(copy_of=root, mode=0o644)}
            yield case(f"tls/{server}/{mode}/home", f"{url}?sslmode={mode}{more}", home)
        for mode in ["require", "verify-full"]:
            yield case(
                f"tls/{server}/{mode}/other-root", f"{url}?sslmode={mode}&sslrootcert={{pki}}/other_ca.crt{more}"
            )
        system = f"{url}?sslrootcert=system{more}"
        yield case(f"tls/{server}/system", system, SSL_CERT_FILE="{pki}/" + root)
    yield case(
        "tls/primary/verify-full/root",
        "postgresql://trusted@{primary}/tarsy?sslmode=verify-full&sslrootcert={pki}/ca.crt",
    )


def sources() -> Iterator[Case]:
    for mode in ["unset", *MODES]:
        sslmode = "" if mode == "unset" else f"sslmode={mode}&"
        url = f"{URL}?{sslmode}"
        yield case(f"root/{mode}/variable", url, PGSSLROOTCERT="{pki}/ca.crt")
        yield case(f"root/{mode}/variable-other", url, PGSSLROOTCERT="{pki}/other_ca.crt")
        yield case(f"root/{mode}/missing", f"{url}sslrootcert={{home}}/missing.crt")
        yield case(f"root/{mode}/variable-missing", url, PGSSLROOTCERT="{home}/missing.crt")
        yield case(f"root/{mode}/not-a-certificate", f"{url}sslrootcert={{pki}}/no_certificate.crt")
        yield case(f"root/{mode}/system", f"{url}sslrootcert=system", SSL_CERT_FILE="{pki}/ca.crt")
        yield case(f"root/{mode}/system-without-it", f"{url}sslrootcert=system", SSL_CERT_FILE="{pki}/other_ca.crt")
        yield case(f"root/{mode}/variable-system", url, PGSSLROOTCERT="system", SSL_CERT_FILE="{pki}/ca.crt")
        yield case(f"root/{mode}/home-not-a-certificate", url, {HOME_ROOT: File("nonsense")})
        yield case(f"root/{mode}/trusted-by-system-only", url, SSL_CERT_FILE="{pki}/ca.crt")


ROOT_FILES = [
    case("root-file/both", f"{URL}?sslmode=verify-full&sslrootcert={{pki}}/both_ca.crt"),
    case("root-file/empty", f"{URL}?sslmode=verify-full&sslrootcert={{pki}}/empty.crt"),
    case("root-file/directory", f"{URL}?sslmode=verify-full&sslrootcert={{pki}}"),
    case("root-file/empty-name", f"{URL}?sslmode=verify-full&sslrootcert="),
    case("root-file/empty-name-and-home", f"{URL}?sslmode=verify-full&sslrootcert=", AUTHORITY),
    case("root-file/empty-name-and-variable", f"{URL}?sslmode=verify-full&sslrootcert=", PGSSLROOTCERT="{pki}/ca.crt"),
    case("root-file/empty-variable-and-home", f"{URL}?sslmode=verify-full", AUTHORITY, PGSSLROOTCERT=""),
    case("root-file/url-before-home", f"{URL}?sslmode=verify-full&sslrootcert={{pki}}/other_ca.crt", AUTHORITY),
    case("root-file/variable-before-home", f"{URL}?sslmode=verify-full", AUTHORITY, PGSSLROOTCERT="{pki}/other_ca.crt"),
    case("root-file/url-before-variable", FULL, PGSSLROOTCERT="{pki}/other_ca.crt"),
    case("root-file/missing-variable-before-home", f"{URL}?sslmode=verify-full", AUTHORITY, PGSSLROOTCERT="{home}/no"),
    case("root-file/unused-mode-and-home", URL, AUTHORITY),
    case("root-file/home-of-another", f"{URL}?sslmode=require", {HOME_ROOT: File(copy_of="other_ca.crt")}),
    case("root-file/certificate-as-its-own-root", f"{URL}?sslmode=verify-full&sslrootcert={{pki}}/good.crt"),
    case("root-file/certificate-as-its-own-root-ca", f"{URL}?sslmode=verify-ca&sslrootcert={{pki}}/good.crt"),
    case("root-file/only-the-intermediate", "postgresql://trusted@{chained}/tarsy?sslmode=verify-full&sslrootcert={pki}/intermediate.crt"),
    case("root-file/relative", f"{URL}?sslmode=verify-full&sslrootcert=root.crt", {"work/root.crt": File(copy_of="ca.crt")}),
    case("root-file/in-other-home", f"{URL}?sslmode=verify-full", {"other/" + HOME_ROOT: File(copy_of="ca.crt")}, HOME="{home}/other"),
    case("root-file/tilde", f"{URL}?sslmode=verify-full&sslrootcert=~/root.crt", {"root.crt": File(copy_of="ca.crt")}),
    case("root-file/system-is-a-file", f"{URL}?sslmode=verify-full&sslrootcert=./system", {"work/system": File(copy_of="ca.crt")}),
    case("root-file/upper-system", f"{URL}?sslmode=verify-full&sslrootcert=SYSTEM", SSL_CERT_FILE="{pki}/ca.crt"),
]  # fmt: skip

ROOT = "sslmode=verify-full&sslrootcert={pki}/ca.crt"
NAMES = [
    case("name/address-for-name", "postgresql://trusted@127.0.0.1:{good_port}/tarsy?" + ROOT),
    case("name/name-for-address", "postgresql://trusted@localhost:{address_port}/tarsy?" + ROOT),
    case("name/ipv6-address", "postgresql://trusted@[::1]:{address_port}/tarsy?" + ROOT, needs="ipv6"),
    case("name/ipv6-for-name", "postgresql://trusted@[::1]:{good_port}/tarsy?" + ROOT, needs="ipv6"),
    case("name/upper", "postgresql://trusted@LOCALHOST:{good_port}/tarsy?" + ROOT),
    case("name/dot-at-end", "postgresql://trusted@localhost.:{good_port}/tarsy?" + ROOT),
    case("name/by-address", "postgresql://trusted@localhost:{good_port}/tarsy?hostaddr={primary_host}&" + ROOT),
    case("name/only-address", "postgresql://trusted@/tarsy?hostaddr={primary_host}&port={good_port}&" + ROOT),
    case("name/only-address-in-certificate", "postgresql://trusted@/tarsy?hostaddr={primary_host}&port={address_port}&" + ROOT),
    case("name/other-by-address", "postgresql://trusted@elsewhere.test:{wrong_name_port}/tarsy?hostaddr={primary_host}&" + ROOT),
    case("name/address-variable", "postgresql://trusted@elsewhere.test:{wrong_name_port}/tarsy?" + ROOT, PGHOSTADDR="{primary_host}"),
    case("name/wildcard-of-two-levels", "postgresql://trusted@a.db.example.test:{wildcard_port}/tarsy?hostaddr={primary_host}&" + ROOT),
    case("name/wildcard-without-name", "postgresql://trusted@example.test:{wildcard_port}/tarsy?hostaddr={primary_host}&" + ROOT),
    case("name/wildcard-upper", "postgresql://trusted@DB.Example.Test:{wildcard_port}/tarsy?hostaddr={primary_host}&" + ROOT),
    case("name/two-hosts", "postgresql://trusted@{wrong_name},{good}/tarsy?" + ROOT),
]  # fmt: skip

MODE_VALUES = [
    case("mode/bogus", f"{URL}?sslmode=bogus"),
    case("mode/upper", f"{URL}?sslmode=REQUIRE"),
    case("mode/empty", f"{URL}?sslmode="),
    case("mode/empty-and-variable", f"{URL}?sslmode=", PGSSLMODE="require"),
    case("mode/blank", f"{URL}?sslmode=%20require"),
    case("mode/variable-bogus", URL, PGSSLMODE="bogus"),
    case("mode/variable-empty", URL, PGSSLMODE=""),
    case("mode/variable-verify-full", URL, AUTHORITY, PGSSLMODE="verify-full"),
    case("mode/url-before-variable", f"{URL}?sslmode=disable", PGSSLMODE="require"),
    case("mode/url-before-bogus-variable", f"{URL}?sslmode=require", PGSSLMODE="bogus"),
    case("mode/two-values", f"{URL}?sslmode=require&sslmode=disable", judge=SQLALCHEMY),
]


def lists() -> Iterator[Case]:
    """Lists of revoked certificates, on a server whose certificate is revoked and on one that is not."""
    revoked = "postgresql://trusted@{revoked}/tarsy?" + ROOT
    for name, url in {"revoked": revoked, "good": FULL}.items():
        for entries in ["revoked", "none_revoked", "old", "other"]:
            yield case(f"revocation/{name}/{entries}", f"{url}&sslcrl={{pki}}/{entries}.crl")
        yield case(f"revocation/{name}/variable", url, PGSSLCRL="{pki}/revoked.crl")
        yield case(f"revocation/{name}/directory", f"{url}&sslcrldir={{pki}}/crls")
        yield case(f"revocation/{name}/directory-variable", url, PGSSLCRLDIR="{pki}/crls")
        yield case(f"revocation/{name}/directory-without-lists", f"{url}&sslcrldir={{home}}")
        yield case(f"revocation/{name}/home", url, {HOME_LIST: File(copy_of="revoked.crl")})
        yield case(f"revocation/{name}/missing", f"{url}&sslcrl={{home}}/missing.crl")
        yield case(f"revocation/{name}/not-a-list", f"{url}&sslcrl={{pki}}/no_certificate.crt")
        yield case(f"revocation/{name}/empty", f"{url}&sslcrl=", {HOME_LIST: File(copy_of="revoked.crl")})
    unverified = "postgresql://trusted@{revoked}/tarsy?sslmode=require&sslcrl={pki}/revoked.crl"
    yield case("revocation/revoked/not-verified", unverified)
