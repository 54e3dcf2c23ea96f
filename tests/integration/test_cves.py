"""A real Alpine Linux, slimmed: its CVEs by records, and whether anything left is out of sight."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import apk_tree
from output_schemas import validator
from paredown_minimizer.cli import main
from paredown_minimizer.image.directory import open_directory
from paredown_schemas.cves import read_cves
from paredown_schemas.plan import read_plan
from scans import below, record, trivy, trivy_result, trivy_vulnerability, write
from traces import trace_records, use, write_trace

USED = [
    use("/usr/bin/hello-server", how="exec"),
    use("/lib/ld-musl-x86_64.so.1"),
    use("/usr/lib/libz.so.1.3.2"),
]


@pytest.fixture(scope="module")
def place(apk_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with plan.json, and the slim tree beside it."""
    place = tmp_path_factory.mktemp("cves")
    image = open_directory(str(apk_rootfs))
    trace = place / "app.trace"
    write_trace(trace, trace_records(USED, identity=image.identity, platform=image.platform))
    image.close()
    plan = str(place / "plan.json")
    source = f"dir:{apk_rootfs}"
    assert main(["plan", source, "--trace", str(trace), "--granularity", "file", "-o", plan]) == 0
    assert main(["apply", plan, source, "-o", f"dir:{place}/slim"]) == 0
    return place


def listed(root: Path, cve: str = "CVE-2026-0001") -> dict[str, Any]:
    """Return a report as Trivy writes it, of what the real apk lists, with a CVE in each."""
    packages, found = [], []
    for line in apk_tree.apk(root, "list", "--installed").splitlines():
        full, arch, origin = line.split()[:3]
        name, version, revision = full.rsplit("-", 2)
        purl = f"pkg:apk/alpine/{name}@{version}-{revision}?arch={arch}&distro=3.23"
        packages.append(
            {
                "ID": full,
                "Name": name,
                "Identifier": {"PURL": purl},
                "Version": f"{version}-{revision}",
                "SrcName": origin.strip("{}"),
            }
        )
        found.append(trivy_vulnerability(cve, name, f"{version}-{revision}", purl=purl))
    return trivy(trivy_result(found, type_="alpine", packages=packages))


def test_every_package_with_a_file_left_is_seen(
    apk_rootfs: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What apk lists before and after, as a scanner that finds something in each would tell."""
    before = write(tmp_path / "before.json", listed(apk_rootfs))
    after = write(tmp_path / "after.json", listed(place / "slim"))
    output = tmp_path / "cves.json"
    arguments = ["cves", str(place / "plan.json"), "--before", str(before), "--after", str(after)]
    arguments += ["--slim", f"dir:{place}/slim"]
    assert main([*arguments, "--format", "json", "-o", str(output)]) == 0
    cves = read_cves(output)
    validator("cves-1.schema.json").validate(json.loads(output.read_text()))
    packages = read_plan(place / "plan.json").packages
    left = {package.key for package in packages if package.action != "remove"}
    assert {f.package for f in cves.findings if f.fate == "stays"} == left
    assert len(cves.findings) == len(packages) > len(left) + 10
    assert {f.fate for f in cves.findings} == {"gone", "stays"}
    assert cves.hidden == ()
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "What stays, the worst first" in table
    assert "Projected" not in table


def test_a_database_that_hides_a_package_is_caught(
    apk_rootfs: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The slim tree with zlib's record taken out of apk's database, as other tools leave it."""
    slim = tmp_path / "slim"
    subprocess.run(["cp", "--archive", place / "slim", slim], check=True)
    database = next(slim.glob("**/apk/db/installed"))
    records = database.read_text().split("\n\n")
    database.write_text("\n\n".join(each for each in records if "\nP:zlib\n" not in each))
    before = write(tmp_path / "before.json", listed(apk_rootfs))
    after = write(tmp_path / "after.json", listed(slim))
    plan = str(place / "plan.json")
    assert main(["cves", plan, "--before", str(before), "--slim", f"dir:{slim}"]) == 3
    printed = capsys.readouterr()
    assert "  zlib:x86_64\n" in printed.out
    assert "1 package out of sight" in printed.err
    assert main(["cves", plan, "--before", str(before), "--after", str(after)]) == 3
    printed = capsys.readouterr()
    assert "Lost from sight" in printed.out
    assert "1 finding lost from sight" in printed.err
    assert "the trivy scan of the slim image does not show 1 package: zlib:x86_64" in printed.out


def test_records_of_alpine_name_what_packages_were_built_of(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = read_plan(place / "plan.json")
    assert plan.distribution is not None
    assert plan.distribution.version_id is not None
    release = "Alpine:v" + ".".join(plan.distribution.version_id.split(".")[:2])
    records = [
        record("CVE-2026-0001", release, "openssl", *below("99-r0")),
        record("CVE-2026-0002", release, "zlib", *below("99-r0")),
        record("CVE-2026-0003", release, "zlib", *below("0.1-r0")),
        record("CVE-2026-0004", "Alpine:v3.1", "zlib", *below("99-r0")),
    ]
    (tmp_path / "osv").mkdir()
    for number, each in enumerate(records):
        write(tmp_path / f"osv/{number}.json", each)
    assert main(["cves", str(place / "plan.json"), "--osv", str(tmp_path / "osv")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Projected from the plan")
    built = {p.name for p in plan.packages if (p.source or p.name) == "openssl"}
    assert "libcrypto3" in built
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line[:1].strip()}
    assert rows["all"] == [str(len(built) + 1), "1", str(len(built)), "0", "0", "0"]
    assert "CVE-2026-0002  zlib" in printed
    assert "CVE-2026-0001  " not in printed  # gone: it is counted, and not listed
