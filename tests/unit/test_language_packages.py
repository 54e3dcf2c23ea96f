"""Language packages in small trees: whose files are whose, what goes, and what then says so."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from decisions import make_tree
from languages import files_of, handed, slim
from paredown_minimizer.explain import explain
from paredown_schemas.errors import ParedownError

MODULES = "/app/node_modules"


def _module(place: str, name: str, *files: str, version: str = "1.0.0") -> dict[str, str | None]:
    manifest = json.dumps({"name": name, "version": version})
    texts = dict.fromkeys((f"{place}/{file}" for file in files), "x")
    return {f"{place}/package.json": manifest, **texts}


@pytest.fixture
def npm(tmp_path: Path) -> Path:
    lock = {
        "name": "app",
        "lockfileVersion": 3,
        "packages": {
            f"node_modules/{at}": {"version": "1.0.0"}
            for at in ("ms", "debug", "debug/node_modules/ms", "@a/b")
        },
    }
    files: dict[str, str | None] = {
        "/app/package.json": '{"name": "app", "version": "1.0.0"}',
        "/app/server.js": "x",
        f"{MODULES}/.package-lock.json": json.dumps(lock),
        **_module(f"{MODULES}/debug", "debug", "index.js", "lib/late.js", "LICENSE"),
        **_module(f"{MODULES}/debug/node_modules/ms", "ms", "index.js"),
        **_module(f"{MODULES}/ms", "ms", "index.js", version="2.0.0"),
        **_module(f"{MODULES}/@a/b", "@a/b", "b.js", "test/node/package.json"),
        f"{MODULES}/@a/b/esm/package.json": '{"type": "module"}',
        f"{MODULES}/.bin/b": "-> ../@a/b/b.js",
        f"{MODULES}/.bin/debug": "-> ../debug/index.js",
    }
    make_tree(tmp_path / "tree", files)
    return tmp_path / "tree"


DEBUG = [f"{MODULES}/debug/index.js", f"{MODULES}/debug/package.json"]
INNER = f"{MODULES}/debug/node_modules/ms/index.js"


def test_each_copy_of_a_module_is_one_package(npm: Path) -> None:
    result = slim(npm, ["/app/server.js", *DEBUG, INNER], handed("npm"))
    assert result.actions("npm") == {
        "debug": "keep",
        "@a/b": "remove",
        f"ms {MODULES}/debug/node_modules/ms": "keep",
        f"ms {MODULES}/ms": "remove",
    }
    left = result.files()
    assert f"{MODULES}/.bin/debug" in left
    assert not {f"{MODULES}/ms/index.js", f"{MODULES}/.bin/b"} & left
    assert not (result.root / MODULES[1:] / "@a").exists()
    lock = json.loads((result.root / MODULES[1:] / ".package-lock.json").read_text())
    assert set(lock["packages"]) == {"node_modules/debug", "node_modules/debug/node_modules/ms"}
    assert f"npm:ms@{MODULES}/debug/node_modules/ms 1.0.0 stays whole (2 files)" in explain(
        result.plan, "npm:ms"
    )
    if shutil.which("npm") is None:  # a second witness, where the machine has it
        return
    command = ["npm", "ls", "--all", "--json", "--prefix", str(result.root / "app")]
    listed = json.loads(subprocess.run(command, check=False, capture_output=True).stdout)
    assert set(listed["dependencies"]) == {"debug"}


def test_file_granularity_keeps_evidence_manifest_and_licence(npm: Path) -> None:
    result = slim(npm, DEBUG[:1], handed("npm"), "file")
    own = {path for path in result.files() if path.startswith(f"{MODULES}/debug/")}
    assert own == {*DEBUG, f"{MODULES}/debug/LICENSE"}
    assert result.actions("npm")["debug"] == "trim"


def test_default_pins_and_places(npm: Path) -> None:
    assert slim(npm, DEBUG).files() == files_of(npm)
    pins = "pins: [{remove: 'package:npm:@a/b', reason: r}]"
    gone = files_of(npm) - slim(npm, DEBUG, handed(pins=pins)).files()
    assert gone == {path for path in files_of(npm) if "/@a/b/" in path} | {f"{MODULES}/.bin/b"}
    pins = f"pins: [{{keep: 'package:npm:ms@{MODULES}/ms', reason: r}}]"
    assert slim(npm, DEBUG, handed("npm", pins=pins)).actions("npm")[f"ms {MODULES}/ms"] == "keep"
    place = f"language_packages: [{{manager: npm, path: {MODULES}/@a, reason: tools}}]"
    result = slim(npm, DEBUG, f"version: 1\n{place}")
    assert {p.name: p.handed for p in result.plan.packages if p.action == "remove"} == {
        "@a/b": "tools"
    }
    with pytest.raises(ParedownError, match="cannot hand over gem packages .*: the image has none"):
        slim(npm, DEBUG, handed("gem"))
    with pytest.raises(ParedownError, match=r"npm packages in /opt/\*\*"):
        slim(
            npm, DEBUG, "version: 1\nlanguage_packages: [{manager: npm, path: /opt/**, reason: r}]"
        )


def _jar(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/"), text)
    return file.getvalue()


def test_java_archives_are_files_that_name_themselves(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    pom = "groupId=org.a\nartifactId=core\nversion=2.17\n"
    nested = {"META-INF/maven/o/other/pom.properties": pom, "META-INF/MANIFEST.MF": ""}
    manifest = (
        "Manifest-Version: 1.0\nBundle-SymbolicName: org.b.very.lo\n ng;x=y\nBundle-Version: 3\n"
    )
    jars = {
        "used.jar": _jar(**{"META-INF/maven/org.a/core/pom.properties": pom}),
        "b.jar": _jar(**{"META-INF/MANIFEST.MF": manifest}),
        "c-1.2.3.war": _jar(**nested, **{"META-INF/maven/o/x/pom.properties": pom}),
        "damaged-4.jar": b"PK" + b"x" * 40,
        "giant-5.jar": b"PK\5\6" + b"\xff" * 18,
    }
    for name, data in jars.items():
        (root / "srv").mkdir(parents=True, exist_ok=True)
        (root / "srv" / name).write_bytes(data)
    result = slim(root, ["/srv/used.jar"], handed("java"))
    found = {(package.name, package.version, package.action) for package in result.plan.packages}
    assert {package.name: package.group for package in result.plan.packages if package.group} == {
        "core": "org.a"
    }
    assert found == {
        ("core", "2.17", "keep"),
        ("org.b.very.long", "3", "remove"),
        ("c", "1.2.3", "remove"),
        ("damaged", "4", "remove"),
        ("giant", "5", "remove"),
    }
    assert result.files() == {"/srv/used.jar"}
    assert len(result.decision.warnings) == 2


VENDOR = "/var/www/vendor"
PHP = """<?php return array(
    'root' => array(
        'name' => 'app/app',
        'aliases' => array(),
    ),
    'versions' => array(
        'a/used' => array(
            'pretty_version' => '1.0',
            'aliases' => array(
                0 => 'x',
            ),
        ),
        'b/unused' => array(
            'pretty_version' => '1.0',
            'aliases' => array(),
        ),
        'c/virtual' => array(
            'provided' => array(
                0 => '1',
            ),
        ),
        'd/virtual' => array(
            'provided' => array(
                0 => '1',
            ),
        ),
    ),
);
"""


def test_composers_lists_name_what_is_left(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    listed = {
        "packages": [
            {
                "name": "a/used",
                "version": "1.0.0",
                "install-path": "../a/used",
                "provide": {"d/virtual": "1"},
                "bin": ["bin/a"],
            },
            {
                "name": "b/unused",
                "version": "1.0.0",
                "install-path": "../b/unused",
                "provide": {"c/virtual": "1", "d/virtual": "1"},
                "bin": ["bin/b"],
            },
            {"name": "evil/climber", "version": "1", "install-path": "../../../../../etc"},
            {"name": "evil/all", "version": "1", "install-path": "../.."},
            {"name": "meta/package", "version": "1", "install-path": None},
        ],
        "dev-package-names": ["b/unused"],
    }
    make_tree(
        root,
        {
            "/etc/passwd": "x",
            "/var/www/index.php": "x",
            f"{VENDOR}/composer/installed.json": json.dumps(listed),
            f"{VENDOR}/composer/installed.php": PHP,
            f"{VENDOR}/a/used/src/A.php": "x",
            f"{VENDOR}/a/used/src/Late.php": "x",
            f"{VENDOR}/b/unused/src/B.php": "x",
            f"{VENDOR}/bin/a": "x",
            f"{VENDOR}/bin/b": "x",
        },
    )
    result = slim(root, [f"{VENDOR}/a/used/src/A.php"], handed("composer"))
    assert result.actions("composer") == {"a/used": "keep", "b/unused": "remove"}
    gone = files_of(root) - result.files()
    assert gone == {f"{VENDOR}/b/unused/src/B.php", f"{VENDOR}/bin/b"}
    after = json.loads((result.root / VENDOR[1:] / "composer/installed.json").read_text())
    assert "b/unused" not in {package["name"] for package in after["packages"]}
    assert after["dev-package-names"] == []
    code = (result.root / VENDOR[1:] / "composer/installed.php").read_text()
    assert "'a/used' => array(" in code
    assert "'d/virtual' => array(" in code
    assert "unused" not in code
    assert "c/virtual" not in code
    assert code.count("(") == code.count(")")


SITE = "/opt/venv/lib/python3.11/site-packages"


def _distribution(name: str, *rows: str, site: str = SITE) -> dict[str, str | None]:
    info = f"{site}/{name}-1.0.dist-info"
    return {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/RECORD": "".join(f"{row},,\n" for row in rows),
        f"{info}/licenses/LICENSE": "x",
    }


def test_record_may_name_bin_of_its_installation_and_no_more(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    climbing = ["../../../bin/tool", "../../../../../etc/passwd", "/etc/shadow", "x" * 5000]
    files: dict[str, str | None] = {
        **_distribution("Evil", "evil.py", *climbing),
        f"{SITE}/evil.py": "x",
        f"{SITE}/__pycache__/evil.cpython-311.pyc": "x",
        f"{SITE}/.pth": "x",
        "/opt/venv/bin/tool": "x",
        "/etc/passwd": "x",
        "/etc/shadow": "x",
    }
    make_tree(root, files)
    result = slim(root, ["/etc/passwd"], handed("python"))
    assert result.actions("python") == {"evil": "remove"}
    assert result.files() == {"/etc/passwd", "/etc/shadow", f"{SITE}/.pth"}


def test_namespaces_eggs_and_asking_for_a_version(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    files: dict[str, str | None] = {
        **_distribution("space-one", "space/one/__init__.py"),
        **_distribution("space-two", "space/two/__init__.py"),
        **_distribution("asked", "asked.py"),
        f"{SITE}/space/one/__init__.py": "x",
        f"{SITE}/space/two/__init__.py": "x",
        f"{SITE}/asked.py": "x",
        f"{SITE}/old-2.egg-info/PKG-INFO": "Name: old\nVersion: 2\n",
        f"{SITE}/old-2.egg-info/installed-files.txt": "../old.py\nPKG-INFO\n",
        f"{SITE}/old.py": "x",
        f"{SITE}/older-3-py3.11.egg-info": "Metadata-Version: 1.0\nName: older\nVersion: 3\n",
        f"{SITE}/space_two-1.0.dist-info/entry_points.txt": "[x]\n",
    }
    make_tree(root, files)
    used = [
        f"{SITE}/space/one/__init__.py",
        f"{SITE}/asked-1.0.dist-info/METADATA",
        f"{SITE}/space_two-1.0.dist-info/entry_points.txt",  # as whoever looks for plugins reads it
    ]
    result = slim(root, used, handed("python"))
    assert result.actions("python") == {
        "space-one": "keep",
        "space-two": "remove",
        "asked": "keep",
        "old": "remove",
        "older": "remove",
    }
    assert not (result.root / SITE[1:] / "space/two").exists()


def test_what_the_system_owns_is_not_listed_twice(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    site = "/usr/lib/python3/dist-packages"
    files: dict[str, str | None] = {
        **_distribution("flask", "flask.py", site=site),
        **_distribution("own", "own.py"),
        f"{site}/flask.py": "x",
        f"{SITE}/own.py": "x",
        "/usr/bin/python3": "x",
    }
    listed = "".join(f"{path}\n" for path in files if path.startswith("/usr"))
    status = "Package: python3-flask\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
    files["/var/lib/dpkg/status"] = status
    files["/var/lib/dpkg/info/python3-flask.list"] = listed
    make_tree(root, files)
    result = slim(root, ["/usr/bin/python3"])
    assert [(p.manager, p.name) for p in result.plan.packages] == [
        ("dpkg", "python3-flask"),
        ("python", "own"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        '{"name": 1}',
        "\x00",
        '{"name": "x", "version": "' + "1" * 5000 + '"}',
        '{"name": "x\\u0000", "version": "1"}',
        '{"name": "x\\ud800", "version": "1"}',
        "Name: x\x1b[31m\nVersion: \x00\n",
        "[]",
    ],
)
def test_hostile_manifests_leave_their_files_to_the_application(text: str, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "app/node_modules/evil").mkdir(parents=True)
    for name in ("package.json", "index.js"):
        (root / "app/node_modules/evil" / name).write_text(text)
    make_tree(
        root,
        {
            "/vendor/composer/installed.json": text,
            "/vendor/composer/installed.php": text,
            "/gems/specifications/evil-1.gemspec": text,
            "/site/evil-1.dist-info/RECORD": text,
            "/site/evil-1.dist-info/METADATA": text,
            "/app/node_modules/.package-lock.json": text,
        },
    )
    result = slim(root, [])
    assert result.files() == files_of(root)
    assert {package.manager for package in result.plan.packages} <= {"python"}


GEMS = "/usr/local/bundle"


def _gem(name: str, *needs: str) -> dict[str, str | None]:
    depends = "".join(f"  s.add_runtime_dependency(%q<{need}>.freeze, [])\n" for need in needs)
    spec = f"# stub: {name} 1.0 ruby lib\n\nGem::Specification.new do |s|\n{depends}end\n"
    return {
        f"{GEMS}/extensions/x86_64-linux/3.1.0/{name}-1.0/gem.build_complete": "",
        f"{GEMS}/specifications/{name}-1.0.gemspec": spec,
        f"{GEMS}/gems/{name}-1.0/lib/{name}.rb": "x",
        f"{GEMS}/gems/{name}-1.0/README": "x",
        f"{GEMS}/cache/{name}-1.0.gem": "x",
    }


@pytest.mark.parametrize("granularity", ["package", "file"])
def test_a_gem_keeps_the_specifications_of_what_it_depends_on(
    granularity: str, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    make_tree(root, {**_gem("used", "needed"), **_gem("needed"), **_gem("unused", "used")})
    make_tree(root, {f"{GEMS}/specifications/default/json-2.gemspec": "# stub: json 2 ruby lib\n"})
    every = [f"{GEMS}/specifications/{name}-1.0.gemspec" for name in ("used", "needed", "unused")]
    result = slim(root, [*every, f"{GEMS}/gems/used-1.0/lib/used.rb"], handed("gem"), granularity)
    whole = "keep" if granularity == "package" else "trim"
    assert result.actions("gem") == {"used": whole, "needed": whole, "unused": "remove"}
    left = {path for path in result.files() if "/needed-" in path}
    built = f"{GEMS}/extensions/x86_64-linux/3.1.0/needed-1.0/gem.build_complete"
    assert (left == {every[1], built}) == (granularity == "file")
    assert not any("unused" in path for path in result.files())
