"""What looks like a secret is told by name and place; its value is nowhere."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from decisions import Manager, decided, make_tree
from paredown_minimizer.cli import main
from paredown_minimizer.contents import Contents
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.packages.combined import NO_PACKAGES
from paredown_minimizer.surface import secrets
from paredown_minimizer.surface.secrets import (
    find_in_configuration,
    find_in_files,
    without_secrets,
)
from paredown_schemas.plan import dump_plan
from traces import trace_records, write_trace

# Put together here, so that whoever scans this repository finds none.
KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n"
TOKENS = {
    "anthropic-api-key": "sk-" + "ant-api03-" + "a1" * 30,
    "aws-access-token": "AK" + "IAQYLPMN5HFIQR7XYA",
    "azure-storage-account-key": "Account" + "Key=" + "b2" * 43 + "==",
    "digitalocean-token": "dop" + "_v1_" + "c3" * 32,
    "docker-token": "dckr" + "_pat_" + "d4" * 14,
    "gcp-api-key": "AI" + "za" + "e5" * 17 + "f",
    "github-fine-grained-pat": "github" + "_pat_" + "f6" * 41,
    "github-token": "gh" + "p_" + "g7" * 18,
    "gitlab-token": "gl" + "pat-" + "h8" * 10,
    "huggingface-access-token": "h" + "f_" + "iJ" * 17,
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.k9k9k9k9",
    "npm-access-token": "np" + "m_" + "l0" * 18,
    "openai-api-key": "sk-" + "proj-" + "m1" * 12,
    "password-in-url": "postgres" + "://app:hunter2hunter2@db/app",
    "pypi-upload-token": "pypi-" + "AgE" + "n2" * 30,
    "sendgrid-api-token": "SG" + "." + "o3" * 11 + "." + "p4" * 21 + "q",
    "shopify-token": "shp" + "at_" + "a5" * 16,
    "slack-token": "xox" + "b-" + "123456789012-abcdef",
    "slack-webhook-url": "hooks.slack" + ".com/services/" + "T0" * 22,
    "stripe-access-token": "sk" + "_live_" + "s7" * 12,
    "telegram-bot-api-token": "123456789" + ":AA" + "t8" * 16 + "u",
    "vault-token": "hv" + "s." + "v9" * 46,
    "age-secret-key": "AGE-SECRET" + "-KEY-1" + "W0" * 29,
}


def found(root: Path, owned: tuple[str, ...] = ()) -> dict[str, str]:
    with contextlib.closing(open_directory(str(root))) as image:
        inventory = Manager({"owner": owned}).read(image) if owned else NO_PACKAGES
        return find_in_files(Contents(image), inventory)


def configured(config: Mapping[str, Any], tmp_path: Path) -> dict[str, str]:
    with contextlib.closing(open_directory(str(tmp_path))) as image:
        image.config = dict(config)
        return find_in_configuration(image)


@pytest.mark.parametrize("rule", TOKENS)
def test_a_token_is_found_by_its_format(tmp_path: Path, rule: str) -> None:
    make_tree(tmp_path, {"/app/x.py": f'first = 1\nx = "{TOKENS[rule]}"\n'})
    assert found(tmp_path) == {"/app/x.py": f"{rule}, line 2"}


def test_every_format_has_its_token_here() -> None:
    rules = secrets._rules()
    known = {rule.name for rule in (*rules.tokens, *rules.private_keys)}
    assert known == {*TOKENS, "private-key", "putty-private-key", "npm-auth"}


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("/root/.ssh/id_rsa", KEY, "ssh-private-key, by its name; private-key, line 1"),
        ("/etc/ssl/private/x.key", "\n" + KEY, "private-key, line 2"),
        (
            "/srv/x.ppk",
            "PuTTY-User-Key-File-3: ssh",
            "key-store, by its name; putty-private-key, line 1",
        ),
        ("/root/.npmrc", "//r/:_authToken=abcdef\n", "npm-auth, line 1"),
        ("/app/.env", "A=1\n", "environment-file, by its name"),
        ("/root/.aws/credentials", "x", "aws-credentials, by its name"),
        ("/root/.docker/config.json", "{}", "docker-config, by its name"),
        ("/data/keys.kdbx", "x", "key-store, by its name"),
        ("/app/settings.yaml", "db:\n  password: correct-horse\n", "generic-api-key, line 2"),
        ("/app/x.json", '{\n "api_key": "abcdefgh12",\n}', "generic-api-key, line 2"),
    ],
)
def test_a_file_is_found_by_its_name_and_its_content(
    tmp_path: Path, path: str, text: str, told: str
) -> None:
    make_tree(tmp_path, {path: text})
    assert found(tmp_path) == {path: told}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/root/.ssh/id_rsa.pub", "ssh-rsa AAAA"),
        ("/app/.env.example", "A=1\n"),
        ("/root/.npmrc", "//r/:_authToken=${NPM_TOKEN}\n"),
        ("/app/settings.yaml", "password: ${PASSWORD}\ntoken:\nsecret: short\n"),
        ("/app/app.py", "password = os.environ['PASSWORD']\n"),
        ("/app/url", "https://user@host/ http://host:80/a@b http://[::1]:8080/\n"),
        ("/app/task-disk-sk-word", "mask-proj ask-question\n"),
        ("/app/empty.kdbx", ""),
        ("/app/binary", "\0" + TOKENS["github-token"]),
    ],
)
def test_what_is_no_secret_is_not_found(tmp_path: Path, path: str, text: str) -> None:
    make_tree(tmp_path, {path: text})
    assert found(tmp_path) == {}


def test_of_packages_private_keys_alone_are_found(tmp_path: Path) -> None:
    token = TOKENS["github-token"]
    files = {
        "/usr/lib/x.key": KEY,
        "/usr/lib/x.txt": KEY,
        "/usr/lib/y.pem": token,
        "/etc/.env": "x",
    }
    make_tree(tmp_path, files)
    assert found(tmp_path, tuple(files)) == {"/usr/lib/x.key": "private-key, line 1"}


def test_too_much_to_look_into_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path, {f"/app/{n}": "x" * 100 for n in range(5)})
    monkeypatch.setattr(secrets, "_TOTAL_LIMIT", 250)
    with contextlib.closing(open_directory(str(tmp_path))) as image:
        contents = Contents(image)
        find_in_files(contents, NO_PACKAGES)
    assert contents.warnings == ["3 files were not looked into for secrets: too many"]


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "PASSWORD", "MYSQL_ROOT_PASSWORD", "API_KEY", "GITHUB_TOKEN", "REDIS_PASS",
     "AWS_SECRET_ACCESS_KEY", "SECRET_KEY_BASE", "secret", "PRIVATE_KEY", "token2"],
)  # fmt: skip
def test_a_variable_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    config = {"config": {"Env": [f"{name}=value", "PATH=/bin"]}}
    assert configured(config, tmp_path) == {name: "environment: by its name"}


@pytest.mark.parametrize(
    "line",
    ["POSTGRES_PASSWORD_FILE=/run/secrets/x", "PWD=/", "GPG_KEY=E3FF2839", "TOKEN=", "TOKEN_URL=http://x",
     "PASSENGER=1", "KEYBOARD=de", "PYTHON_SHA256=abc", "COMPASS=n"],
)  # fmt: skip
def test_a_variable_that_holds_none_is_not_found(tmp_path: Path, line: str) -> None:
    assert configured({"config": {"Env": [line]}}, tmp_path) == {}


def test_values_and_the_history_are_looked_into(tmp_path: Path) -> None:
    history = [
        {"created_by": f"RUN |1 NPM_TOKEN={'x' * 9} /bin/sh -c npm ci # buildkit"},
        {"created_by": f'ENV DATABASE="{TOKENS["password-in-url"]}"', "empty_layer": True},
        {"created_by": f"RUN curl -H 'Authorization: {TOKENS['github-token']}' https://x"},
        {"created_by": None},
        "odd",
    ]
    config = {"config": {"Env": [f"DATABASE={TOKENS['password-in-url']}"]}, "history": history}
    assert configured(config, tmp_path) == {
        "DATABASE": "environment: password-in-url",
        "NPM_TOKEN": "history, step 0: by its name",
        "history, step 1": "password-in-url",
        "history, step 2": "github-token",
    }


def test_a_step_is_told_without_its_secrets() -> None:
    token = TOKENS["github-token"]
    assert without_secrets(f"RUN A=1 TOKEN='a b' DB_PASSWORD=xyz curl {token} ü") == (
        "RUN A=1 TOKEN=*** DB_PASSWORD=*** curl *** ü"
    )


PLANTED = {
    "/root/.ssh/id_rsa": KEY,
    "/app/.env": "PASSWORD=planted-env-value\n",
    "/app/settings.yaml": "password: planted-yaml-value\n",
    "/root/.pypirc": "password = planted-pypirc-value\n",
    **{f"/app/{name}.txt": value for name, value in TOKENS.items()},
}
VALUES = ["MIIEpAIBAAKCAQEA7", "planted-", "hunter2hunter2", *TOKENS.values()]


def test_no_value_is_in_a_plan(tmp_path: Path) -> None:
    make_tree(tmp_path / "root", PLANTED)
    config = {"Env": ["DB_PASSWORD=planted-environment", f"URL={TOKENS['password-in-url']}"]}
    plan = decided(tmp_path / "root", ["/app/.env"], config=config).plan
    named = {each.name for each in plan.exposed if each.kind == "secret"}
    assert named == {*PLANTED, "DB_PASSWORD", "URL"}
    assert all(each.stays for each in plan.exposed if each.name in ("DB_PASSWORD", "URL"))
    text = dump_plan(plan)
    assert [value for value in VALUES if value in text] == []


def test_no_value_is_in_any_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(tmp_path / "root", PLANTED)
    trace = write_trace(tmp_path / "t.trace", trace_records(["/app/.env"]))
    plan = str(tmp_path / "plan.json")
    source = f"dir:{tmp_path / 'root'}"
    assert main(["plan", source, "--trace", str(trace), "-o", plan]) == 0
    for form in ("table", "list", "json", "markdown", "html"):
        assert main(["diff", plan, "--format", form]) in (0, 2)
    assert main(["explain", plan, "/app/.env"]) == 0
    assert main(["runtime", plan]) == 0
    captured = capsys.readouterr()
    everything = captured.out + captured.err + Path(plan).read_text()
    assert "/app/.env" in everything
    assert [value for value in VALUES if value in everything] == []
    assert [value for value in VALUES if json.dumps(value)[1:-1] in everything] == []


def test_hostile_text_takes_no_time() -> None:
    rules = secrets._rules()
    size = 1 << 18
    texts = [
        b"eyJhbGci", b"a://", b"a://" + b"b" * 60 + b":", b"password", b"password=aaaaaaaa",
        b"-----BEGIN RSA ", b'token: "aaaaaaa', b"api_key:\t\t\t", b"1234567890:AA", b"hvs.aaaa",
    ]  # fmt: skip
    started = time.process_time()
    assert len(without_secrets('A="' * size)) < size
    for text in texts:
        secrets._lines(
            rules.private_keys + rules.tokens + rules.settings, text * (size // len(text))
        )
    assert time.process_time() - started < 10
