"""What shell scripts name: read as a shell would read them, computed names left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from decisions import decided, kept_files, make_tree
from paredown_minimizer.shell_commands import Named, named_by_script, named_by_words
from paredown_minimizer.shell_reader import LENGTH_LIMIT, ShellReader, UnreadableError
from paredown_schemas.trace import File
from traces import use


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("a 1 2; b | c && d || e & f", "a b c d e f"),
        ("if a; then b; elif c; then d; else e; fi; while f; do g; done", "a b c d e f g"),
        ("case $(a) in x|y) b;; *) c;; esac; for i in $(d); do e; done", "a b c d e"),
        ('x=$(a) y=`b` c "$(d "$(e)")" <(f); (g); { h; }', "a b c d e f g h"),
        ("A=1 B=2 a; A=1", "a"),
        ("\"a\" 'b'; a\"b\"'c'; a\\b", "a abc ab"),
        ('$a b; "$a/c" d; $(e) f; "$@"; ${g:-h} i', "e"),
        ("echo a; [ -f b ]; [[ -f c ]]; test -d d; cd e; export f=g; read h; :", ""),
        ("f() { a; }; function g { b; }; f; g c", "a b"),
        ("exec a; exec -a name b; command c; command -p d; command -v e", "a b c d"),
        ("exec echo x; env test x; nohup true", "echo env nohup test true"),
        ("env -i -u X A=1 a; sudo -u root -E b; nice -n 5 c; timeout -s KILL 5 d", None),
        ("gosu app a; su-exec app:app b; chroot /x c; setpriv --reuid=1 d; tini -- e", None),
        ("find . -user x -exec a '{}' + -o -execdir b ';'; x | xargs -0 -n 1 c", None),
        ("su -s /bin/sh -c 'a; b' www; runuser -u x -- c; flock -w 1 /l d; flock /l -c e", None),
        ("sh -ec 'a; \"$x\" y'; bash -c \"b\"; eval 'c' d; trap 'd; exit' EXIT; trap - INT", None),
        ("cat <<E\n$(a)\nE\ncat <<'E'\n$(b)\nE\n", "a cat"),
        ("python3 - <<'E'\nimport os\nos.system('a')\nE\n", "python3"),
        ("a\n)))\nb", "a b"),
    ],
)
def test_commands(text: str, commands: str | None) -> None:
    named = set(named_by_script(text.encode()).commands)
    if commands is None:  # of programs that start others, what they start
        assert {name for name in named if len(name) == 1 and name != "x"} == set("abcde") & set(
            text.replace("'", " ").replace('"', " ").replace(";", " ").split()
        )
        assert "{}" not in named
    else:
        assert named == set(commands.split())


def test_files_that_are_read_as_scripts() -> None:
    text = b'. /etc/a; source b.sh; sh -e c; bash /d e; sh; . "$f"; sh "$g" h'
    assert named_by_script(text).sourced == ("/d", "/etc/a", "b.sh", "c")


@pytest.mark.parametrize(
    "text",
    ["x" * (LENGTH_LIMIT + 1), "a|" * (1 << 17), "(!))" * (1 << 15)],
    ids=["long", "memory", "many readings"],
)
def test_hostile_text_ends_no_more_than_its_reading(text: str) -> None:
    reader = ShellReader()
    with pytest.raises(UnreadableError):
        reader.script(text.encode())
    assert reader.script(b"a; b").commands == ("a", "b")


@pytest.mark.parametrize("piece", ["$(", '"$(a ', "if ", "sh -c ", "eval ", "env ", "a\0", "\xff"])
def test_deep_text_is_read(piece: str) -> None:
    assert isinstance(ShellReader().script(piece.encode() * 5_000).commands, tuple)


def test_reading_shells_costs_nothing_where_there_are_none() -> None:
    code = "import sys, paredown_minimizer.decide; sys.exit('tree_sitter' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


ENTRY = """#!/bin/sh
set -e
. /usr/lib/start/functions
if [ "$1" = other ]; then
  chown -R app /data
  find /data -exec touch {} +
