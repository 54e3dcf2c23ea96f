r"""File names as text: in memory, in JSON and on screens.

A name on Linux is any bytes but NUL and "/". In memory a path is ``str`` decoded as UTF-8 with
surrogateescape, whatever the locale says, so that it turns back into the same bytes. In JSON and
on screens it is escaped, so that a hostile name can neither move a terminal's cursor nor fake a
line, and so that every JSON parser accepts it.
"""

from __future__ import annotations

import re

from paredown_schemas.errors import DamagedInputError

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_PLAIN = re.compile(r"[ !-\[\]-~]*\Z")


def decode_name(raw: bytes) -> str:
    """Return the in-memory form of a name's bytes."""
    return raw.decode("utf-8", "surrogateescape")


def encode_name(name: str) -> bytes:
    """Return the bytes that ``decode_name`` was given."""
    return name.encode("utf-8", "surrogateescape")


def escape_name(name: str) -> str:
    r"""Return ``name`` for JSON and screens; backslash and hidden characters become ``\xNN``."""
    if _PLAIN.match(name):
        return name
    return "".join(_escape_character(character) for character in name)


def unescape_name(text: str) -> str:
    """Return the in-memory name that ``escape_name`` was given.

    Raises:
        DamagedInputError: ``text`` is not something that ``escape_name`` prints.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # JSON's own escapes can make halves of characters that stand for no bytes.
        raise DamagedInputError(f"cannot read name {text!r}: not Unicode") from error
    if "\\" not in text:
        return text
    plain, escaped = (parts := _ESCAPE.split(text))[::2], parts[1::2]
    if any("\\" in part for part in plain):
        raise DamagedInputError(f"cannot read name {text!r}: not an escaped file name")
    raw = [encode_name(plain[0])]
    for code, part in zip(escaped, plain[1:], strict=True):
        raw += [bytes([int(code, 16)]), encode_name(part)]
    name = decode_name(b"".join(raw))
    if "\0" in name:
        raise DamagedInputError(f"cannot read name {text!r}: no file name holds a NUL")
    return name


def _escape_character(character: str) -> str:
    # What a terminal or a reviewer's eye would not show as what it is: controls, format characters
    # (bidirectional overrides), surrogates, what is unassigned, separators other than the space.
    if character == "\\" or not character.isprintable():
        # Halves of characters that stand for no byte come from JSON and YAML, whose own escapes can
        # make them; they are no names, but are shown.
        errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
        return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))
    return character
