"""Masks of nested lesion parts as signed distances: smooth channels that a network can make.

Labels are those of `phantom-tumour`: 1 necrotic core, 2 oedema, 3 enhancing rim. The channels are
the whole lesion (1, 2 and 3), its core (1 and 3) and the necrosis (1), each inside the one before.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

PARTS = ((1, 2, 3), (1, 3), (1,))
# Pixels from an outline at which a distance reaches 1 and is cut off.
REACH = 4.0


def encode(masks: NDArray[np.integer]) -> NDArray[np.float32]:
    """Signed distances ``(n, 3, height, width)`` in [-1, 1], positive inside, of ``(n, h, w)``."""
    found = np.full((len(masks), len(PARTS), *masks.shape[1:]), -1, np.float32)
    for distances, mask in zip(found, masks, strict=True):
        for channel, labels in enumerate(PARTS):
            inside = np.isin(mask, labels)
            if inside.all():
                distances[channel] = 1
            elif inside.any():
                # An outline runs between pixels: half a pixel from the centres on either side.
                within = ndimage.distance_transform_edt(inside) - 0.5
                beyond = ndimage.distance_transform_edt(~inside) - 0.5
                distances[channel] = np.where(inside, within, -beyond) / REACH
    return found.clip(-1, 1)


def decode(distances: Tensor) -> Tensor:
    """Integer labels ``(n, height, width)`` of signed distances ``(n, 3, height, width)``."""
    whole, core, necrosis = (distances > 0).unbind(1)
    inner = torch.where(necrosis, 1, 3)
    return torch.where(whole, torch.where(core, inner, 2), 0)
