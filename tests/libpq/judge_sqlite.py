"""`judge_sqlite.py URL`: creates a table as TARSy's backend does, and prints the error, if there is one."""

import sys

from sqlalchemy import create_engine, make_url, text


def main() -> None:
    try:
        url = make_url(sys.argv[1])
        if url.drivername == "sqlite+aiosqlite":
            # It reads the URL as `sqlite` does, and needs one package more.
            url = url.set(drivername="sqlite")
        with create_engine(url).begin() as connection:
            connection.execute(text("CREATE TABLE written_by_the_backend (number INTEGER)"))
    except Exception as error:  # Whatever stops the backend is the answer.
        print(f"{type(error).__name__}: {error}")


main()
