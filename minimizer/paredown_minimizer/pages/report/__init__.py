"""The page for those who have to approve a slim image: what was gained, is it proven, what stays.

Each chapter is a module's, in the order in which a reviewer asks. What nobody gave is said to be
missing, and never left out: a report without tests says so in its first lines.
"""

from __future__ import annotations

from paredown_minimizer.material import Material
from paredown_minimizer.pages import Page, lean
from paredown_minimizer.pages.report import beforehand, cves, decisions, instructions, method, tests
from paredown_minimizer.pages.report.summary import answers, title, totals
from paredown_minimizer.review import Review


def report_page(material: Material, review: Review) -> Page:
    """Return the page; ``review`` is of the material's plan."""
    sections = [
        *method.chapters(material),
        *tests.chapters(material),
        *cves.chapters(material),
        *decisions.chapters(material, review),
        *instructions.less(material),
        *beforehand.chapters(material),
        *instructions.chapters(material),
    ]
    return Page(
        title=title(material),
        facts=(),
        totals=totals(material),
        sections=lean(sections),
        answers=answers(material, review),
        maker="paredown report",
    )
