"""A statistical atlas: learned anatomy, deformed, coloured, given a lesion, and degraded.

An active appearance model (Cootes et al. 2001) in torch: a slab of tissue maps is cut along a
tilted plane, deformed by an affine map and a low-rank field, coloured by a few intensities and
shaded by a smooth bias field; a lesion's outline comes from principal components of signed
distances; patchiness, blur and Rician noise follow. One latent vector drives all of it, and latent
vectors are drawn from a mixture of Gaussians behind learned marginal distributions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# In-plane affine map (two rows of three), and the tilt of the plane.
AFFINE = 8
# Half the side of a lesion's frame, in radii of a disc of its area.
FRAME = 2.5


class StatisticalAtlas(nn.Module):
    """Draw latent vectors and render them as images with masks.

    Parameters
    ----------
    tissues
        Maps of the template: all but the last share out the brain, the last is detail in it.
    levels, grid
        Slices and (height, width) of the template.
    modes, knots
        How many deformation modes, and how many knots a side their control grid has.
    bias
        Order of the polynomial for the logarithm of the bias field.
    shapes, labels, crop
        How many modes a lesion's outline has, how many labels, and the side of its frame.
    components
        Gaussians in the mixture of latent vectors.
    quantiles
        Knots of each latent's marginal distribution.
    size
        Height and width of an image.
    """

    value_range = (0.0, 1.0)

    template: Tensor
    template_low: Tensor
    template_high: Tensor
    basis: Tensor
    lesion_mean: Tensor
    lesion_modes: Tensor
    lesion_lean: Tensor
    roughness: Tensor
    softness: Tensor
    patch: Tensor
    grain: Tensor
    weights: Tensor
    present: Tensor
    backdrop: Tensor
    means: Tensor
    factors: Tensor
    marginals: Tensor

    def __init__(
        self,
        tissues: int = 4,
        levels: int = 24,
        grid: Sequence[int] = (144, 116),
        modes: int = 40,
        knots: int = 10,
        bias: int = 4,
        shapes: int = 20,
        labels: int = 3,
        crop: int = 32,
        components: int = 1,
        quantiles: int = 33,
        size: int = 128,
    ) -> None:
        super().__init__()
        self.size = (size, size)
        self.labels = labels
        self.bias_order = bias
        self.parts = {
            "level": 1,
            "affine": AFFINE,
            "deform": modes,
            "tissue": tissues,
            "bias": (bias + 1) * (bias + 2) // 2 - 1,
            "blur": 1,
            "noise": 3,
            "place": 3,
            "shape": shapes,
            "lesion": labels,
        }
        total = sum(self.parts.values())
        half = torch.float16
        for name, value in {
            "template": torch.zeros(tissues, levels, *grid, dtype=torch.uint8),
            "template_low": torch.zeros(tissues),
            "template_high": torch.ones(tissues),
            "basis": torch.zeros(modes, 3, knots, knots, dtype=half),
            "lesion_mean": torch.zeros(labels, crop, crop, dtype=half),
            "lesion_modes": torch.zeros(shapes, labels, crop, crop, dtype=half),
            "lesion_lean": torch.zeros(tissues),
            "roughness": torch.zeros(()),
            "softness": torch.full((), 0.05),
            "patch": torch.full((), 3.0),
            "grain": torch.tensor([0.0, 1.0]),
            "weights": torch.full((components,), 1 / components),
            "present": torch.full((components,), 0.5),
            "backdrop": torch.full((components,), 0.5),
            "means": torch.zeros(components, total),
            "factors": torch.zeros(components, total, total, dtype=half),
            "marginals": torch.zeros(total, quantiles),
        }.items():
            self.register_buffer(name, value)

    def sample(
        self, n: int, generator: torch.Generator, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Images ``(n, 1, height, width)`` in [0, 1] and masks ``(n, height, width)``.

        `temperature` scales the spread of the latent vectors.
        """
        device = generator.device
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        normal = torch.randn((n, self.means.shape[1]), generator=generator, device=device)
        normal = torch.einsum("nij,nj->ni", self.factors[which].float(), normal)
        parts = self.unpack(self.marginal(self.means[which] + temperature * normal))
        chance = torch.rand((2, n), generator=generator, device=device)
        present, backdrop = chance[0] < self.present[which], chance[1] < self.backdrop[which]
        white = torch.randn((4, n, 1, *self.size), generator=generator, device=device)
        crop = self.lesion_mean.shape[-1]
        rough = torch.randn((n, 1, crop, crop), generator=generator, device=device)
        rough = self.roughness * unit(blurred(rough, rough.new_full((n,), 1.5)))
        tissues = self.tissues(self.field(parts["level"], parts["affine"], parts["deform"]))
        distances = self.lesion(parts["place"], parts["shape"], rough, tissues)
        distances = torch.where(present.view(-1, 1, 1, 1), distances, -99.0)
        inside = tissues[:, :-1].sum(1, keepdim=True)
        labels = distances.amax(1).gt(0) * (distances.argmax(1) + 1)
        masks = torch.where(inside[:, 0] > 0.5, labels, 0)
        images = torch.einsum("nk,nkhw->nhw", parts["tissue"], tissues)[:, None]
        patchy = unit(blurred(white[2], self.patch.expand(n)))
        images = images * (1 + parts["noise"][:, 2].exp().view(-1, 1, 1, 1) * patchy)
        grain = 1 + self.grain[0] * unit(blurred(white[3], self.grain[1].expand(n)))
        images = self.coloured(images, distances, parts["lesion"], inside * grain)
        images = blurred(images * self.shading(parts["bias"]), parts["blur"][:, 0].exp())
        sigma, width = parts["noise"][:, 0].exp().view(-1, 1, 1, 1), parts["noise"][:, 1].exp()
        real, imaginary = (sigma * unit(blurred(w, width)) for w in white[:2])
        images = ((images + real) ** 2 + imaginary**2).sqrt()
        images = torch.where(backdrop.view(-1, 1, 1, 1) | (inside > 0.4), images, 0.0)
        return stretched(images), masks

    def unpack(self, latents: Tensor) -> dict[str, Tensor]:
        """Each part of ``(n, total)`` latent vectors by its name."""
        pieces = torch.split(latents, list(self.parts.values()), dim=1)
        return dict(zip(self.parts, pieces, strict=True))

    def marginal(self, normal: Tensor) -> Tensor:
        """Standard normal values taken to each latent's own distribution, by its quantiles."""
        knots = self.marginals.shape[1]
        place = torch.special.ndtr(normal) * (knots - 1)
        below = place.floor().clamp(0, knots - 2).long()
        low = self.marginals.gather(1, below.T).T
        high = self.marginals.gather(1, below.T + 1).T
        return torch.lerp(low, high, place - below)

    def slab(self) -> Tensor:
        """The template ``(tissues, levels, height, width)`` in floating point."""
        low, high = (v.view(-1, 1, 1, 1) for v in (self.template_low, self.template_high))
        return low + (high - low) * self.template.float() / 255

    def modes(self) -> Tensor:
        """The deformation modes ``(modes, 3, knots, knots)`` in floating point."""
        return self.basis.float()

    def field(self, level: Tensor, affine: Tensor, deform: Tensor) -> Tensor:
        """Where in the template each pixel looks: ``(n, height, width, 3)`` in [-1, 1]."""
        n, (height, width) = len(affine), self.size
        levels = self.template.shape[1]
        y, x = self._axes(affine.device)
        place = torch.stack([x, y, torch.ones_like(x)])
        identity = torch.eye(3, device=affine.device)[:2]
        plane = torch.cat([affine[:, 6:], (2 * level + 1) / levels - 1], 1)[:, None]
        matrix = torch.cat([identity + affine[:, :6].view(n, 2, 3), plane], 1)
        flat = torch.einsum("nij,jhw->nihw", matrix, place)
        knots = torch.einsum("np,pckl->nckl", deform, self.modes())
        bent = F.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
        field = flat + bent
        edge = 1 - 1 / levels
        return torch.cat([field[:, :2], field[:, 2:].clamp(-edge, edge)], 1).permute(0, 2, 3, 1)

    def tissues(self, field: Tensor) -> Tensor:
        """The deformed tissue maps ``(n, tissues, height, width)``."""
        # One volume, all images as its slices: the template is neither copied nor its gradient.
        maps = F.grid_sample(self.slab()[None], field[None], align_corners=False)
        return maps[0].transpose(0, 1)

    def shading(self, bias: Tensor) -> Tensor:
        """The bias field ``(n, 1, height, width)``, positive."""
        y, x = self._axes(bias.device)
        order = self.bias_order
        powers = [(i, j) for i in range(order + 1) for j in range(order + 1 - i) if i + j > 0]
        terms = torch.stack([x**i * y**j for i, j in powers])
        return torch.einsum("nq,qhw->nhw", bias, terms)[:, None].exp()

    def lesion(self, place: Tensor, shape: Tensor, rough: Tensor, tissues: Tensor) -> Tensor:
        """Signed distances in radii, positive inside: ``(n, labels, height, width)``.

        `place` is (column, row) in [-1, 1] and the logarithm of the radius in pixels; `rough` is
        added in the lesion's frame; the outline leans towards some `tissues`.
        """
        modes = self.lesion_modes.float()
        frames = self.lesion_mean.float() + torch.einsum("nr,rlhw->nlhw", shape, modes) + rough
        y, x = self._axes(place.device)
        radius = 2 * place[:, 2].exp().view(-1, 1, 1) / self.size[0]
        where = torch.stack([x - place[:, 0].view(-1, 1, 1), y - place[:, 1].view(-1, 1, 1)], 3)
        where = where / (FRAME * radius[..., None])
        maps = F.grid_sample(frames, where, padding_mode="border", align_corners=False)
        outside = (where.abs().amax(3) > 1)[:, None]
        maps = torch.where(outside, maps.clamp(max=-0.5), maps)
        return maps + torch.einsum("k,nkhw->nhw", self.lesion_lean, tissues)[:, None]

    def coloured(self, images: Tensor, distances: Tensor, values: Tensor, inside: Tensor) -> Tensor:
        """`images` with the lesion's `values` where its signed `distances` are positive."""
        outside = torch.zeros_like(distances[:, :1])
        shares = torch.cat([outside, distances / self.softness], 1).softmax(1)
        lesion = torch.einsum("nl,nlhw->nhw", values, shares[:, 1:])[:, None]
        return images * shares[:, :1] + lesion * inside.clamp(0, 1.3)

    def _axes(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows and columns of the pixels' centres in [-1, 1]."""
        rows, columns = (
            (torch.arange(s, device=device, dtype=torch.float32) + 0.5) * 2 / s - 1
            for s in self.size
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return y, x


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """`images` under a Gaussian point spread function of `sigma` ``(n,)`` pixels."""
    height, width = images.shape[-2:]
    fy = torch.fft.fftfreq(height, device=images.device)[:, None]
    fx = torch.fft.rfftfreq(width, device=images.device)[None]
    square = -2 * torch.pi**2 * (fx**2 + fy**2)
    transfer = (square * sigma.view(-1, 1, 1, 1) ** 2).exp()
    seen: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * transfer, s=(height, width))
    return seen


def unit(noise: Tensor) -> Tensor:
    """`noise` with unit standard deviation in each image."""
    return noise / noise.std((1, 2, 3), keepdim=True)


def stretched(images: Tensor) -> Tensor:
    """`images` between their 1st and 99th percentiles, as the training images are."""
    ends = torch.tensor([0.01, 0.99], device=images.device)
    low, high = images.flatten(1).quantile(ends, dim=1).view(2, -1, 1, 1, 1)
    scaled: Tensor = (images - low) / (high - low)
    return scaled.clamp(0, 1)
