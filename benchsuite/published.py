"""The published ratios, as docs/benchmarks.md has them, so that they are written down once."""

from history import REPOSITORY


def published(column, *labels):
    """The cell of a column in the first row that begins with these labels; empty if there is none."""
    head = []
    for line in (REPOSITORY / "docs" / "benchmarks.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            head = []
        elif not head:
            head = cells
        elif column in head and cells[: len(labels)] == list(labels):
            return cells[head.index(column)]
    return ""
