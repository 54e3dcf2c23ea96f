"""Which command lines start containers, and what of them is never recorded."""

from __future__ import annotations

import pytest

from paredown_agent.commandline import container_name, redact, run_position


@pytest.mark.parametrize(
    ("line", "position"),
    [
        ("docker run nginx", 1),
        ("/usr/bin/docker run nginx", 1),
        ("podman run nginx", 1),
        ("docker container run nginx", 2),
        ("docker --context staging run nginx", 3),
        ("docker -D -H unix:///x --log-level=debug run nginx", 5),
        ("podman --cgroup-manager cgroupfs --syslog run nginx", 4),
        ("docker --context run nginx", None),
        ("docker start run", None),
        ("docker", None),
        ("dockerd run", None),
        ("sh -c docker run", None),
    ],
)
def test_run_is_found_behind_global_options(line: str, position: int | None) -> None:
    assert run_position(line.split()) == position


def test_nothing_is_no_run() -> None:
    assert run_position([]) is None


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("docker run -e A=1 -e B nginx", "docker run -e A -e B nginx"),
        ("docker run -eA=1 nginx", "docker run -eA nginx"),
        ("docker run -e=A=1 nginx", "docker run -eA nginx"),
        ("docker run -ite A=1 nginx", "docker run -ite A nginx"),
        ("docker run -ditPqeA=1 nginx", "docker run -ditPqeA nginx"),
        ("docker run --env A=1=2 nginx", "docker run --env A nginx"),
        ("docker run --env=A=1 nginx", "docker run --env=A nginx"),
        ("docker run --env-file secrets nginx", "docker run --env-file nginx"),
        ("docker run --env-file=secrets nginx", "docker run --env-file nginx"),
        ("podman --log-level x run -e A=1 nginx", "podman --log-level x run -e A nginx"),
        ("docker run -v e=x --name e nginx", "docker run -v e=x --name e nginx"),
        ("docker run --entrypoint=sh nginx", "docker run --entrypoint=sh nginx"),
        ("env A=1 B=2 program", "env A B program"),
        ("sh -e script", "sh -e script"),
    ],
)
def test_values_of_the_environment_are_left_out(line: str, kept: str) -> None:
    assert redact(line.split()) == tuple(kept.split())


def test_a_value_with_a_newline_is_left_out() -> None:
    line = ["docker", "run", "-eA=1\n2", "--env=B=1\n2", "nginx"]
    assert redact(line) == ("docker", "run", "-eA", "--env=B", "nginx")


def test_an_option_at_the_end_does_no_harm() -> None:
    assert redact(["docker", "run", "-e"]) == ("docker", "run", "-e")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["-d", "--name", "web"], "web"),
        (["--name=web", "--rm"], "web"),
        (["--name"], None),
        (["--names", "web"], None),
        ([], None),
    ],
)
def test_the_containers_name(options: list[str], name: str | None) -> None:
    assert container_name(options) == name
