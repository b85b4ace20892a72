"""Fit a `StatisticalAtlas` to images with masks: registration, lesions, noise, density."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nriqm_bench.generators.architectures.atlas import AFFINE, FRAME, StatisticalAtlas, blurred

Progress = Callable[[Iterable[int], str, int], Iterable[int]]

# What the template covers at first, in voxels of the MNI152 maps: its middle, width and height of
# a slice, and the lowest and highest slice.
MIDDLE, WIDTH, HEIGHT = (98.0, 117.0), 156.0, 192.0
LOWEST, HIGHEST = 40.0, 136.0

# Adam's learning rates of what is found for each image, and of the template.
RATES = {
    "level": 0.1,
    "affine": 0.004,
    "deform": 0.003,
    "bias": 0.01,
    "blur": 0.02,
    "template": 0.004,
}


class Registration(StatisticalAtlas):
    """The atlas while it is fitted: a free template, and a free deformation for each image."""

    def __init__(self, template: Tensor, knots: int, size: int) -> None:
        tissues, levels, *grid = template.shape
        free = 3 * knots * knots
        super().__init__(tissues, levels, grid, modes=free, knots=knots, size=size)
        self.free = nn.Parameter(template.clone())
        self.each = torch.eye(free).view(-1, 3, knots, knots)

    def slab(self) -> Tensor:
        """The free template."""
        return self.free

    def modes(self) -> Tensor:
        """One mode for each knot and direction."""
        return self.each

    def maps(self, latents: dict[str, Tensor]) -> Tensor:
        """Deformed, shaded and blurred tissue maps: an image is a weighted sum of these."""
        field = self.field(latents["level"], latents["affine"], latents["deform"])
        tissues = self.tissues(field) * self.shading(latents["bias"])
        return blurred(tissues, latents["blur"][:, 0].exp() * self.size[0] / 128)


def fit(
    images: Tensor,
    masks: Tensor,
    groups: list[int],
    *,
    epochs: tuple[int, int, int] = (20, 40, 25),
    levels: int = 24,
    grid: tuple[int, int] = (144, 116),
    knots: int = 10,
    modes: int = 48,
    seed: int = 0,
    progress: Progress,
) -> tuple[StatisticalAtlas, dict[str, object], dict[str, Tensor]]:
    """A `StatisticalAtlas` of `images` with `masks`, its configuration, and the fit's latents.

    `groups` numbers the mixture's component (the site) of each image.
    """
    config: dict[str, object] = {
        "levels": levels,
        "grid": list(grid),
        "modes": modes,
        "knots": knots,
        "labels": int(masks.max()),
        "components": max(groups) + 1,
        "size": images.shape[-1],
    }
    registration = Registration(mni_template(levels, grid), knots, images.shape[-1])
    clean = without_background(images)
    base = register(registration, clean, masks, epochs=epochs, seed=seed, progress=progress)
    model = StatisticalAtlas(**config)  # type: ignore[arg-type]
    with torch.no_grad():
        low = registration.free.amin((1, 2, 3))
        high = registration.free.amax((1, 2, 3))
        scaled = (registration.free - low.view(-1, 1, 1, 1)) / (high - low).view(-1, 1, 1, 1)
        model.template.copy_((scaled * 255).round())
        model.template_low.copy_(low)
        model.template_high.copy_(high)
        tissues = tissues_of(registration, base)
        inside = tissues[:, :-1].sum(1, keepdim=True)
        base["deform"], base["affine"] = without_affine(base["deform"], base["affine"], knots)
        _, basis, base["deform"] = principal(base["deform"], modes, centred=False)
        model.basis.copy_(basis.view(-1, 3, knots, knots))
        near = F.max_pool2d((masks > 0).float()[:, None], 7, 1, 3) > 0
        noise, backdrop = fit_noise(model, images, base["made"], inside, near)
        lesions, base["made"] = fit_lesions(model, base, tissues, images, masks)
        model.grain.copy_(fit_grain(images, base["made"], masks, noise))
        latents = {**base, **lesions, "noise": noise}
        packed = torch.cat([latents[name] for name in model.parts], 1)
        density(model, packed, (masks > 0).flatten(1).any(1), backdrop, groups)
    return model, config, latents


def mni_template(levels: int, grid: tuple[int, int]) -> Tensor:
    """The MNI152 atlas as a first template: grey and white matter, fluid, detail of the T1."""
    from nilearn.datasets import (
        load_mni152_gm_template,
        load_mni152_template,
        load_mni152_wm_template,
    )

    loaders = (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    head, grey, white = (
        torch.from_numpy(np.asarray(load(resolution=1).get_fdata(), np.float32)) for load in loaders
    )
    grey, white = grey / grey.max(), white / white.max()
    fluid = ((head > 0).float() - grey - white).clamp(min=0)
    maps = torch.stack([grey, white, fluid])
    flat = maps.flatten(1)
    means = torch.linalg.lstsq(flat.T, head.flatten()[:, None]).solution
    detail = (head.flatten() - flat.T @ means[:, 0]).view(head.shape) * (head > 0)
    axes = [
        torch.linspace(LOWEST, HIGHEST, levels),
        MIDDLE[1] - HEIGHT * ((torch.arange(grid[0]) + 0.5) / grid[0] - 0.5),
        MIDDLE[0] + WIDTH * ((torch.arange(grid[1]) + 0.5) / grid[1] - 0.5),
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    ends = zip((z, y, x), head.shape[::-1], strict=True)
    where = torch.stack([2 * c / (s - 1) - 1 for c, s in ends], 3)
    volume = torch.cat([maps, detail[None]])[None]
    return F.grid_sample(volume, where[None], align_corners=True)[0]


def without_background(images: Tensor) -> Tensor:
    """`images` with zeros where no brain is: noise there would be taken for tissue."""
    smooth = blurred(images, torch.full((len(images),), 2.0))
    corners = torch.cat([images[..., :8, :8], images[..., :8, -8:]], 3).mean((1, 2, 3))
    return torch.where(smooth > 0.1 + 1.5 * corners.view(-1, 1, 1, 1), images, 0.0)


def register(
    model: Registration,
    images: Tensor,
    masks: Tensor,
    *,
    epochs: tuple[int, int, int],
    seed: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """Find every image's latents, and refine the template with them.

    Three rounds: several slice levels an image compete at half size; the best goes on at half
    size; then the template joins in at full size. Returns the latents, with ``tissue`` (the
    intensities) and ``made`` (the explained images).
    """
    rng = np.random.default_rng(seed)
    weights = 1 - F.max_pool2d((masks > 0).float()[:, None], 5, 1, 2)
    small, few = F.avg_pool2d(images, 2), F.avg_pool2d(weights, 2)
    with torch.no_grad():
        options = start(model, images, masks)
    full, many, n = model.size, len(options), len(images)
    model.size = (full[0] // 2, full[1] // 2)
    stacked = {name: torch.cat([option[name] for option in options]) for name in options[0]}
    repeated = small.repeat(many, 1, 1, 1), few.repeat(many, 1, 1, 1)
    steps = {"rng": rng, "progress": progress}
    trial = align(model, *repeated, stacked, epochs=epochs[0], rate=(1.0, 1.0), **steps)
    best = trial["error"].view(many, n).argmin(0) * n + torch.arange(n)
    found = {name: trial[name][best] for name in stacked}
    found = align(model, small, few, found, epochs=epochs[1], rate=(1.0, 0.4), **steps)
    model.size = full
    found = {name: found[name] for name in stacked}
    return align(
        model, images, weights, found, epochs=epochs[2], rate=(0.7, 0.03), refine=True, **steps
    )


def start(
    model: Registration, images: Tensor, masks: Tensor, candidates: int = 3
) -> list[dict[str, Tensor]]:
    """Affine maps from moments at the likeliest slice levels, `candidates` of them an image."""
    n, size = len(images), model.size
    model.size = (size[0] // 4, size[1] // 4)
    small = F.avg_pool2d(images, 4)
    weights = 1 - F.avg_pool2d((masks > 0).float()[:, None], 4)
    levels = model.free.shape[1]
    template = (model.free[:-1].sum(0) > 0.5).float()
    own, target = moments((small > 0.2).float()[:, 0]), moments(template)
    errors, affines = torch.zeros(levels, n), torch.zeros(levels, n, AFFINE)
    still = torch.zeros(n, model.parts["deform"])
    for level in range(levels):
        scale = target[level, 2:] / own[:, 2:]
        affines[level][:, [0, 4]] = scale - 1
        affines[level][:, [2, 5]] = target[level, :2] - scale * own[:, :2]
        field = model.field(torch.full((n, 1), float(level)), affines[level], still)
        maps = model.tissues(field)
        values = coefficients(maps, small, weights, torch.zeros(maps.shape[1]))
        made = torch.einsum("nk,nkhw->nhw", values, maps)[:, None]
        errors[level] = (weights * (made - small) ** 2).mean((1, 2, 3))
    model.size = size
    found = []
    for _ in range(candidates):
        best = errors.argmin(0)
        found.append(
            {
                "level": best[:, None].float(),
                "affine": affines[best, torch.arange(n)],
                "deform": still,
                "bias": torch.zeros(n, model.parts["bias"]),
                "blur": torch.full((n, 1), math.log(0.7)),
            }
        )
        near = (torch.arange(levels)[:, None] - best).abs() < levels // 8
        errors = errors.masked_fill(near, math.inf)
    return found


def moments(masks: Tensor) -> Tensor:
    """Centre (x, y) and spread (x, y) of ``(n, height, width)`` masks, in [-1, 1] units."""
    found = []
    for axis in (2, 1):
        profile = masks.sum(3 - axis) + 1e-6
        place = (torch.arange(masks.shape[axis]) + 0.5) / masks.shape[axis] * 2 - 1
        total = profile.sum(1)
        centre = (profile * place).sum(1) / total
        spread = ((profile * (place - centre[:, None]) ** 2).sum(1) / total).sqrt()
        found.append((centre, spread))
    (x, sx), (y, sy) = found
    return torch.stack([x, y, sx, sy], 1)


def coefficients(maps: Tensor, images: Tensor, weights: Tensor, prior: Tensor) -> Tensor:
    """The intensities that explain `images` by `maps`, weighted and drawn towards `prior`."""
    flat = (maps * weights.sqrt()).flatten(2)
    target = (images * weights.sqrt()).flatten(2)
    scale = flat.shape[2] * 1e-3
    gram = flat @ flat.mT + scale * torch.eye(flat.shape[1])
    right = (flat @ target.mT)[..., 0] + scale * prior
    return torch.linalg.solve(gram, right)


def align(
    model: Registration,
    images: Tensor,
    weights: Tensor,
    latents: dict[str, Tensor],
    *,
    epochs: int,
    rate: tuple[float, float],
    rng: np.random.Generator,
    progress: Progress,
    refine: bool = False,
    stiffness: float = 0.002,
    batch: int = 32,
) -> dict[str, Tensor]:
    """Move every image's latents, and the template where `refine`, towards the images.

    The learning rates fall from the first to the second share of `RATES`. Returns the latents,
    with each image's ``error``, ``tissue`` (the intensities) and ``made`` (what is explained).
    """
    tables = {
        name: nn.Embedding.from_pretrained(value.clone(), freeze=False, sparse=True)
        for name, value in latents.items()
    }
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam(list(table.parameters()), lr=RATES[name], betas=(0.8, 0.98))
        for name, table in tables.items()
    ]
    if refine:
        optimisers.append(torch.optim.Adam([model.free], lr=RATES["template"]))
    highest = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    first = model.free.detach().clone()
    model.free.requires_grad_(refine)
    prior = torch.full((len(first),), 0.4)
    prior[-1] = 0

    def explain(index: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        now = {name: table(index) for name, table in tables.items()}
        maps = model.maps(now)
        with torch.no_grad():
            values = coefficients(maps, images[index], weights[index], prior)
        return values, torch.einsum("nk,nkhw->nhw", values, maps)[:, None], now

    for epoch in progress(range(epochs), "registration", epochs):
        falling = 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        for optimiser, lr in zip(optimisers, highest, strict=True):
            optimiser.param_groups[0]["lr"] = lr * (rate[1] + (rate[0] - rate[1]) * falling)
        for rows in np.array_split(rng.permutation(len(images)), max(1, len(images) // batch)):
            index = torch.from_numpy(rows)
            _, made, now = explain(index)
            error = weights[index] * ((made - images[index]) ** 2 + 1e-4).sqrt()
            knots = now["deform"].view(len(index), 3, model.each.shape[2], -1)
            rough = (knots.diff(dim=2) ** 2).sum() + (knots.diff(dim=3) ** 2).sum()
            loss = error.mean((1, 2, 3)).sum() + stiffness * rough
            loss = loss + 0.003 * (now["bias"] ** 2).sum() + 0.02 * (now["affine"] ** 2).sum()
            if refine:
                loss = loss + 0.02 * len(index) * ((model.free - first) ** 2).mean()
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
    pieces = []
    with torch.no_grad():
        for index in torch.arange(len(images)).split(batch):
            values, made, _ = explain(index)
            error = (weights[index] * (made - images[index]).abs()).mean((1, 2, 3))
            pieces.append((error, values, made))
    found = {name: table.weight.detach().clone() for name, table in tables.items()}
    joined = (torch.cat(part) for part in zip(*pieces, strict=True))
    found["error"], found["tissue"], found["made"] = joined
    return found


def tissues_of(model: StatisticalAtlas, latents: dict[str, Tensor]) -> Tensor:
    """The deformed tissue maps of all images."""
    names = ("level", "affine", "deform")
    pieces = [
        model.tissues(model.field(*(latents[name][index] for name in names)))
        for index in torch.arange(len(latents["level"])).split(64)
    ]
    return torch.cat(pieces)


def without_affine(deform: Tensor, affine: Tensor, knots: int) -> tuple[Tensor, Tensor]:
    """The in-plane affine part of each free deformation handed over to the affine map."""
    axis = torch.linspace(-1, 1, knots)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    design = torch.stack([x, y, torch.ones_like(x)], 2).view(-1, 3)
    grids = deform.view(len(deform), 3, -1)
    parts = grids[:, :2] @ torch.linalg.pinv(design).T
    rest = grids.clone()
    rest[:, :2] -= parts @ design.T
    moved = affine.clone()
    moved[:, :6] += parts.flatten(1)
    return rest.flatten(1), moved


def principal(rows: Tensor, keep: int, centred: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, modes scaled so that scores have unit variance, and the scores ``(n, keep)``."""
    mean = rows.mean(0) if centred else torch.zeros(rows.shape[1])
    _, singular, right = torch.linalg.svd(rows - mean, full_matrices=False)
    spread = singular[:keep] / math.sqrt(len(rows))
    return mean, right[:keep] * spread[:, None], (rows - mean) @ right[:keep].T / spread


