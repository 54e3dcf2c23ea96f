"""A policy on a real server: what it leaves out and removes goes, and the server serves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import server
from applications import AGENT, NGINX, PAREDOWN, record, run
from fixture_types import Require
from paredown_schemas.plan import Plan, read_plan
from recorders import opened

POLICY = """version: 1
leave_out:
  - exe: /usr/bin/find
    reason: somebody looked for something
remove_unless_used:
  - what: shell
    reason: nobody logs in
  - what: setuid
    reason: nobody becomes root
gates:
  forbid: [setuid]
  partial_traces: forbid
  max_packages: 40
"""
# A shell starts the server, as many an entrypoint does; and a scan, before it.
SCAN = "find / -xdev -type d >/dev/null; exec nginx -g 'daemon off;'"


@pytest.fixture(scope="module")
def planned(
    tmp_path_factory: pytest.TempPathFactory, nginx_rootfs: Path, require: Require
) -> tuple[Path, Plan]:
    """The plan from a recorder that tells every user of a file."""
    opened("ebpf-tracepoints", require).close()
    space = tmp_path_factory.mktemp("policy")
    (space / "policy.yaml").write_text(POLICY)
    agent = [AGENT, "record", "--recorder", "ebpf-tracepoints", "--rootfs", str(nginx_rootfs)]
    command = [*agent, "-o", str(space / "t.trace"), "--", "sh", "-c", SCAN]
    with server.serve(command, NGINX.port, log=space / "log") as running:
        assert running.get("/").status == 200
    trace, policy, plan = (space / name for name in ("t.trace", "policy.yaml", "plan.json"))
    source = f"dir:{nginx_rootfs}"
    run(PAREDOWN, "plan", source, "--trace", trace, "--policy", policy, "-o", plan)
    return space, read_plan(plan)


def test_what_the_scan_alone_used_goes(planned: tuple[Path, Plan]) -> None:
    space, plan = planned
    removed = {package.name for package in plan.packages if package.action == "remove"}
    assert "findutils" in removed
    assert plan.left_out[0].files >= 1
    assert not any("/usr/bin/find" in evidence.exes for evidence in plan.evidence)
    run(PAREDOWN, "check", space / "plan.json", "--trace", space / "t.trace")


def test_what_is_used_stays_and_the_proof_says_so(planned: tuple[Path, Plan]) -> None:
    proofs = {proof.what: proof for proof in planned[1].unless_used}
    assert {"/usr/bin/dash", "/usr/bin/sh"} <= set(proofs["shell"].stays)
    assert "/usr/bin/bash" in proofs["shell"].gone
    assert proofs["shell"].used >= 1
    assert "/usr/bin/su" in proofs["setuid"].gone
    assert (proofs["setuid"].used, proofs["setuid"].stays) == (0, ())


def test_gates_and_the_slim_server(planned: tuple[Path, Plan], nginx_rootfs: Path) -> None:
    space, _ = planned
    told = run(PAREDOWN, "gate", space / "plan.json", "--policy", space / "policy.yaml")
    assert [line.split()[0] for line in told.splitlines()] == ["PASS"] * 3
    slim = space / "slim"
    run(PAREDOWN, "apply", space / "plan.json", f"dir:{nginx_rootfs}", "-o", f"dir:{slim}")
    found = subprocess.run(
        ["find", slim, "-perm", "/6000", "-type", "f"], capture_output=True, check=True
    )
    assert found.stdout == b""
    answers = record(NGINX, slim, space / "again.trace")
    assert answers["/"][0] == 200
