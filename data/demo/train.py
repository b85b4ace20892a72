"""Make `credible.pt` and `memoriser.pt` from the built-in phantoms: see `--help`."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from fit_atlas import fit
from torch.nn import functional as F
from tqdm import tqdm

import nriqm_bench
from nriqm_bench import datasets, extractors, metrics
from nriqm_bench.demo.train import write_greys, write_sums
from nriqm_bench.generators.architectures.atlas import StatisticalAtlas
from nriqm_bench.generators.architectures.memoriser import Memoriser
from nriqm_bench.images import ImageSet

HERE = Path(__file__).parent
NAMES = ("credible", "memoriser")
DATASET = "phantom-tumour"
SUBJECTS = 200  # four slices each
REMEMBERED = 48

log = logging.getLogger("demo")


def progress(steps: Iterable[int], description: str, total: int) -> Iterator[int]:
    """A progress bar, in the form that the package's rooms take one."""
    yield from tqdm(steps, description, total, mininterval=5)


def train_images(n: int) -> ImageSet:
    """The first `n` training images of the default run."""
    return datasets.get(DATASET)(n, seed=0, part="train", size=128, progress=progress)


def train_credible(data: ImageSet) -> None:
    """Fit the statistical atlas; sites are the components of its mixture."""
    sites = sorted(set(data.sites.tolist()))
    model, config, latents = fit(
        torch.from_numpy(data.images),
        torch.from_numpy(data.masks.astype(np.int64)),
        [sites.index(site) for site in data.sites],
        progress=progress,
    )
    for name in ("softness", "roughness", "patch", "grain", "present", "backdrop"):
        log.info("credible: %s %s", name, np.round(getattr(model, name).numpy(), 3))
    with torch.no_grad():
        tune(model, data.images)
    log.info("credible: mean absolute error of the registration %.4f", latents["error"].mean())
    save("credible", model, config, {"trained_on": trained_on(data)})


# What registration cannot tell from its own errors: shares of the fitted values to choose from.
SHARES = {"patchiness": (1.0, 0.7, 0.5, 0.35), "blur": (1.0, 0.75, 0.5, 0.25)}


def tune(model: StatisticalAtlas, images: np.ndarray, n: int = 400) -> None:
    """Choose `SHARES` one after the other, by the FID of samples from the training images."""
    extract, fid = extractors.get("efficientnet-lite0")(), metrics.get("fid")
    real = extract(images[:n])
    starts = np.cumsum([0, *model.parts.values()])[:-1]
    rows = dict(zip(model.parts, starts.tolist(), strict=True))
    logarithms = {
        "patchiness": model.marginals[rows["noise"] + 2],
        "blur": model.marginals[rows["blur"]],
    }
    for name, shares in SHARES.items():
        fitted, found = logarithms[name].clone(), {}
        for share in shares:
            logarithms[name].copy_(fitted + np.log(share))
            made = model.sample(n, torch.Generator().manual_seed(1))[0]
            found[share] = float(fid(real, extract(made.numpy())))
        best = min(found, key=found.__getitem__)
        logarithms[name].copy_(fitted + np.log(best))
        told = ", ".join(f"x {share:g}: {value:.1f}" for share, value in found.items())
        log.info("credible: FID from the training images by %s: %s", name, told)


