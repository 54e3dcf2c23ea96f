"""The knowledge base: each rule fires on what it says, and on nothing else."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from pathlib import Path

import pytest

import proof_table as proofs
from decisions import decided, kept_files, make_tree
from elf_files import can_compile, compile_library
from fixture_types import Require
from paredown_minimizer.globs import compile_pattern, expand
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.rulebook import Rule, load_rules
from paredown_schemas.errors import ParedownError

APP = "/opt/x/libapp.so"
OTHERS = {
    "/etc/nsswitch.conf": "passwd: files systemd\nhosts: files [!UNAVAIL=return] myhostname dns\n",
    "/etc/hosts": "x",
    "/etc/resolv.conf": "x",
    "/etc/gai.conf": "x",
    "/etc/services": "x",
    "/etc/protocols": "x",
    "/etc/passwd": "x",
    "/etc/group": "x",
    "/etc/shadow": "x",
    "/etc/localtime": "-> /usr/share/zoneinfo/Etc/UTC",
    "/usr/share/zoneinfo/Etc/UTC": "x",
    "/usr/share/zoneinfo/Europe/Berlin": "x",
    "/etc/zoneinfo/Own/Zone": "x",
    "/usr/lib/locale/C.utf8/LC_CTYPE": "x",
    "/usr/lib/locale/de_DE.utf8/LC_CTYPE": "x",
    "/usr/lib/locale/fr_FR.utf8/LC_CTYPE": "x",
    "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules": "x",
    "/usr/bin/dash": "x",
    "/usr/bin/sh": "-> dash",
    "/bin": "-> usr/bin",
    "/etc/ssl/openssl.cnf": "x",
    "/etc/ssl/certs/ca-certificates.crt": "x",
    "/usr/lib/python3.11/os.py": "x",
    "/usr/lib/python3.11/subprocess.py": "x",
    "/usr/lib/python3.11/mimetypes.py": "x",
    "/usr/lib/python3.11/test/test_os.py": "x",
    "/usr/lib/python3.11/ctypes/util.py": "x",
    "/usr/lib/python3.11/zoneinfo/__init__.py": "x",
    "/usr/bin/python3.11": "x",
    "/etc/mime.types": "x",
    "/sbin": "-> usr/sbin",
    "/usr/sbin/ldconfig": "x",
}
ZONE = "/usr/share/zoneinfo/Etc/UTC"
ZONES = {ZONE, "/usr/share/zoneinfo/Europe/Berlin", "/etc/zoneinfo/Own/Zone"}
ALWAYS = {"/etc/passwd", "/etc/group"}


@pytest.fixture
def root(tmp_path: Path, require: Require) -> Path:
    require(can_compile(), "clang is not installed")
    tree = tmp_path / "tree"
    make_tree(tree, OTHERS)
    return tree


def _fired(
    root: Path, *, imports: Iterable[str] = (), soname: str | None = None, env: Iterable[str] = ()
) -> set[str]:
    """Return what is kept beside a library that imports these symbols, each path its package."""
    compile_library(root / APP.lstrip("/"), imports=imports, soname=soname)
    return _kept(root, [APP], env)


def _kept(
    root: Path, traced: Iterable[str], env: Iterable[str] = (), more: Iterable[str] = ()
) -> set[str]:
    """Return what is kept; each path is a package, as those in ``more`` are."""
    libraries = [f"/usr/lib/{path.name}" for path in root.glob("usr/lib/*.so*")]
    owned = [*OTHERS, *sorted(traced), *libraries, *more]
    packages = {f"p{n}": [path] for n, path in enumerate(owned)}
    config = {"Env": list(env)}
    decision = decided(root, traced, packages, config=config, granularity="file")
    return kept_files(decision, root) - set(traced) - ALWAYS


def test_nothing_follows_from_nothing(root: Path) -> None:
    assert _fired(root, imports=["memcpy"]) == set()


def test_name_service(root: Path) -> None:
    for service in ("systemd", "myhostname"):
        compile_library(root / f"usr/lib/libnss_{service}.so.2")
    found = _fired(root, imports=["getaddrinfo"])
    assert {"/etc/nsswitch.conf", "/etc/hosts", "/etc/resolv.conf", "/etc/gai.conf"} <= found
    assert {"/etc/services", "/etc/protocols"} <= found
    assert "/usr/lib/libnss_myhostname.so.2" in found
    assert "/usr/lib/libnss_systemd.so.2" not in found


def test_accounts(root: Path) -> None:
    for service in ("systemd", "myhostname"):
        compile_library(root / f"usr/lib/libnss_{service}.so.2")
    found = _fired(root, imports=["getpwnam"])
    assert {"/etc/nsswitch.conf", "/etc/shadow", "/usr/lib/libnss_systemd.so.2"} <= found
    assert "/usr/lib/libnss_myhostname.so.2" not in found


def test_libc_alone_fires_nothing(root: Path) -> None:
    symbols = ["getaddrinfo", "iconv_open", "system", "setlocale", "localtime"]
    assert _fired(root, imports=symbols, soname="libc.so.6") == set()
    assert _fired(root, imports=symbols, soname="libapp.so.6") != set()


def test_directories_that_programs_take_for_granted(root: Path) -> None:
    """All that a package brings may be directories, or files of its that go (Alpine, Fedora)."""
    directories = {"/tmp", "/var/log", "/run", "/proc", "/dev/shm", "/opt/empty"}
    make_tree(root, {**dict.fromkeys(directories), "/etc/base": "x", "/var/run": "-> /run"})
    owned = [*directories, "/etc/base", "/var/run", "/var", "/dev"]
    decision = decided(root, ["/etc/hosts"], {"base": owned, "hosts": ["/etc/hosts"]})
    assert [package.action for package in decision.plan.packages] == ["remove", "keep"]
    assert {*directories, "/var/run"} - decision.kept == {"/opt/empty"}


def test_time_zones(root: Path) -> None:
    found = _fired(root, imports=["localtime_r"])
    assert found == {"/etc/localtime", "/usr/share/zoneinfo/Etc/UTC"}
    found = _fired(root, imports=["localtime_r"], env=["TZ=:Europe/Berlin"])
    assert "/usr/share/zoneinfo/Europe/Berlin" in found


def test_time_zones_where_musl_looks(root: Path) -> None:
    found = _fired(root, imports=["localtime_r"], env=["TZ=Own/Zone"])
    assert "/etc/zoneinfo/Own/Zone" in found


def test_locale(root: Path) -> None:
    found = _fired(root, imports=["setlocale"], env=["LANG=de_DE.UTF-8"])
    assert found == {"/usr/lib/locale/C.utf8/LC_CTYPE", "/usr/lib/locale/de_DE.utf8/LC_CTYPE"}


def test_locale_in_a_place_that_the_environment_names(root: Path) -> None:
    make_tree(root, {f"/opt/locales/{name}/LC_CTYPE": "x" for name in ("de_DE.utf8", "fr_FR.utf8")})
    compile_library(root / APP.lstrip("/"), imports=["setlocale"])
    places = ["/opt/locales/de_DE.utf8/LC_CTYPE", "/opt/locales/fr_FR.utf8/LC_CTYPE"]
    config = {"Env": ["LANG=de_DE.UTF-8", "LOCPATH=/nowhere:/opt/locales/"]}
    packages = {path: [path] for path in [*OTHERS, *places, APP]}
    kept = decided(root, [APP], packages, config=config, granularity="file").kept
    assert [path in kept for path in places] == [True, False]


def test_name_services_that_glibc_takes_by_default(root: Path) -> None:
    (root / "etc/nsswitch.conf").write_text("group: systemd\n")
    for service in ("dns", "compat", "systemd", "myhostname"):
        compile_library(root / f"usr/lib/libnss_{service}.so.2")
    hosts = _fired(root, imports=["getaddrinfo"])
    assert {path for path in hosts if "libnss" in path} == {"/usr/lib/libnss_dns.so.2"}
    accounts = {path for path in _fired(root, imports=["getpwnam"]) if "libnss" in path}
    assert accounts == {"/usr/lib/libnss_compat.so.2", "/usr/lib/libnss_systemd.so.2"}


def test_gconv(root: Path) -> None:
    found = _fired(root, imports=["iconv_open"])
    assert found == {"/usr/lib/x86_64-linux-gnu/gconv/gconv-modules"}


def test_unwinder(root: Path) -> None:
    compile_library(root / "usr/lib/libgcc_s.so.1")
    assert _fired(root, imports=["pthread_exit"]) == {"/usr/lib/libgcc_s.so.1"}


def test_shell(root: Path) -> None:
    assert _fired(root, imports=["popen"]) == {"/usr/bin/sh", "/usr/bin/dash", "/bin"}


def test_what_a_rule_keeps_holds_no_links_to_it(root: Path) -> None:
    make_tree(root, {"/usr/lib/ssl/cert.pem": "-> /etc/ssl/certs/ca-certificates.crt"})
    compile_library(root / APP.lstrip("/"), soname="libgnutls.so.30")
    packages = {"links": ["/usr/lib/ssl/cert.pem"], "app": [APP]}
    assert "/usr/lib/ssl/cert.pem" not in decided(root, [APP], packages).kept


@pytest.mark.parametrize(
    ("functions", "kept"),
    [
        (["runtime.main"], set()),
        (["time.LoadLocation"], ZONES),
        (["time.initLocal"], {ZONE, "/etc/localtime"}),
        (["crypto/x509.loadSystemRoots"], {"/etc/ssl/certs/ca-certificates.crt"}),
        (["net.readHosts"], {"/etc/nsswitch.conf", "/etc/hosts", "/etc/resolv.conf"}),
        (["net.readServices", "xtime.initLocal"], {"/etc/services", "/etc/protocols"}),
    ],
)
def test_go(root: Path, functions: list[str], kept: set[str]) -> None:
    path = root / APP.lstrip("/")
    names = "".join(f"{name}\\0" for name in functions)
    table = f'__attribute__((used)) static const char table[] = "\\0{names}";'
    compile_library(path, source=table)
    assert _kept(root, [APP]) == set()
    note = '__attribute__((used, section(".note.go.buildid"), aligned(4))) static const struct'
    note += ' {int name, size, type; char text[8];} note = {4, 4, 4, "Go\\0\\0id\\0\\0"};'
    compile_library(path, source=table + note)
    assert _kept(root, [APP]) == kept


@pytest.mark.parametrize("name", ["node", "nodejs", "perl", "perl5.36.0", "ruby", "ruby3.1"])
def test_languages_that_start_the_shell(root: Path, name: str) -> None:
    make_tree(root, {f"/usr/local/bin/{name}": "x"})
    assert "/usr/bin/dash" in _kept(root, [f"/usr/local/bin/{name}"])


@pytest.mark.parametrize(
    "path", ["/usr/bin/php8.2", "/usr/sbin/php-fpm7.4", "/usr/lib/apache2/modules/libphp8.4.so"]
)
def test_php(root: Path, path: str) -> None:
    sessions = "/var/lib/php/sessions"
    make_tree(root, {path: "x"})
    (root / sessions.lstrip("/")).mkdir(parents=True)
    common = {"php-common": [sessions], "php": [path]}
    assert sessions in decided(root, [path], common).kept
    make_tree(root, {"/usr/bin/other": "x"})
    assert sessions not in decided(root, ["/usr/bin/other"], common).kept


def test_tls(root: Path) -> None:
    found = _fired(root, soname="libssl.so.3")
    assert found == {"/etc/ssl/openssl.cnf", "/etc/ssl/certs/ca-certificates.crt"}


OPENSSL = """openssl_conf = init # by default
[ init ]
providers = loaded
engines = engines
[loaded]
default = default
legacy = legacy
[engines]
1.own = own
[legacy]
activate = 1
[own]
dynamic_path = /usr/lib/engines-3/pkcs11.so
"""


def test_modules_that_openssl_is_configured_to_load(root: Path) -> None:
    legacy, fips, odd = (f"/usr/lib/ossl-modules/{name}.so" for name in ("legacy", "fips", "x/y"))
    pkcs11, afalg = (f"/usr/lib/engines-3/{name}.so" for name in ("pkcs11", "afalg"))
    modules = {legacy, fips, odd, pkcs11, afalg}
    own = "providers = a\n[a]\nfips = f\n"
    make_tree(root, {**dict.fromkeys(modules, "x"), "/srv/own.cnf": own})
    compile_library(root / APP.lstrip("/"), soname="libcrypto.so.3")
    config = root / "etc/ssl/openssl.cnf"
    config.write_text(OPENSSL)
    assert modules & _kept(root, [APP], more=modules) == {legacy, pkcs11}
    config.write_text("[\n=\nproviders = a\n[a\nlegacy")
    assert modules & _kept(root, [APP], more=modules) == {legacy}
    config.write_text("[b]\nlegacy = c\n")
    assert modules & _kept(root, [APP], ["OPENSSL_CONF=/srv/own.cnf"], modules) == {fips}


@pytest.mark.parametrize("server", ["server", "amd64/server"])
def test_java_without_its_source_and_without_a_display(root: Path, server: str) -> None:
    home = "/usr/lib/jvm/java"
    needed = {f"{home}/{name}" for name in ("lib/tzdb.dat", "lib/security/cacerts", "conf/x")}
    others = {f"{home}/{name}" for name in ("lib/src.zip", "lib/libawt_xawt.so", "jmods/x.jmod")}
    machine = f"{home}/lib/{server}/libjvm.so"
    make_tree(root, dict.fromkeys({machine, *needed, *others}, "x"))
    assert _kept(root, [machine], more=needed | others) == needed


def test_dotnet_without_icu_in_invariant_mode(root: Path) -> None:
    runtime = "/opt/dotnet/libSystem.Globalization.Native.so"
    for path in (runtime, "/usr/lib/libicuuc.so.72", "/usr/lib/libicui18n.so.72"):
        compile_library(root / path.lstrip("/"))
    icu = {"/usr/lib/libicuuc.so.72", "/usr/lib/libicui18n.so.72"}
    assert _kept(root, [runtime]) == icu
    assert _kept(root, [runtime], ["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=true"]) == set()


def test_python(root: Path) -> None:
    found = _kept(root, ["/usr/bin/python3.11"])
    assert "/usr/lib/python3.11/os.py" in found
    assert "/usr/lib/python3.11/test/test_os.py" not in found
    assert {"/etc/mime.types", "/usr/sbin/ldconfig", "/sbin"} <= found
    assert "/usr/share/zoneinfo/Europe/Berlin" in found
    assert _kept(root, ["/usr/share/zoneinfo/Europe/Berlin"]) == set()


def test_python_distribution_is_one_whole(root: Path) -> None:
    site = "/usr/lib/python3/dist-packages"
    files = {
        f"{site}/yaml/__init__.py": "x",
        f"{site}/yaml/late.py": "x",
        f"{site}/_yaml/__init__.py": "x",
        f"{site}/PyYAML-6.dist-info/METADATA": "x",
        f"{site}/PyYAML-6.dist-info/RECORD": "yaml/__init__.py,,\nyaml/late.py,,\n"
        "_yaml/__init__.py,,\nPyYAML-6.dist-info/METADATA,,\n../../../../etc/passwd,,\n",
        f"{site}/other/__init__.py": "x",
        f"{site}/other-1.egg-info/top_level.txt": "other\n",
    }
    make_tree(root, files)
    packages = {f"p{n}": [path] for n, path in enumerate([*OTHERS, *files])}
    traced = [f"{site}/yaml/__init__.py"]
    found = kept_files(decided(root, traced, packages, granularity="file"), root) - ALWAYS
    assert found == {path for path in files if "other" not in path}


def test_pam_modules_of_the_services_that_a_program_names(root: Path) -> None:
    security = "/usr/lib/x86_64-linux-gnu/security"
    modules = ("unix", "deny", "limits", "env", "other", "unused")
    files = {
        "/etc/pam.d/app": "auth [success=1 default=ignore] pam_unix.so nullok\n@include common\n"
        "session substack more # pam_unused.so\naccount required\\\n /lib/security/pam_deny.so\n",
        "/etc/pam.d/common": "@include app\n-session optional pam_limits.so\n",
        "/etc/pam.d/more": "session required pam_env.so readenv=1\n",
        "/etc/pam.d/other": "auth required pam_other.so\n",
        "/etc/pam.d/unused": "auth required pam_unused.so\n",
        "/etc/security/limits.conf": "x",
        "/etc/security/time.conf": "x",
        "/usr/sbin/unix_chkpwd": "x",
        **{f"{security}/pam_{name}.so": "x" for name in modules},
    }
    make_tree(root, files)
    packages = {path: [path] for path in [*OTHERS, *files, APP]}
    named = 'const char *file = "/etc/pam.d/app2", *service = "app";'
    place = root / APP.lstrip("/")
    compile_library(place, imports=["pam_start"], source=named.replace('"app"', '"apps"'))
    assert not set(files) & decided(root, [APP], packages, granularity="file").kept
    compile_library(place, imports=["pam_start"], source=named)
    kept = decided(root, [APP], packages, granularity="file").kept
    gone = {"/etc/pam.d/unused", f"{security}/pam_unused.so", "/etc/security/time.conf"}
    assert set(files) - kept == gone


def test_used_packages(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package counts as used where something of it is of the primary closure."""
    rule = Rule("own/plugins", used=("app-*",), keep=("/usr/share/{package}/**",))
    monkeypatch.setattr("paredown_minimizer.decide.load_rules", lambda: (rule,))
    make_tree(root, {"/usr/share/app-1/plugin": "x", "/opt/a": "x", "/opt/b": "x"})
    packages = {"app-1": ["/opt/a"], "b": ["/opt/b"], "plugins": ["/usr/share/app-1/plugin"]}
    assert "/usr/share/app-1/plugin" in decided(root, ["/opt/a"], packages).kept
    assert "/usr/share/app-1/plugin" not in decided(root, ["/opt/b"], packages).kept