fi
exec su-exec app "$@"
"""
TREE = {
    "/bin/sh": "#!x",
    "/entry.sh": ENTRY,
    "/usr/lib/start/functions": "helper() { stat /; }\n",
    "/etc/start/functions": "x",
    **{f"/bin/{name}": "#!x" for name in ("chown", "find", "touch", "su-exec", "stat", "tail")},
    "/usr/share/unused.sh": "#!/bin/sh\ntail x\n",
}


def _kept(root: Path, traced: list[str | File], **fields: Any) -> set[str]:
    make_tree(root, TREE)
    packages = {path: [path] for path in TREE}
    return kept_files(decided(root, traced, packages, granularity="file", **fields), root)


NAMED = {"/bin/chown", "/bin/find", "/bin/touch", "/bin/su-exec", "/bin/stat"}
SCRIPT = {"/entry.sh", "/bin/sh", "/usr/lib/start/functions"}


def test_a_started_script_keeps_what_its_other_branches_name(tmp_path: Path) -> None:
    kept = _kept(tmp_path / "a", [use("/entry.sh", how="script")])
    assert kept == NAMED | SCRIPT
    read = _kept(tmp_path / "b", [use("/entry.sh", exe="/bin/sh")])
    assert read | {"/bin/sh"} == NAMED | SCRIPT
    assert _kept(tmp_path / "c", [use("/entry.sh", exe="/bin/cat")]) == {"/entry.sh"}


@pytest.mark.parametrize(
    "config",
    [
        {"Entrypoint": ["/entry.sh"]},
        {"Cmd": ["sh", "/entry.sh"]},
        {"Entrypoint": ["sh", "-c"], "Cmd": ["exec /entry.sh"]},
        {"Healthcheck": {"Test": ["CMD-SHELL", "true && /entry.sh || exit 1"]}},
        {"Healthcheck": {"Test": ["CMD", "/entry.sh"]}},
    ],
)
def test_scripts_of_the_configuration(tmp_path: Path, config: dict[str, object]) -> None:
    assert _kept(tmp_path / "root", [], config=config) == NAMED | SCRIPT


def test_halves_of_characters_in_the_configuration(tmp_path: Path) -> None:
    line = {"Cmd": ["sh", "-c", "stat '\ud800'"]}
    assert _kept(tmp_path / "root", [], config=line) == {"/bin/sh", "/bin/stat"}


def test_shell_lines_of_the_configuration(tmp_path: Path) -> None:
    line = {"Entrypoint": ["/bin/sh", "-c", "[ -d /x ] || find / ; exec su-exec a tail -f /x"]}
    kept = _kept(tmp_path / "a", [], config=line)
    assert kept == {"/bin/sh", "/bin/find", "/bin/su-exec", "/bin/tail"}
    health = {"Healthcheck": {"Test": ["CMD-SHELL", "stat /x | tail -1 || exit 1"]}}
    assert _kept(tmp_path / "b", [], config=health) == {"/bin/sh", "/bin/stat", "/bin/tail"}


def test_busybox_stays_for_the_applet_that_a_script_names(tmp_path: Path) -> None:
    tree = {"/bin/busybox": "#!x", "/bin/sh": "#!x", "/run.sh": "#!/bin/sh\nfalse && wget x\n"}
    links = {"/usr/bin/wget": "-> /bin/busybox", "/usr/bin/vi": "-> ../../bin/busybox"}
    make_tree(tmp_path / "root", {**tree, **links})
    packages = {path: [path] for path in [*tree, *links]}
    plan = decided(tmp_path / "root", [use("/run.sh", how="script")], packages).plan
    evidence = {record.path: (record.kind, record.by) for record in plan.evidence}
    assert evidence["/usr/bin/wget"] == ("script", "/run.sh")
    assert evidence["/bin/busybox"] == ("symlink", "/usr/bin/wget")


@hypothesis.given(
    strategies.lists(
        strategies.sampled_from(
            [
                "sh",
                "-c",
                "env",
                "-",
                "--",
                "A=1",
                "find",
                "-exec",
                "su",
                "xargs",
                "trap",
                "eval",
                "",
            ]
        )
        | strategies.text(max_size=3)
    )
)
def test_any_command_line_can_be_read(words: list[str]) -> None:
    named = named_by_words(words, lambda text: Named(("a shell's",)) if text else Named())
    assert "" not in named.commands
    assert set(named.commands) <= {*words, "a shell's"}
    assert not words or not words[0] or words[0] in named.commands


def test_a_script_that_a_package_merely_owns_pulls_in_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path / "root", {**TREE, "/usr/share/used": "x"})
    packages = {"p": ["/usr/share/unused.sh", "/usr/share/used"], "tail": ["/bin/tail"]}
    kept = kept_files(decided(tmp_path / "root", ["/usr/share/used"], packages), tmp_path / "root")
    assert "/usr/share/unused.sh" in kept
    assert "/bin/tail" not in kept


def test_a_pin_removes_what_a_script_names(tmp_path: Path) -> None:
    policy = "version: 1\npins: [{remove: /bin/find, reason: never that branch}]"
    kept = _kept(tmp_path / "root", [use("/entry.sh", how="script")], policy=policy)
    assert kept == (NAMED | SCRIPT) - {"/bin/find"}


def test_the_chain_names_the_script_and_the_command(tmp_path: Path) -> None:
    make_tree(tmp_path / "root", TREE)
    packages = {path: [path] for path in TREE}
    plan = decided(tmp_path / "root", [use("/entry.sh", how="script")], packages).plan
    evidence = {record.path: record for record in plan.evidence}
    assert (evidence["/bin/find"].kind, evidence["/bin/find"].by) == ("script", "/entry.sh")
    assert evidence["/bin/stat"].by == "/usr/lib/start/functions"
    assert evidence["/bin/stat"].detail == "stat"
