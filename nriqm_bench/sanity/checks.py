"""The fifteen sanity checks, in the order of the published table.

Source: Raisa, van Breugel, van der Schaar 2025, "Position: All current generative fidelity and
diversity metrics are flawed", ICML (arXiv 2505.22450), and the code published with it, which says
what the text leaves open.
"""

from __future__ import annotations

from nriqm_bench.registry import UnknownName, unknown
from nriqm_bench.sanity import modes, shifts, supports
from nriqm_bench.sanity.check import Check

CHECKS: tuple[Check, ...] = (
    shifts.mean_difference(),
    shifts.mean_difference_outlier(),
    shifts.spread_difference(),
    modes.simultaneous_mode_dropping(),
    modes.sequential_mode_dropping(),
    modes.mode_dropping_invention(),
    shifts.sphere_surface(),
    supports.cube_overlap(),
    supports.cube_overlap_fake_size(),
    supports.sphere_torus(),
    modes.one_mode_against_two(),
    shifts.scaling_one_dimension(),
    shifts.mean_difference_pareto(),
    shifts.one_disjoint_dimension(),
    supports.discrete_against_continuous(),
)


def get(name: str) -> Check:
    """The check called `name`.

    Raises
    ------
    KeyError
        For an unknown name; the message lists the closest and the valid names.
    """
    by_name = {check.name: check for check in CHECKS}
    if name not in by_name:
        raise UnknownName(unknown("sanity check", name, by_name))
    return by_name[name]
