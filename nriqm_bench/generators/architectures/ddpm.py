"""A denoising diffusion model of images and masks together, with MONAI's U-Net and schedulers.

Ho et al. 2020 with the cosine schedule of Nichol and Dhariwal 2021 and velocity prediction
(Salimans and Ho 2022), sampled in few steps by DDIM (Song et al. 2021). The network sees each
block of 2 x 2 pixels as one position: a quarter of the work, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from nriqm_bench.generators.architectures import blocks, signed_distances

# How MONAI's schedulers are set up, for training and for sampling alike.
SCHEDULE = {"num_train_timesteps": 1000, "schedule": "cosine", "prediction_type": "v_prediction"}


class DDPM(nn.Module):
    """Draw noise and remove it step by step.

    Parameters
    ----------
    channels
        Channels of the U-Net at each resolution; the last has attention.
    size
        Height and width of an image, a multiple of ``2 ** len(channels)``.
    """

    value_range = (0.0, 1.0)

    def __init__(self, channels: Sequence[int] = (32, 64, 96), size: int = 64) -> None:
        super().__init__()
        self.size = (size, size)
        last = [False] * (len(channels) - 1) + [True]
        self.unet = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=blocks.PLANES,
            out_channels=blocks.PLANES,
            channels=tuple(channels),
            attention_levels=last,
            num_res_blocks=1,
            num_head_channels=[16 if attends else 0 for attends in last],
            norm_num_groups=16,
        )

    def forward(self, noisy: Tensor, times: Tensor) -> Tensor:
        """The velocity ``(n, planes, size / 2, size / 2)`` of noisy blocks at times ``(n,)``."""
        velocity: Tensor = self.unet(noisy, times)
        return velocity

    def loss(self, images: Tensor, distances: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the velocity at a random time for each image.

        `images` are ``(n, 1, size, size)`` in [0, 1], `distances` what `signed_distances.encode`
        makes of their masks.
        """
        clean = blocks.fold(blocks.join(images, distances))
        scheduler = DDPMScheduler(**SCHEDULE)
        n = len(clean)
        times = torch.randint(scheduler.num_train_timesteps, (n,), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        noisy = scheduler.add_noise(clean, noise, times)
        error = (self(noisy, times).float() - scheduler.get_velocity(clean, noise, times)) ** 2
        mean: Tensor = error.mean()
        return mean

    def sample(
        self, n: int, generator: torch.Generator, steps: int = 25, eta: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Images ``(n, 1, size, size)`` in [0, 1] and masks ``(n, size, size)`` after `steps`.

        `eta` is the share of fresh noise in each step: 0 for DDIM, 1 for as much as in DDPM, which
        lets later steps mend the errors of earlier ones.
        """
        scheduler = DDIMScheduler(**SCHEDULE)
        scheduler.set_timesteps(steps)
        device, side = generator.device, self.size[0] // blocks.BLOCK
        noisy = torch.randn((n, blocks.PLANES, side, side), generator=generator, device=device)
        for time in scheduler.timesteps.tolist():
            times = torch.full((n,), time, device=device)
            velocity = self(noisy, times)
            noisy = scheduler.step(velocity, time, noisy, eta=eta, generator=generator)[0]
        images, distances = blocks.part(blocks.unfold(noisy))
        return images.clamp(0, 1), signed_distances.decode(distances)
