"""A target with a fault that only a fuzzer led by coverage finds: the witness that ours can."""

from __future__ import annotations

from collections.abc import Iterator

DICTIONARY = [b"F!"]


def one_input(data: bytes) -> None:
    """Fail on one word, reached one byte after the other."""
    reached = 0
    for byte in data[:4]:
        if reached == 0 and byte == 0x46:
            reached = 1
        elif reached == 1 and byte == 0x55:
            reached = 2
        elif reached == 2 and byte == 0x5A:
            reached = 3
        elif reached == 3 and byte == 0x21:
            raise AssertionError("found")
        else:
            return


def seeds() -> Iterator[bytes]:
    """Yield nothing that helps."""
    yield b"x"
