"""What is recorded beside files: look-ups, ids, ports, capabilities and system calls."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

import strace_lookups
from fixture_types import Require
from paredown_agent.recorder import calls
from paredown_agent.recorder.also import ALSO, Also
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.registry import RECORDERS
from paredown_agent.target.attach import attach
from paredown_schemas.trace import (
    Capability,
    Coverage,
    Facet,
    Lookup,
    Loss,
    Port,
    Process,
    Record,
    Syscall,
)
from recorders import opened
from recording import inside, run, settle, shell, start, watch

# It sleeps before it ends: what is mounted where can be asked only while somebody has it mounted.
LOOKUPS = r"""
cd /etc
test -e passwd; test -e nothing || true; test -x /usr/bin/../bin/env
ls apt . /usr/lib/locale >/dev/null; readlink alternatives/awk; readlink passwd || true
cat no/such/file apt/sources.list/below || true
perl -e 'exec {"./nothing"} "x"' || true; perl -e 'exec "/etc/passwd"' || true
perl -e 'chdir "/var" or die; -e "lib/dpkg/status" or die; -e "../etc/issue" or die; -e "./gone"'
perl -e 'opendir D, "/usr/share/doc"; chdir D; -e "perl-base"; -e "perl-base/nothing"'
chroot /usr/share perl 2>/dev/null || true
perl -e 'chroot "/etc" or die; -e "/issue" or die; -e "/nothing-here"'
mount -t tmpfs none /mnt; test -e /mnt/volume || true; ls /mnt; cat /mnt/none || true
mkdir /tmp/b; mount --bind /etc/default /tmp/b; test -e /tmp/b/useradd; test -e /tmp/b/no || true
sleep 0.3
"""


@pytest.fixture
def recorder(recorder: Recorder) -> Recorder:
    """Of those that record more than files and ids."""
    if recorder.name == "bcc":
        pytest.skip("bcc records files and ids alone")
    return recorder


def test_bcc_says_what_it_does_not_record(require: Require) -> None:
    everything = opened("bcc", require, lambda kind: kind.open_recorder(Clock(), Also(ALSO)))
    try:
        coverage = told(everything.drain())
    finally:
        everything.close()
    assert coverage == {"ids": True, "ports": False, **dict.fromkeys(ALSO, False)}


def also(name: str, asked: Collection[str]) -> Recorder:
    return RECORDERS[name].open_recorder(Clock(), Also(asked))


@pytest.fixture
def asked(recorder: Recorder, root: Path) -> Iterator[Recorder]:
    """The recorder, asked for everything, watching the overlay."""
    everything = also(recorder.name, ALSO)
    watch(everything, root)
    yield everything
    everything.close()


def clean(command: Sequence[str]) -> list[str]:
    """In an environment that leads nowhere but into the root."""
    return ["env", "-i", "PATH=/usr/sbin:/usr/bin", *command]


def lookups(records: Sequence[Record]) -> set[tuple[str, str, str | None]]:
    return {(r.call, r.path, r.error) for r in records if isinstance(r, Lookup)}


def capabilities(records: Sequence[Record], exe: str = "") -> dict[str, bool]:
    found = [r for r in records if isinstance(r, Capability) and exe in ("", r.exe)]
    return {r.name.removeprefix("CAP_"): r.granted for r in found}


def told(records: Sequence[Record]) -> dict[Facet, bool]:
    return {r.what: r.recorded for r in records if isinstance(r, Coverage)}


def losses(records: Sequence[Record]) -> list[Loss]:
    return [r for r in records if isinstance(r, Loss)]


def test_lookups_are_those_that_strace_sees(
    asked: Recorder, root: Path, tmp_path: Path, require: Require
) -> None:
    log = tmp_path / "strace"
    chroot = ["unshare", "--mount", "chroot", str(root), "/bin/sh", "-euc", LOOKUPS]
    command = [*strace_lookups.arguments(log), *clean(chroot)]
    try:
        records = [*run(asked, command), *asked.finish()]
    except FileNotFoundError:
        require(False, "strace is not installed")
    expected = strace_lookups.read_log(
        log, root, volumes=("/mnt",), binds={"/tmp/b": "/etc/default"}
    )
    assert len(expected) > 60
    found = lookups(records)
    # mount(8) itself looks at the mount points, right before something is mounted there.
    own = {("readlink", place, "EINVAL") for place in ("/mnt", "/tmp/b", "/etc/default")}
    assert expected - found - own == set()
    assert found - expected - own == set()
    assert {
        ("stat", "/etc/passwd", None),
        ("stat", "/etc/nothing", "ENOENT"),
        ("list", "/etc/apt", None),
        ("readlink", "/etc/alternatives/awk", None),
        ("readlink", "/etc/passwd", "EINVAL"),
        ("open", "/etc/apt/sources.list/below", "ENOTDIR"),
        ("exec", "/etc/nothing", "ENOENT"),
        ("exec", "/etc/passwd", "EACCES"),
        ("stat", "/usr/share/doc/perl-base/nothing", "ENOENT"),
        ("stat", "/etc/nothing-here", "ENOENT"),
        ("stat", "/etc/default/useradd", None),
    } <= found
    assert not [path for _, path, _ in found if path.startswith("/mnt/")]
    assert not losses(records)


def test_a_second_look_costs_no_event(asked: Recorder, root: Path) -> None:
    look = "for i in 1 2 3 4 5; do test -e /etc/nothing || test -e /etc/passwd; done"
    records = [*run(asked, clean(shell(root, f"{look}; {look}"))), *asked.finish()]
    found = [r for r in records if isinstance(r, Lookup) and r.path == "/etc/nothing"]
    assert [(r.call, r.error, r.exe) for r in found] == [("stat", "ENOENT", "/usr/bin/dash")]


@pytest.mark.parametrize("what", ["exists", "missing"])
def test_one_without_the_other(recorder: Recorder, root: Path, what: str) -> None:
    half = also(recorder.name, [what])
    try:
        watch(half, root)
        script = "test -e /etc/nothing || test -e /etc/passwd"
        records = [*run(half, clean(shell(root, script))), *half.finish()]
    finally:
        half.close()
    assert {r.error is None for r in records if isinstance(r, Lookup)} == {what == "exists"}
    assert told(records)["exists"] == (what == "exists")
    assert told(records)["missing"] == (what == "missing")


def test_nothing_that_was_not_asked_for(watching: Recorder, root: Path) -> None:
    script = "test -e /etc/nothing || chown 0 /etc/issue"
    records = [*run(watching, clean(shell(root, script))), *watching.finish()]
    assert not [r for r in records if isinstance(r, (Lookup, Capability, Syscall))]
    coverage = {r.what: r.why for r in records if isinstance(r, Coverage) and not r.recorded}
    assert set(coverage) >= set(ALSO)
    assert coverage["syscalls"] == "not asked for (--also syscalls)"


def test_a_name_that_cannot_be_read_is_told_of(
    asked: Recorder, root: Path, require: Require
) -> None:
    """A name whose memory another thread takes away while the kernel works on it."""
    require(shutil.which("clang") is not None, "clang is not installed")
    source = root / "usr/bin/vanish"
    compiled = subprocess.run(
        ["clang", "-static", "-pthread", "-x", "c", "-o", source, "-"],
        input=VANISH.encode(),
        capture_output=True,
        check=False,
    )
    require(compiled.returncode == 0, f"no static program can be compiled: {compiled.stderr!r}")
    records = [*run(asked, clean(inside(root, "/usr/bin/vanish"))), *asked.finish()]
    assert {loss.where for loss in losses(records)} == {"unreadable names"}


VANISH = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *page;

static void *take(void *unused)
{
	for (;;) {
		munmap(page, 4096);
		mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		strcpy(page, "/etc/issue");
	}
}

int main(void)
{
	pthread_t thread;
	struct stat status;

	page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(page, "/etc/issue");
	pthread_create(&thread, 0, take, 0);
	/* On a busy machine both threads seldom run at once: as often as it takes. */
	for (int i = 0, met = 0, last = 0; i < 2000000 || (met < 5000 && i < 20000000); i++) {
		int now = stat(page, &status);
		met += now != last;
		last = now;
	}
	return 0;
}
"""


