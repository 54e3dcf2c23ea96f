"""``paredown apply`` on a real nginx image: directories, archives, and a docker daemon's images."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from container_tools import IMAGE, Docker
from fixture_types import MakeTrace, Require
from paredown_minimizer.cli import main
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.source import open_image
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import read_plan
from traces import use
from trees import table

MakePlan = Callable[..., Path]

# What nginx opens at its start and for one request; strace says so in test_main_job.
USED = [
    use("/usr/sbin/nginx", how="exec"),
    use("/etc/nginx/nginx.conf"),
    use("/etc/nginx/mime.types"),
    use("/etc/nginx/sites-available/default"),
    use("/etc/passwd"),
    use("/etc/group"),
    use("/var/www/html/index.nginx-debian.html"),
]


@pytest.fixture
def make_plan(make_trace: MakeTrace, tmp_path: Path) -> MakePlan:
    """Return ``make_plan(source, granularity)``: the plan from a recording of nginx."""

    def make(source: str, granularity: str = "package") -> Path:
        with contextlib.closing(open_image(source)) as image:
            trace = make_trace(USED, identity=image.identity, platform=image.platform)
        plan = tmp_path / f"{granularity}.json"
        arguments = ["plan", source, "--trace", str(trace), "--granularity", granularity]
        assert main([*arguments, "-o", str(plan)]) == 0
        return plan

    return make


def apply(plan: Path, source: str, destination: str, *options: str) -> int:
    return main(["apply", str(plan), source, "-o", destination, *options])


@pytest.mark.parametrize("granularity", ["package", "file"])
def test_directory_is_true_to_plan_and_original(
    nginx_rootfs: Path,
    make_plan: MakePlan,
    tmp_path: Path,
    granularity: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, slim = f"dir:{nginx_rootfs}", tmp_path / "slim"
    plan = make_plan(source, granularity)
    assert apply(plan, source, f"dir:{slim}") == 0
    captured = capsys.readouterr()
    assert re.search(r"Wrote dir:\S+: [\d.]+ MB in [\d,]+ files \(was ", captured.err)
    assert f"--rootfs {slim}" in captured.err
    before, after = table(nginx_rootfs), table(slim)
    assert len(after) < len(before)
    differing = {path for path in after if after[path] != before.get(path)}
    assert all(path.startswith("var/lib/dpkg/") for path in differing)
    totals = read_plan(plan).after
    files = [path for path in slim.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert len(files) == totals.files
    kept = {item.name for item in read_plan(plan).packages if item.action != "remove"}
    assert kept
    assert listed(slim) == kept
    assert verified(slim) <= verified(nginx_rootfs)
    (slim / "usr/sbin/nginx").unlink()
    assert any("/usr/sbin/nginx" in line for line in verified(slim))


def listed(tree: Path) -> set[str]:
    command = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", "-f", "${Package}\\n"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def verified(tree: Path) -> set[str]:
    command = ["dpkg", "-V", f"--root={tree}"]
    return set(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    )


def test_archive_equals_the_directory_and_itself(
    nginx_rootfs: Path, make_plan: MakePlan, tmp_path: Path
) -> None:
    source = f"dir:{nginx_rootfs}"
    plan = make_plan(source)
    for name in ("one", "other/two"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        assert apply(plan, source, f"docker-archive:{tmp_path / name}") == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other/two").read_bytes()
    assert apply(plan, source, f"dir:{tmp_path}/slim") == 0
    with contextlib.closing(open_archive(f"{tmp_path}/one")) as image:
        paths = {path.lstrip("/") or "." for path in image.tree}
    assert paths == set(table(tmp_path / "slim"))
    outer = subprocess.run(
        ["tar", "-xOf", tmp_path / "one", "layer-0.tar"],
        check=True,
        capture_output=True,
    ).stdout
    (tmp_path / "unpacked").mkdir()
    subprocess.run(
        [
            *("tar", "-xpf", "-", "--numeric-owner", "--delay-directory-restore"),
            *("--xattrs", "--xattrs-include=*"),
        ],
        input=outer,
        cwd=tmp_path / "unpacked",
        check=True,
    )
    assert table(tmp_path / "unpacked") == table(tmp_path / "slim")


def test_skopeo_reads_the_archive(
    nginx_rootfs: Path, make_plan: MakePlan, tmp_path: Path, require: Require
) -> None:
    probe = subprocess.run(["skopeo", "--version"], check=False, capture_output=True)
    require(probe.returncode == 0, "skopeo is not installed")
    source = f"dir:{nginx_rootfs}"
    plan = make_plan(source)
    assert apply(plan, source, f"docker-archive:{tmp_path}/a.tar:made/nginx:1") == 0
    command = ["skopeo", "inspect", f"docker-archive:{tmp_path}/a.tar"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert shown["Labels"]["dev.paredown.original"] == read_plan(plan).image
    assert shown["Labels"]["dev.paredown.plan"] == read_plan(plan).id
    copy = ["skopeo", "copy", "--quiet", f"docker-archive:{tmp_path}/a.tar"]
    subprocess.run([*copy, f"docker-archive:{tmp_path}/b.tar:made/nginx:2"], check=True)
    with contextlib.ExitStack() as stack:
        archives = [open_archive(f"{tmp_path}/{name}.tar") for name in "ab"]
        ours, theirs = (stack.enter_context(contextlib.closing(image)) for image in archives)
        assert ours.identity == theirs.identity
        assert {**ours.tree} == {**theirs.tree}


def test_image_of_another_identity_is_refused(
    nginx_rootfs: Path, make_plan: MakePlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(f"dir:{nginx_rootfs}")
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").touch()
    assert apply(plan, f"dir:{other}", f"dir:{tmp_path}/slim") == 4
    assert "cannot apply the plan" in capsys.readouterr().err
    assert not (tmp_path / "slim").exists()


def test_existing_destination_is_a_usage_error(nginx_rootfs: Path, make_plan: MakePlan) -> None:
    source = f"dir:{nginx_rootfs}"
    plan = make_plan(source)
    assert apply(plan, source, f"docker-archive:{plan}") == 2
    assert read_plan(plan)


def test_docker_to_docker(
    docker_daemon: Docker, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_daemon.env["DOCKER_HOST"])
    plan = make_plan(IMAGE)
    assert apply(plan, IMAGE, f"docker:{IMAGE}") == 2
    assert apply(plan, IMAGE, "docker:slim/nginx") == 0
    assert apply(plan, IMAGE, "slim/nginx") == 2
    assert apply(plan, IMAGE, "slim/nginx", "--force") == 0
    (shown,) = json.loads(docker_daemon.run("image", "inspect", "slim/nginx").stdout)
    assert shown["RepoTags"] == ["slim/nginx:latest"]
    assert shown["Config"]["Labels"]["dev.paredown.plan"] == read_plan(plan).id
    assert len(shown["RootFS"]["Layers"]) == 1
    run = ["run", "--rm", "--net=none", "slim/nginx", "nginx", "-t"]
    assert "test is successful" in docker_daemon.run(*run).stderr
    gone = docker_daemon.run(*run[:-2], "perl", "-v", check=False)
    assert gone.returncode == 127


def test_docker_and_archive_and_its_configuration(
    docker_daemon: Docker,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An image with layers, deletions, capabilities and a configuration, built by docker."""
    monkeypatch.setenv("DOCKER_HOST", docker_daemon.env["DOCKER_HOST"])
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE}\n"
        "COPY secret /secret\n"
        "RUN rm /secret && rm -r /usr/share/doc/nginx && mkdir /usr/share/doc/nginx "
        "&& ln /etc/motd /etc/motd2 && chmod u+s /usr/sbin/nginx\n"
        "ENV A=b\nUSER www-data\nWORKDIR /srv\nEXPOSE 80\nLABEL who=me\n"
        'VOLUME /data\nSTOPSIGNAL SIGQUIT\nENTRYPOINT ["nginx", "-g", "daemon off;"]\n'
    )
    (tmp_path / "secret").write_text("s3cret-that-was-deleted")
    built = ["build", "--quiet", "--network=none", "--tag", "built", str(tmp_path)]
    docker_daemon.run(*built)
    plan = make_plan("built", "file")
    archive = tmp_path / "slim.tar"
    assert apply(plan, "built", f"docker-archive:{archive}:built:slim") == 0
    assert b"s3cret" not in archive.read_bytes()
    docker_daemon.run("load", "--input", str(archive))
    (original,) = json.loads(docker_daemon.run("image", "inspect", "built").stdout)
    (slim,) = json.loads(docker_daemon.run("image", "inspect", "built:slim").stdout)
    labels = slim["Config"]["Labels"]
    assert labels.pop("dev.paredown.original") == read_plan(plan).image
    assert {key for key in labels if not key.startswith("dev.paredown.")} == {"who"}
    for key in ("Env", "User", "WorkingDir", "ExposedPorts", "Entrypoint", "Volumes", "StopSignal"):
        assert slim["Config"][key] == original["Config"][key], key
        assert slim["Config"][key]
    assert slim["Created"] == original["Created"]
    with contextlib.closing(open_image("built:slim")) as image:
        assert image.tree["/usr/sbin/nginx"].mode == 0o4755
        assert image.tree["/etc/motd"].hardlinks is not None
        assert "/secret" not in image.tree


def test_missing_image_is_one_line(docker_daemon: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_daemon.env["DOCKER_HOST"])
    for source in ("docker:none/such", "none/such:1"):
        with pytest.raises(
            ParedownError, match=r"cannot read image none/such\S*: docker: .*(such|not exist)"
        ):
            open_image(source)


def test_missing_docker_says_what_to_do(
    nginx_rootfs: Path,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = make_plan(f"dir:{nginx_rootfs}")
    monkeypatch.setenv("PATH", "/nowhere")
    capsys.readouterr()
    assert apply(plan, "nginx", "dir:/nowhere") == 1
    assert "there is no docker command" in capsys.readouterr().err
