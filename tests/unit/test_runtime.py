"""With how much less a container can run: what each setting hangs on, and how it is written."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from paredown_minimizer.cli import main
from paredown_minimizer.runtime.documents import as_compose, as_kubernetes
from paredown_minimizer.runtime.formats import as_docker, as_text
from paredown_minimizer.runtime.settings import Settings, find_settings
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.plan import Need, Unrecorded, dump_plan
from plans import example_plan
from rootfs import DATA

APP = "/usr/bin/app"
AS_ROOT = Need("user", "0:0", (APP,))
AS_APP = Need("user", "33:34", (APP,), "44")
CHOWN = Need("capability", "CAP_CHOWN", (APP,))
TMPFS = Need("tmpfs", "/run", (APP,), "mode=0755")
WRITTEN = Need("written", "/run", (APP,), "0:0 drwxr-xr-x")
VOLUME = Need("volume", "/srv/Data", (), "declared by the image")
SU = Need("privileged-exec", "/bin/su", (APP,), "setuid to 0")
CALL = Need("syscall", "x86_64 accept4", (APP,))
PORT = Need("port", "tcp 0.0.0.0:80", (APP,))
_SCHEMA = jsonschema.Draft7Validator(
    json.loads((DATA / "kubernetes" / "pod.schema.json").read_text())
)


def settings(*needs: Need, unrecorded: tuple[str, ...] = ()) -> Settings:
    missing = tuple(Unrecorded(facet, "not asked for") for facet in unrecorded)
    return find_settings(example_plan(needs=needs, unrecorded=missing))


def test_who_ran_as_one_user_alone_runs_as_that() -> None:
    assert settings(AS_APP).user.value == "33:34"
    assert settings(Need("user", "33:?")).user.value == "33"
    assert settings(Need("user", "33:34", (), "7,100")).groups == ("7", "100")
    assert settings(Need("user", "33:34", (), "7"), AS_ROOT).groups == ()
    several = settings(AS_APP, Need("user", "44:44")).user
    assert several.value is None
    assert several.why == (
        "ran as several: 33:34 (/usr/bin/app), 44:44 (a program that is not known)",
    )


def test_who_ran_as_root_is_told_what_another_user_would_take() -> None:
    key = Need("restricted", "/etc/key", (APP,), "0:34 -rw-------")
    group = Need("restricted", "/etc/group-key", (APP,), "0:34 -rw-r-----")
    there = Need("restricted", "/var/lib/x", (APP,), "0:0 drwx------")
    data = Need("written", "/data", (APP,), "0:0 drwxr-xr-x")
    own = Need("written", "/own", (APP,), "33:0 drwx------")
    user = settings(AS_ROOT, AS_APP, CHOWN, PORT, TMPFS, WRITTEN, key, group, there, data, own).user
    assert user.value is None
    assert user.why == (
        "ran as root: /usr/bin/app",
        "33:34 would take:",
        "another owner of /data (0:0 drwxr-xr-x): /usr/bin/app writes there",
        "uid=33,gid=34 in the options of each tmpfs",
        "another owner of /etc/key (0:34 -rw-------): /usr/bin/app uses it",
        "another owner of /var/lib/x (0:0 drwx------): /usr/bin/app uses it",
        "to do without CAP_CHOWN: /usr/bin/app used it",
        "ports below 1024 for everybody: /usr/bin/app binds tcp 0.0.0.0:80",
    )
    assert settings(AS_ROOT).user.why[1:] == (
        "65532:65532 was not tried",
        "nothing that was recorded stands against it",
    )


def test_capabilities_that_were_used_are_added_back() -> None:
    found = settings(AS_ROOT, CHOWN, Need("refused-capability", "CAP_SYS_ADMIN", (APP,)))
    assert found.capabilities.value == "ALL"
    assert [added.value for added in found.added] == ["CAP_CHOWN"]


def test_what_was_not_recorded_is_said_and_not_set() -> None:
    everything = ("ids", "capabilities", "directories", "syscalls", "ports")
    found = settings(AS_ROOT, unrecorded=everything)
    for setting in (found.user, found.capabilities, found.root, found.seccomp, found.lowest_port):
        assert setting.value is None
        assert setting.why == ("not recorded: not asked for",)
    assert "--" not in as_docker(dataclasses.replace(found, no_new_privileges=found.user))
    assert "not recorded: not asked for" in as_text(found)


def test_without_root_nobody_has_capabilities_recorded_or_not() -> None:
    unrecorded = ("capabilities",)
    assert settings(AS_APP, unrecorded=unrecorded).capabilities.value == "ALL"
    assert settings(AS_APP, SU, unrecorded=unrecorded).capabilities.value is None
    assert settings(AS_APP, unrecorded=("capabilities", "ids")).capabilities.value is None
    assert settings(unrecorded=unrecorded).capabilities.value is None  # nobody was seen


def test_what_was_written_to_is_mounted_under_a_read_only_root() -> None:
    found = settings(TMPFS, VOLUME, WRITTEN)
    assert found.root.value == "read-only"
    assert [(m.kind, m.path) for m in found.mounts] == [("tmpfs", "/run"), ("volume", "/srv/Data")]


@pytest.mark.parametrize(
    "need",
    [
        Need("written", "/", (APP,), "0:0 drwxr-xr-x"),
        Need("tmpfs", "/a,b:c", (APP,), "mode=0755"),
        Need("tmpfs", "/a\nb", (APP,), "mode=0755"),
    ],
)
def test_a_root_that_no_mount_makes_up_for_is_not_read_only(need: Need) -> None:
    found = settings(TMPFS, need)
    assert found.root.value is None
    assert found.mounts == ()
    assert "--read-only" not in as_docker(found)


def test_a_setuid_program_that_was_started_stands_against_no_new_privileges() -> None:
    assert settings(AS_APP).no_new_privileges.value == "true"
    assert settings(AS_ROOT, SU).no_new_privileges.value == "true"  # root gains nothing by it
    assert settings(AS_ROOT, AS_APP, SU).no_new_privileges.value is None
    assert settings(AS_ROOT, SU, unrecorded=("ids",)).no_new_privileges.value is None


def test_a_profile_allows_what_was_called_and_what_starting_takes() -> None:
    late = settings(AS_APP, CALL, Need("syscall", "i386 open")).profile
    assert late is not None
    assert late["defaultAction"] == "SCMP_ACT_ERRNO"
    assert late["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    (allowed,) = late["syscalls"]
    assert {"accept4", "open", "execve", "exit_group"} <= set(allowed["names"])
    assert not {"ptrace", "mount", "setuid"} & set(allowed["names"])
    # Loaded before the runtime changes its user, where new privileges are not ruled out.
    early = settings(AS_APP, SU, CALL).profile
    assert early is not None
    assert "setuid" in early["syscalls"][0]["names"]


@pytest.mark.parametrize("call", ["x86_64 999", "riscv64 read"])
def test_a_call_that_no_profile_can_name_makes_none(call: str) -> None:
    found = settings(CALL, Need("syscall", call, (APP,)))
    assert found.profile is None
    assert found.seccomp.value is None


ALL = (AS_APP, CHOWN, TMPFS, VOLUME, WRITTEN, CALL, PORT)


def options_of(text: str) -> list[str]:
    """Return what bash makes of the array."""
    script = text + 'printf "%s\\0" "${options[@]}"'
    result = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    return result.stdout.split("\0")[:-1]


def test_dockers_options_are_an_array_for_bash() -> None:
    assert options_of(as_docker(settings(*ALL))) == [
        "--user=33:34",
        "--group-add=44",
        "--cap-drop=ALL",
        "--cap-add=CAP_CHOWN",
        "--read-only",
        "--tmpfs=/run:mode=0755",
        "--mount=type=volume,dst=/srv/Data",
        "--security-opt=no-new-privileges",
        "--security-opt=seccomp=seccomp.json",
    ]


def test_compose_says_the_same() -> None:
    text = as_compose(settings(*ALL))
    assert yaml.safe_load(text) == {
        "services": {
            "app": {
                "user": "33:34",
                "group_add": ["44"],
                "cap_drop": ["ALL"],
                "cap_add": ["CAP_CHOWN"],
                "read_only": True,
                "tmpfs": ["/run:mode=0755"],
                "volumes": [{"type": "volume", "target": "/srv/Data"}],
                "security_opt": ["no-new-privileges:true", "seccomp:seccomp.json"],
            }
        }
    }
    assert "      # used by /usr/bin/app\n      - CAP_CHOWN\n" in text


def test_kubernetes_says_the_same() -> None:
    document = yaml.safe_load(as_kubernetes(settings(*ALL)))
    _SCHEMA.validate(document)
    (container,) = document["spec"]["containers"]
    assert container == {
        "name": "app",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 33,
            "runAsGroup": 34,
            "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "seccompProfile": {"type": "Localhost", "localhostProfile": "seccomp.json"},
        },
        "volumeMounts": [
            {"name": "run", "mountPath": "/run"},
            {"name": "srv-data", "mountPath": "/srv/Data"},
        ],
    }
    assert document["spec"]["volumes"] == [
        {"name": "run", "emptyDir": {"medium": "Memory"}},
        {"name": "srv-data", "persistentVolumeClaim": {"claimName": "srv-data"}},
    ]
    assert document["spec"]["securityContext"] == {
        "supplementalGroups": [44],
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}],
    }


def test_kubernetes_takes_cap_sys_admin_with_escalation_alone() -> None:
    text = as_kubernetes(settings(AS_ROOT, Need("capability", "CAP_SYS_ADMIN", (APP,))))
    (container,) = yaml.safe_load(text)["spec"]["containers"]
    assert "allowPrivilegeEscalation" not in container["securityContext"]
    assert "# allowPrivilegeEscalation is not set: CAP_SYS_ADMIN is added" in text


def test_volumes_of_one_label_get_names_of_their_own() -> None:
    options = "mode=0755"
    places = ("/a/b", "/a-b", "/Ä", "/" + "x" * 80)
    text = as_kubernetes(settings(*(Need("tmpfs", p, (), options) for p in places)))
    names = [volume["name"] for volume in yaml.safe_load(text)["spec"]["volumes"]]
    assert names == ["a-b", "a-b-2", "root", "x" * 49]


HOSTILE = "/usr/bin/x\n)\n$(touch /tmp/pwned)\x1b[31m\u202e # "


@pytest.mark.parametrize("write", [as_text, as_docker, as_compose, as_kubernetes])
def test_hostile_names_stay_within_their_line(write: Any) -> None:
    path = "/a'b\"`x`#&*!"
    needs = [
        dataclasses.replace(need, exes=(HOSTILE,))
        for need in (*ALL, Need("tmpfs", path, (HOSTILE,), "mode=0755"))
    ]
    text = write(settings(*needs))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\n)\n$" not in text
    if write is as_docker:
        clean = options_of(as_docker(settings(*ALL)))
        assert [o for o in options_of(text) if o not in clean] == [f"--tmpfs={path}:mode=0755"]
    elif write is not as_text:
        assert path in json.dumps(yaml.safe_load(text)).replace('\\"', '"')


def test_the_command_writes_each_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(dump_plan(example_plan(needs=tuple(sorted(ALL)))))
    for form in ("text", "docker", "compose", "kubernetes"):
        assert main(["runtime", str(plan), "--format", form]) == 0
        assert "/usr/bin/app" in capsys.readouterr().out
    target = tmp_path / "seccomp.json"
    assert main(["runtime", str(plan), "--format", "seccomp", "-o", str(target)]) == 0
    assert "accept4" in json.loads(target.read_text())["syscalls"][0]["names"]


def test_a_profile_that_was_not_recorded_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(dump_plan(example_plan(unrecorded=(Unrecorded("syscalls", "not asked for"),))))
    assert main(["runtime", str(plan), "--format", "seccomp"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cannot write a seccomp profile: not recorded: not asked for" in captured.err
    assert "--also syscalls" in captured.err


@pytest.mark.parametrize(
    "need",
    [
        Need("user", "root:root"),
        Need("user", "1:2", (), "a"),
        Need("port", "tcp"),
        Need("port", "tcp 0.0.0.0:x"),
        Need("capability", "ALL --privileged"),
        Need("syscall", "x86_64"),
        Need("written", "/x"),
        Need("restricted", "/x", (), "0 r"),
        Need("tmpfs", "/x", (), "mode=0755,nosuid"),
    ],
)
def test_a_need_that_is_none_makes_the_plan_damaged(need: Need) -> None:
    with pytest.raises(DamagedInputError, match="cannot read the plan's needs"):
        settings(need)
