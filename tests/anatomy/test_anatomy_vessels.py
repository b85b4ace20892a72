"""Vessels as anatomy, on tubes whose length, calibre and breaks are known."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import anatomy

SIDE = 100
NAMES = anatomy.names("vessel")


def row(mask):
    image = (0.2 + 0.5 * mask).astype(np.float32)
    found = anatomy.describe("vessel", image[None, None], mask[None].astype(np.uint8))
    return dict(zip(NAMES, found[0], strict=True))


def tube(rows, columns):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[rows, columns] = True
    return mask


def test_a_tube_has_its_length_and_calibre():
    found = row(tube(slice(47, 52), slice(10, 90)))
    assert found["presence"] == 1
    assert found["area"] == pytest.approx(0.04)
    # Thinning shortens a vessel by about its radius at either end.
    assert found["length"] == pytest.approx(0.8, abs=0.06)
    assert found["branches"] == 1
    assert found["ends"] == 2
    assert found["pieces"] == 1
    assert found["gaps"] == 0
    assert found["radius"] == pytest.approx(2.5, abs=0.05)
    assert found["largest radius"] == pytest.approx(2.5, abs=0.01)
    assert found["narrowing"] == pytest.approx(0, abs=0.02)


def test_a_break_makes_two_pieces_that_face_each_other():
    broken = tube(slice(47, 52), slice(10, 90))
    broken[:, 46:52] = False
    found = row(broken)
    assert found["pieces"] == 2
    assert found["ends"] == 4
    assert found["gaps"] == 2


def test_vessels_that_are_far_apart_face_no_gap():
    apart = tube(slice(20, 25), slice(10, 90)) | tube(slice(70, 75), slice(10, 90))
    found = row(apart)
    assert found["pieces"] == 2
    assert found["gaps"] == 0


def test_a_branch_adds_segments_and_an_end():
    crossing = tube(slice(47, 52), slice(10, 90)) | tube(slice(10, 49), slice(48, 53))
    found = row(crossing)
    assert found["branches"] == 3
    assert found["ends"] == 3
    assert found["pieces"] == 1
    assert found["gaps"] == 0


def test_a_throat_is_a_narrowing():
    narrow = tube(slice(46, 53), slice(10, 90))
    narrow[:, 47:53] = False
    narrow[49, 47:53] = True
    assert row(narrow)["narrowing"] > 0.5
    assert row(narrow)["pieces"] == 1


def test_without_vessels_nothing_but_their_absence_is_told():
    found = row(np.zeros((SIDE, SIDE), bool))
    assert [found[name] for name in NAMES[:7]] == [0] * 7
    assert all(np.isnan(found[name]) for name in NAMES[7:])


def test_a_frame_that_is_all_vessel_is_described():
    assert row(np.ones((SIDE, SIDE), bool))["area"] == 1
