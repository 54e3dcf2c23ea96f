"""What the traces of a plan saw, as evidence; and whether they are of this image at all."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from paredown_minimizer.image.model import Image, parent
from paredown_minimizer.sessions import Sessions
from paredown_minimizer.traces import started
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence, TraceInput
from paredown_schemas.ranges import fold
from paredown_schemas.trace import How, Run

# A file of an image does not change while it is used in these ways, so that its size and time
# tell whether the trace is of this image.
_UNCHANGED = ("exec", "library", "loader", "script", "interpreter")
_SECOND = 1_000_000_000

_Use = tuple[How, str | None, int]  # how, by which program, in the session of which number


def refuse_other_images(runs: Sequence[Run], image: Image) -> None:
    """Compare each run's image with ``image``.

    A run from inside a container does not know its image: the sizes and times, in seconds, of the
    programs and libraries that it saw are compared instead.

    Raises:
        DamagedInputError: a run is of another image or platform.
    """
    for run in runs:
        identity = run.image.identity if run.image else None
        what = f"cannot plan from run {escape_name(run.header.run)}"
        if run.header.platform != image.platform:
            raise DamagedInputError(
                f"{what}: it was recorded on {escape_name(run.header.platform)}, "
                f"the image is for {image.platform}"
            )
        if identity is not None and identity != image.identity:
            reference = (run.image.reference if run.image else None) or identity
            raise DamagedInputError(
                f"{what}: it recorded another image, {escape_name(reference)}",
                hint="give the image that was recorded, unchanged, or record this one; "
                "if it was rebuilt since, --rebase the plan of then",
            )
        if identity is None and (changed := next(_changed(run, image), None)):
            raise DamagedInputError(
                f"{what}: {escape_name(changed)} differs from the image's in size or time",
                hint="give the image that was recorded, unchanged, or record this one",
            )


def _changed(run: Run, image: Image) -> Iterator[str]:
    for file in run.files():
        entry = image.tree.get(file.path)
        if file.how not in _UNCHANGED or entry is None or entry.type != "file" or file.truncated:
            continue
        # Archives keep whole seconds.
        seconds = None if file.mtime is None else file.mtime // _SECOND
        if file.size not in (None, entry.size) or seconds not in (
            None,
            entry.mtime_ns // _SECOND,
        ):
            yield file.path


def trace_inputs(runs: Sequence[Run], image: Image) -> tuple[TraceInput, ...]:
    """Return what the plan of ``image`` says about its traces, in the order of ``runs``."""
    return tuple(
        TraceInput(
            run=run.header.run,
            scenario=run.header.scenario,
            verdict=run.verdict,
            reasons=run.reasons,
            files=len({file.path for file in run.files()}),
            started=f"{start:%Y-%m-%dT%H:%M:%SZ}" if (start := started(run)) else None,
            recorder=run.header.recorder,
            image=_other_image(run, image),
        )
        for run in runs
    )


def _other_image(run: Run, image: Image) -> str | None:
    identity = run.image.identity if run.image else None
    return identity if identity != image.identity else None


def traced_evidence(runs: Sequence[Run], image: Image, sessions: Sessions) -> list[Evidence]:
    """Return the evidence of every path of the image that a run saw used, by path.

    A path without its beginning stands for every path that ends so. What a run created is not the
    image's; the directory that it was created in is: open(2) makes no directories.
    """
    seen: dict[str, list[_Use]] = collections.defaultdict(list)
    made_in: dict[str, list[_Use]] = collections.defaultdict(list)
    endings = _Endings(image)
    known = image.tree.keys()
    for number, run in enumerate(runs):
        numbers = sessions.numbers(number)
        uses: dict[tuple[How, str | None, int], _Use] = {}  # few: many files share one
        for file in run.files():
            key = (file.how, file.exe, file.session)
            if (use := uses.get(key)) is None:
                use = uses[key] = (file.how, file.exe, numbers[file.session])
            for path in endings.of(file.path) if file.truncated else (file.path,):
                if path in known:
                    seen[path].append(use)
                else:
                    made_in[_directory(image, path)].append(use)
    traced = [_evidence(path, uses, None) for path, uses in sorted(seen.items())]
    return traced + [
        _evidence(path, uses, "a file was made in it") for path, uses in sorted(made_in.items())
    ]


def _directory(image: Image, path: str) -> str:
    """Return the nearest directory above ``path`` that the image has."""
    while path not in image.tree:
        path = parent(path)
    return path


def _evidence(path: str, uses: Sequence[_Use], detail: str | None) -> Evidence:
    return Evidence(
        path,
        "traced",
        detail=detail,
        how=tuple(sorted({how for how, _, _ in uses})),
        exes=tuple(sorted({exe for _, exe, _ in uses if exe})),
        seen=fold(number for _, _, number in uses),
    )


class _Endings:
    """Finds paths by how they end, by whole components where the beginning is whole."""

    def __init__(self, image: Image) -> None:
        self._tree = image.tree
        self._by_name: dict[str, list[str]] = {}

    def of(self, ending: str) -> list[str]:
        if not self._by_name:
            for path in self._tree:
                self._by_name.setdefault(path.rpartition("/")[2], []).append(path)
        rest = "/" + ending.strip("/")
        return [p for p in self._by_name.get(ending.rpartition("/")[2], ()) if p.endswith(rest)]
