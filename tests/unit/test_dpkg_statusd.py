"""dpkg's database as distroless images have it: status.d, read and rewritten in its own form."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from decisions import make_tree, runs_of
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.dpkg import Dpkg
from paredown_minimizer.packages.registry import find_manager
from paredown_minimizer.policy import Policy
from paredown_schemas.errors import ParedownError

STATUS_D = "/var/lib/dpkg/status.d"
STANZA = "Package: {}\nVersion: 1\nArchitecture: amd64\nMaintainer: Somebody\n"
SUM = "0123456789abcdef0123456789abcdef"
FILES: Mapping[str, str | None] = {
    "/lib": "-> usr/lib",
    "/usr/bin/app": "#!app",
    "/usr/lib/libold.so.1": "x",
    "/usr/lib/libold.so": "-> libold.so.1",
    "/usr/lib/libtwo.so.1": "x",
    "/sbin/merged": "x",
    "/usr/share/doc/two/README": "x",
    "/etc/two.conf": "nobody lists it",
    "/tmp": None,
    f"{STATUS_D}/app": STANZA.format("app"),
    f"{STATUS_D}/app.md5sums": f"{SUM}  usr/bin/app\n{SUM}  usr/share/doc/app/excluded\n",
    f"{STATUS_D}/b2xk": STANZA.format("old"),  # "old" in base64
    f"{STATUS_D}/b2xk.md5sums": f"{SUM}  ./lib/libold.so.1\n",
    f"{STATUS_D}/two": STANZA.format("two"),
    f"{STATUS_D}/two.md5sums": f"{SUM}  lib/libtwo.so.1\n{SUM}  usr/share/doc/two/README\n"
    f"{SUM}  usr/sbin/merged\n",
    f"{STATUS_D}/unknown": STANZA.format("unknown") + "Depends: old\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_tree(tmp_path / "root", FILES)
    return tmp_path / "root"


@pytest.fixture
def image(root: Path) -> Iterator[DirectoryImage]:
    with contextlib.closing(DirectoryImage(root)) as opened:
        yield opened


def decided(
    image: DirectoryImage, root: Path, *used: str, granularity: str = "package"
) -> Decision:
    return decide(image, find_manager(image), runs_of(root, used), Policy(), granularity)  # type: ignore[arg-type]


def changes(image: DirectoryImage, kept: Decision) -> dict[str, str | None]:
    inventory = Dpkg().read(image)
    changed = Dpkg().rewrite(image, inventory, kept.kept - inventory.database)
    return {
        path.removeprefix(f"{STATUS_D}/"): None if text is None else text.decode()
        for path, text in changed.items()
    }


def test_packages_and_owners_whatever_the_files_are_called(image: DirectoryImage) -> None:
    inventory = Dpkg().read(image)
    assert isinstance(find_manager(image), Dpkg)
    assert {key.partition(":")[0] for key in inventory.packages} == {"app", "old", "two", "unknown"}
    assert inventory.owned["old:amd64"] == {"/usr/lib/libold.so.1"}
    assert inventory.owned["two:amd64"] == {
        "/usr/lib/libtwo.so.1",
        "/usr/share/doc/two/README",
        "/sbin/merged",  # listed below /usr, which is not merged here
    }
    assert inventory.unlisted == {"unknown:amd64"}


def test_what_goes_leaves_no_file_and_what_stays_keeps_its_name(
    image: DirectoryImage, root: Path
) -> None:
    decision = decided(image, root, "/usr/bin/app")
    assert {p.name: p.action for p in decision.plan.packages} == {
        "app": "keep",
        "old": "remove",
        "two": "remove",
        "unknown": "keep",
    }
    assert changes(image, decision) == {
        "app.md5sums": f"{SUM}  usr/bin/app\n",
        "b2xk": None,
        "b2xk.md5sums": None,
        "two": None,
        "two.md5sums": None,
    }
    assert {"/tmp", "/etc/two.conf"} <= decision.kept
    assert not {"/usr/lib/libold.so", "/usr/share/doc/two"} & decision.kept


def test_trimmed_package_lists_what_is_left(image: DirectoryImage, root: Path) -> None:
    decision = decided(image, root, "/usr/lib/libtwo.so.1", granularity="file")
    assert {p.name: p.action for p in decision.plan.packages}["two"] == "trim"
    assert changes(image, decision)["two.md5sums"] == f"{SUM}  lib/libtwo.so.1\n"


def test_both_forms_in_one_image(root: Path) -> None:
    status = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
    make_tree(
        root,
        {
            "/usr/bin/added": "#!x",
            "/var/lib/dpkg/status": status.format("added") + status.format("app"),
            "/var/lib/dpkg/info/added.list": "/.\n/usr/bin/added\n",
            "/var/lib/dpkg/info/app.list": "/.\n/etc/two.conf\n",
        },
    )
    with contextlib.closing(DirectoryImage(root)) as image:
        inventory = Dpkg().read(image)
        assert inventory.owned["app:amd64"] >= {"/usr/bin/app", "/etc/two.conf"}
        changed = changes(image, decided(image, root, "/usr/bin/app"))
    assert changed["/var/lib/dpkg/status"] == status.format("app")
    assert changed["/var/lib/dpkg/info/added.list"] is None
    assert changed["two"] is None
    assert "app" not in changed


def test_nothing_changes_where_all_stays(image: DirectoryImage) -> None:
    inventory = Dpkg().read(image)
    changed = Dpkg().rewrite(image, inventory, image.tree.keys() - inventory.database)
    assert set(changed) == {f"{STATUS_D}/app.md5sums"}  # what was excluded from the image


def test_malformed_file_is_told_with_its_line(root: Path) -> None:
    (root / STATUS_D.lstrip("/") / "two").write_text("Package: two\nno field\n")
    with (
        contextlib.closing(DirectoryImage(root)) as image,
        pytest.raises(ParedownError, match=r"status\.d/two: line 2 is not a field"),
    ):
        Dpkg().read(image)


def test_what_apt_noted_of_packages_goes_with_them(root: Path) -> None:
    noted = "Package: {}\nArchitecture: amd64\nAuto-Installed: 1\n\n"
    states = "/var/lib/apt/extended_states"
    make_tree(
        root,
        {
            states: noted.format("app") + noted.format("two"),
            "/usr/bin/apt": "#!x",
            f"{STATUS_D}/apt": STANZA.format("apt"),
            f"{STATUS_D}/apt.md5sums": f"{SUM}  usr/bin/apt\n",
        },
    )
    with contextlib.closing(DirectoryImage(root)) as image:
        with_apt = decided(image, root, "/usr/bin/app", "/usr/bin/apt")
        assert changes(image, with_apt)[states] == noted.format("app")
        without = decided(image, root, "/usr/bin/app")
        assert states not in without.kept
        assert states not in changes(image, without)
