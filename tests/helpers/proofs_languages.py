"""The proofs of the rules about languages' runtimes, TLS and time zones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rootfs
from proofs import Proof

_ZONE = "Pacific/Chatham"


def _tree(name: str, suite: str = rootfs.SUITE) -> Callable[[], Path]:
    return lambda: rootfs.cached(rootfs.in_suite(name, suite))


def _of(tree: Callable[[], Path], *begin: str) -> Callable[..., Proof]:
    """Return what proves by programs for an interpreter, which is trained with an empty one."""

    def proof(rule: str, program: str, shows: str = "done", **more: Any) -> Proof:
        more = {"train": "0;", **more}
        train = (*begin, more.pop("train"))
        return Proof(rule, train, (*begin, program), shows, tree=tree, **more)

    return proof


_python = _of(_tree("flask"), "python3", "-c")
_node = _of(_tree("node"), "node", "-e")
_ruby = _of(_tree("ruby"), "ruby", "-e")
_php = _of(_tree("php", "trixie"), "php", "-r")
_VIEWS = rootfs.DATA / "knowledge" / "Views.java"


def _java(rule: str, view: str) -> Proof:
    command = ("java", "/tmp/Views.java")
    before = f'cp {_VIEWS} "$2/merged/tmp"'
    return Proof(
        rule, (*command, "none"), (*command, view), "done", tree=_tree("java"), before=before
    )


PROOFS: tuple[Proof, ...] = (
    Proof(
        "openssl/providers",
        train=("openssl", "version"),
        judge=("openssl", "dgst", "-provider", "legacy", "-md4", "/etc/hostname"),
        shows="MD4",
    ),
    Proof(
        "openssl/engines",
        train=("openssl", "version"),
        judge=("openssl", "engine", "padlock"),
        shows="(padlock)",
    ),
    _python("openssl/configuration", "import ssl; ssl.get_default_verify_paths().cafile[0]", ""),
    Proof(
        "tls/roots",
        train=("openssl", "version"),
        judge=(
            *("openssl", "storeutl", "-noout", "-certs", "-subject"),
            *("/C=US/O=Internet Security Research Group/CN=ISRG Root X1", "/etc/ssl/certs"),
        ),
        shows="found: 1",
    ),
    Proof(
        "time-zone/local-time",
        train=("date", "--version"),
        judge=("date", "+%Z", "--date=2024-07-01"),
        shows="CEST",
        environment={"TZ": "Europe/Berlin"},
    ),
    _python("time-zone/python", f"import zoneinfo; print(zoneinfo.ZoneInfo('{_ZONE}'))", _ZONE),
    _python("python/standard-library", "import decimal, sqlite3", ""),
    _python("python/distribution", "import flask.testing", "", train="import flask"),
    _python(
        "python/find-library",
        "import ctypes.util; print(ctypes.util.find_library('m'))",
        "libm.so.6",
    ),
    _python(
        "python/mime-types",
        "import mimetypes; print(mimetypes.guess_type('drawing.fig'))",
        "application/x-xfig",
    ),
    _node("shell/node", "process.stdout.write(child_process.execSync('echo done'))"),
    _java("java/runtime", "zone"),
    _java("java/fonts", "text"),
    _java("fonts/fontconfig", "text"),
    _ruby("ruby/standard-library", "require 'json'; puts JSON.dump('done')"),
    _ruby("ruby/rubygems", "require 'bundler'; puts :done"),
    _ruby("ruby/extensions", "require 'rbs'; puts :done", train="require 'rbs'"),
    _ruby("shell/ruby", "puts `echo done; :`"),
    _php(
        "php/sessions",
        "session_start(['use_cookies' => 0, 'cache_limiter' => '']) && print('done');",
    ),
    _php("time-zone/php", f"echo (new DateTimeZone('{_ZONE}'))->getName();", _ZONE),
)
