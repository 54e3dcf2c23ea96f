"""A web application for the study: GET / is its training, each other view a feature of its own.

Written for the study alone.
"""

import importlib

from flask import Flask, abort, make_response, render_template_string, request, session

app = Flask(__name__)
app.secret_key = "study"


@app.get("/")
def plain():
    return "hello\n"


@app.get("/template")
def template():
    return render_template_string("{% for n in range(3) %}{{ n|string|center(5) }}{% endfor %}")


@app.get("/cookie")
def cookie():
    session["name"] = "value"
    response = make_response("set")
    response.set_cookie("plain", "x")
    return response


@app.get("/forbidden")
def forbidden():
    abort(403)


@app.get("/crash")
def crash():
    return str(1 // 0)


@app.post("/upload")
def upload():
    import hashlib

    return hashlib.sha256(request.get_data()).hexdigest()


@app.post("/form")
def form():
    return ",".join(f"{key}={len(value.read())}" for key, value in request.files.items())


@app.get("/feature/<name>")
def feature(name):
    return repr(globals()[f"_{name}"]())


def _database():
    import sqlite3

    with sqlite3.connect("/tmp/study.db") as connection:
        connection.execute("create table if not exists t (n integer, s text)")
        connection.execute("delete from t")
        connection.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(99)])
        return connection.execute("select sum(n), max(s) from t where s like '%1%'").fetchone()


def _zones():
    import datetime
    import zoneinfo

    names = ("Europe/Lisbon", "Asia/Kathmandu", "America/St_Johns")
    times = [datetime.datetime(2025, 3, 9, 12, tzinfo=zoneinfo.ZoneInfo(n)) for n in names]
    return [time.utcoffset() for time in times]


def _tls():
    """A handshake with a server of our own, by its certificate; then the system's roots."""
    import socket
    import ssl
    import threading

    here, there = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain("/app/cert.pem", "/app/key.pem")

    def answer():
        with server.wrap_socket(there, server_side=True) as wrapped:
            wrapped.sendall(wrapped.recv(10)[::-1])

    thread = threading.Thread(target=answer)
    thread.start()
    client = ssl.create_default_context(cafile="/app/cert.pem")
    with client.wrap_socket(here, server_hostname="localhost") as wrapped:
        wrapped.sendall(b"abc")
        said = wrapped.recv(10)
    thread.join()
    return said, wrapped.version(), len(ssl.create_default_context().get_ca_certs()) > 100


def _names():
    import socket

    found = sorted({item[4][0] for item in socket.getaddrinfo("localhost", 80)})
    try:
        socket.getaddrinfo("nowhere.invalid", 80)
    except socket.gaierror as error:
        return found, socket.getservbyname("https"), socket.getprotobyname("tcp"), bool(error.errno)


def _accounts():
    import grp
    import pwd

    return pwd.getpwnam("www-data").pw_dir, grp.getgrgid(0).gr_name


def _child():
    import subprocess

    return subprocess.run(["id", "-u"], check=True, capture_output=True).stdout


def _shell():
    import os

    return os.popen("printf %s $((2 * 21))").read()


def _locale():
    import locale

    return locale.setlocale(locale.LC_ALL, "C.UTF-8"), locale.localeconv()["decimal_point"]


def _gettext():
    import gettext

    return gettext.translation("messages", fallback=True, languages=["de"]).gettext("hello")


def _encodings():
    text = "日本語"
    encodings = ("euc_jp", "shift_jis", "iso2022_jp", "gb18030", "utf_7", "utf-16")
    return (
        [text.encode(name) for name in encodings],
        "привет".encode("koi8-r"),
        b"\x80".decode("cp1252"),
    )


def _compression():
    import bz2
    import gzip
    import io
    import lzma
    import tarfile
    import zipfile

    data = b"x" * 1000
    sizes = [len(bz2.compress(data)), len(lzma.compress(data)), len(gzip.compress(data, mtime=0))]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo("a"), data)
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w:xz") as packed:
        packed.addfile(tarfile.TarInfo("a"))
    return sizes, zipfile.ZipFile(archive).namelist()


def _documents():
    import configparser
    import csv
    import html.parser
    import io
    import json
    import plistlib
    import tomllib
    import xml.dom.minidom
    import xml.etree.ElementTree as ElementTree

    rows = list(csv.reader(io.StringIO('a,"b,c"\n')))
    tree = ElementTree.fromstring("<a b='1'><c/></a>")
    config = configparser.ConfigParser()
    config.read_string("[a]\nb = 1\n")
    html.parser.HTMLParser().feed("<p>x")
    pretty = xml.dom.minidom.parseString("<a><b/></a>").toprettyxml()
    return (
        rows,
        tree.attrib,
        config["a"]["b"],
        json.loads("[1.5]"),
        pretty,
        tomllib.loads("a = 1"),
        plistlib.loads(plistlib.dumps({"a": 1})),
    )


def _mail():
    import email.message
    import email.policy
    import mimetypes

    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"], message["To"] = "grüß", "Jörg <a@example.org>"
    message.set_content("grüß")
    message.add_attachment(b"x", maintype="image", subtype="png", filename="a.png")
    return len(message.get_payload()), mimetypes.guess_type("a.svgz")


