"""Downstream: is a segmenter that was trained on these images any good on real ones?

Each source of images trains a U-Net that is tested on held-out real images, beside one trained on
equally many real images. Whether a generator may be released on that ground is the gate
``downstream`` in test_gates.py; docs/downstream.md explains the table at the end.
"""


def test_usefulness(usefulness):
    assert usefulness.sane()


def test_damage(damage):
    assert not damage.must_cost or damage.costs()


def test_agreement(agreement):
    best = max(agreement, key=lambda row: row.tau)
    assert best.tau > 0, "no metric ranks as the downstream task does, not even roughly"
