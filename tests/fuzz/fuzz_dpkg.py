"""dpkg's database: names only paths of the tree, and what is rewritten reads again and stays."""

from __future__ import annotations

from collections.abc import Iterator

from fuzzing import check_manager, image_of, refusing, text_of
from paredown_minimizer.packages.dpkg import Dpkg

_DPKG = "/var/lib/dpkg"
DICTIONARY = [
    *(b"Package: ", b"Status: install ok installed\n", b"Architecture: amd64\n", b"Version: 1\n"),
    *(b"Conffiles:\n", b"Depends: ", b"Source: ", b" obsolete", b" newconffile", b"0" * 32),
    *(b"\n\n", b"\n@/var/lib/dpkg/", b"info/a.list\n", b"diversions\n", b"alternatives/x\n"),
    *(b"statoverride\n", b"triggers/File\n", b"-> ", b"/..", b"../", b"/etc/alternatives/", b":"),
    *(b"@/var/lib/dpkg/status.d/a", b".md5sums\n"),
]


def one_input(data: bytes) -> None:
    """Read a database, slim it, and read what is left."""
    with refusing():
        check_manager(Dpkg(), image_of(data))


def seeds() -> Iterator[bytes]:
    """Yield databases with every file that dpkg keeps."""
    stanza = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n"
    conffiles = f"Conffiles:\n /etc/a.conf {'0' * 32}\n /etc/b c newconffile obsolete\n"
    files: dict[str, str | bytes] = {
        "/usr/bin/a": "a",
        "/usr/bin/b": "b",
        "/usr/bin/b.distrib": "b",
        "/etc/a.conf": "a",
        "/lib": "-> usr/lib",
        "/usr/lib/liba.so": "a",
        "/etc/alternatives/x": "-> /usr/bin/a",
        "/usr/bin/x": "-> /etc/alternatives/x",
        f"{_DPKG}/status": stanza.format("a")
        + conffiles
        + "Depends: b (>= 1) | c, d\n\n"
        + stanza.format("b")
        + "Description: b\n more\n .\n\n",
        f"{_DPKG}/info/a.list": "/.\n/usr\n/usr/bin\n/usr/bin/a\n/lib/liba.so\n/etc/a.conf\n",
        f"{_DPKG}/info/a.md5sums": f"{'0' * 32}  usr/bin/a\n",
        f"{_DPKG}/info/a.conffiles": "/etc/a.conf\n",
        f"{_DPKG}/info/b:amd64.list": "/.\n/usr/bin/b\n",
        f"{_DPKG}/info/b:amd64.postinst": "#!/bin/sh\n",
        f"{_DPKG}/diversions": "/usr/bin/b\n/usr/bin/b.distrib\na\n",
        f"{_DPKG}/statoverride": "root root 4755 /usr/bin/a\n",
        f"{_DPKG}/triggers/File": "/usr/lib b\n",
        f"{_DPKG}/triggers/ldconfig": "b/noawait\n",
        f"{_DPKG}/alternatives/x": "auto\n/usr/bin/x\n\n/usr/bin/a\n10\n\n",
        f"{_DPKG}/available": stanza.format("c").replace("Status: install ok installed\n", ""),
        "/var/lib/ucf/registry": "a /etc/a.conf\n",
    }
    yield text_of(files)
    yield text_of({f"{_DPKG}/status": stanza.format("a"), f"{_DPKG}/info/a.list": "/.\n"})
    yield text_of({f"{_DPKG}/status": stanza.format("a").replace("installed", "config-files")})
    sums = "0" * 32
    control = stanza.replace("Status: install ok installed\n", "")
    yield text_of(
        {
            "/usr/bin/a": "a",
            "/lib/liba.so": "a",
            f"{_DPKG}/status.d/a": control.format("a") + "Depends: b\n",
            f"{_DPKG}/status.d/a.md5sums": f"{sums}  usr/bin/a\n{sums}  ./usr/lib/liba.so\n",
            f"{_DPKG}/status.d/Yg==": control.format("b"),
            f"{_DPKG}/status": stanza.format("apt"),
            f"{_DPKG}/info/apt.list": "/usr/bin/apt\n",
            "/usr/bin/apt": "a",
            "/var/lib/apt/extended_states": "Package: a\nAuto-Installed: 1\n\n",
        }
    )
