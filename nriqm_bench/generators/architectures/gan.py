"""A generative adversarial network of images and masks together: MONAI's Generator.

A DCGAN (Radford et al. 2016) with the hinge loss and a spectrally normalised discriminator (Miyato
et al. 2018), which is needed for training only. Each block of 2 x 2 pixels is made as one position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import Generator, PatchDiscriminator
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from nriqm_bench.generators.architectures import blocks, signed_distances


class GAN(nn.Module):
    """Draw a standard normal vector and turn it into an image with its mask.

    Parameters
    ----------
    channels
        Channels of the generator, first at 4 x 4 positions and at twice as many a side thereafter.
    code
        Length of the vector.
    size
        Height and width of an image.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self, channels: Sequence[int] = (160, 96, 64, 48), code: int = 96, size: int = 64
    ) -> None:
        super().__init__()
        self.size = (size, size)
        self.code = code
        first, *middle = channels
        side = size // blocks.BLOCK // 2 ** len(middle)
        self.generator = Generator(
            latent_shape=(code,),
            start_shape=(first, side, side),
            channels=(*middle, blocks.PLANES),
            strides=(2,) * len(middle) + (1,),
            kernel_size=5,
            num_res_units=0,
            act=("LEAKYRELU", {"negative_slope": 0.2}),
            norm="BATCH",
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Images and signed distances ``(n, 4, size, size)`` in [-1, 1] of codes ``(n, code)``."""
        return blocks.unfold(self.generator(codes)).tanh()

    def sample(
        self, n: int, generator: torch.Generator, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] and masks; `temperature` scales the spread of the codes."""
        codes = torch.randn((n, self.code), generator=generator, device=generator.device)
        images, distances = blocks.part(self(temperature * codes))
        return images, signed_distances.decode(distances)


def discriminator(channels: int = 32) -> nn.Module:
    """A patch discriminator of ``(n, 4, height, width)`` without norm layers; a list comes out."""
    network: nn.Module = PatchDiscriminator(
        spatial_dims=2,
        channels=channels,
        in_channels=blocks.CHANNELS,
        num_layers_d=3,
        norm=None,
        bias=True,
    )
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d):
            spectral_norm(layer)
    return network
