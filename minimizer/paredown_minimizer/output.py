"""What every command does with its results: where they go, and how sizes and tables look."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from paredown_schemas.errors import ParedownError

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def add_output_options(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add ``-o`` and ``--force`` as every command has them; ``-`` is standard output."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="-",
        required=required,
        help="where to write; - is standard output" + ("" if required else " (default)"),
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def write_output(output: str, data: bytes | str, *, force: bool) -> None:
    """Write ``data`` to the file ``output``, whole or not at all; ``-`` is standard output.

    Raises:
        ParedownError: the file exists and ``force`` is not set, or it cannot be written.
    """
    raw = data.encode() if isinstance(data, str) else data
    if output == "-":
        _write_stdout(raw)
        return
    # A link's target is what is meant, and what a rename would not replace.
    path = Path(output).resolve()
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(raw)  # /dev/null, a pipe: nothing to replace
        else:
            _replace(path, raw, force=force)
    except FileExistsError as error:
        hint = "--force overwrites it"
        raise ParedownError(f"cannot write {output}: it exists already", hint=hint) from error
    except OSError as error:
        raise ParedownError(f"cannot write {output}: {error.strerror}") from error


def flush_stdout() -> None:
    """Hand what was printed to the system now; raises ParedownError where it does not take it."""
    _write_stdout(b"")


def discard_stdout() -> None:
    """Let nothing more be written: what is still buffered would fail once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def human_size(size: int) -> str:
    """Return bytes as people read them: ``183.1 MB``, in powers of 1000."""
    if size < 1000:
        return f"{size} B"
    value, unit = size / 1000, 0
    while value >= 999.95 and unit + 1 < len(_UNITS):  # 999.95 would print as 1000.0
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}"


def percent_gone(before: int, after: int) -> str:
    """Return how much less ``after`` is: ``84.5 %``."""
    return f"{100 * (before - after) / before:.1f} %" if before else "-"


def plural(count: int, noun: str) -> str:
    """Return ``1 path``, ``1,234 paths``."""
    ending = "" if count == 1 else "s"
    return f"{count:,} {noun}{ending}"


def more(count: int) -> str:
    """Return ``, and 12 more``, if there are any."""
    return f", and {count:,} more" if count > 0 else ""


def first_of(names: Sequence[str], shown: int) -> str:
    """Return the first of ``names``, and how many more there are: ``a, b, and 12 more``."""
    return ", ".join(names[:shown]) + more(len(names) - shown)


def align(rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return rows as lines with columns two spaces apart; columns in ``right`` end flush.

    The last column is as wide as it is: results are never wrapped or cut.
    """
    table = [list(row) for row in rows]
    flush = frozenset(right)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(_cells(row, widths, flush)).rstrip() for row in table]


def paint(line: str) -> str:
    """Colour a line by its mark (``-`` goes, ``+`` stays, ``~`` loses some, ``!`` is a risk)."""
    colour = {"- ": 31, "+ ": 32, "~ ": 33, "! ": 35}.get(line[:2])
    return f"\x1b[{colour}m{line[:1]}\x1b[0m{line[1:]}" if colour else line


def wants_colour(output: str) -> bool:
    """Say whether results go to a terminal whose user did not set NO_COLOR (no-color.org)."""
    return output == "-" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def json_text(document: dict[str, Any]) -> str:
    """Return a result for programs: indented JSON, names as they are given."""
    import json  # noqa: PLC0415 - tables do not need it

    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def today() -> dt.date:
    """Return the date in UTC, where dates of a policy are compared with a clock."""
    return dt.datetime.now(dt.timezone.utc).date()


def say(message: str) -> None:
    """Print a message, which is no result, to standard error."""
    print(message, file=sys.stderr)


def progress(message: str) -> contextlib.AbstractContextManager[Any]:
    """Show that something goes on, on a terminal that standard error is."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console  # noqa: PLC0415 - takes as long as a small image
    from rich.text import Text  # noqa: PLC0415

    return Console(stderr=True).status(Text(message), spinner="line")


def _write_stdout(raw: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read us had enough: no error
    except OSError as error:
        discard_stdout()
        raise ParedownError(f"cannot write standard output: {error.strerror}") from error


def _cells(row: list[str], widths: list[int], right: frozenset[int]) -> Iterable[str]:
    for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if number in right else cell.ljust(width)


def _replace(path: Path, raw: bytes, *, force: bool) -> None:
    if path.exists() and not force:
        raise FileExistsError(path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(raw)
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
