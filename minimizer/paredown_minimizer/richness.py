"""How many kinds there are, from how many of several samples each was in.

Incidence-based estimation of species richness; here a sample is a run, and a kind is a file:

- Chao2: Chao 1987, "Estimating the population size for capture-recapture data with unequal
  catchability", Biometrics 43, 783-791; bias-corrected, its variance and its log-normal interval as
  in Colwell, "EstimateS User's Guide", appendix B.
- What the next sample brings: Good 1953, "The population frequencies of species and the estimation
  of population parameters", Biometrika 40, 237-264, in the form of Chao et al. 2009, "Sufficient
  sampling for asymptotic minimum species richness estimators", Ecology 90, 1125-1133.
- Where nothing hints at more: three more of what comes together at most (Hanley and Lippman-Hand
  1983, "If nothing goes wrong, is everything all right?", JAMA 249, 1743-1745).

Where kinds differ in how often they occur, as they do, Chao2 is a lower bound. Its variance takes
kinds to occur independently of each other. Files do not: one request brings twenty. So it is
multiplied by the mean size of what came together (overdispersion).
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Collection, Mapping

METHOD = "Chao2"
# Of two samples that are nearly the same, nearly all is in "two of them": nothing can be told.
_SAMPLES = 3
_Z = 1.959964  # of the normal distribution, for 95 %
_NOTHING_SEEN = 3  # may happen so often, with 95 %, where it never did


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """How many kinds no sample has shown yet; the ends are of the 95 % confidence interval."""

    unseen: float
    at_least: float
    at_most: float


def estimate(samples: int, found: Mapping[frozenset[int], int]) -> Estimate | None:
    """Return how many kinds are unseen; None from fewer than three samples.

    ``found`` says how many kinds were in just these of the ``samples``.
    """
    if samples < _SAMPLES:
        return None
    groups: dict[int, list[int]] = collections.defaultdict(list)
    for where, kinds in found.items():
        groups[len(where)].append(kinds)
    once, twice = sum(groups[1]), sum(groups[2])
    unseen, variance = chao2((samples - 1) / samples, once, twice)
    if not unseen:
        return Estimate(0, 0, _NOTHING_SEEN * _mean_size([*groups[1], *groups[2]]))
    spread = log_normal(unseen, variance * _mean_size(groups[1]))
    return Estimate(unseen, unseen / spread, unseen * spread)


def chao2(weight: float, once: int, twice: int) -> tuple[float, float]:
    """Return how many kinds are unseen, and the variance, from those in one and in two samples.

    ``weight`` is (samples - 1) / samples.
    """
    pairs, more = once * (once - 1), twice + 1
    unseen = weight * pairs / (2 * more)
    odd = weight**2 * once * (2 * once - 1) ** 2 / (4 * more**2)
    return unseen, unseen + odd + weight**2 * twice * pairs**2 / (4 * more**4)


def log_normal(unseen: float, variance: float) -> float:
    """Return what the ends of the 95 % confidence interval lie from ``unseen``, as a factor."""
    return math.exp(_Z * math.sqrt(math.log(1 + variance / unseen**2)))


def next_brings(samples: int, once: int, unseen: float) -> float:
    """Return how many new kinds one more sample is expected to bring."""
    return unseen * once / (samples * unseen + once) if once else 0


def _mean_size(groups: Collection[int]) -> float:
    """Return the mean size of the group that a kind is in; 1 where there are none."""
    return sum(size**2 for size in groups) / sum(groups) if groups else 1
