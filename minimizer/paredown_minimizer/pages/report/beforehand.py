"""What a slimmer base or a multi-stage build would have dropped already, and what came by layer."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.material import Material
from paredown_minimizer.output import human_size, plural
from paredown_minimizer.pages import Column, Row, Section
from paredown_minimizer.pages.phrases import made_by
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Beforehand, PackageDecision, Plan, Way

_INTRODUCTION = (
    "Both can be had without a recording, and hardening guides have them first. This is what "
    "they alone would have left out of this image, its packages otherwise being the same."
)
_WAYS: dict[Way, str] = {
    "slim-base": "a slim variant of the base",
    "multi-stage": "a multi-stage build",
    "both": "both together",
}
_NO_SLIM = (
    "What a slim variant of the base would have left out is not known for these packages; Alpine "
    "has documentation in packages of its own, so that there is little to leave out."
)
_UNTOLD = (
    "What another base with other packages (distroless, another distribution) would have dropped, "
    "the data does not tell. Tools to build with that no package brought are not counted."
)
_NO_LAYERS = (
    "The image was read from a directory, which has no layers: what of this its base brought is "
    "not known."
)
_BASE = (
    "What the first layers brought, no later step of a Dockerfile makes smaller: that takes "
    "another base, or what this plan does."
)


def chapters(material: Material) -> Iterator[Section]:
    """Yield the chapter."""
    plan = material.plan
    title = "What a slimmer base or a multi-stage build would have dropped already"
    yield Section("beforehand", title, prose=tuple(_prose(plan)), chapter=True)
    yield _ways(plan)
    yield _layers(plan)


def _prose(plan: Plan) -> Iterator[str]:
    yield _INTRODUCTION
    found = {each.way: each for each in plan.beforehand}
    if most := found.get("both") or found.get("multi-stage"):
        yield _beyond(plan, most)
    if "slim-base" not in found:
        yield _NO_SLIM
    yield _UNTOLD
    if not plan.layers:
        yield _NO_LAYERS


def _beyond(plan: Plan, most: Beforehand) -> str:
    went = plan.before.bytes - plan.after.bytes
    packages = plan.before.packages - plan.after.packages
    text = (
        f"Of the {human_size(went)} and {plural(packages, 'package')} that go, "
        f"{human_size(most.gone_bytes)} and {_some(most.packages)} would have gone "
        f"that way. Paredown drops {human_size(max(0, went - most.gone_bytes))} and "
        f"{plural(packages - most.packages, 'package')} beyond that."
    )
    if stays := most.bytes - most.gone_bytes:
        text += (
            f" {human_size(stays)} that a slim base would have left out stay here, as they are of "
            "packages that stay whole: granularity trim lets go of most of that."
        )
    return text


def _some(packages: int) -> str:
    return plural(packages, "package") if packages else "no package"


def _ways(plan: Plan) -> Section:
    rows = [
        Row(
            (
                _WAYS[each.way],
                f"{each.packages:,}",
                f"{each.files:,}",
                human_size(each.bytes),
                human_size(each.gone_bytes),
            )
        )
        for each in plan.beforehand
    ]
    columns = (
        Column("way"),
        Column("packages", "number"),
        Column("files", "number"),
        Column("size", "number"),
        Column("of which goes here", "number"),
    )
    note = (
        "Left out by a slim variant: documentation, manual pages and translations; by a build in "
        "stages: compilers, headers, static libraries, and libraries that those alone need, as far "
        "as nothing used them."
    )
    return Section("ways", "What it would have been", columns, rows, note=note, headed=True)


def _layers(plan: Plan) -> Section:
    by_layer: dict[int, list[PackageDecision]] = {}
    for package in plan.packages:
        if package.layer is not None and package.layer < len(plan.layers):
            by_layer.setdefault(package.layer, []).append(package)
    rows = [_layer(plan, layer, found) for layer, found in sorted(by_layer.items())]
    columns = (
        Column("layer", "name"),
        Column("packages", "number"),
        Column("of which go", "number"),
        Column("size", "number"),
        Column("of which goes", "number"),
    )
    return Section("by-layer", "Packages by layer", columns, rows, note=_BASE, headed=True)


def _layer(plan: Plan, layer: int, packages: list[PackageDecision]) -> Row:
    size = sum(package.bytes for package in packages)
    kept = sum(package.kept_bytes for package in packages)
    gone = sum(package.action == "remove" for package in packages)
    cells = (
        made_by(plan, layer) or escape_name(plan.layers[layer].diff_id),
        f"{len(packages):,}",
        f"{gone:,}",
        human_size(size),
        human_size(size - kept),
    )
    return Row(cells)