def test_system_calls_are_those_that_strace_counts(
    asked: Recorder, root: Path, tmp_path: Path, require: Require
) -> None:
    log = tmp_path / "strace"
    script = "ls -l /etc >/dev/null; perl -e 'fork; kill 0, $$; symlink q(a), q(/tmp/b)'; id"
    command = ["strace", "-ff", "-qq", "-o", str(log), "-e", "signal=none"]
    try:
        chroot = ["chroot", str(root), "/bin/sh", "-euc", script]
        records = [*run(asked, [*command, *clean(chroot)]), *asked.finish()]
    except FileNotFoundError:
        require(False, "strace is not installed")
    found = {(r.name, r.architecture) for r in records if isinstance(r, Syscall)}
    assert {architecture for _, architecture in found} == {os.uname().machine}
    names = {name for name, _ in found}
    # Before the first exec in the root it is unshare and chroot that run.
    counted = {
        line.partition("(")[0]
        for path in tmp_path.glob("strace.*")
        for line in _after(path.read_text("latin-1").splitlines())
        if re.match(r"\w+\(", line)
    }
    assert len(counted) > 40
    # strace calls by its 64-bit name what libseccomp does by another.
    assert counted - names == set()
    assert names - counted <= {"restart_syscall"}


def _after(lines: list[str]) -> list[str]:
    """What the shell in the root did, and its children: all but env and chroot."""
    begins = [i for i, line in enumerate(lines) if line.startswith('execve("/bin/sh"')]
    return lines[begins[0] + 1 :] if begins else lines


