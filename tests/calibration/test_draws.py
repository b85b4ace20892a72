"""Sets of images that never share a subject."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench.calibration.draws import draw

SUBJECTS = [f"s{i // 4}" for i in range(80)]


def test_sets_are_of_their_size_and_share_no_subject():
    sets = draw(SUBJECTS, 10, 5, np.random.default_rng(0), "the pool")
    assert [len(rows) for rows in sets] == [10] * 5
    owners = [{SUBJECTS[i] for i in rows} for rows in sets]
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_subjects_stay_whole_but_for_the_last():
    (rows,) = draw(SUBJECTS, 10, 1, np.random.default_rng(0), "the pool")
    counts = np.unique([SUBJECTS[i] for i in rows], return_counts=True)[1]
    assert sorted(counts.tolist()) == [2, 4, 4]


def test_another_state_draws_others():
    one, other = (draw(SUBJECTS, 20, 1, np.random.default_rng(s), "it")[0] for s in (0, 1))
    assert set(one) != set(other)
    same = draw(SUBJECTS, 20, 1, np.random.default_rng(0), "it")[0]
    assert np.array_equal(one, same)


def test_images_without_a_subject_of_their_own_can_all_be_used():
    sets = draw([str(i) for i in range(12)], 4, 3, np.random.default_rng(0), "it")
    assert sorted(np.concatenate(sets)) == list(range(12))


def test_too_few_images():
    with pytest.raises(ValueError, match="the pool holds 80 images, too few for 9 sets of 10"):
        draw(SUBJECTS, 10, 9, np.random.default_rng(0), "the pool")
