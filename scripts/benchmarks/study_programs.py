"""The programs of the study: a short load that trains, and a longer one that touches much else.

The applications are the study's own (tests/data/study). Apache with Perl, git and Django are in no
other test.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import ROOT

import rootfs
from applications import NGINX, POSTGRES, REDIS, Application
from server import Server

DATA = ROOT / "tests" / "data" / "study"
TLS = 8443
_SECRET = base64.b64encode(b"user:word").decode()


@dataclasses.dataclass(frozen=True)
class Ask:
    """An HTTP request; its answer is status and body."""

    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    tls: bool = False
    status_alone: bool = False  # the body is never the same

    def __str__(self) -> str:
        """Name it in a table."""
        return f"{self.method} {self.path}" + (" over TLS" if self.tls else "")

    def answer(self, running: Server, _source: Path) -> object:
        """Ask a running server."""
        said = running.request(
            self.method, self.path, self.body, dict(self.headers), tls=TLS if self.tls else None
        )
        return said.status if self.status_alone else (said.status, said.body)


@dataclasses.dataclass(frozen=True)
class Command:
    """A client: of the host, or of the original tree, where it is not recorded."""

    words: tuple[str, ...]
    of_tree: bool = True

    def __str__(self) -> str:
        """Name it in a table."""
        return " ".join(self.words)

    def answer(self, running: Server, source: Path) -> object:
        """Run it; what it prints is the answer."""
        into = ["chroot", str(source)] if self.of_tree else []
        return running.run([*into, *self.words], timeout=60)


Check = Ask | Command


@dataclasses.dataclass(frozen=True)
class Program:
    """A server in a root filesystem, and what it is asked."""

    application: Application
    training: tuple[Check, ...]
    judging: tuple[Check, ...]  # asked after the training's
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # place: file of DATA
    prepare: Callable[[Path], None] = lambda _tree: None

    def make(self, tree: Path) -> None:
        """Make its root filesystem: the cached one, and the study's own files."""
        subprocess.run(["cp", "-a", rootfs.cached(self.application.rootfs), tree], check=True)
        for place, name in self.files.items():
            target = tree / place.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(DATA / name, target)
            target.chmod(0o755)
        _certificate(tree / "app")
        self.prepare(tree)


def _certificate(place: Path) -> None:
    place.mkdir(exist_ok=True)
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    make += ["-subj", "/CN=localhost", "-addext", names]
    make += ["-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")]
    subprocess.run(make, check=True, capture_output=True)
    pack = ["openssl", "pkcs12", "-export", "-passout", "pass:study", "-name", "own"]
    pack += ["-inkey", str(place / "key.pem"), "-in", str(place / "cert.pem")]
    subprocess.run([*pack, "-out", str(place / "key.p12")], check=True, capture_output=True)
    for name in ("key.pem", "key.p12"):
        (place / name).chmod(0o644)


def _site(tree: Path) -> None:
    """What both web servers show."""
    www = tree / "app" / "www"
    for name, text in {
        "index.html": "<p>hello\n",
        "text.txt": "nginx and grüß " * 200,
        "russian.txt": "привет\n",
        "page.shtml": '<!--#set var="a" value="b" --><!--#echo var="a" -->',
        "hello.html.en": "hello\n",
        "hello.html.de": "hallo\n",
        "missing.html": "not here\n",
        "private/index.html": "private\n",
        "denied/index.html": "denied\n",
        "list/a.txt": "a\n",
        "list/b.png": "b\n",
        "guarded/.htaccess": "Require all denied\n",
        "forbidden.txt": "not yours\n",
        "../one/a.txt": "the only one\n",
    }.items():
        file = www / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "-salt", "saltsalt", "word"],
        check=True,
        capture_output=True,
        text=True,
    )
    (tree / "app" / "passwords").write_text(f"user:{hashed.stdout}")


def _apache(tree: Path) -> None:
    _site(tree)
    modules = "cgi deflate expires headers include info proxy proxy_http rewrite socache_shmcb ssl"
    available, enabled = (
        tree / "etc/apache2" / f"mods-{kind}" for kind in ("available", "enabled")
    )
    for name in modules.split():
        for file in available.glob(f"{name}.*"):
            link = enabled / file.name
            if not link.is_symlink():
                link.symlink_to(f"../mods-available/{file.name}")
    (tree / "etc/apache2/ports.conf").write_text("")
    site = tree / "etc/apache2/sites-available/000-default.conf"
    text = (DATA / "apache" / "site.conf").read_text()
    secure = re.sub(r"\*:8000>", f"*:{TLS}>", text[text.index("<VirtualHost") :])
    secure = secure.replace(
        "    DocumentRoot",
        "    SSLEngine on\n    SSLCertificateFile /app/cert.pem\n"
        "    SSLCertificateKeyFile /app/key.pem\n    DocumentRoot",
    )
    site.write_text(f"{text}\nListen {TLS}\n{secure}")


