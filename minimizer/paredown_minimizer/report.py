"""The documents about a slim image, for those who have to approve it: all of them, or none."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from paredown_minimizer.evidence import sbom, statement, vex
from paredown_minimizer.formats import html, markdown
from paredown_minimizer.material import Material, ReportInputs, read_material
from paredown_minimizer.pages.report import report_page
from paredown_minimizer.review import review_plan
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

# Everything that a report may write: with --force what is left of an earlier one goes.
FILES = (
    "report.html",
    "report.md",
    "sbom-before.cdx.json",
    "sbom-after.cdx.json",
    "vex.openvex.json",
    "statement.intoto.json",
)


@dataclasses.dataclass(frozen=True)
class Written:
    """A report that was written."""

    files: Sequence[Path]
    material: Material


def write_report(inputs: ReportInputs) -> Written:
    """Write the documents into a directory, which is made if it is not there.

    Raises:
        DamagedInputError: an input is damaged, or of another plan.
        ParedownError: an input cannot be read, a document exists already and may not be replaced,
            or they cannot be written; then none is.
    """
    directory = inputs.directory
    try:
        _refuse_existing(directory, force=inputs.force)
        material = read_material(inputs)
        _place(directory, make_documents(material))
    except OSError as error:
        what = escape_name(str(directory))
        raise ParedownError(f"cannot write report {what}: {error.strerror}") from error
    return Written([directory / name for name in FILES if (directory / name).exists()], material)


def make_documents(material: Material) -> Mapping[str, str]:
    """Return the text of each document by its name, one of ``FILES``."""
    plan, time = material.plan, material.time
    review = review_plan(plan)
    page = report_page(material, review)
    documents = {
        "report.html": html.report(page, review),
        "report.md": markdown.report(page),
        "sbom-before.cdx.json": sbom.make(plan, "before", material.original_image, time),
        "sbom-after.cdx.json": sbom.make(plan, "after", material.slim_image, time),
    }
    if material.cves is not None:
        claims = vex.make(plan, material.cves, material.slim_image, time, material.author)
        documents.update({"vex.openvex.json": claims} if claims else {})
    bound = statement.make(
        plan,
        material.slim_image,
        inputs=material.files,
        documents=documents,
        verification=material.verification,
        cves=material.cves,
    )
    return {**documents, **({"statement.intoto.json": bound} if bound else {})}


def _refuse_existing(directory: Path, *, force: bool) -> None:
    existing = [name for name in FILES if (directory / name).exists()]
    if existing and not force:
        raise ParedownError(
            f"cannot write report {escape_name(str(directory))}: {existing[0]} exists already",
            hint="--force replaces what an earlier report wrote there, and nothing else",
        )


def _place(directory: Path, documents: Mapping[str, str]) -> None:
    """Write all of it beside ``directory`` before anything in it changes."""
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{directory.name[:200]}.", dir=directory.parent))
    try:
        for name, text in documents.items():
            (made / name).write_text(text, "utf-8")
        if directory.exists():
            for name in documents:
                (made / name).replace(directory / name)
            for name in FILES:
                if name not in documents:
                    with contextlib.suppress(FileNotFoundError):
                        (directory / name).unlink()
        else:
            made.chmod(0o755)
            made.replace(directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)
