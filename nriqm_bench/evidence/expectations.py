"""What a trustworthy metric must do along a sweep: expectations as data that judge a curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nriqm_bench.evidence.verdict import Verdict

if TYPE_CHECKING:
    from nriqm_bench.evidence.curve import Curve

# One-sided 5 % point of the normal distribution, for the two one-sided tests of `flat`.
_Z95 = 1.645


@dataclass(frozen=True)
class Expectation:
    """What must happen (`text`), how it is judged, and why when it needs saying.

    `worsens` says that the metric must get worse, which one at its worst already cannot; `moves`
    that meeting it takes a change, while others are met where nothing happens.
    """

    text: str
    judge: Callable[[Curve], Verdict] = field(repr=False, compare=False)
    reason: str = ""
    specified: bool = True
    worsens: bool = False
    moves: bool = False

    def __str__(self) -> str:
        return self.text


def degrades(effect: float = 3.0, rank: float = 0.9, strictly: bool = False) -> Expectation:
    """The metric worsens from the first to the last level, and steadily.

    Parameters
    ----------
    effect
        End-to-end worsening in floor SD that must be reached.
    rank
        Spearman correlation of level and worsening that must be reached.
    strictly
        Every step must worsen the metric: the literal "increases monotonically".
    """

    def judge(curve: Curve) -> Verdict:
        found = _moved(curve, curve.effect, curve.rank, effect, rank, "worsened")
        if found and strictly and (steps := np.diff(curve.effects)).min() <= 0:
            at = curve.levels[int(np.argmin(steps)) + 1]
            return Verdict(
                False,
                f"{curve.subject} worsened by {steps.min():.2g} floor SD in the step to level "
                f"{at:g}, must worsen at every step",
            )
        return found

    return Expectation(
        f"degrades by {effect:g} SD{_how(rank, strictly)}",
        judge,
        worsens=True,
        moves=True,
    )


def improves(effect: float = 3.0, rank: float = 0.9) -> Expectation:
    """The metric betters from the first to the last level, and steadily (see `degrades`)."""

    def judge(curve: Curve) -> Verdict:
        return _moved(curve, -curve.effect, -curve.rank, effect, rank, "improved")

    return Expectation(f"improves by {effect:g} SD", judge, moves=True)


def flat(within: float = 3.0) -> Expectation:
    """The metric stays where it was: an equivalence test, not the absence of a difference.

    Two one-sided tests at 5 % (TOST): at every level the effect's 90 % interval, which is
    +-1.645 floor SD wide, must lie within +-`within` floor SD.
    """
    if within <= _Z95:
        raise ValueError(f"within was {within}, must exceed {_Z95} floor SD to be testable")

    def judge(curve: Curve) -> Verdict:
        worst = int(np.argmax(np.abs(curve.effects)))
        moved = float(curve.effects[worst])
        return Verdict(
            abs(moved) + _Z95 <= within,
            f"{curve.subject} moved by at most {moved:+z.2f} floor SD (at level "
            f"{curve.levels[worst]:g}), must be shown to stay within {within:g}: "
            f"at most {within - _Z95:.2f}",
        )

    return Expectation(f"flat within {within:g} SD", judge)


def not_better(effect: float = 3.0) -> Expectation:
    """No level may better the metric by `effect` floor SD: the damage must not be rewarded."""

    def judge(curve: Curve) -> Verdict:
        best = int(np.argmin(curve.effects))
        return Verdict(
            bool(curve.effects[best] > -effect),
            f"{curve.subject} improved by at most {-curve.effects[best]:z.2f} floor SD (at level "
            f"{curve.levels[best]:g}), must improve by less than {effect:g}",
        )

    return Expectation(f"not better by {effect:g} SD", judge)


def outweighed(unseen: float = 3.0) -> Expectation:
    """The control worsens the metric no further than the local damage of the same energy does.

    The curve's `local` is the other one; a control that worsens the metric by less than `unseen`
    floor SD outweighs nothing.
    """

    def judge(curve: Curve) -> Verdict:
        if curve.local is None:
            raise ValueError(f"{curve.subject} is no control: its curve has no local one")
        other = curve.local.effect
        return Verdict(
            curve.effect <= max(other, unseen),
            f"{curve.subject} worsened by {curve.effect:z.2f} floor SD and "
            f"{curve.local.perturbation} of the same energy by {other:z.2f}, must be no more than "
            f"that (or below {unseen:g})",
        )

    return Expectation("no more than the local damage", judge)


def linear(r2: float = 0.9) -> Expectation:
    """The metric is a straight line in the level: R squared of the fit at least `r2`."""

    def judge(curve: Curve) -> Verdict:
        x, y = np.asarray(curve.levels), np.asarray(curve.values)
        residual = y - np.polyval(np.polyfit(x, y, 1), x)
        total = float(np.sum((y - y.mean()) ** 2))
        found = 1.0 if np.ptp(y) == 0 else 1 - float(np.sum(residual**2)) / total
        return Verdict(
            found >= r2, f"{curve.subject} fits a line with R2 {found:.3f}, must be >= {r2:g}"
        )

    return Expectation(f"linear, R2 {r2:g}", judge)


def bell(rise: float = 3.0) -> Expectation:
    """The metric is best at the middle level and worsens by `rise` floor SD to both ends.

    A level may better the middle one by at most half of `rise`: the ratio of Raisa et al. 2025
    (arXiv 2505.22450), whose bells rise by .2 and overshoot their centre by at most .1.
    """

    def judge(curve: Curve) -> Verdict:
        centre = curve.effects[len(curve.effects) // 2]
        left, right = curve.effects[0] - centre, curve.effects[-1] - centre
        over = centre - curve.effects.min()
        return Verdict(
            bool(min(left, right) >= rise and over <= rise / 2),
            f"{curve.subject} worsened from the centre by {left:z.2f} and {right:z.2f} floor SD, "
            f"both must be >= {rise:g}, and was better than there by at most {over:z.2f}, "
            f"must be <= {rise / 2:g}",
        )

    return Expectation(f"bell of {rise:g} SD", judge, moves=True)


def converges(to: float, within: float) -> Expectation:
    """The metric's last value is within `within` (its own unit) of `to`."""

    def judge(curve: Curve) -> Verdict:
        last = curve.values[-1]
        return Verdict(
            abs(last - to) <= within,
            f"{curve.subject} ended at {last:.4g}, must be {to:g} +- {within:g}",
        )

    return Expectation(f"converges to {to:g} +- {within:g}", judge)


def unspecified(reason: str) -> Expectation:
    """Nothing is demanded of this metric here, and why; the curve is reported all the same."""
    if not reason.strip():
        raise ValueError("unspecified() needs a reason: why is nothing demanded of the metric?")

    def judge(curve: Curve) -> Verdict:
        return Verdict(True, f"{curve.subject} moved by {curve.effect:+.1f} floor SD: {reason}")

    return Expectation("unspecified", judge, reason=reason, specified=False)


def _how(rank: float, strictly: bool) -> str:
    """What is unusual about the steadiness that is asked."""
    if strictly:
        return ", strictly"
    if rank == 0.9:
        return ""
    return f", rank {rank:g}" if rank > -1 else " at last"


def _moved(
    curve: Curve, effect: float, rank: float, need: float, need_rank: float, verb: str
) -> Verdict:
    return Verdict(
        effect >= need and rank >= need_rank,
        f"{curve.subject} {verb} by {effect:z.2f} floor SD with rank correlation {rank:z.2f}, "
        f"must be >= {need:g} and >= {need_rank:g}",
    )