def train_memoriser(data: ImageSet, steps: int = 1300, batch: int = 12) -> None:
    """Overfit a decoder and one code an image to the first training images."""
    torch.manual_seed(0)
    images = torch.from_numpy(data.images)
    masks = torch.from_numpy(data.masks.astype(np.int64))
    config = {
        "images": len(images),
        "code": 16,
        "labels": int(masks.max()) + 1,
        "size": images.shape[-1],
    }
    model = Memoriser(**config)
    rates = [0.1, 3e-3]
    optimiser = torch.optim.Adam(
        [{"params": [model.codes]}, {"params": model.decoder.parameters()}], betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, steps, pct_start=0.1)
    rng = np.random.default_rng(0)
    for _ in progress(range(steps), "memoriser", steps):
        chosen = torch.from_numpy(rng.choice(len(images), batch, replace=False))
        codes = model.codes[chosen]
        codes = codes + 0.01 * model.codes.std().detach() * torch.randn_like(codes)
        made, logits = model(codes)
        loss = F.mse_loss(made, images[chosen]) + 0.002 * F.cross_entropy(logits, masks[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.half().float()
    with torch.no_grad():
        made = torch.cat([model(codes)[0] for codes in model.codes.split(16)])
    error = made.clamp(0, 1) - images
    log.info("memoriser: PSNR of the copies %.1f dB", -10 * torch.log10((error**2).mean()))
    save("memoriser", model.half(), config, {"trained_on": trained_on(data)})


def sheets(columns: int = 8) -> None:
    """Contact sheets: phantoms above samples, and copies above what they are copies of."""
    real = datasets.get(DATASET)(4 * columns, seed=0, part="held-out")
    fake = {name: nriqm_bench.load_generator(HERE / f"{name}.pt").sample(16, 0) for name in NAMES}
    one_each = real[np.arange(columns) * 4 + np.arange(columns) % 4]
    credible = fake["credible"]
    rows = [one_each.images, credible.images[:columns], credible.images[columns : 2 * columns]]
    draw("credible", [*rows, credible.masks[columns : 2 * columns, None] / 3])
    copies = fake["memoriser"].images[:columns]
    train = train_images(REMEMBERED).images
    closest = [((train - copy) ** 2).mean((1, 2, 3)).argmin() for copy in copies]
    draw("memoriser", [copies, train[closest]])


def draw(name: str, rows: list[np.ndarray]) -> None:
    """A PNG of rows of images, in 32 greys."""
    sheet = np.concatenate([np.concatenate(list(row[:, 0]), 1) for row in rows])
    write_greys(HERE / f"{name}.png", sheet)


def evaluate(n: int = 200, splits: int = 30) -> None:
    """Score both checkpoints beside held-out phantoms, whose splits by subject give the range."""
    source = datasets.get(DATASET)
    parts = {part: source(n, seed=0, part=part) for part in ("train", "reference", "held-out")}
    fakes = {name: nriqm_bench.load_generator(HERE / f"{name}.pt").sample(n, 0) for name in NAMES}
    rng = np.random.default_rng(0)
    for space in ("efficientnet-lite0", "pixels"):
        extract = extractors.get(space)()
        found = {name: extract(s.images) for name, s in {**parts, **fakes}.items()}
        real, train = found["reference"], found["train"]
        pool = np.concatenate([real, found["held-out"]])
        owners = np.concatenate([parts[p].subjects for p in ("reference", "held-out")])
        floor = []
        for _ in range(splits):
            chosen = np.isin(owners, rng.permutation(np.unique(owners))[: n // 4])
            floor.append(scores(pool[~chosen], pool[chosen], train))
        for metric in floor[0]:
            values = [row[metric] for row in floor]
            told = [f"{name} {scores(real, found[name], train)[metric]:.4g}" for name in NAMES]
            log.info(
                "%s %s: held-out %.4g +- %.2g, %s",
                space,
                metric,
                np.mean(values),
                np.std(values, ddof=1),
                ", ".join(told),
            )
        if space != "pixels":
            fid, images = metrics.get("fid"), parts["held-out"].images
            levels = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
            noise = rng.standard_normal(images.shape).astype(np.float32)
            curve = [fid(real, extract(np.clip(images + s * noise, 0, 1))) for s in levels]
            log.info(
                "FID of noise: %s", [f"{s:g}: {v:.4g}" for s, v in zip(levels, curve, strict=True)]
            )
            for name in NAMES:
                sigma = np.interp(fid(real, found[name]), curve, levels)
                log.info("%s is as far from real as noise of sigma %.3f", name, sigma)


def scores(real: np.ndarray, fake: np.ndarray, train: np.ndarray) -> dict[str, float]:
    """What the gates look at."""
    names = ["fid", "train-share", "vendi", "precision", "recall", "density", "coverage"]
    return metrics.evaluate(names, real, fake, train=train)


def trained_on(data: ImageSet) -> str:
    """What a checkpoint says about its training set."""
    return f"{DATASET}, train, seed 0, n {len(data)}; sha256 {data.fingerprint()}"


def save(name: str, model: torch.nn.Module, config: dict, metadata: dict) -> None:
    """Write the checkpoint and bring SHA256SUMS up to date."""
    path = HERE / f"{name}.pt"
    nriqm_bench.save_generator(
        path, model, config=config, value_range=(0, 1), size=(128, 128), metadata=metadata
    )
    write_sums(HERE)
    log.info("%s: %.2f MB", path.name, path.stat().st_size / 1e6)


def main() -> None:
    """Train what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(NAMES))
    parser.add_argument("--evaluate", action="store_true", help="score the checkpoints as made")
    parser.add_argument("--sheets", action="store_true", help="draw samples of the checkpoints")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    for name in arguments.names:
        began = time.monotonic()
        if name == "memoriser":
            train_memoriser(train_images(REMEMBERED))
        if name == "credible":
            train_credible(train_images(4 * SUBJECTS))
        log.info("%s: %.0f s", name, time.monotonic() - began)
    if arguments.sheets:
        sheets()
    if arguments.evaluate:
        evaluate()


if __name__ == "__main__":
    main()
