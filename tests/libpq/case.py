"""A case of the matrix: a URL, an environment and files, from which both programs connect."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What a case may need of the machine: IPv6, and a server in the directory where libpq looks for sockets.
IPV6 = "ipv6"
DEFAULT_SOCKETS = "default_sockets"
# The two judges: libpq reads the URL itself, or SQLAlchemy reads it and hands the parts to libpq. Where they differ the
# second counts, because it is the backend's; but lists of hosts in the form that only libpq reads are taken as well.
LIBPQ = "libpq"
SQLALCHEMY = "sqlalchemy"


@dataclass(frozen=True)
class File:
    """A file below the home directory: a text with words in braces, or a copy of a certificate or key."""

    text: str = ""
    copy_of: str = ""
    mode: int = 0o600


@dataclass(frozen=True)
class Case:
    """Words in braces (`{primary}`) in the URL, the variables and the files are places of the lab."""

    name: str
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    judge: str = LIBPQ
    # Whether the schema is compared that the search path leads to.
    sees_schema: bool = False
    # Whether the time until an answer is compared.
    is_timed: bool = False
    needs: str = ""
    # The address in parts, which tarsy-db gets instead of the URL; the URL is what the backend makes of them.
    parts: Mapping[str, str] = field(default_factory=dict)

    def lay_out(self, home: Path, pki: Path, places: Mapping[str, str]) -> None:
        """Writes the files of the case."""
        for name, file in self.files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = (pki / file.copy_of).read_bytes() if file.copy_of else filled(file.text, places).encode()
            path.touch(0o600)
            path.write_bytes(content)
            path.chmod(file.mode)

    def words(self) -> set[str]:
        """The words in braces, without the `_port` at their end."""
        texts = [
            self.url,
            *self.environment.values(),
            *self.parts.values(),
            *(file.text for file in self.files.values()),
        ]
        return {word.removesuffix("_port") for text in texts for word in re.findall(r"\{(\w+)\}", text)}

    def variables(self, home: Path, places: Mapping[str, str]) -> dict[str, str]:
        """The whole environment, without the URL."""
        given = {name: filled(value, places) for name, value in self.environment.items()}
        return {"HOME": str(home), "PATH": os.defpath} | given

    def address(self, places: Mapping[str, str]) -> dict[str, str]:
        """The variables that name the database for tarsy-db."""
        named = {"DATABASE_URL": "", **self.parts} if self.parts else {"DATABASE_URL": self.url}
        return {name: filled(value, places) for name, value in named.items()}


def filled(text: str, places: Mapping[str, str]) -> str:
    """Replaces the words in braces. Other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda found: places[found[1]], text)


def case(
    name: str,
    url: str,
    files: Mapping[str, File] | None = None,
    *,
    judge: str | None = None,
    sees_schema: bool = False,
    is_timed: bool = False,
    needs: str = "",
    parts: Mapping[str, str] | None = None,
    **environment: str,
) -> Case:
    """A case as one line of a table: variables are keywords."""
    if judge is None:
        # SQLAlchemy drops a parameter without a value, so that libpq never gets it.
        judge = SQLALCHEMY if re.search("[?&][^&=]+=(&|$)", url) else LIBPQ
    return Case(name, url, environment, files or {}, judge, sees_schema, is_timed, needs, parts or {})