def signed_distances(masks: Tensor, labels: int) -> tuple[Tensor, Tensor]:
    """Places ``(n, 3)`` of the lesions and each label's signed distances, positive inside.

    Distances ``(n, labels, height, width)`` are in radii, and within -1.5 and 1.5.
    """
    from scipy.ndimage import distance_transform_edt

    size = masks.shape[-1]
    places = torch.zeros(len(masks), 3)
    maps = torch.full((len(masks), labels, size, size), -1.5)
    for i, mask in enumerate(masks.numpy()):
        rows, columns = np.nonzero(mask)
        if not len(rows):
            continue
        radius = math.sqrt(len(rows) / math.pi)
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        places[i] = torch.tensor([2 * x / size - 1, 2 * y / size - 1, math.log(radius)])
        for label in range(labels):
            region = mask == label + 1
            if region.any():
                inside, outside = distance_transform_edt(region), distance_transform_edt(~region)
                signed = np.where(region, inside - 0.5, 0.5 - outside) / radius
                maps[i, label] = torch.from_numpy(signed)
    return places, maps.clamp(-1.5, 1.5)


def fit_lesions(
    model: StatisticalAtlas,
    base: dict[str, Tensor],
    tissues: Tensor,
    images: Tensor,
    masks: Tensor,
) -> tuple[dict[str, Tensor], Tensor]:
    """Outlines, intensities and softness of the lesions; also the images, as now explained."""
    places, maps = signed_distances(masks, model.labels)
    rows = (masks > 0).flatten(1).any(1).nonzero()[:, 0]
    whole = maps[rows].amax(1)
    edge = whole.abs() < 0.5
    design = tissues[rows].permute(0, 2, 3, 1)[edge]
    design = torch.cat([design, torch.ones(len(design), 1)], 1)
    lean = torch.linalg.lstsq(design, whole[edge][:, None]).solution[:-1, 0]
    model.lesion_lean.copy_(lean)
    straight = maps[rows] - torch.einsum("k,nkhw->nhw", lean, tissues[rows])[:, None]
    side = model.lesion_mean.shape[1]
    steps = FRAME * 2 / images.shape[-1] * (2 * (torch.arange(side) + 0.5) / side - 1)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    radius = places[rows, 2].exp().view(-1, 1, 1, 1)
    where = places[rows, :2].view(-1, 1, 1, 2) + radius * torch.stack([x, y], 2)
    frames = F.grid_sample(straight, where, padding_mode="border", align_corners=False)
    mean, modes, scores = principal(frames.flatten(1), len(model.lesion_modes))
    model.lesion_mean.copy_(mean.view(model.lesion_mean.shape))
    model.lesion_modes.copy_(modes.view(model.lesion_modes.shape))
    missed = frames - (mean + scores @ modes).view(frames.shape)
    model.roughness.copy_(missed[frames.abs() < 0.4].std())
    shape = torch.zeros(len(images), len(modes))
    shape[rows] = scores
    values = torch.zeros(len(images), model.labels)
    made = base["made"].clone()
    best = math.inf
    for softness in (0.015, 0.03, 0.05, 0.08, 0.12):
        model.softness.fill_(softness)
        pieces = [
            lesion_values(model, base, tissues, images, maps, index) for index in rows.split(64)
        ]
        found, explained = (torch.cat(part) for part in zip(*pieces, strict=True))
        error = float(((explained - images[rows]) ** 2).mean())
        if error < best:
            best, chosen = error, softness
            values[rows], made[rows] = found.clamp(0, 1.3), explained
    model.softness.fill_(chosen)
    return {"place": places, "shape": shape, "lesion": values}, made


