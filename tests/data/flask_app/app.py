"""The application that the tests and benchmarks slim: each view needs something else at run time.

Only flask is imported here; what a view needs is imported when somebody asks for that view, as
applications often do, so that a load of GET / alone shows nothing of it.
"""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def plain():
    return "paredown\n"


@app.get("/json")
def as_json():
    import json

    return json.dumps({"answer": 42, "text": "\u00e9"}, sort_keys=True)


@app.get("/sqlite")
def sqlite():
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (n integer)")
    connection.executemany("insert into t values (?)", [(n,) for n in range(10)])
    return str(connection.execute("select sum(n) from t").fetchone()[0])


@app.get("/idna")
def idna():
    return "b\u00fccher.example".encode("idna")


@app.get("/zone")
def zone():
    import datetime
    import zoneinfo

    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Pacific/Chatham"))
    return noon.isoformat()


@app.get("/tls")
def tls():
    import ssl

    return str(len(ssl.create_default_context().get_ca_certs()))


@app.get("/find-library")
def find_library():
    import ctypes.util

    return repr([ctypes.util.find_library(name) for name in ("c", "m", "crypt", "sqlite3")])


@app.get("/crypt")
def crypt_hash():
    import crypt

    return crypt.crypt("secret", "$6$saltsalt$")


@app.get("/mimetypes")
def mime():
    import mimetypes

    return repr(mimetypes.guess_type("drawing.fig"))


@app.get("/shell")
def shell():
    import subprocess

    # What only the shell itself does: no trace and no rule can know a command that a string names.
    return subprocess.run(
        "printf '%s' \"$((6 * 7))\"", shell=True, check=True, capture_output=True
    ).stdout


@app.get("/pipeline")
def pipeline():
    import subprocess

    return subprocess.run("echo 42 | tr 4 5", shell=True, check=True, capture_output=True).stdout
