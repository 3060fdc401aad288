#!/usr/bin/env python3
"""Takes the pictures of the README: `info`, and a migration in progress, as a terminal of 80 columns shows them.

`make screenshots` builds the program, makes a history with examples/generate_history.rs, types the commands into a
shell in tmux, and writes what is on the screen as SVG. Each picture has its own dark ground, so that it can be read on
light and dark pages. Look at them before they are committed.

Needs cargo, tmux and a PostgreSQL server (apt-get install tmux postgresql). As root the server runs as the user
`postgres`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html import escape
from pathlib import Path

IMAGES = Path(__file__).resolve().parent
REPOSITORY = IMAGES.parent.parent
sys.path.append(str(REPOSITORY / "benchsuite"))
from server import Server  # noqa: E402

# The directory in the pictures. It is created here and removed at the end.
DIRECTORY = Path(sys.argv[1] if len(sys.argv) > 1 else "/srv/tarsy")
COLUMNS, ROWS = 80, 120
# The size of one character in pixels, as in most monospaced fonts. With another one the lines of tables would not meet.
WIDTH, HEIGHT, SIZE, MARGIN = 8.43, 16, 14, 16
FONTS = "ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', Consolas, 'Liberation Mono', monospace"
GROUND, TEXT = "#161b22", "#e6edf3"
COLORS = ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"]
BRIGHT = ["#8b949e", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff"]


def main():
    for name in ["tmux", "psql"]:
        if not shutil.which(name):
            sys.exit(f"`{name}` is missing: sudo apt-get install tmux postgresql")
    example = ["--bin", "tarsy-db", "--example", "generate_history"]
    subprocess.run(["cargo", "build", "--release", "--locked", *example], cwd=REPOSITORY, check=True)
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"
    # SIGTERM ends this script as Ctrl-C does, so that the server is stopped and the directory removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        # An existing directory is not this script's, and must not be removed at the end.
        DIRECTORY.mkdir()
    except OSError as error:
        sys.exit(f"{error}; name another directory to make: {sys.argv[0]} /var/tmp/tarsy")
    try:
        # The system user of the server must be able to enter it.
        DIRECTORY.chmod(0o711)
        now = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
        history = ["--output", "history.db", "--bytes", "500MB", "--days", "56", "--now", now]
        subprocess.run([binaries / "examples" / "generate_history", *history], cwd=DIRECTORY, check=True)
        with Server(DIRECTORY / "server", "C") as server:
            take(binaries, server)
    finally:
        shutil.rmtree(DIRECTORY)


def take(binaries, server):
    """Takes both pictures."""
    server.query(f"CREATE ROLE tarsy LOGIN PASSWORD '{server.password}'", "postgres")
    server.query("CREATE DATABASE tarsy OWNER tarsy", "postgres")
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}", "HOME": str(DIRECTORY), "LANG": "C.UTF-8", "PS1": "$ ",
        "HISTORY_RETENTION_DAYS": "30",
    }  # fmt: skip
    with Terminal("info", environment) as terminal:
        screen = terminal.after("tarsy-db info", until=is_over)
        write("info", screen)
    url = f"postgresql://tarsy:{server.password}@127.0.0.1:{server.port}/tarsy"
    with Terminal("migrate", environment | {"DATABASE_URL": url}) as terminal:
        # The largest table is half done.
        screen = terminal.after(
            "tarsy-db migrate-sqlite-to-postgres --from sqlite:///history.db",
            until=lambda text: re.search(r"llm_interactions +copying [4-7]\d %", text),
        )
        write("migrate", screen)
        if "moved" not in terminal.wait(is_over):
            sys.exit("the migration failed after its picture was taken")


def is_over(text):
    """Whether the shell asks for the next command."""
    return text.rstrip().endswith("\n$")


class Terminal:
    """A shell in tmux. Each has a server of its own, which ends with it."""

    def __init__(self, name, environment):
        self.socket = DIRECTORY / f"{name}.tmux"
        self.environment = environment

    def __enter__(self):
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", DIRECTORY, "sh", "-i")
        self.tmux("set-option", "-g", "status", "off")
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")

    def after(self, command, until):
        """Types a command and returns the screen, with its colours, as soon as it shows what is waited for."""
        # A terminal shows a command twice that is typed before the prompt.
        self.wait(lambda text: text == "$")
        self.tmux("send-keys", command, "Enter")
        return self.wait(until)

    def wait(self, until):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            screen = self.tmux("capture-pane", "-p", "-e")
            if until("\n".join("".join(text for text, _ in line) for line in runs(screen))):
                return screen
            time.sleep(0.05)
        sys.exit(f"what is to be shown did not come within 2 minutes:\n{screen}")

    def tmux(self, *words):
        command = ["tmux", "-u", "-S", self.socket, *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout


def runs(screen):
    """The lines of a screen, each as texts with their style, without the prompt that waits for the next command."""
    lines, style = [], {}
    for line in re.sub(r"(\s|\x1b\[[\d;]*m)*$", "", screen).split("\n"):
        lines.append([])
        for text, codes in re.findall(r"([^\x1b]+)|\x1b\[([\d;]*)m", line):
            if text:
                lines[-1].append((text, style))
            else:
                style = styled(style, [int(code or 0) for code in codes.split(";")])
    return lines


def styled(style, codes):
    """What a style becomes: the codes are those of a terminal (SGR), with 16 colours."""
    style = dict(style)
    while codes:
        match codes:
            case [38, 5, color, *_] if color < 16:
                codes, style["fill"] = codes[2:], (COLORS + BRIGHT)[color]
            case [code, *_] if code in range(30, 38) or code in range(90, 98):
                style["fill"] = (COLORS if code < 90 else BRIGHT)[code % 10]
            case [0, *_]:
                style = {}
            case [1, *_]:
                style["font-weight"] = "bold"
            case [2, *_]:
                style["opacity"] = "0.7"
            case [22, *_]:
                style = {name: value for name, value in style.items() if name == "fill"}
            case [39, *_]:
                style.pop("fill", None)
            case [49, *_]:
                pass
            case _:
                sys.exit(f"a picture of the codes {codes} cannot be made yet")
        codes = codes[1:]
    return style


def write(name, screen):
    """Writes a screen as SVG. Each word has its place and its width, whatever the font of the reader's machine."""
    lines = runs(screen)
    if "".join(text for text, _ in lines[-1]) == "$":
        lines.pop()
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    command = escape("".join(text for text, _ in lines[0]).removeprefix("$ "))
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img"'
        f' font-family="{FONTS}" font-size="{SIZE}" fill="{TEXT}">',
        f"<title>{command}</title>",
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8" fill="{GROUND}" stroke="#30363d"/>',
    ]
    for row, line in enumerate(lines):
        column, y = 0, MARGIN + (row + 0.75) * HEIGHT
        for text, style in line:
            attributes = "".join(f' {attribute}="{value}"' for attribute, value in style.items())
            for word in re.finditer(r"[│┆]|[^│┆\s]+( [^│┆\s]+)*", text):
                x, length = MARGIN + (column + word.start()) * WIDTH, len(word[0]) * WIDTH
                svg.append(
                    f'<text x="{x:.2f}" y="{y:.2f}" textLength="{length:.2f}" lengthAdjust="spacingAndGlyphs"{attributes}>'
                    f"{escape(word[0])}</text>"
                )
            column += len(text)
    path = IMAGES / f"{name}.svg"
    path.write_text("\n".join([*svg, "</svg>", ""]))
    print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