def _processes():
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.map(abs, [-1, 2])


def _threads():
    import asyncio
    import concurrent.futures
    import queue
    import threading

    async def both():
        return await asyncio.gather(asyncio.sleep(0, 1), asyncio.to_thread(abs, -2))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return (
            list(pool.map(abs, [-1])),
            asyncio.run(both()),
            queue.Queue().empty(),
            threading.Lock(),
        )


def _threads_checked():
    return _threads()[:3]


def _libraries():
    import ctypes
    import ctypes.util

    return ctypes.util.find_library("z"), ctypes.CDLL("libm.so.6").abs(-3)


def _installed():
    import importlib.metadata
    import importlib.resources

    return importlib.metadata.version("flask"), bool(
        list(importlib.resources.files("flask").iterdir())
    )


def _digests():
    import hashlib
    import hmac
    import secrets
    import zlib

    names = sorted(hashlib.algorithms_guaranteed)
    made = [hashlib.new(name, b"x") for name in names]
    sums = [d.hexdigest(8) if d.name.startswith("shake") else d.hexdigest() for d in made]
    return (
        sums,
        hmac.digest(b"k", b"m", "sha512"),
        hashlib.scrypt(b"p", salt=b"s", n=16, r=1, p=1),
        hashlib.pbkdf2_hmac("sha1", b"p", b"s", 2),
        len(secrets.token_hex()),
        zlib.crc32(b"x"),
    )


def _numbers():
    import decimal
    import fractions
    import math
    import random
    import statistics

    random.seed(1)
    return (
        decimal.Decimal(2).sqrt(),
        fractions.Fraction(1, 3),
        random.random(),
        statistics.stdev([1, 2, 4]),
        math.lgamma(3),
    )


def _text():
    import difflib
    import string
    import textwrap
    import unicodedata

    return (
        unicodedata.name("ß"),
        unicodedata.normalize("NFKD", "ǆ"),
        "bücher.example".encode("idna"),
        textwrap.wrap("a b c", 3),
        list(difflib.unified_diff(["a"], ["b"])),
        string.capwords("a b"),
    )


def _logging():
    import logging.config
    import logging.handlers

    logging.config.dictConfig(
        {
            "version": 1,
            "handlers": {
                "file": {"class": "logging.handlers.RotatingFileHandler", "filename": "/tmp/log"}
            },
            "root": {"handlers": ["file"]},
        }
    )
    logging.getLogger("x").warning("said")
    with open("/tmp/log") as file:
        return file.read()[:4]


def _dates():
    import calendar
    import datetime
    import time

    day = datetime.date(2024, 2, 29)
    return (
        calendar.month(2024, 2),
        day.strftime("%A %d %B"),
        time.strptime("1 Jan 2024", "%d %b %Y"),
    )


def _storage():
    import dbm
    import pickle
    import shelve
    import shutil
    import tempfile

    directory = tempfile.mkdtemp()
    with shelve.open(f"{directory}/x") as shelf:
        shelf["a"] = [1]
        found = shelf["a"]
    kind = bool(dbm.whichdb(f"{directory}/x"))
    shutil.rmtree(directory)
    return found, kind, pickle.loads(pickle.dumps({1: (2,)}))


def _client():
    import http.client
    import http.server
    import threading
    import urllib.request

    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.handle_request).start()
    url = f"http://localhost:{server.server_port}/app/cert.pem"
    import os

    os.chdir("/")
    with urllib.request.urlopen(url) as answer:
        return answer.status, answer.headers["Content-Type"], http.client.responses[418]


def _introspection():
    import ast
    import dis
    import inspect
    import sysconfig
    import traceback
    import warnings

    dis.dis("1 + 1", file=open("/dev/null", "w"))
    return (
        ast.dump(ast.parse("a")),
        len(inspect.getsource(_text)),
        sysconfig.get_path("stdlib"),
        traceback.format_exception_only(ValueError("x")),
        sysconfig.get_config_var("EXT_SUFFIX"),
        warnings.formatwarning("a", UserWarning, "b", 1),
    )


def _commands():
    import argparse
    import getopt
    import getpass
    import shlex
    import uuid

    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("-a", help="said")
    return (
        parser.format_help(),
        shlex.split("a 'b c'"),
        uuid.uuid5(uuid.NAMESPACE_DNS, "a"),
        getopt.getopt(["-a"], "a"),
        bool(getpass.getuser),
    )


def _modules():
    """What is seldom used: of the standard library whatever imports."""
    names = (
        "aifc cgi code colorsys cmd contextvars crypt curses dbm.gnu ensurepip ftplib glob imaplib "
        "mailbox mmap netrc nntplib optparse pdb pkgutil platform poplib profile pstats pty pydoc "
        "readline reprlib resource rlcompleter runpy sched selectors smtplib sndhdr socketserver "
        "spwd stringprep symtable syslog tabnanny telnetlib termios timeit tokenize tracemalloc tty "
        "turtle unittest.mock venv wave webbrowser wsgiref.simple_server xdrlib xmlrpc.client "
        "zipapp zipimport"
    )
    found = {}
    for name in names.split():
        try:
            importlib.import_module(name)
            found[name] = True
        except ImportError as error:
            found[name] = str(error)
    return found