def test_32_bit_programs(asked: Recorder, root: Path, require: Require) -> None:
    require(os.uname().machine == "x86_64", "the program is of i386")
    program = root / "usr/bin/small"
    require(shutil.which("clang") is not None, "clang is not installed")
    options = ["-m32", "-O1", "-nostdlib", "-static", "-ffreestanding", "-fno-pic"]
    compile_ = ["clang", *options, "-x", "c", "-o", str(program), "-"]
    compiled = subprocess.run(compile_, input=SMALL.encode(), capture_output=True, check=False)
    require(compiled.returncode == 0, f"no 32-bit program can be compiled: {compiled.stderr!r}")
    works = subprocess.run([program], check=False)
    require(works.returncode == 0, "32-bit programs do not run here")
    records = [*run(asked, clean(inside(root, "/usr/bin/small"))), *asked.finish()]
    assert ("stat", "/etc/issue", None) in lookups(records)
    assert ("access", "/etc/nothing32", "ENOENT") in lookups(records)
    found = {(r.name, r.number, r.architecture) for r in records if isinstance(r, Syscall)}
    assert {("stat64", 195, "i386"), ("access", 33, "i386"), ("exit", 1, "i386")} <= found


SMALL = r"""
static int call(int number, const void *a, const void *b)
{
	int result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b) : "memory");
	return result;
}

void _start(void)
{
	char status[256];
	int found = call(195, "/etc/issue", status);

	call(33, "/etc/nothing32", 0);
	call(1, (void *)(found != 0), 0);
	__builtin_unreachable();
}
"""
BIND = """
use Socket; use Socket qw(inet_pton sockaddr_in6 AF_INET6 IPPROTO_TCP IPPROTO_UDP);
socket A, AF_INET, SOCK_STREAM, IPPROTO_TCP; bind A, sockaddr_in(81, INADDR_ANY) or die;
socket B, AF_INET, SOCK_DGRAM, IPPROTO_UDP; bind B, sockaddr_in(82, inet_aton "127.0.0.2") or die;
socket C, AF_INET6, SOCK_STREAM, IPPROTO_TCP;
bind C, sockaddr_in6(83, inet_pton AF_INET6, "::") or die;
socket D, AF_INET6, SOCK_DGRAM, IPPROTO_UDP;
bind D, sockaddr_in6(84, inet_pton AF_INET6, "::1") or die;
listen A, 1; listen C, 1;
socket E, AF_INET, SOCK_STREAM, IPPROTO_TCP; bind E, sockaddr_in(81, INADDR_ANY) and die;
""".replace("\n", " ")


def own_network(command: Sequence[str]) -> list[str]:
    return ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command]


def test_ports_are_those_that_were_bound(watching: Recorder, root: Path) -> None:
    records = run(watching, own_network(shell(root, f"perl -e '{BIND}'; id")))
    records += watching.finish()
    ports = {(r.protocol, r.address, r.port, r.exe, r.held) for r in records if isinstance(r, Port)}
    assert ports == {
        ("tcp", "0.0.0.0", 81, "/usr/bin/perl", False),
        ("udp", "127.0.0.2", 82, "/usr/bin/perl", False),
        ("tcp", "::", 83, "/usr/bin/perl", False),
        ("udp", "::1", 84, "/usr/bin/perl", False),
    }
    assert told(records)["ports"]


