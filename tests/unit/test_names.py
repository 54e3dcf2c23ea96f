"""Names: any bytes come back, and nothing that is shown moves a cursor."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import decode_name, encode_name, escape_name, unescape_name

_raw = st.binary(max_size=60).filter(lambda raw: b"\0" not in raw)
# UTF-8 with holes in it: most random bytes are no UTF-8 at all.
_mixed = st.lists(st.text(max_size=4).map(str.encode) | st.binary(max_size=3)).map(b"".join)


@given(_raw | _mixed)
def test_bytes_come_back_from_memory(raw: bytes) -> None:
    assert encode_name(decode_name(raw)) == raw


@given((_raw | _mixed).filter(lambda raw: b"\0" not in raw))
def test_bytes_come_back_from_the_screen_and_from_json(raw: bytes) -> None:
    name = decode_name(raw)
    shown = escape_name(name)
    assert unescape_name(shown) == name
    assert unescape_name(json.loads(json.dumps(shown, ensure_ascii=False).encode())) == name


@given(_raw | _mixed)
def test_what_is_shown_is_harmless(raw: bytes) -> None:
    shown = escape_name(decode_name(raw))
    assert not {unicodedata.category(character)[0] for character in shown} & {"C"}
    assert not {unicodedata.category(character) for character in shown} & {"Zl", "Zp"}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/usr/bin/[", "/usr/bin/["),
        (b"a b~", "a b~"),
        ("/b\u00fccher".encode(), "/b\u00fccher"),
        (b"\x1b[31m\n", "\\x1b[31m\\x0a"),
        (b"a\\x0ab", "a\\x5cx0ab"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202egpj.exe".encode(), "\\xe2\\x80\\xaegpj.exe"),
        ("no\u00a0break".encode(), "no\\xc2\\xa0break"),
    ],
)
def test_how_names_look(raw: bytes, shown: str) -> None:
    assert escape_name(decode_name(raw)) == shown


@pytest.mark.parametrize("text", ["\\", "\\n", "\\x4", "\\xZZ", "\\xAB", "a\\", "\\x00", "\ud800"])
def test_what_escape_never_prints_is_refused(text: str) -> None:
    with pytest.raises(DamagedInputError, match="cannot read name"):
        unescape_name(text)
