"""The documents about a slim image, for those who have to approve it: all of them, or none."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from paredown_minimizer.evidence import sbom, statement, vex
from paredown_minimizer.formats import html, markdown
from paredown_minimizer.image.staging import flush, flush_directory, stage_beside
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
    directory = Path(os.path.abspath(inputs.directory))
    _refuse_existing(directory, force=inputs.force)
    material = read_material(inputs)
    documents = make_documents(material)
    with stage_beside(directory) as stage:
        _place(stage / "new", directory, documents)
    return Written([inputs.directory / name for name in documents], material)


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
    existing = [name for name in FILES if os.path.lexists(directory / name)]
    if existing and not force:
        raise ParedownError(
            f"cannot write report {escape_name(str(directory))}: {existing[0]} exists already",
            hint="--force replaces what an earlier report wrote there, and nothing else",
        )


def _place(new: Path, directory: Path, documents: Mapping[str, str]) -> None:
    """Write all of it before anything in ``directory`` changes."""
    new.mkdir()
    for name, text in documents.items():
        (new / name).write_text(text, "utf-8")
    flush(new)
    if directory.exists():
        for name in FILES:
            if name in documents:
                (new / name).replace(directory / name)
            else:
                (directory / name).unlink(missing_ok=True)
        flush_directory(directory)
    else:
        new.rename(directory)
        flush_directory(directory.parent)