def test_ports_that_were_bound_before(recorder: Recorder, root: Path) -> None:
    """Found at a late attach; what somebody else has bound in the same network is not its."""
    stay = f"perl -e '{BIND} print qq(ready\\n); close STDOUT; <STDIN>'"
    chroot = ["unshare", "--mount", "chroot", str(root), "/bin/sh", "-c", f"{stay}; true"]
    stranger = "use Socket; socket S, AF_INET, SOCK_STREAM, 6; bind S, sockaddr_in(99, INADDR_ANY);"
    stranger += "listen S, 1; fork and exit; close STDOUT; sleep 3"
    command = own_network(["sh", "-c", f"perl -e '{stranger}'; exec \"$@\"", "x", *chroot])
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    watch(recorder, root)
    records = attach(process.pid, recorder, Clock())
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.communicate()
    ports = {(r.protocol, r.address, r.port, r.exe, r.held) for r in records if isinstance(r, Port)}
    assert ports == {
        ("tcp", "0.0.0.0", 81, "/usr/bin/perl", True),
        ("udp", "127.0.0.2", 82, "/usr/bin/perl", True),
        ("tcp", "::", 83, "/usr/bin/perl", True),
        ("udp", "::1", 84, "/usr/bin/perl", True),
    }


def test_strangers_ports_are_not_the_containers(watching: Recorder, root: Path) -> None:
    process = start(shell(root, "read line"))
    settle(watching)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        records = settle(watching)
    process.communicate(b"\n")
    assert not [r for r in [*records, *watching.finish()] if isinstance(r, Port)]


def ids(records: Sequence[Record], exe: str) -> set[tuple[int | None, int | None]]:
    return {(r.uid, r.gid) for r in records if isinstance(r, Process) and r.exe == exe}


def test_ids_that_change_without_an_exec(watching: Recorder, root: Path) -> None:
    """Told at a fork, at the end, and for what still runs, by a look when the recording ends."""
    drop = "$) = 33; $> = 33;"
    ends = run(watching, shell(root, f"perl -e '{drop}'; perl -e 'fork and wait; $> = 34'"))
    assert ids(ends, "/usr/bin/perl") == {(0, 0), (33, 33), (34, 0)}
    stays = start(shell(root, "perl -e '$> = 35; <STDIN>'"))
    before = settle(watching)
    records = [*before, *watching.finish()]
    stays.communicate(b"\n")
    assert (35, 0) not in ids(before, "/usr/bin/perl")
    assert (35, 0) in ids(records, "/usr/bin/perl")


def test_capabilities_that_a_program_uses(asked: Recorder, root: Path) -> None:
    script = (
        "chown 33 /etc/issue; perl -e '$> = 33'; mount -t tmpfs none /mnt; chroot / true; id;"
        "perl -e '@a = map { \"x\" x 1000000 } 1 .. 50'"
    )
    records = [*run(asked, clean(shell(root, script))), *asked.finish()]
    assert told(records)["capabilities"]
    assert capabilities(records, "/usr/bin/chown") == {"CHOWN": True}
    assert capabilities(records, "/usr/bin/mount") == {"SYS_ADMIN": True}
    assert capabilities(records, "/usr/sbin/chroot") == {"SYS_CHROOT": True}
    # What memory accounting asks for at every mapping is no use of it.
    assert capabilities(records, "/usr/bin/perl") == {"SETUID": True}
    assert capabilities(records, "/usr/bin/id") == {}


def test_capabilities_that_a_program_lacks(asked: Recorder, root: Path, require: Require) -> None:
    require(Path("/usr/bin/setpriv").exists(), "setpriv is not installed")
    dropped = ["setpriv", "--bounding-set", "-chown,-net_bind_service", "--inh-caps", "-all"]
    script = f"chown 33 /etc/issue || perl -e '{BIND}' || perl -e '$> = 33'"
    records = [*run(asked, clean([*dropped, *own_network(shell(root, script))])), *asked.finish()]
    assert capabilities(records, "/usr/bin/chown") == {"CHOWN": False, "FOWNER": True} or (
        capabilities(records, "/usr/bin/chown") == {"CHOWN": False}
    )
    assert capabilities(records, "/usr/bin/perl") == {"NET_BIND_SERVICE": False, "SETUID": True}


def test_the_numbers_of_calls_are_libseccomps(require: Require) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        require(False, "libseccomp is not installed")
    for index, table in enumerate(calls.TABLES):
        for call in calls.CALLS:
            number = library.seccomp_syscall_resolve_name_arch(
                ctypes.c_uint32(calls._TOKENS[table]), call.name.encode()
            )
            assert call.numbers[index] == (number if number >= 0 else None), (call.name, table)
    assert calls.call_name(calls.NATIVE, 10**6) is None
