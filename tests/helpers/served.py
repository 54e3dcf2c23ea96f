"""The applications that images are tried with: how each is configured, and what it can be asked."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import apk_tree
import applications
import rootfs
import rpm_tree
from applications import Application
from slim_images import Served

_ENTRYPOINT = ("entrypoint.sh", '#!/bin/sh\nset -e\numask 027\nexec "$@"\n')
_BY_ENTRYPOINT = ("COPY entrypoint.sh /", 'ENTRYPOINT ["/entrypoint.sh"]')
_URL = "http://127.0.0.1:8000/"
_SITE = """
server {
    listen 80;
    root /var/www/html;
    index index.nginx-debian.html;
    gzip on;
    location /list/ { autoindex on; autoindex_format json; }
}
"""
_SQL = (
    "select 'straße' ~* 'STRASSE', upper('grüß'), to_tsvector('english', 'running dogs')",
    """select jsonb_path_query('{"a": [1, 2]}', '$.a[*]')""",
    "select timestamptz '2024-07-01 12:00+00' at time zone 'Pacific/Chatham'",
    "select count(*) from pg_timezone_names",
    "create extension if not exists pgcrypto",
    "select encode(digest('x', 'sha256'), 'hex')",
    "do $$ begin perform 1; end $$",
    "select convert_to('grüß', 'LATIN1'), xmlelement(name a, 'b')",
    """create table t (n integer primary key, s text collate "C")""",
    "insert into t select n, n::text from generate_series(1, 1000) n",
    "analyze t",
    "vacuum t",
    "explain (costs off) select * from t where n = 5",
    "set jit_above_cost = 0; select sum(n) from t",
    "copy t to '/tmp/t'",
    "checkpoint",
)
_REDIS = (
    "set a 1",
    "get a",
    "eval return(redis.sha1hex('x')) 0",
    "rpush l 3 1 2",
    "sort l",
    "geoadd g 13.36 38.11 p",
    "geohash g p",
    "pfadd h a b c",
)


def _in_suite(application: Application) -> Callable[[str], Application]:
    return lambda suite: dataclasses.replace(
        application, rootfs=rootfs.in_suite(application.rootfs, suite)
    )


def _postgres(suite: str) -> Application:
    """The version of PostgreSQL is part of its paths."""
    application = _in_suite(applications.POSTGRES)(suite)
    (version,) = (path.name for path in (application.source / "usr/lib/postgresql").iterdir())

    def of_version(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.replace("postgresql/15", f"postgresql/{version}") for word in words)

    return dataclasses.replace(
        application,
        # The image's own USER takes the place of setpriv.
        command=of_version(application.command[4:]),
        clients=tuple(of_version(client) for client in application.clients),
    )


def _health(*words: str) -> str:
    return f"HEALTHCHECK --interval=1s --timeout=30s CMD {json.dumps(words)}"


def _tree(application: Application, tree: Callable[[], Path]) -> Callable[[str], Application]:
    return lambda _: dataclasses.replace(application, tree=tree())


_NGINX = dataclasses.replace(applications.NGINX, views=("/", "/missing", "/list/"))
_NGINX_SETTINGS = (
    "RUN mkdir /var/www/html/list && touch /var/www/html/list/a",
    "COPY site.conf /etc/nginx/sites-available/default",
    "EXPOSE 80",
    "STOPSIGNAL SIGQUIT",
    'HEALTHCHECK --interval=1s CMD kill -0 "$(cat /run/nginx.pid)"',
)
_HTTP_BY = {
    "python": f"import urllib.request; urllib.request.urlopen('{_URL}')",
    "node": f"require('http').get('{_URL}', r => process.exit(r.statusCode == 200 ? 0 : 1))",
    "ruby": f"exit Net::HTTP.get_response(URI('{_URL}')).is_a?(Net::HTTPOK)",
    "php": f"exit(file_get_contents('{_URL}') ? 0 : 1);",
}
SERVED = (
    Served("nginx", _in_suite(_NGINX), _NGINX_SETTINGS, files=(("site.conf", _SITE),)),
    Served(
        "redis",
        _in_suite(applications.REDIS),
        (
            *_BY_ENTRYPOINT,
            "USER redis",
            "WORKDIR /var/lib/redis",
            "VOLUME /var/lib/redis",
            "EXPOSE 6379",
            _health("redis-cli", "ping"),
        ),
        questions=tuple(("redis-cli", *command.split()) for command in _REDIS),
        files=(_ENTRYPOINT,),
    ),
    Served(
        "PostgreSQL",
        _postgres,
        (
            *_BY_ENTRYPOINT,
            "ENV LANG=C.UTF-8 TZ=Europe/Berlin",
            "USER postgres",
            "EXPOSE 5432",
            "STOPSIGNAL SIGINT",
            _health("pg_isready", "-h", "127.0.0.1"),
        ),
        questions=tuple(
            ("psql", "-h", "127.0.0.1", "-U", "postgres", "-AtX", "-c", line) for line in _SQL
        ),
        files=(_ENTRYPOINT,),
    ),
    Served(
        "Flask",
        _in_suite(applications.GUNICORN),
        (
            "RUN sed -i s/@app.get/@app.route/ /app/app.py",  # bullseye's Flask is 1.1
            "ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1",
            "USER www-data:www-data",
            "WORKDIR /app",
            "EXPOSE 8000/tcp",
            "LABEL org.example.team=web",
            _health("python3", "-c", _HTTP_BY["python"]),
        ),
    ),
    Served(
        "Node",
        _in_suite(
            # What lies in /etc is not the same afterwards, nor should it be.
            dataclasses.replace(
                applications.NODE,
                views=tuple(view for view in applications.NODE.views if view != "/names"),
            )
        ),
        (
            "ENV NODE_ENV=production",
            "USER nobody",
            "EXPOSE 8000",
            "STOPSIGNAL SIGINT",
            _health("node", "-e", _HTTP_BY["node"]),
        ),
    ),
    Served(
        "Java",
        _in_suite(applications.JAVA),
        (
            "ENV JAVA_TOOL_OPTIONS=-Xmx256m TZ=Europe/Berlin",
            "USER 1000:1000",
            "EXPOSE 8000",
            _health("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000"),
        ),
    ),
    Served(
        "PHP",
        _in_suite(applications.PHP),
        (
            "COPY index.php fpm.conf nginx.conf /app/",
            "EXPOSE 8000",
            "STOPSIGNAL SIGQUIT",
            _health("php", "-r", _HTTP_BY["php"]),
        ),
        files=tuple(
            (name, (rootfs.DATA / "php_app" / name).read_text())
            for name in ("index.php", "fpm.conf", "nginx.conf")
        ),
    ),
    Served(
        "Ruby",
        _in_suite(applications.RUBY),
        (
            "ENV LANG=C.UTF-8",
            "USER daemon",
            "EXPOSE 8000",
            "STOPSIGNAL SIGINT",
            _health("ruby", "-rnet/http", "-e", _HTTP_BY["ruby"]),
        ),
    ),
    Served(
        "rpm-nginx",
        _tree(_NGINX, functools.partial(rpm_tree.cached, "sqlite")),
        _NGINX_SETTINGS,
        files=(("site.conf", _SITE),),
        suites=("sqlite",),
        listed=functools.partial(rpm_tree.listed, "sqlite"),
        verify=functools.partial(rpm_tree.verify, "sqlite"),
    ),
    Served(
        "apk-server",
        _tree(
            Application("apk-server", "", (apk_tree.COMMAND,), 8000, ("/", "/missing")),
            apk_tree.server_tree,
        ),
        (
            "ENV PORT=8000",
            "USER nobody",
            "EXPOSE 8000",
            f"HEALTHCHECK --interval=1s CMD wget -q -O /dev/null {_URL}",
        ),
        suites=("alpine",),
        listed=apk_tree.installed,
        verify=apk_tree.audit,
    ),
)