def _repository(tree: Path) -> None:
    """Make a repository of a few commits, with hooks, for everybody to fetch and push."""
    place = tree / "srv" / "a.git"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C"]
    work = tree / "srv" / "work"
    subprocess.run(["git", "init", "--quiet", "-b", "main", str(work)], check=True)
    for number in range(3):
        (work / "file").write_text(f"{number}\n" * 500)
        subprocess.run([*git, work, "add", "file"], check=True)
        subprocess.run([*git, work, "commit", "--quiet", "-m", f"{number}"], check=True)
        subprocess.run([*git, work, "tag", "-a", f"v{number}", "-m", "tag"], check=True)
    clone = ["git", "clone", "--quiet", "--bare", str(work), str(place)]
    subprocess.run(clone, check=True)
    shutil.rmtree(work)
    hook = place / "hooks" / "update"
    hook.write_text('#!/bin/sh\necho updating "$1" | sed s/updating/updates/\n')
    hook.chmod(0o755)
    subprocess.run(["chown", "-R", "0:0", str(place)], check=True)


def _asks(*paths: str) -> tuple[Ask, ...]:
    return tuple(Ask(path) for path in paths)


def _lines(name: str) -> list[str]:
    return (DATA / name).read_text().splitlines()


def _found(name: str, pattern: str) -> list[str]:
    return re.findall(pattern, (DATA / name).read_text(), re.MULTILINE)


def _views(name: str, pattern: str) -> tuple[Ask, ...]:
    """Ask every view that an application of the study names."""
    return _asks(*_found(name, pattern))


def _web(name: str, base: str, command: tuple[str, ...]) -> Application:
    return Application(name, base, command, 8000)


HELLO = _asks("/")
UPLOAD = Ask("/upload", "POST", b"x" * 5_000_000)
GUNICORN = ("gunicorn", "--chdir", "/app", "--bind", "127.0.0.1:8000", "--workers", "1")
_FORM = (
    b"--limit\r\nContent-Disposition: form-data; name=a; filename=a.txt\r\n"
    b"Content-Type: text/plain\r\n\r\ncontent\r\n--limit--\r\n"
)
FORM = Ask("/form", "POST", _FORM, (("Content-Type", "multipart/form-data; boundary=limit"),))
_PAGES = (
    *_asks("/missing", "/list/", "/private/", "/denied/", "/text.txt", "/old/x", "/hello.html.de"),
    Ask("/private/", headers=(("Authorization", f"Basic {_SECRET}"),)),
    Ask("/text.txt", headers=(("Accept-Encoding", "gzip"),)),
    Ask("/text.txt", headers=(("Range", "bytes=3-9"),)),
    Ask("/", "HEAD"),
    Ask("/", "OPTIONS"),
    Ask("/", "POST", b"x"),
    Ask("/", headers=(("If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT"),)),
    Ask("/", tls=True),
)


def _sql(*lines: str) -> tuple[Command, ...]:
    psql = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-AtXq", "-c")
    return tuple(Command((*psql, line)) for line in lines)


