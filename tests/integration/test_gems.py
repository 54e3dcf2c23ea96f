"""Gems that Debian's RubyGems built and installed: what is left loads, and says what is left."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import rootfs
from fixture_types import Require
from languages import handed, slim
from paredown_schemas.trace import File
from traces import use

HOME = "/var/lib/gems/3.1.0"
NAMES = {"greeting": ["politeness"], "politeness": [], "shouting": []}
SPECIFICATION = """Gem::Specification.new do |s|
  s.name = "{name}"
  s.version = "1.0"
  s.summary = "x"
  s.authors = ["x"]
  s.files = ["lib/{name}.rb", "LICENSE"]
  s.executables = ["{name}"]
  {needs}
end
"""
BUILD = """set -e
cd /tmp/gems
for name in politeness shouting greeting; do
  cd $name && gem build --silent $name.gemspec && gem install --local --no-document $name-1.0.gem
  cd ..
done
cd / && rm -rf /tmp/gems
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Path:
    """Return a Debian with Ruby in which three gems were installed, one of which needs another."""
    require(os.geteuid() == 0, "a root filesystem with its owners takes root")
    root = tmp_path_factory.mktemp("gems") / "tree"
    subprocess.run(["cp", "-a", "--reflink=auto", rootfs.cached("ruby"), root], check=True)
    for name, needs in NAMES.items():
        directory = root / "tmp/gems" / name
        (directory / "lib").mkdir(parents=True)
        (directory / "bin").mkdir()
        (directory / "lib" / f"{name}.rb").write_text(f"module {name.title()}; end\n")
        (directory / "bin" / name).write_text(f"#!/usr/bin/env ruby\nrequire '{name}'\nputs 'hi'\n")
        (directory / "LICENSE").write_text("x")
        lines = "\n  ".join(f's.add_dependency "{need}"' for need in needs)
        text = SPECIFICATION.format(name=name, needs=lines)
        (directory / f"{name}.gemspec").write_text(text)
    _in(root, "sh", "-c", BUILD)
    return root


def _in(root: Path, *command: str) -> str:
    result = subprocess.run(
        ["chroot", str(root), *command], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_unused_gems_go_and_what_is_left_loads(installed: Path) -> None:
    listed = _in(installed, "gem", "list", "--local")
    assert "shouting (1.0)" in listed
    used: list[str | File] = [
        use("/usr/bin/ruby3.1", how="exec"),
        use("/usr/bin/gem", how="script"),
        "/usr/bin/gem3.1",
        "/usr/lib/ruby/vendor_ruby/rubygems.rb",
        "/usr/lib/ruby/vendor_ruby/rubygems/defaults/operating_system.rb",
        f"{HOME}/gems/greeting-1.0/lib/greeting.rb",
        *(f"{HOME}/specifications/{name}-1.0.gemspec" for name in NAMES),
    ]
    result = slim(installed, used, handed("gem"))
    assert result.actions("gem") == {"greeting": "keep", "politeness": "keep", "shouting": "remove"}
    after = _in(result.root, "gem", "list", "--local")
    assert "shouting" not in after
    assert "greeting (1.0)" in after
    assert "politeness (1.0)" in after
    # Activating it fails where what it depends on is not there.
    assert _in(result.root, "ruby", "-e", "gem 'greeting'; require 'greeting'; puts Greeting") == (
        "Greeting\n"
    )
    assert _in(result.root, "greeting") == "hi\n"
    left = [path for path in result.files() if "shouting" in path]
    assert left == []