def lesion_values(
    model: StatisticalAtlas,
    base: dict[str, Tensor],
    tissues: Tensor,
    images: Tensor,
    maps: Tensor,
    index: Tensor,
) -> tuple[Tensor, Tensor]:
    """The intensities that explain the lesions best, and the images explained with them."""
    own = tissues[index]
    plain = torch.einsum("nk,nkhw->nhw", base["tissue"][index], own)[:, None]
    inside = own[:, :-1].sum(1, keepdim=True)
    shading, width = model.shading(base["bias"][index]), base["blur"][index, 0].exp()

    def seen(image: Tensor, values: Tensor) -> Tensor:
        values = values.expand(len(index), -1)
        return blurred(model.coloured(image, maps[index], values, inside) * shading, width)

    rest = seen(plain, torch.zeros(model.labels))
    each = torch.cat([seen(0 * plain, one) for one in torch.eye(model.labels)], 1)
    prior = torch.full((model.labels,), 0.6)
    values = coefficients(each, images[index] - rest, torch.ones_like(rest), prior)
    return values, rest + torch.einsum("nl,nlhw->nhw", values, each)[:, None]


def fit_noise(
    model: StatisticalAtlas, images: Tensor, made: Tensor, inside: Tensor, near: Tensor
) -> tuple[Tensor, Tensor]:
    """Logarithms of the noise's SD and correlation length and of the patchiness; the backdrop.

    Where the background is not blank, it is a magnitude of pure noise (a Rayleigh law, less its
    1st percentile): its median gives the SD and its correlation, about the square of the noise's,
    the length. Else both follow from differences at one and two pixels within the brain, whose
    growth over longer distances is the patchiness. Lesions (`near`) are left out.
    """
    lags = 8
    found, flags = [], []
    growths = torch.zeros(len(images), lags)
    for i, (image, clean) in enumerate(zip(images[:, 0], made[:, 0], strict=True)):
        brain = (inside[i, 0] > 0.9) & ~near[i, 0]
        air = F.max_pool2d(inside[i : i + 1], 9, 1, 4)[0, 0] < 0.05
        rest = image - clean
        for lag in range(1, lags + 1):
            steps = [steps_of(rest, brain, axis, lag).abs() for axis in (0, 1)]
            growths[i, lag - 1] = (torch.cat(steps).median() / 0.6745) ** 2
        middle = float(image[air].median()) if air.sum() > 200 else 0.0
        flags.append(middle > 0)
        if middle > 0:
            variance = (middle / 1.0356) ** 2
            air = air & (image < 3.5 * middle)
            change = torch.cat([steps_of(image, air, axis, 1) for axis in (0, 1)])
            alike = 1 - float((change**2).mean() / (2 * image[air].var()))
            rho = math.sqrt(min(max(alike, 1e-4), 0.5))
        else:
            ratio = min(max(float(growths[i, 0] / growths[i, 1]), 0.26), 0.995)
            grid = torch.linspace(0.001, 0.9, 900)
            rho = float(grid[((1 / ((1 + grid) * (1 + grid**2))) - ratio).abs().argmin()])
            variance = max(float(growths[i, 0]) / (2 * (1 - rho)), 1e-7)
        patch = max(float(growths[i, 4:].mean()) / 2 - variance, 1e-7)
        bright = float(clean[brain].mean())
        width = math.sqrt(-1 / (4 * math.log(rho)))
        found.append([variance, width, patch / bright**2])
    table = torch.tensor(found)
    steps = torch.arange(3, lags + 1)
    grown = (growths[:, 2:] / 2 - table[:, :1]).mean(0)
    widths = torch.linspace(1, 4, 31)
    shapes = 1 - torch.exp(-(steps**2) / (4 * widths[:, None] ** 2))
    scale = (shapes @ grown) / (shapes**2).sum(1)
    model.patch.copy_(widths[((grown - scale[:, None] * shapes) ** 2).sum(1).argmin()])
    table[:, [0, 2]] = table[:, [0, 2]].sqrt()
    return table.log(), torch.tensor(flags)