_LOCAL = "-h 127.0.0.1 -U postgres"
_SOMEWHERE = "place=$(mktemp -d); trap 'rm -r $place' EXIT; cd $place;"
PROGRAMS = (
    Program(
        dataclasses.replace(
            NGINX, command=("nginx", "-c", "/app/nginx.conf", "-g", "daemon off;"), port=8000
        ),
        HELLO,
        (
            *_PAGES,
            *_views("nginx-study.conf", r"location (?:= )?(/[a-z-]+/?)"),
            *_asks("/mapped?a=1&b=2", "/app/hello.html.de", "/html-list/list/", "/ssi/page.shtml"),
            UPLOAD,
            Ask("/put/a/b", "PUT", b"x" * 100_000),
            Ask("/put/a/b", "DELETE"),
            Ask("/private", headers=(("Authorization", f"Basic {_SECRET}"),)),
            Ask("/proxied", tls=True),
            *_asks("/limited", "/limited"),
        ),
        {"/app/nginx.conf": "nginx-study.conf"},
        _site,
    ),
    Program(
        REDIS,
        tuple(Command(("redis-cli", *line.split())) for line in ("ping", "set a 1", "get a")),
        tuple(Command(("redis-cli", *line.split())) for line in _lines("commands.redis")),
    ),
    Program(
        POSTGRES,
        (
            Command(("sh", "-c", "until pg_isready -q -h 127.0.0.1; do sleep 0.1; done")),
            *_sql("select 1"),
        ),
        (
            *_sql(*_lines("queries.sql")),
            # What it writes begins with a word made up anew (CVE-2025-8714).
            Command(("sh", "-c", f"pg_dump {_LOCAL} --schema-only postgres | grep -v restrict")),
            Command(("sh", "-c", f"pg_basebackup {_LOCAL} -Ft -Xf -D- | wc -c | sed 's/.*/done/'")),
        ),
    ),
    Program(
        _web("Python: Flask", "flask", (*GUNICORN, "app:app")),
        HELLO,
        (
            *_asks("/missing", "/template", "/cookie", "/forbidden", "/crash"),
            UPLOAD,
            FORM,
            *(
                Ask(f"/feature/{name}")
                for name in _found("app.py", r"^def _(\w+)\(\)")
                if name != "threads"
            ),
        ),
        {"/app/app.py": "app.py"},
    ),
    Program(
        _web("Node", "node", ("node", "/app/server.js")),
        HELLO,
        (*_views("server.js", r'^  "(/[\w-]+)"'), Ask("/missing"), UPLOAD),
        {"/app/server.js": "server.js"},
    ),
    Program(
        _web("Java", "java", ("java", "/app/Server.java")),
        HELLO,
        (*_views("Server.java", r'serve\(server, "(/[\w-]+)"'), UPLOAD),
        {"/app/Server.java": "Server.java"},
    ),
    Program(
        dataclasses.replace(
            _web("PHP", "php", ()),
            command=(
                *("sh", "-c"),
                """for fpm in /usr/sbin/php-fpm*; do "$fpm" --fpm-config /app/fpm.conf; done
                exec nginx -c /app/nginx.conf -g 'daemon off;'""",
            ),
        ),
        HELLO,
        (*_views("index.php", r"^    '(/[\w-]+)' =>"), Ask("/missing"), UPLOAD),
        {f"/app/{name}": name for name in ("index.php", "fpm.conf", "nginx.conf")},
    ),
    Program(
        _web("Ruby", "ruby", ("ruby", "/app/server.rb")),
        HELLO,
        (
            *_views("server.rb", r'^  "(/[\w-]+)"'),
            Ask("/missing"),
            Ask("/", "POST", b"x" * 100_000),
        ),
        {"/app/server.rb": "server.rb"},
    ),
    Program(
        _web(
            "Apache with Perl",
            "apache",
            (
                "sh",
                "-c",
                ". /etc/apache2/envvars; mkdir -p $APACHE_RUN_DIR; exec apache2 -D FOREGROUND",
            ),
        ),
        _asks("/", "/cgi/run.pl"),
        (
            *_PAGES,
            *_asks("/page.shtml", "/guarded/", "/icons/text.gif", "/cgi/run.sh", "/cgi/none"),
            Ask("/hello", headers=(("Accept-Language", "de"),)),
            Ask("/status?auto", status_alone=True),
            Ask("/cgi/run.sh", "POST", b"x" * 1_000_000),
            *(Ask(f"/cgi/run.pl?{name}") for name in _found("apache/run.pl", r"^    (\w+) => sub")),
        ),
        {"/app/cgi/run.pl": "apache/run.pl", "/app/cgi/run.sh": "apache/run.sh"},
        _apache,
    ),
    Program(
        Application(
            "git",
            "git",
            (
                *("git", "-c", "safe.directory=*", "daemon", "--base-path=/srv", "--export-all"),
                *("--enable=receive-pack", "--enable=upload-archive", "--reuseaddr", "/srv"),
            ),
            9418,
        ),
        (Command(("git", "ls-remote", "git://127.0.0.1/a.git"), of_tree=False),),
        tuple(
            Command(("sh", "-c", f"{_SOMEWHERE} {{ {line}; }} 2>&1 | sort"), of_tree=False)
            for line in _lines("clients.git")
        ),
        prepare=_repository,
    ),
    Program(
        _web(
            "Python: Django",
            "django",
            (
                *(*GUNICORN, "--env", "DJANGO_SETTINGS_MODULE=settings"),
                "django.core.wsgi:get_wsgi_application()",
            ),
        ),
        HELLO,
        (
            *_asks("/missing", "/json", "/crash", "/admin/"),
            Ask("/admin/login/", status_alone=True),
            dataclasses.replace(FORM, path="/uploaded"),
            *(Ask(f"/{name}") for name in _found("django/site_urls.py", r"^def (\w+)\(_request\)")),
            Ask("/", headers=(("Accept-Language", "de"),)),
        ),
        {"/app/settings.py": "django/settings.py", "/app/site_urls.py": "django/site_urls.py"},
    ),
)
