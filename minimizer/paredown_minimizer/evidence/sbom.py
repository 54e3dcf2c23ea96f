"""The packages of an image, before and after: CycloneDX 1.6 (ECMA-424), as JSON.

The components are the packages that the image's own databases declare, by which scanners go, and
the distribution. Properties say what became of each and why. Licences are not looked for.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Literal

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from paredown_minimizer.chains import Chains
from paredown_minimizer.evidence.purls import image_purl, package_purl
from paredown_minimizer.evidence.subject import NamedImage
from paredown_schemas import __version__
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Distribution, EvidenceKind, PackageDecision, Plan

Side = Literal["before", "after"]
_STRENGTH: tuple[EvidenceKind, ...] = (
    *("traced", "root", "pinned", "linked", "interpreter"),
    *("script", "rule", "derived", "symlink", "owned"),
)


def make(plan: Plan, side: Side, image: NamedImage, time: str | None) -> str:
    """Return the document of the original or of the slim image, which ``image`` is.

    ``time`` is as ``subject.time_of`` returns it.
    """
    described = _image(plan, image)
    chains = Chains(plan)
    components = [_package(each, plan, chains) for each in _packages(plan, side)]
    if plan.distribution is not None:
        components.insert(0, _system(plan.distribution))
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{plan.id} {side} {image} {time}"),
        metadata=BomMetaData(
            component=described,
            tools=ToolRepository(components=[_paredown()]),
            timestamp=dt.datetime.fromisoformat(time.replace("Z", "+00:00")) if time else None,
            properties=_properties(plan=plan.id, side=side, platform=plan.platform),
        ),
        components=components,
    )
    if time is None:  # the library has asked the clock
        bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.register_dependency(described, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _packages(plan: Plan, side: Side) -> list[PackageDecision]:
    own = {package.key: package for package in reversed(plan.packages)}
    there = (package for package in own.values() if side == "before" or package.action != "remove")
    return sorted(there, key=lambda package: package.key)


def _image(plan: Plan, image: NamedImage) -> Component:
    names = (image.reference, image.identity)
    return Component(
        type=ComponentType.CONTAINER,
        bom_ref="image",
        name=escape_name(next(filter(None, names), "image")),
        version=image.digest or image.identity,
        purl=image_purl(image),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image.sha256)] if image.sha256 else [],
        properties=_properties(
            identity=image.identity, unowned_files=sum(group.files for group in plan.unowned)
        ),
    )


def _system(distribution: Distribution) -> Component:
    return Component(
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref="os",
        name=escape_name(distribution.id),
        version=_text(distribution.version_id),
        description=_text(distribution.name),
    )


def _paredown() -> Component:
    return Component(
        type=ComponentType.APPLICATION, bom_ref="paredown", name="paredown", version=__version__
    )


def _package(package: PackageDecision, plan: Plan, chains: Chains) -> Component:
    place = _text(package.location)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=escape_name(package.key),
        name=escape_name(package.name),
        group=_text(package.group),
        version=_text(package.version),
        purl=package_purl(package, plan.distribution),
        evidence=ComponentEvidence(occurrences=[Occurrence(location=place)]) if place else None,
        properties=_properties(
            manager=package.manager,
            action=package.action,
            files=package.files,
            kept_files=package.kept_files,
            bytes=package.bytes,
            kept_bytes=package.kept_bytes,
            source=" ".join(filter(None, (package.source, package.source_version))),
            evidence=_strongest(package, chains),
            handed=package.handed,
            risk=package.risk,
        ),
    )


def _strongest(package: PackageDecision, chains: Chains) -> str | None:
    """Return in words the first of what holds a package: what was seen goes before what follows."""
    passed = {link.path for link in chains.plan.links}  # directories, on the way to others'
    best = min(
        chains.of.get(package.key, ()),
        key=lambda record: (record.path in passed, _STRENGTH.index(record.kind), record.path),
        default=None,
    )
    return chains.describe(best) if best else None


def _text(name: str | None) -> str | None:
    return escape_name(name) if name else None


def _properties(**values: str | int | None) -> Iterator[Property]:
    for name, value in values.items():
        if value not in (None, ""):
            yield Property(name=f"paredown:{name.replace('_', '-')}", value=escape_name(str(value)))