def fit_grain(images: Tensor, made: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
    """SD and correlation length of the lesions' own texture, relative to their brightness.

    The medians over lesions that the scaling to [0, 1] has not cut off, less the noise.
    """
    found = []
    for image, clean, mask, (sigma, width, _) in zip(
        images[:, 0], made[:, 0], masks, noise.exp(), strict=True
    ):
        core = -F.max_pool2d(-(mask > 0).float()[None], 5, 1, 2)[0] > 0
        if core.sum() < 150 or (image[core] >= 0.99).float().mean() > 0.1:
            continue
        rest = image - clean
        near, far = (
            torch.cat([steps_of(rest, core, axis, lag) for axis in (0, 1)]).abs().median() / 0.6745
            for lag in (1, 5)
        )
        bright = clean[core].mean()
        quick = sigma**2 * (1 - torch.exp(-1 / (4 * width**2)))
        found.append(torch.stack([far**2 / 2 - sigma**2, near**2 / 2 - quick]) / bright**2)
    if len(found) < 10:
        return torch.tensor([0.0, 1.0])
    power, step = torch.stack(found).median(0).values.clamp(min=1e-8)
    length = (-1 / (4 * torch.log1p(-(step / power).clamp(0.05, 0.95)))).sqrt()
    return torch.stack([power.sqrt(), length])


def steps_of(image: Tensor, where: Tensor, axis: int, lag: int) -> Tensor:
    """Differences of pixels `lag` apart along `axis`, both of them within `where`."""
    length = image.shape[axis] - lag
    both = where.narrow(axis, lag, length) & where.narrow(axis, 0, length)
    return (image.narrow(axis, lag, length) - image.narrow(axis, 0, length))[both]


def density(
    model: StatisticalAtlas,
    latents: Tensor,
    present: Tensor,
    backdrop: Tensor,
    groups: list[int],
) -> None:
    """Learn the marginals by their quantiles, and a Gaussian for each group with shrinkage."""
    share = torch.linspace(0, 1, model.marginals.shape[1])
    lesion = list(model.parts).index("place")
    first = sum(list(model.parts.values())[:lesion])
    scores = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    scores[:, :first] = normal_scores(latents[:, :first])
    scores[present, first:] = normal_scores(latents[present, first:])
    model.marginals[:first] = latents[:, :first].quantile(share, 0).T
    model.marginals[first:] = latents[present, first:].quantile(share, 0).T
    which = torch.tensor(groups)
    members = [scores[which == group] for group in range(len(model.weights))]
    means = torch.stack([rows.mean(0) for rows in members])
    pooled = (scores - means[which]).T.cov()
    for group, rows in enumerate(members):
        own = len(rows) / (len(rows) + 4 * scores.shape[1])
        covariance = own * rows.T.cov() + (1 - own) * pooled
        covariance = 0.95 * covariance + 0.05 * covariance.diag().diag()
        model.factors[group] = torch.linalg.cholesky(covariance)
        model.means[group] = means[group]
        model.weights[group] = len(rows) / len(scores)
        model.present[group] = present[which == group].float().mean()
        model.backdrop[group] = backdrop[which == group].float().mean()


def normal_scores(values: Tensor) -> Tensor:
    """The ranks of each column as quantiles of a standard normal distribution."""
    ranks = values.argsort(0).argsort(0).double()
    return torch.special.ndtri((ranks + 0.5) / len(values)).float()
