"""The address in parts (`DATABASE_HOST` and so on), judged by the URL that the backend makes of them."""

from case import IPV6, SQLALCHEMY, Case, case
from roles import PASSWORDS


def parts(name: str, url: str, *, needs: str = "", **values: str) -> Case:
    """What is not given is that of the usual place. The role is that of the password."""
    usual = {"HOST": "{primary_host}", "PORT": "{port}", "USER": "scram", "NAME": "tarsy", "PASSWORD": "a secret"}
    variables = {f"DATABASE_{key}": value for key, value in (usual | values).items()}
    return case(f"parts/{name}", url, judge=SQLALCHEMY, needs=needs, parts=variables)


def cases() -> list[Case]:
    """The backend writes a blank of the password as a plus, so that it is wrong there; here it is written as it should be."""
    start = "postgresql://scram:a%20secret@"
    special = "postgresql://special:a%40b%3Ac%2Fd%3Fe%23f%5Bg%5Dh%25i%26j%3Dk%2Bl@{primary}/tarsy"
    return [
        parts("usual", start + "{primary}/tarsy"),
        parts("wrong-password", "postgresql://scram:wrong@{primary}/tarsy", PASSWORD="wrong"),
        parts("special-password", special, USER="special", PASSWORD=PASSWORDS["special"]),
        parts("upper-database", start + "{primary}/Upper", NAME="Upper"),
        parts("percent-in-database", start + "{primary}/50%", NAME="50%"),
        parts("ipv6", start + "[::1]:{port}/tarsy", needs=IPV6, HOST="::1"),
        parts("ipv6-in-brackets", start + "[::1]:{port}/tarsy", needs=IPV6, HOST="[::1]"),
        parts("port-of-a-kubernetes-service", start + "{primary_host}:tcp://{primary}/tarsy", PORT="tcp://{primary}"),
        parts("several-hosts", start + "{closed_host},{primary_host}:{port}/tarsy", HOST="{closed_host},{primary_host}"),
        parts("several-hosts-with-ipv6", start + "[::1],{primary_host}:{port}/tarsy", needs=IPV6, HOST="[::1],{primary_host}"),
        parts("empty-brackets", start + "[]:{port}/tarsy", HOST="[]"),
        parts("host-with-port", start + "{primary}:{port}/tarsy", HOST="{primary}"),
        parts("port-zero", start + "{primary_host}:0/tarsy", PORT="0"),
        parts("closed", start + "{closed}/tarsy", HOST="{closed_host}"),
    ]
