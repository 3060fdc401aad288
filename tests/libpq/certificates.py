"""Certificates of servers and clients, made anew for each run: sound ones, and one for each fault."""

import datetime
import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

KEY_PASSWORD = "key secret"
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey


# Names and validity of the certificates that TARSy's authority issues.
SERVERS: dict[str, dict[str, object]] = {
    "good": {"names": ["localhost"]},
    "address": {"names": ["127.0.0.1", "::1"]},
    "common_name": {"common_name": "localhost"},
    "other_names": {"common_name": "localhost", "names": ["elsewhere.test"]},
    "wildcard": {"names": ["*.example.test"]},
    "wrong_name": {"names": ["elsewhere.test"]},
    "expired": {"names": ["localhost"], "since": -30, "until": -1},
    "future": {"names": ["localhost"], "since": 1, "until": 30},
    "revoked": {"names": ["localhost"]},
    "rsa": {"names": ["localhost"], "key": rsa.generate_private_key(65537, 2048)},
    "sha384": {"names": ["localhost"], "digest": hashes.SHA384()},
    "other_kind": {"common_name": "localhost", "names": ["other kind"]},
    "registered": {"common_name": "localhost", "names": ["1.2.3.4.5"]},
}
CLIENTS: dict[str, dict[str, object]] = {
    "client": {"common_name": "certified"},
    "client_expired": {"common_name": "certified", "since": -30, "until": -1},
    "client_wrong_name": {"common_name": "another"},
}


def make(directory: Path) -> None:
    """Writes `NAME.crt` and `NAME.key` for all of them, their authorities, and lists of revoked certificates."""
    authority, other = issue("TARSy's authority", is_authority=True), issue("Another authority", is_authority=True)
    between = issue("TARSy's intermediate", authority, is_authority=True)
    issued = {name: issue(issuer=authority, **options) for name, options in (SERVERS | CLIENTS).items()}
    issued |= {
        "ca": authority,
        "other_ca": other,
        "intermediate": between,
        "other_issuer": issue(issuer=other, names=["localhost"]),
        "self_signed": issue("localhost", names=["localhost"]),
        "chained": issue(issuer=between, names=["localhost"]),
        "ed25519": issue("localhost", names=["localhost"], key=ed25519.Ed25519PrivateKey.generate()),
        "rsa_pss": issue(
            "localhost",
            names=["localhost"],
            key=rsa.generate_private_key(65537, 2048),
            digest=hashes.SHA384(),
            rsa_padding=padding.PSS(padding.MGF1(hashes.SHA384()), padding.PSS.DIGEST_LENGTH),
        ),
        "client_other_issuer": issue("certified", other),
        "client_rsa": issue("certified", authority, key=rsa.generate_private_key(65537, 2048)),
    }
    for name, one in issued.items():
        write(directory / f"{name}.crt", pem(one.certificate))
        write(directory / f"{name}.key", key_text(one.key, serialization.PrivateFormat.PKCS8))
    unchained = (directory / "chained.crt").read_bytes()
    write(directory / "unchained.crt", unchained)
    write(directory / "unchained.key", (directory / "chained.key").read_bytes())
    write(directory / "chained.crt", unchained + pem(between.certificate))
    write(directory / "both_ca.crt", pem(other.certificate) + pem(authority.certificate))
    write(directory / "no_certificate.crt", b"this is not a certificate\n")
    write(directory / "empty.crt", b"")
    encrypted = serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
    key, formats = issued["client"].key, serialization.PrivateFormat
    write(directory / "client_encrypted.key", key_text(key, formats.PKCS8, encrypted))
    write(directory / "client_traditional.key", key_text(key, formats.TraditionalOpenSSL))
    write(directory / "client_traditional_encrypted.key", key_text(key, formats.TraditionalOpenSSL, encrypted))
    der = key.private_bytes(serialization.Encoding.DER, formats.PKCS8, serialization.NoEncryption())
    write(directory / "client_der.key", der)
    make_revocation_lists(directory, authority, other, issued["revoked"].certificate)


def make_revocation_lists(directory: Path, authority: Issued, other: Issued, revoked: x509.Certificate) -> None:
    """The authority's list, one without entries, one that is too old, one of another authority; and a directory."""
    lists = {
        "revoked": revocation_list(authority, [revoked]),
        "none_revoked": revocation_list(authority, []),
        "old": revocation_list(authority, [], days=-1),
        "other": revocation_list(other, []),
    }
    for name, text in lists.items():
        write(directory / f"{name}.crl", text)
    hashed = directory / "crls"
    hashed.mkdir()
    asked = ["openssl", "crl", "-hash", "-noout", "-in", str(directory / "revoked.crl")]
    name = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    write(hashed / f"{name}.r0", lists["revoked"])


def issue(
    common_name: str = "",
    issuer: Issued | None = None,
    *,
    names: list[str] | None = None,
    since: int = -2,
    until: int = 30,
    is_authority: bool = False,
    key: PrivateKey | None = None,
    digest: hashes.HashAlgorithm | None = None,
    rsa_padding: padding.PSS | None = None,
) -> Issued:
    """Without an issuer it is signed by itself. `since` and `until` are days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    subject = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + since * DAY)
        .not_valid_after(NOW + until * DAY)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if names:
        # An empty subject needs a critical list of names.
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=not common_name)
    signing_key = issuer.key if issuer else key
    # Ed25519 brings its own digest.
    is_ed25519 = isinstance(signing_key, ed25519.Ed25519PrivateKey)
    digest = None if is_ed25519 else digest or hashes.SHA256()
    return Issued(builder.sign(signing_key, digest, rsa_padding=rsa_padding), key)


def general_name(name: str) -> x509.GeneralName:
    if " " in name:
        # A text of a kind of its own.
        return x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c" + bytes([len(name)]) + name.encode())
    if name.count(".") > 3:
        return x509.RegisteredID(x509.ObjectIdentifier(name))
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def revocation_list(issuer: Issued, revoked: list[x509.Certificate], days: int = 30) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - 2 * DAY)
        .next_update(NOW + days * DAY)
    )
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(NOW - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_text(
    key: PrivateKey,
    form: serialization.PrivateFormat,
    encryption: serialization.KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption())


def write(path: Path, content: bytes) -> None:
    path.touch(0o600 if path.suffix == ".key" else 0o644)
    path.write_bytes(content)