def test_licence_of_everything_that_stays(root: Path) -> None:
    make_tree(
        root,
        {
            "/usr/share/doc/a/copyright": "see /usr/share/common-licenses/GPL-2.",
            "/usr/share/doc/b": "-> a",
            "/usr/share/common-licenses/GPL-2": "x",
            "/usr/share/common-licenses/GPL-3": "x",
            "/usr/bin/b": "x",
            "/usr/bin/a": "x",
            "/usr/share/doc/c/copyright": "x",
        },
    )
    packages = {
        "a": ["/usr/share/doc/a/copyright", "/usr/bin/a"],
        "b": ["/usr/share/doc/b", "/usr/bin/b"],
        "c": ["/usr/share/doc/c/copyright"],
        "base": ["/usr/share/common-licenses/GPL-2", "/usr/share/common-licenses/GPL-3"],
        "rest": list(OTHERS),
    }
    decision = decided(root, ["/usr/bin/b"], packages)
    assert kept_files(decision, root) - ALWAYS - set(OTHERS) == {
        "/usr/bin/b",
        "/usr/share/doc/b",
        "/usr/share/doc/a/copyright",
        "/usr/share/common-licenses/GPL-2",
    }
    assert {p.name: p.action for p in decision.plan.packages}["a"] == "trim"


