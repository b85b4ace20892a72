"""AuthPct, train share, C_T, MiFID and nearest pairs, counted by hand and by brute force."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics

authpct = metrics.get("authpct")
train_share = metrics.get("train-share")
ct = metrics.get("ct")
mifid = metrics.get("mifid")
fid = metrics.get("fid")


def column(*values):
    return np.array(values, dtype=float)[:, None]


def published_authpct(fake, train):
    own = np.linalg.norm(train[:, None] - train, axis=-1)
    np.fill_diagonal(own, np.inf)
    between = np.linalg.norm(train[:, None] - fake, axis=-1)
    return 100 * np.mean(own.min(0)[between.argmin(0)] < between.min(0))


def test_authpct_counted_by_hand():
    train, fake = column(0, 1, 3, 6), column(0, 0.4, 2.1, 10)
    assert authpct(None, fake, train=train) == 25
    assert authpct(column(5, 5), fake, train=train) == 25


def test_authpct_as_far_as_the_neighbour_is_not_authentic():
    train = column(0, 1, 3)
    assert authpct(None, column(-1, -1), train=train) == 0
    assert authpct(None, column(-1.001, -1), train=train) == 50


def test_authpct_as_published():
    r = np.random.default_rng(0)
    for _ in range(5):
        fake, train = r.normal(size=(50, 3)), r.normal(size=(40, 3))
        value = authpct(None, fake, train=train)
        assert value == pytest.approx(published_authpct(fake, train), abs=1e-12)
        assert 5 < value < 95


def test_authpct_of_copies_is_zero_and_of_strangers_all():
    train = np.random.default_rng(0).normal(size=(30, 4))
    assert authpct(None, train, train=train) == 0
    assert authpct(None, train + 100, train=train) == 100


def test_authpct_takes_the_most_isolated_of_equally_near_rows():
    train = column(0, 1, 4, 5, 9)
    # 2.5 is 1.5 from both 1 and 4, which are 1 from theirs; 7 is 2 from 5 (1) and from 9 (4).
    assert authpct(None, column(2.5, 2.5), train=train) == 100
    assert authpct(None, column(7, 7), train=train) == 0
    assert authpct(None, column(7, 7), train=train[::-1]) == 0


def test_train_share_counted_by_hand():
    real, train = column(0, 10), column(4, 20)
    fake = column(1, 3, 21, 2)
    assert train_share(real, fake, train=train) == (0 + 1 + 1 + 0.5) / 4
    assert train_share(train, fake, train=real) == (1 + 0 + 0 + 0.5) / 4


def test_train_share_of_copies_and_of_an_honest_generator():
    r = np.random.default_rng(0)
    real, train, fake = r.normal(size=(3, 400, 3))
    assert train_share(real, train, train=train) == 1
    assert train_share(real, real, train=train) == 0
    assert train_share(real, fake, train=train) == pytest.approx(0.5, abs=0.1)


def test_train_share_corrected_for_sizes():
    r = np.random.default_rng(0)
    real, train, fake = (r.normal(size=(n, 2)) for n in (100, 400, 2000))
    plain = train_share(real, fake, train=train)
    corrected = train_share(real, fake, train=train, corrected=True)
    assert plain == pytest.approx(0.8, abs=0.06)
    assert corrected == pytest.approx(plain * 100 / (plain * 100 + (1 - plain) * 400))
    assert corrected == pytest.approx(0.5, abs=0.1)
    assert train_share(real, train, train=train, corrected=True) == 1
    assert train_share(real, real, train=train, corrected=True) == 0


lattice = arrays(np.float64, (6, 2), elements=st.integers(-2, 2))


@settings(max_examples=40, deadline=None)
@given(lattice, lattice, lattice, st.permutations(range(6)))
def test_order_shift_and_scale_do_not_matter(real, fake, train, order):
    for metric in (authpct, train_share):
        value = metric(real, fake, train=train)
        assert metric(real[order], fake[order], train=train[order]) == value
        assert metric(2 * real + 4, 2 * fake + 4, train=2 * train + 4) == value


@pytest.mark.parametrize("metric", [authpct, train_share], ids=["authpct", "train-share"])
def test_needs_train(metric):
    x = column(1, 2, 3)
    with pytest.raises(ValueError, match=r"train was None, must be an \(n, d\) array: .* reads it"):
        metric(x, x)
    with pytest.raises(ValueError, match="train had 1 row, must have at least 2"):
        metric(x, x, train=x[:1])


def test_nearest_pairs():
    fake, train, real = column(0.1, 5, 8, 3), column(0, 7, 100), column(2, 6, 9)
    pairs = metrics.nearest_pairs(fake, train, real, k=3)
    assert [p["fake"] for p in pairs] == [0, 2, 1]
    first = pairs[0]
    assert first["train"] == 0
    assert first["real"] == 0
    assert first["train_distance"] == pytest.approx(0.1)
    assert first["real_distance"] == pytest.approx(1.9)
    assert first["ratio"] == pytest.approx(0.1 / 1.9)
    # 8 is 1 from 7 and 1 from 9: a ratio of 1; 5 is 2 from 7 and 1 from 6; 3 is 3 from 0, 1 from 2.
    assert [p["ratio"] for p in pairs[1:]] == [1, 2]
    assert len(metrics.nearest_pairs(fake, train, real)) == 4
    assert json.loads(json.dumps(pairs, allow_nan=False)) == pairs


def test_nearest_pairs_without_real_are_the_nearest():
    pairs = metrics.nearest_pairs(column(0.5, 5, 7), column(0, 7), k=2)
    assert [(p["fake"], p["train"], p["train_distance"]) for p in pairs] == [(2, 1, 0), (0, 0, 0.5)]
    assert pairs[0]["ratio"] is None


def test_nearest_pairs_of_rows_that_coincide():
    train, real = column(0, 1), column(0, 2)
    pairs = metrics.nearest_pairs(column(0, 1, 2), train, real)
    # 2 is a real row and no training row: an infinite ratio, and left out.
    assert [(p["fake"], p["ratio"]) for p in pairs] == [(1, 0), (0, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((column(1), np.zeros((3, 2))), r"train had shape \(3, 2\), must be \(n, 1\) like fake"),
        ((column(1), column(1), np.zeros((3, 2))), r"real had shape \(3, 2\)"),
        ((column(1), np.zeros((0, 1))), "train had 0 rows, must have at least 1"),
        ((column(np.nan), column(1)), "fake held NaN or infinity in 1 of 1 rows"),
        ((column(1), column(1), None, 0), "k was 0, must be a whole number >= 1"),
    ],
)
def test_nearest_pairs_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.nearest_pairs(*arguments)


def test_intervals_and_floors_of_shares():
    train, fake = column(0, 1, 3, 6), column(0, 0.4, 2.1, 10)
    found = authpct.estimate(None, fake, train=train)
    assert (found.value, found.n, found.floor) == (25, 4, None)
    # Wilson's interval of 1 in 4 at 95 %, in per cent.
    assert (found.low, found.high) == pytest.approx((4.5587, 69.936), abs=1e-3)
    real = column(2, 5)
    assert train_share.estimate(real, fake, train=train).floor == 4 / 6
    assert train_share.estimate(real, fake, train=train, corrected=True).floor == 0.5


def pair_count(real, fake, train):
    """How many pairs have the fake row farther from train, a tie counted one half."""
    far = [min(np.linalg.norm(x - t) for t in train) for x in fake]
    own = [min(np.linalg.norm(x - t) for t in train) for x in real]
    return sum((f > r) + (f == r) / 2 for f in far for r in own)


def z_score(real, fake, train, continuity=0.5):
    n, m = len(real), len(fake)
    u = pair_count(real, fake, train)
    return (u - n * m / 2 + continuity) / np.sqrt(n * m * (n + m + 1) / 12)


def test_ct_by_hand():
    train = column(0, 100)
    real, fake = column(1, 2), column(3, 96)
    # Both fake rows are farther than both real rows: U = 4 of 4, less 2.
    assert ct(real, fake, train=train, continuity=False) == pytest.approx(2 / np.sqrt(20 / 12))
    assert ct(fake, real, train=train, continuity=False) == pytest.approx(-2 / np.sqrt(20 / 12))
    assert ct(real, fake, train=train) == pytest.approx(2.5 / np.sqrt(20 / 12))
    assert ct(real, real, train=train, continuity=False) == 0


def test_ct_by_brute_force_with_ties():
    r = np.random.default_rng(0)
    real, fake, train = (r.integers(-4, 5, size=(n, 2)).astype(float) for n in (25, 18, 12))
    assert ct(real, fake, train=train) == pytest.approx(z_score(real, fake, train))
    from scipy.stats import mannwhitneyu, norm

    far, own = ([min(np.linalg.norm(x - t) for t in train) for x in rows] for rows in (fake, real))
    lower = mannwhitneyu(far, own, alternative="less", use_continuity=False, method="asymptotic")
    found = ct(real, fake, train=train, ties=True, continuity=False)
    assert found == pytest.approx(norm.ppf(lower.pvalue))


def test_ct_within_cells():
    r = np.random.default_rng(0)
    centres = np.array([[0.0, 0], [100, 0], [0, 100]])

    def around(*sizes):
        return [c + r.normal(size=(n, 2)) for c, n in zip(centres, sizes, strict=True)]

    real, fake, train = around(20, 30, 10), around(40, 25, 20), around(30, 30, 30)
    fake[0] = np.repeat(train[0][:20], 2, axis=0)
    value = ct(*map(np.concatenate, (real, fake)), train=np.concatenate(train), cells=3)
    # 20 fake rows are no more than 20: the third cell does not count.
    z = [z_score(real[i], fake[i], train[i]) for i in range(2)]
    assert value == pytest.approx((20 * z[0] + 30 * z[1]) / 50)
    assert z[0] < -5
    z.append(z_score(real[2], fake[2], train[2]))
    value = ct(*map(np.concatenate, (real, fake)), train=np.concatenate(train), cells=3, tau=0.1)
    assert value == pytest.approx((20 * z[0] + 30 * z[1] + 10 * z[2]) / 60)


def test_ct_without_copying_is_a_standard_score():
    draws = [np.random.default_rng(seed).normal(size=(3, 40, 4)) for seed in range(200)]
    found = [ct.estimate(real, fake, train=train) for real, fake, train in draws]
    values = np.array([e.value for e in found])
    assert abs(values.mean()) < 4 / np.sqrt(200)
    assert 0.85 < values.std(ddof=1) < 1.15
    assert 0.9 <= np.mean([e.low <= 0 <= e.high for e in found]) <= 0.99
    assert found[0].floor == 0


def test_ct_says_which_cells_are_wrong():
    x = np.random.default_rng(0).normal(size=(10, 2))
    for cells in (0, 11, 1.5):
        with pytest.raises(ValueError, match=r"cells was .*, must be between 1 and the 10"):
            ct(x, x, train=x, cells=cells)
    with pytest.raises(ValueError, match=r"fake had no more than 2 of its rows in each of 2 cells"):
        ct(x, x, train=x, cells=2)


def turned(*degrees):
    return np.array([[np.cos(a), np.sin(a)] for a in np.radians(degrees)])


def test_mifid_divides_by_the_distance():
    real, fake, train = turned(40, 60, 75), 3 * turned(1, 89), 2 * turned(0, 90)
    distance = 1 - np.cos(np.radians(1))
    value = fid(real, fake)
    assert value > 0.5
    assert mifid(real, fake, train=train) == pytest.approx(value / distance)
    assert mifid(real, -fake, train=train) == pytest.approx(fid(real, -fake) / distance)
    assert mifid(real, fake, train=train, threshold=1e-5) == value


def test_mifid_of_a_full_copy_is_infinite_whatever_fid_is():
    r = np.random.default_rng(0)
    real, train = r.normal(size=(2, 30, 5))
    assert mifid(real, train, train=train) == np.inf
    assert mifid(real, 2 * train[::-1], train=train) == np.inf
    assert mifid(train, train, train=train) == np.inf
    assert mifid(real, real, train=train) == fid(real, real)


def test_mifid_needs_directions():
    x = column(1, 2, 3)
    with pytest.raises(ValueError, match="train held 1 of 3 rows of zeros"):
        mifid(x, x, train=column(0, 1, 2))
    with pytest.raises(ValueError, match="fake held 1 of 3 rows of zeros"):
        mifid(x, column(0, 1, 2), train=x)
    with pytest.raises(ValueError, match="threshold was 0, must be a number > 0"):
        mifid(x, x, train=x, threshold=0)


def test_interval_and_floor_of_mifid_are_those_of_fid_beyond_the_threshold():
    r = np.random.default_rng(0)
    real, fake, train = r.normal(size=(3, 40, 30))
    found, plain = mifid.estimate(real, fake, train=train), fid.estimate(real, fake)
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)
    assert found.floor == plain.floor
    copied = mifid.estimate(real, train, train=train)
    assert copied.value == copied.low == copied.high == np.inf
