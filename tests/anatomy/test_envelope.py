"""The envelope of real anatomy, and the comparison of distributions, on numbers that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import anatomy

NAMES = ("presence", "area", "place")


def draw(n, seed, shift=0.0, scale=1.0, absent=0.1):
    rng = np.random.default_rng(seed)
    rows = np.column_stack([np.ones(n), rng.normal(3, 0.5, n), rng.normal(shift, scale, n)])
    gone = rng.random(n) < absent
    rows[gone] = [0, np.nan, np.nan]
    return rows


def people(n, each=4):
    return [f"s{i // each}" for i in range(n)]


def test_real_anatomy_is_plausible_where_there_is_any():
    envelope = anatomy.Envelope.of(draw(600, 0), NAMES)
    fresh = draw(4000, 1)
    there = fresh[:, 0] > 0
    assert not envelope.plausible(fresh)[~there].any()
    assert envelope.plausible(fresh)[there].mean() > 0.99


def test_what_is_out_of_range_is_counted_by_descriptor():
    envelope = anatomy.Envelope.of(draw(600, 0), NAMES)
    rows = np.array([[1, 3, 0], [1, 9, 0], [1, 3, 20.0], [1, 3, -20.0], [0, np.nan, np.nan]])
    assert envelope.plausible(rows).tolist() == [True, False, False, False, False]
    assert envelope.why(rows) == {"place": 2, "presence": 1, "area": 1}


def test_a_descriptor_that_never_varies_allows_what_was_seen():
    rows = np.tile([1.0, 2.0, 0.0], (50, 1))
    rows[0, 1] = 3
    envelope = anatomy.Envelope.of(rows, NAMES)
    assert envelope.plausible(np.array([[1, 3.0, 0], [1, 3.5, 0], [1, 1.9, 0]])).tolist() == [
        True,
        False,
        False,
    ]


def test_an_envelope_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing was found in any of 5 real images"):
        anatomy.Envelope.of(np.array([[0, np.nan, np.nan]] * 5), NAMES)


def test_a_shift_is_named_with_its_size():
    found = anatomy.compare(
        draw(600, 0), people(600), draw(200, 1, shift=0.8), NAMES, spreads=("place",)
    )
    assert found.name == "place"
    assert found.shift == pytest.approx(0.8, abs=0.2)
    assert found.statistics == 4
    assert found.subjects == 150
    assert found.fake - found.real == pytest.approx(0.8, abs=0.25)


def test_a_spread_is_named_too():
    found = anatomy.compare(
        draw(600, 0), people(600), draw(200, 1, scale=0.2), NAMES, spreads=("place",)
    )
    assert found.name == "spread of place"
    assert found.shift < -0.5


def test_absence_alone_is_compared_where_nothing_is_found():
    found = anatomy.compare(draw(600, 0), people(600), draw(200, 1, absent=1.0), NAMES, ("place",))
    assert found.name == "presence"
    assert found.distance > 15
    assert found.fake == 0


def test_one_image_that_no_real_one_resembles_is_no_alarm():
    real, fake = draw(600, 0, absent=0), draw(200, 1, absent=0)
    fake[0] = [0, np.nan, np.nan]
    without = anatomy.compare(real, people(600), draw(200, 1, absent=0), NAMES).distance
    assert anatomy.compare(real, people(600), fake, NAMES).distance < without + 1


def test_equal_sets_are_at_no_distance():
    real = draw(600, 0)
    assert anatomy.compare(real, people(600), real, NAMES, ("place",)).distance < 1e-6
