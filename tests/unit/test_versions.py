"""The order of versions is each package manager's own."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixture_types import Require
from paredown_minimizer.cves.versions import UnknownVersionError, key

# What deb-version(7) and Debian's policy 5.6.12 speak of, and odd ones that are out there.
DEBIAN = (
    *("0", "0.1", "1", "1.0", "1.0-0", "1.0-1", "1.0-1+b2", "1.0-1~bpo1", "1.0~rc1-1", "1.0~~-1"),
    *("1.0+dfsg-1", "1.0a-1", "1.0.a-1", "1:0.1-1", "2:0", "5.36.0-7+deb12u1", "2.36-9+deb12u10"),
    *("3.0.11-1~deb12u2", "3.0.11-1", "1.2.3-4ubuntu0.1", "1.2.3-4", "20230311", "9.53.3~dfsg-7"),
)
# rpm's own tests (tests/rpmvercmp.at) are about such.
RPM = (
    *("1.0", "2.0", "2.0.1", "2.0.1a", "5.5p1", "5.5p2", "5.5p10", "10xyz", "10.1xyz", "xyz10"),
    *("xyz.4", "8", "5.6.0", "6.0.rc1", "10b2", "1.0aa", "1.0a", "10.0001", "10.0039", "20101121"),
    *(
        "2_0",
        "a",
        "a+",
        "a_",
        "1.0~rc1",
        "1.0~rc1~git123",
        "1.0^",
        "1.0^git1",
        "1.0^git1~pre",
        "1.",
    ),
    *("1.0^20160101", "1.0.1", "1.0^20160101~git", "1b.fc17", "1g.fc17", "3.0.1.43.el9_0"),
)
# apk-tools, test/version.data; and what Alpine's packages are called.
APK = """
2.34 > 0.1.0_alpha|0.1.0_alpha = 0.1.0_alpha|0.1.0_alpha < 0.1.3_alpha|0.1.0_alpha2 > 0.1.0_alpha
2.2.39-r1 > 1.0.4-r3|1.0.4-r3 < 1.0.4-r4|1.0.2 > 0.7-r1|1.1 > 1.1_alpha1|1.3_alpha2 < 1.3_alpha3
2.3.0b-r1 < 2.3.0b-r2|0.12 < 0.13_beta1|0.6 < 2.1.13-r3|3.1_p16 < 3.1_p17|1.06-r6 < 006
006 > 1.0.0|1.2.2-r1 > 1.2.2|1.21-r1 > 0.13|1.39 > 1.00_beta2|1.02 < 1.03-r1|1.02.07 < 1.02.10-r1
4.2.52_p2-r1 < 4.2.52_p4-r2|2.5.1-r8 < 2.5.1a-r1|0.10.1_rc1 > 0.9.11|6b-r7 > 1.12-r7
0.9.8c-r1 < 0.9.8d|013 < 014-r1|1.07-r1 < 1.07.5|021109-r3 < 20060512|2.9.11_pre20051101-r2 < 2.9.11
1.3_pre1-r1 < 1.3.2|1.0_p10-r0 > 1.0_p9-r0|0.1.0_alpha_pre2 < 0.1.0_alpha|1.02 < 1.1|0.98 < 1.00
1.2.4_git20230717-r4 > 1.2.4-r2|1.2.4_git20230717-r4 < 1.2.5-r0|3.3.2-r0 < 3.3.10-r0
"""


def sign(manager: str, one: str, other: str) -> int:
    a, b = key(manager, one), key(manager, other)
    return -1 if a < b else int(b < a)


def test_debian_versions_are_in_dpkgs_order(require: Require) -> None:
    require(shutil.which("dpkg") is not None, "dpkg")
    pairs = random.Random(1).sample(list(itertools.permutations(DEBIAN, 2)), 150)
    for one, other in pairs:
        less = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False)
        assert (sign("dpkg", one, other) < 0) == (less.returncode == 0), (one, other)


def test_rpm_versions_are_in_rpms_order(require: Require, tmp_path: Path) -> None:
    """All pairs by rpm's own comparison, in one run of its Lua."""
    require(shutil.which("rpm") is not None, "rpm")
    pairs = list(itertools.product(RPM, repeat=2))
    script = tmp_path / "compare.lua"
    script.write_text("\n".join(f'print(rpm.vercmp("{a}", "{b}"))' for a, b in pairs))
    command = ["rpm", "--eval", f'%{{lua:dofile("{script}")}}']
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    told = [int(found) for found in re.findall(r"-?[01]", output)]
    assert [sign("rpm", f"{a}-1", f"{b}-1") for a, b in pairs] == told


def test_apk_versions_are_in_apks_order() -> None:
    for line in APK.replace("\n", "|").split("|"):
        if line:
            one, relation, other = line.split()
            assert "<=>"[sign("apk", one, other) + 1] == relation, line


@pytest.mark.parametrize(
    ("manager", "less", "more"),
    [
        ("rpm", "1:1.0-1.el9", "2:0.1-1.el9"),
        ("rpm", "1.0-1.el9_0", "1.0-1.el9_1"),
        ("python", "2.0rc1", "2.0"),
        ("python", "2.9", "2.10.post1"),
        ("npm", "1.0.0-beta.2", "1.0.0-beta.11"),
        ("npm", "9.9.9", "10.0.0"),
        ("gem", "1.0.0.pre1", "1.0.0"),
        ("java", "2.0-alpha-1", "2.0"),
        ("java", "2.9.9", "2.10.0"),
        ("composer", "v1.9.0", "1.10.0"),
    ],
)
def test_versions_of_languages_and_epochs(manager: str, less: str, more: str) -> None:
    assert sign(manager, less, more) == -1
    assert sign(manager, more, less) == 1


@pytest.mark.parametrize(
    ("manager", "text"),
    [
        ("dpkg", ""),
        ("dpkg", "a b"),
        ("dpkg", "1:2:3:é"),
        ("rpm", "x:1"),
        ("rpm", ""),
        ("apk", "1.0bc"),
        ("apk", "9" * 5000),
        ("python", "not-a-version"),
        ("npm", "latest"),
        ("java", "1-" * 2000),
    ],
)
def test_what_is_no_version_is_told(manager: str, text: str) -> None:
    with pytest.raises(UnknownVersionError):
        key(manager, text)


@pytest.mark.parametrize(
    "manager", ["apk", "composer", "dpkg", "gem", "java", "npm", "python", "rpm"]
)
@given(texts=st.lists(st.text("0123456789.-+~^:_aZr \n\xe9v", max_size=24), min_size=2, max_size=2))
def test_any_text_has_a_place_or_is_no_version(manager: str, texts: list[str]) -> None:
    one, other = texts
    with contextlib.suppress(UnknownVersionError):
        assert sign(manager, one, other) == -sign(manager, other, one)