def test_every_topic_names_its_sources() -> None:
    topics = {rule.name.partition("/")[0] for rule in load_rules()}
    files = importlib.resources.files("paredown_minimizer") / "rules"
    named = {f.name.removesuffix(".yaml") for f in files.iterdir() if f.name.endswith(".yaml")}
    assert topics == named
    assert len(topics) >= 11


def test_every_rule_has_a_program_that_breaks_without_it() -> None:
    """They are run by integration/test_knowledge.py."""
    proved = {proof.rule for proof in proofs.ALL}
    rules = {rule.name for rule in load_rules()}
    assert proved == rules


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("rules: []", "rules"),
        ("rules: [{name: a, why: b, when: {imports: [x]}}]", "rules"),
        ("rules: [{name: a, why: b, when: {imports: [x]}, keep: ['/{unknown}']}]", "unknown"),
        ("rules: [{name: a, why: b, when: {magic: [x]}, keep: [/a]}]", "rules"),
    ],
)
def test_wrong_rules_are_told(
    record: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.resources.files("paredown_minimizer") / "rules" / "rules.schema.json"
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.schema.json").write_text(real.read_text("utf-8"))
    (tmp_path / "rules" / "bad.yaml").write_text(f"topic: T\nsources: [s]\n{record}\n")
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    load_rules.cache_clear()
    try:
        with pytest.raises(ParedownError, match=rf"cannot read rules bad\.yaml.*{message}"):
            load_rules()
    finally:
        monkeypatch.undo()
        load_rules.cache_clear()


def test_patterns(root: Path) -> None:
    image = open_directory(str(root))
    tree = image.tree
    assert expand(tree, "/bin/sh") == ["/bin/sh"]  # spelt as a program would, links and all
    assert expand(tree, "/usr/lib/python3.11/*/util.py") == ["/usr/lib/python3.11/ctypes/util.py"]
    assert expand(tree, "/usr/**/util.py") == ["/usr/lib/python3.11/ctypes/util.py"]
    assert expand(tree, "/usr/share/zoneinfo/Etc/**") == ["/usr/share/zoneinfo/Etc/UTC"]
    assert expand(tree, "/usr/lib/pytho") == []
    image.close()
    match = compile_pattern("{**root}/lib/python3.{minor}/x.py").fullmatch(
        "/opt/a b/lib/python3.12/x.py"
    )
    assert match is not None
    assert match.groupdict() == {"root": "/opt/a b", "minor": "12"}
    assert not compile_pattern("{**root}/bin/python3.{minor}").fullmatch("/bin/python3.1/x")
