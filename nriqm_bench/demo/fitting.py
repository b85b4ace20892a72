"""The training loops of the demo generators: a VAE, a GAN and a DDPM on small phantoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nriqm_bench import datasets
from nriqm_bench.extractors.unet import alone
from nriqm_bench.generators.architectures import blocks, signed_distances
from nriqm_bench.generators.architectures.ddpm import DDPM
from nriqm_bench.generators.architectures.gan import GAN, discriminator
from nriqm_bench.generators.architectures.vae import VAE

DATASET, SIZE, BATCH = "phantom-tumour", 64, 32

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Pairs:
    """Training images ``(n, 1, 64, 64)`` in [0, 1] with their signed distances ``(n, 3, ...)``."""

    images: Tensor
    distances: Tensor
    told: str

    @classmethod
    def of_phantoms(cls, n: int, progress: Progress) -> Pairs:
        """The first `n` training phantoms of seed 0."""
        data = datasets.get(DATASET)(n, seed=0, part="train", size=SIZE, progress=progress)
        return cls(
            torch.from_numpy(data.images),
            torch.from_numpy(signed_distances.encode(data.masks)),
            f"{DATASET}, train, size {SIZE}, seed 0, n {n}; sha256 {data.fingerprint()}",
        )

    def batches(self, steps: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """`steps` batches, epoch after epoch; half of the heads are mirrored left to right."""
        order = torch.empty(0, dtype=torch.long)
        batch = min(BATCH, len(self.images))
        for _ in range(steps):
            if len(order) < batch:
                order = torch.randperm(len(self.images), generator=generator)
            chosen, order = order[:batch], order[batch:]
            mirrored = torch.rand(batch, 1, 1, 1, generator=generator) < 0.5
            images, distances = self.images[chosen], self.distances[chosen]
            yield (
                torch.where(mirrored, images.flip(3), images),
                torch.where(mirrored, distances.flip(3), distances),
            )


def fit_vae(pairs: Pairs, steps: int, progress: Progress) -> VAE:
    """Maximise the evidence bound, then fit the density that codes are drawn from."""
    model: VAE = _averaged(VAE(), pairs, steps, progress, memory=0.99)
    model.eval()
    with torch.no_grad():
        found = [
            model.encode(images, distances)
            for images, distances in zip(
                torch.split(pairs.images, BATCH),
                torch.split(pairs.distances, BATCH),
                strict=True,
            )
        ]
        mean, sigma = (torch.cat(part) for part in zip(*found, strict=True))
        model.fit_codes(mean, sigma)
    return model


def fit_ddpm(pairs: Pairs, steps: int, progress: Progress) -> DDPM:
    """Learn the velocity at every noise level."""
    model: DDPM = _averaged(DDPM(), pairs, steps, progress, memory=0.996)
    return model


def fit_gan(pairs: Pairs, steps: int, progress: Progress) -> GAN:
    """Play generator against discriminator, one step each in turn."""
    model, judge = GAN(), discriminator()
    average = _running(model, 0.995, statistics=True)
    generator = torch.Generator().manual_seed(0)
    players = [torch.optim.Adam(m.parameters(), betas=(0.0, 0.99)) for m in (model, judge)]
    bar = progress(range(steps), "gan", steps)
    batches = pairs.batches(steps, generator)
    for step, (images, distances) in zip(bar, batches, strict=True):
        for player in players:
            player.param_groups[0]["lr"] = 4e-4 * _decay(step, steps)
        real = blocks.join(images, distances)
        with _half():
            fake = model(torch.randn(len(real), model.code, generator=generator)).float()
            told = judge(torch.cat([real, fake.detach()]))[-1].float()
            on_real, on_fake = told.chunk(2)
            loss = F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()
        _step(players[1], loss)
        judge.requires_grad_(False)
        with _half():
            loss = -judge(fake)[-1].float().mean()
        _step(players[0], loss)
        judge.requires_grad_(True)
        average.update_parameters(model)
    fitted = average.module
    assert isinstance(fitted, GAN)
    return fitted


FITS: dict[str, Callable[[Pairs, int, Progress], nn.Module]] = {
    "vae": fit_vae,
    "gan": fit_gan,
    "ddpm": fit_ddpm,
}


def fit(name: str, pairs: Pairs, steps: int, progress: Progress) -> nn.Module:
    """Train the generator of that name; the same seed and one thread give the same weights."""
    with alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FITS[name](pairs, steps, progress)


def _averaged(model: Any, pairs: Pairs, steps: int, progress: Progress, memory: float) -> Any:
    """Minimise ``model.loss`` by AdamW; what comes back is a running average of the weights."""
    name = type(model).__name__.lower()
    average = _running(model, memory, statistics=False)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    bar = progress(range(steps), name, steps)
    batches = pairs.batches(steps, generator)
    for step, (images, distances) in zip(bar, batches, strict=True):
        optimiser.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 100, _decay(step, steps))
        with _half():
            loss: Tensor = model.loss(images, distances, generator)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(model)
    return average.module


def _running(model: nn.Module, memory: float, statistics: bool) -> AveragedModel:
    """An exponential average of a model's weights, keeping `memory` of it at each step.

    Of the statistics of its norm layers too, or else those are the model's latest.
    """
    keep: Any = get_ema_multi_avg_fn  # has no types
    return AveragedModel(model, multi_avg_fn=keep(memory), use_buffers=statistics)


def _decay(step: int, steps: int) -> float:
    """The share of the learning rate: constant, then linearly to zero over the last 40 %."""
    return min(1.0, (steps - step) / (0.4 * steps))


def _half() -> torch.autocast:
    """Half of the work in bfloat16, which takes two thirds of the time on current processors."""
    return torch.autocast("cpu", torch.bfloat16)


def _step(player: torch.optim.Optimizer, loss: Tensor) -> None:
    player.zero_grad()
    torch.autograd.backward(loss)
    player.step()
