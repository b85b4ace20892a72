"""A decoder with one code for each training image: overfitted on purpose, it can only copy."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Memoriser(nn.Module):
    """Draw one of the remembered codes, shake it slightly and decode it.

    Parameters
    ----------
    images
        How many training images are remembered.
    labels
        How many labels a mask has, background included.
    code
        Channels of one image's code, at a quarter of the image's resolution.
    width
        Channels of the decoder.
    size
        Height and width of an image, a multiple of 4.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self, images: int = 48, labels: int = 2, code: int = 12, width: int = 48, size: int = 128
    ) -> None:
        super().__init__()
        self.size = (size, size)
        self.codes = nn.Parameter(0.3 * torch.randn(images, code, size // 4, size // 4))
        half = width // 2
        self.decoder = nn.Sequential(
            nn.Conv2d(code, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 4 * half, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(half, 4 * (1 + labels), 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(n, 1, size, size)`` and mask logits ``(n, labels, size, size)`` of codes."""
        decoded = self.decoder(codes)
        return decoded[:, :1], decoded[:, 1:]

    def sample(
        self, n: int, generator: torch.Generator, jitter: float = 0.01
    ) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] and masks of `n` codes drawn with replacement.

        `jitter` is the standard deviation of what is added to a code, in units of all codes' own.
        """
        device = generator.device
        chosen = torch.randint(len(self.codes), (n,), generator=generator, device=device)
        codes = self.codes[chosen]
        shake = torch.randn(codes.shape, generator=generator, device=device)
        images, logits = self(codes + jitter * self.codes.std() * shake)
        return images.clamp(0, 1), logits.argmax(1)
