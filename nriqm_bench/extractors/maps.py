"""Maps of EfficientNet-Lite0 half way up: what stands out in one place counts too."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nriqm_bench.extractors.efficientnet_lite0 import EfficientNetLite0
from nriqm_bench.extractors.images import as_tensor, in_batches, over_slices

_VERSION = 1

# The fifth stage: 112 channels, one position for 16 x 16 pixels.
_STAGE = 5
# One position in so many counts as outstanding.
_SHARE = 32


class EfficientNetLite0Maps(EfficientNetLite0):
    """336 features: mean, SD and peak of each of 112 channels over the positions of a middle layer.

    The peak is the mean of the highest 1/32 of the positions (2 of 64 at 128 pixels): a change of
    one place is not averaged away, and no mask is needed. Noise is seen better too, so that the
    noise equivalent of local damage stays about that of `EfficientNetLite0`: docs/remedies.md.

    Parameters
    ----------
    device, input_size
        As for `EfficientNetLite0`.
    """

    name = "efficientnet-lite0-maps"
    dim = 336

    def key(self) -> str:
        """That of the network, and the version."""
        return f"{super().key()}:{_VERSION}"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, 336)`` float32."""
        return over_slices(as_tensor(images), lambda x: in_batches(x, self._pooled, self.device))

    def _pooled(self, batch: torch.Tensor) -> torch.Tensor:
        places = self._maps(batch, _STAGE).flatten(2)
        count = max(1, places.shape[2] // _SHARE)
        peak = places.topk(count, dim=2).values.mean(dim=2)
        return torch.cat([places.mean(dim=2), places.std(dim=2, correction=0), peak], dim=1)
