"""A variational autoencoder of images and masks together: MONAI's VarAutoEncoder.

Kingma and Welling 2014, with the decoder's variance at its optimum (Rybkin et al. 2021). Codes are
drawn from a Gaussian fitted to all training images' codes after training (Ghosh et al. 2020), which
lies closer to them than the standard normal prior. Each block of 2 x 2 pixels is one position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import VarAutoEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from nriqm_bench.generators.architectures import blocks, signed_distances


class VAE(nn.Module):
    """Draw a code and decode it.

    Parameters
    ----------
    channels
        Channels of the encoder at each resolution, from size / 2 down, and of the decoder back up.
    code
        Length of a code.
    size
        Height and width of an image, a multiple of ``2 ** len(channels)``.
    """

    value_range = (0.0, 1.0)

    mean: Tensor
    factor: Tensor

    def __init__(
        self, channels: Sequence[int] = (48, 64, 96, 128), code: int = 64, size: int = 64
    ) -> None:
        super().__init__()
        self.size = (size, size)
        self.autoencoder = VarAutoEncoder(
            spatial_dims=2,
            in_shape=(blocks.PLANES, size // blocks.BLOCK, size // blocks.BLOCK),
            out_channels=blocks.PLANES,
            latent_size=code,
            channels=tuple(channels),
            strides=(1,) + (2,) * (len(channels) - 1),
            act=("LEAKYRELU", {"negative_slope": 0.1}),
            norm="BATCH",
        )
        self.register_buffer("mean", torch.zeros(code))
        self.register_buffer("factor", torch.eye(code))

    def encode(self, images: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(n, code)`` of the posterior of each pair's code."""
        folded = blocks.fold(blocks.join(images, distances))
        mean, logarithm = (part.float() for part in self.autoencoder.encode_forward(folded))
        return mean, (0.5 * logarithm.clamp(-12, 6)).exp()

    def decode(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(n, 1, size, size)`` in about [0, 1] and signed distances ``(n, 3, ...)``."""
        folded = self.autoencoder.decode_forward(codes, use_sigmoid=False)
        return blocks.part(blocks.unfold(folded.float()))

    def loss(self, images: Tensor, distances: Tensor, generator: torch.Generator) -> Tensor:
        """The negative evidence bound a pixel, up to a constant, of ``(n, ...)`` pairs.

        Errors count by their logarithms, which is the likelihood at the best scale (Rybkin et al.
        2021, section 3): Laplace's for images, for sharper edges, and Gauss's for the distances,
        whose three channels tell much the same and count as one.
        """
        mean, sigma = self.encode(images, distances)
        codes = mean + sigma * torch.randn(mean.shape, generator=generator)
        made, outlines = self.decode(codes)
        fit = F.l1_loss(made, images).log() + F.mse_loss(outlines, distances).log() / 2
        divergence = (mean**2 + sigma**2 - 1 - 2 * sigma.log()).sum(1).mean() / 2
        return fit + divergence / images[0].numel()

    def fit_codes(self, mean: Tensor, sigma: Tensor) -> None:
        """Draw codes from the Gaussian with the moments of these posteriors, both ``(n, code)``."""
        covariance = torch.cov(mean.double().T) + (sigma.double() ** 2).mean(0).diag()
        self.mean.copy_(mean.mean(0))
        self.factor.copy_(torch.linalg.cholesky(covariance))

    def sample(
        self, n: int, generator: torch.Generator, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] and masks; `temperature` scales the spread of the codes."""
        normal = torch.randn((n, len(self.mean)), generator=generator, device=generator.device)
        images, distances = self.decode(self.mean + temperature * normal @ self.factor.T)
        return images.clamp(0, 1), signed_distances.decode(distances)
