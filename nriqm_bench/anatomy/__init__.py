"""Anatomy in images: what is found in them, whether it is plausible, whether it is as in real ones.

Everything here is a function of images and masks as arrays. The masks are found by a segmenter
that learnt from real training images (`nriqm_bench.extractors.segmenter`), in real and fake alike.
"""

from __future__ import annotations

from nriqm_bench.anatomy.compare import Comparison, compare
from nriqm_bench.anatomy.envelope import Envelope
from nriqm_bench.anatomy.finder import Finder, describe, names, spreads

__all__ = ["Comparison", "Envelope", "Finder", "compare", "describe", "names", "spreads"]
