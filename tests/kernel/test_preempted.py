"""Programs that other tasks come in between of: what is told is true, and what is not is counted.

On a kernel that preempts itself (preempt=full) this happens all the time here.
"""

from __future__ import annotations

from pathlib import Path

from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.registry import choose
from paredown_schemas.trace import Loss
from recording import files, paths, run, shell, watch

WRITERS, FILES = 12, 100
# Each has letters of its own, so that a path made of two would be none. Half of them execute, which
# other programs tell of, and what they execute they do not open.
USE_ALL = f"""
for $n (0..{WRITERS - 1}) {{
    next if fork;
    $l = chr(97 + $n);
    chdir "/tmp" or die;
    for (1..14) {{ mkdir $l x 250; chdir $l x 250 or die }}
    for $f (1..{FILES}) {{
        $p = $l x 100 . $f;
        if ($n % 2) {{ link "/usr/bin/true", $p or die; system {{"./$p"}} $p and die; next }}
        open F, ">", $p or die; close F
    }}
    exit;
}}
1 while wait > 0;
"""


def expected() -> set[str]:
    found = set()
    for letter in map(chr, range(97, 97 + WRITERS)):
        place = "/tmp" + f"/{letter * 250}" * 14
        found |= {f"{place}/{letter * 100}{number}" for number in range(1, FILES + 1)}
    return found


def test_every_path_is_one_that_was_opened(watching: Recorder, root: Path) -> None:
    records = [*run(watching, shell(root, f"perl -e '{USE_ALL}'")), *watching.finish()]
    found = {file.path for file in files(records) if file.kind == "file" and "/tmp/" in file.path}
    assert not found - expected()
    lost = [record for record in records if isinstance(record, Loss)]
    assert {loss.where for loss in lost} <= {"preempted programs"}
    assert sum(loss.count or 0 for loss in lost) >= len(expected() - found)


def test_auto_takes_a_recorder_that_loses_no_opens_by_it(root: Path) -> None:
    recorder = choose("auto", Clock())
    try:
        watch(recorder, root)
        records = [*run(recorder, shell(root, f"perl -e '{USE_ALL}'")), *recorder.finish()]
    finally:
        recorder.close()
    lost = [record for record in records if isinstance(record, Loss)]
    # A fork or exec in some thousands, where much else begins and ends.
    assert {loss.where for loss in lost} <= {"preempted programs"}
    assert sum(loss.count or 0 for loss in lost) < WRITERS
    assert lost or not expected() - paths(records)
