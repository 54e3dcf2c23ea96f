"""apk's database in both places: names only paths of the tree, and what is rewritten stays."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from archives import layer
from fuzzing import check_manager, image_of, refusing, text_of
from paredown_minimizer.packages.apk import Apk

_DB = "/lib/apk/db"
DICTIONARY = [
    *(b"C:Q1", b"P:", b"V:1-r0\n", b"A:x86_64\n", b"D:so:liba.so.1 b>=1 !c\n", b"p:so:liba.so=1\n"),
    *(b"F:usr/bin\n", b"M:0:0:755\n", b"R:a\n", b"a:0:0:755\n", b"Z:Q1", b"\n\n", b"o:", b"i:b\n"),
    *(b"@/lib/apk/db/", b"@/usr/lib/apk/db/installed\n", b"triggers\n", b"@/etc/apk/world\n"),
    *(
        b"scripts.tar\n",
        b"scripts.tar.gz\n",
        b"-> ",
        b"../",
        b".post-install",
        b"X1",
        b"@edge",
        b"~=",
    ),
]


def one_input(data: bytes) -> None:
    """Read a database, slim it, and read what is left."""
    with refusing():
        check_manager(Apk(), image_of(data))


def seeds() -> Iterator[bytes]:
    """Yield databases with every file that apk keeps, in both places and merged."""
    first = "Q1qSFRgkzZf7Bp8dKf1ggxJUgS5Ew="
    second = "Q1ctxfhVdqOTAmDQWW2Ow0e8ooCgE="
    installed = (
        f"C:{first}\nP:a\nV:1-r0\nA:x86_64\no:src\nD:so:libb.so.1 b>=1 !c\np:cmd:a=1\n"
        f"F:\nF:usr\nF:usr/bin\nM:0:0:1777\nR:a\na:0:0:4755\nZ:{second}\nR:x\nF:etc\nR:a.conf\n\n"
        f"C:{second}\nP:b\nV:2-r0\nA:x86_64\np:so:libb.so.1=1\nF:lib\nR:libb.so\nZ:{first}\n\n"
    )
    scripts = layer(
        (f"a-1-r0.{first}.post-install", "#!/bin/sh\n"), (f"b-2-r0.{second}.trigger", "")
    )
    files: dict[str, str | bytes] = {
        "/usr/bin/a": "a",
        "/usr/bin/x": "-> a",
        "/etc/a.conf": "a",
        "/lib/libb.so": "b",
        "/etc/apk/world": "a\nb>1\n!c\n.virtual\n",
        "/etc/apk/arch": "x86_64\n",
    }
    database: dict[str, str | bytes] = {
        "installed": installed,
        "triggers": f"{second} /usr/bin /lib/*\n",
        "scripts.tar": scripts,
        "lock": "",
    }
    yield text_of({**files, **{f"{_DB}/{name}": text for name, text in database.items()}})
    database["scripts.tar.gz"] = gzip.compress(scripts, mtime=0)
    del database["scripts.tar"]
    yield text_of({**files, **{f"/usr{_DB}/{name}": text for name, text in database.items()}})
    yield text_of({"/lib": "-> usr/lib", f"/usr{_DB}/installed": installed})
    yield text_of({f"{_DB}/installed": installed, f"/usr{_DB}/installed": installed})
