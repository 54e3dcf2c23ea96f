"""What a run asked for and found, without opening it. High: whoever asks does otherwise without.

Apache refuses to start without a program that its configuration names; RubyGems compiles a gem anew
without its ``gem.build_complete``. Where look-ups were not recorded (``--also exists``), no
conclusion can be drawn, and none is.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator

from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import Risk
from paredown_schemas.trace import Lookup


def find(situation: Situation) -> Iterator[Risk]:
    """Yield what was found; a look-up is named by the program, if it is known."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for run in situation.runs:
        for record in run.records:
            if isinstance(record, Lookup) and record.error is None and not record.truncated:
                # access(2) follows a link at the end, lstat(2) does not: both ends were found.
                for follow in (False, True):
                    resolved = situation.tree.resolve(record.path, follow_last=follow)
                    if resolved is not None and resolved.path in situation.removed:
                        found[record.exe or "?"].add(resolved.path)
    for exe, paths in sorted(found.items()):
        yield from situation.risks(paths, exe, "high", "looked-up")
