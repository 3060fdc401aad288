"""All cases of the matrix, a module a subject."""

from case import Case
from cases import (
    client_certificates,
    hosts,
    parameters,
    parts,
    passwords,
    places,
    protection,
    services,
    sqlalchemy_urls,
    tls,
)

MODULES = [hosts, places, passwords, services, parts, parameters, protection, tls, client_certificates, sqlalchemy_urls]


def all_cases() -> list[Case]:
    """Those that wait for an answer come first, so that they do not delay the end."""
    found = [case for module in MODULES for case in module.cases()]
    names = [case.name for case in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SystemExit(f"several cases are named {', '.join(twice)}")
    return sorted(found, key=lambda case: not case.is_timed)
