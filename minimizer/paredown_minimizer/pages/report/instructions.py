"""How to run the slim image with less, start the original again, and do all of it once more."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from paredown_minimizer.image.source import engine_reference
from paredown_minimizer.material import Material
from paredown_minimizer.pages import Column, Row, Section
from paredown_minimizer.pages.report.summary import short
from paredown_minimizer.pages.surface import needs
from paredown_minimizer.runtime.formats import as_docker
from paredown_minimizer.runtime.settings import find_settings
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, TraceInput
from paredown_schemas.trace import Facet
from paredown_schemas.verification import Verification

_LESS = (
    "The recording bears these settings; each has its evidence above it. What could not be told is "
    "said, and not set. They were not in force while the tests ran, unless the tests' own command "
    "sets them: try them before you rely on them."
)
_DEBUG = (
    "Keep the original: it has the shell, the tools and the packages that the slim one lacks. It "
    "is the image with the identity that this report names; apply refuses any other."
)

# What is recorded on request only (docs/running-with-less.md).
_ALSO: tuple[Facet, ...] = ("exists", "missing", "capabilities", "syscalls")


def less(material: Material) -> Iterator[Section]:
    """Yield the chapter about running it with less."""
    plan = material.plan
    yield Section("less", "Run it with less", prose=(_LESS,), chapter=True)
    yield needs(plan)
    yield Section("options", "As docker's options, for bash", code=as_docker(find_settings(plan)))


def chapters(material: Material) -> Iterator[Section]:
    """Yield how to start the original again, and how to do all of it once more."""
    plan = material.plan
    yield Section("debug", "Start the unhardened original", prose=(_DEBUG,), chapter=True)
    yield _start(material)
    yield _beside(material)
    yield _layers(plan)
    yield Section("reproduce", "Reproduce", prose=tuple(_reproduce(material)), chapter=True)
    yield _inputs(material)
    yield Section("commands", "Commands", code="\n".join(_commands(material)))


def _source(material: Material) -> str:
    """Return SOURCE as a shell takes it, a word in capitals where nobody said."""
    return shlex.quote(escape_name(material.reference)) if material.reference else "ORIGINAL"


def _reference(material: Material) -> str:
    """Return what an engine calls the original, or the directory that it is."""
    return _called(material.reference, "ORIGINAL")


def _called(source: str | None, unknown: str) -> str:
    """Return a SOURCE without its scheme, as a shell takes it."""
    known = engine_reference(source or "") or (source or "").removeprefix("dir:")
    return shlex.quote(escape_name(known)) if known else unknown


def _is_directory(material: Material) -> bool:
    return material.plan.image.startswith("dir-")


def _start(material: Material) -> Section:
    """As the tests did it, else as the last run was recorded; else nobody knows."""
    verification, runs = material.verification, material.runs
    if verification is not None:
        title, run = "As it was started for the tests", escape_name(verification.run)
    else:
        title, run = "As it was recorded", _words(runs[-1].header.command) if runs else ""
    original = _reference(material)
    if run and _is_directory(material):
        run = (
            "# through an overlay, so that the directory does not change\n"
            f"paredown-agent record --rootfs {original} -o debug.trace -- {run}"
        )
    elif verification is not None and verification.target == "compose":
        run = f"# with {original} as the image of the service\n{run}"
    return Section("start", title, code=run.replace("{image}", original))


def _words(command: Sequence[str]) -> str:
    """Return a command for a shell, but for what would be in the way of running it again."""
    words = list(command)
    if "--cidfile" in words:  # docker-run(1): a file that must not exist, of that run
        at = words.index("--cidfile")
        del words[at : at + 2]
    return " ".join(shlex.quote(escape_name(word)) for word in words)


def _beside(material: Material) -> Section:
    original = _reference(material)
    code = (
        "# docker, podman: the slim container's processes, network and, in /proc/1/root, files\n"
        "docker run --rm -it --pid container:NAME --network container:NAME "
        f"--entrypoint sh {original}\n"
        "# Kubernetes\n"
        f"kubectl debug -it POD --target CONTAINER --image {original} -- sh"
    )
    title = "With its tools beside the running slim one"
    return Section("beside", title, code="" if _is_directory(material) else code)


def _layers(plan: Plan) -> Section:
    rows = [
        Row((f"{number:,}", escape_name(layer.diff_id), escape_name(layer.created_by or "")))
        for number, layer in enumerate(plan.layers, 1)
    ]
    columns = Column("layer", "number"), Column("diff_id", "name"), Column("made by", "name")
    title = f"Layers that make the original: {len(rows):,}"
    return Section("layers", title, columns, rows, headed=True, top=5)


def _reproduce(material: Material) -> Iterator[str]:
    yield (
        f"The same image, traces and policy give the same plan, {short(material.plan.id)}, byte "
        "for byte; the same plan and image give the same slim image. These documents are made of "
        "the inputs below alone, without a clock."
    )
    versions = {material.plan.paredown: "plan"}
    if material.verification:
        versions.setdefault(material.verification.paredown, "verification")
    if material.cves:
        versions.setdefault(material.cves.paredown, "CVEs")
    told = ", ".join(f"{escape_name(version)} ({what})" for version, what in versions.items())
    yield f"Version of Paredown: {told}."


def _inputs(material: Material) -> Section:
    verification, cves = material.verification, material.cves
    files = sorted(material.files, key=lambda file: (file.role != "plan", file.role))
    told = [
        *((file.role, file.name, file.sha256) for file in files),
        *(
            ("trace of the tests", trace.run, trace.sha256)
            for trace in (verification.traces if verification else ())
        ),
        *(
            (f"scan, {scan.side}", scan.format, scan.sha256)
            for scan in (cves.scans if cves else ())
        ),
    ]
    rows = [Row(tuple(escape_name(text) for text in each)) for each in told]
    columns = Column("what"), Column("name", "name"), Column("sha256", "name")
    return Section("inputs", f"Inputs: {len(rows):,}", columns, rows, headed=True)


def _commands(material: Material) -> Iterator[str]:
    plan = material.plan
    source, slim = _source(material), shlex.quote(escape_name(material.slim or "SLIM"))
    yield f"# the original: {escape_name(plan.image)}, {escape_name(plan.platform)}"
    yield from _recording(material)
    yield f"paredown plan {source} {_plan_options(material)} -o plan.json"
    yield f"#   its id: {plan.id}"
    yield f"paredown apply plan.json {source} -o {slim}"
    if verification := material.verification:
        yield _verify(verification, material)
    for scan in material.cves.scans if material.cves else ():
        tool = escape_name(scan.tool or scan.format)
        yield f"#   scan, {scan.side}: {tool}, sha256:{escape_name(scan.sha256)}"
    if material.cves:
        sides = sorted({scan.side for scan in material.cves.scans}, reverse=True)
        scans = " ".join(f"--{side} {side.upper()}.json" for side in sides)
        yield f"paredown cves plan.json {scans} -o cves.json"
    yield "paredown report plan.json -o report"


def _verify(verification: Verification, material: Material) -> str:
    soft = verification.mode == "soft"
    image = _reference(material) if soft else _called(material.slim, "SLIM")
    run = shlex.quote(escape_name(verification.run))
    how = {
        "rootfs": f"--rootfs {image} --run {run}",
        "compose": f"--image {image} --compose FILE --service NAME",
    }.get(verification.target, f"--image {image} --run {run}")
    lines = [escape_name(test.command) for test in verification.tests if test.command]
    tests = f" -- {shlex.quote(' && '.join(lines))}" if lines else ""
    return f"paredown verify plan.json {how}{' --soft' * soft} -o verification.json{tests}"


def _recording(material: Material) -> Iterator[str]:
    runs = {run.header.run: run for run in material.runs}
    for number, trace in enumerate(material.plan.traces, 1):
        run = runs.get(trace.run)
        words = ["paredown-agent record", f"-o {_trace_name(number)}"]
        words += [f"--rootfs {_reference(material)}"] if _is_directory(material) else []
        words += [f"--scenario {_words([trace.scenario])}"] if trace.scenario else []
        also = [facet for facet in _ALSO if run and run.coverage()[facet] is None]
        words += [f"--also {','.join(also)}"] if also else []
        command = _words(run.header.command) if run else ""
        yield f"{' '.join(words)} -- {command or 'COMMAND'}"


def _plan_options(material: Material) -> str:
    plan = material.plan
    words = [f"--trace {_trace_name(number)}" for number in range(1, len(plan.traces) + 1)]
    words.append(f"--granularity {plan.granularity}")
    words += ["--accept-partial"] if any(map(_is_partial, plan.traces)) else []
    words += ["--policy policy.yaml"] if plan.pins or material.policy else []
    words += ["--rebase OLD-PLAN"] if plan.rebase else []
    return " ".join(words)


def _is_partial(trace: TraceInput) -> bool:
    return trace.verdict == "partial"


def _trace_name(number: int) -> str:
    return f"{number}.trace"
