"""The scripts of installed packages: ``scripts.tar``, by newer apk ``scripts.tar.gz``.

Members are named PACKAGE-VERSION.CHECKSUM.ACTION (apk-tools, src/database.c,
apk_db_scriptdb_write). What stays of them keeps its bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable

from paredown_minimizer.packages.apk_format import checksum
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_BLOCK = 512
# Two empty blocks end an archive (POSIX.1, pax).
_END = bytes(2 * _BLOCK)
# Those of a whole distribution's packages take some MB.
_LIMIT = 1 << 26


def keep_scripts(data: bytes, name: str, stays: Callable[[str], bool]) -> bytes:
    """Return an archive of scripts with those alone whose package's checksum ``stays``.

    Compressed if ``data`` was, and the same bytes where all stay. A member that names no checksum
    stays: apk passes it over.

    Raises:
        ParedownError: it is no archive, or far too long.
    """
    compressed = name.endswith(".gz")
    try:
        archive = _expand(data, name) if compressed else data
        left = _staying(archive, stays)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        cause = escape_name(str(error))
        raise ParedownError(f"cannot read {escape_name(name)}: {cause}") from error
    if left is None:
        return data
    return gzip.compress(left, mtime=0) if compressed else left


def _expand(data: bytes, name: str) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        archive = file.read(_LIMIT + 1)
    if len(archive) > _LIMIT:
        raise ParedownError(f"cannot read {escape_name(name)}: longer than {_LIMIT} bytes")
    return archive


def _staying(archive: bytes, stays: Callable[[str], bool]) -> bytes | None:
    """Return the archive of the members that stay, None if that is all of them."""
    kept: list[bytes] = []
    dropped = False
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
        for member in members:
            if member.size < 0:  # tarfile would go back to where it was
                raise ValueError("a member of negative size")
            whole = -(-member.size // _BLOCK) * _BLOCK if member.isreg() else 0
            own = _checksum_in(member.name)
            if own is None or stays(own):
                kept.append(archive[member.offset : member.offset_data + whole])
            else:
                dropped = True
    return b"".join(kept) + _END if dropped else None


def _checksum_in(name: str) -> str | None:
    parts = name.rsplit(".", 2)
    return checksum(parts[1]) if len(parts) == 3 else None
