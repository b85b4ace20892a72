"""The metrics' speed and memory beside other libraries: same features, one core, same run.

Runs only when this file is named, on Linux (it reads /proc). A peer that does not import is
reported as absent.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import threading
import time
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from nriqm_bench import metrics

WIDTH = 2048


class Peak:
    """The growth of this process's resident memory, sampled every few milliseconds."""

    def __enter__(self):
        gc.collect()
        give_back()
        self.base = self.highest = resident()
        self.running = True
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while self.running:
            self.highest = max(self.highest, resident())
            time.sleep(0.005)

    def __exit__(self, *_):
        self.running = False
        self.thread.join()
        self.megabytes = (self.highest - self.base) / 2**20


def give_back():
    """Freed memory that the C library still holds, which a call could use unseen (glibc only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """Pinned, so that a library that starts threads of its own gains nothing by it."""
    torch = pytest.importorskip("torch")
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(before)})
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)
    os.sched_setaffinity(0, before)


def features(n, width=WIDTH):
    """Two float32 clouds, as an extractor gives them."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(n, width))
    return real.astype("f4"), (rng.normal(size=(n, width)) * 1.01 + 0.01).astype("f4")


def torchmetric(name, dtype=None, **options):
    """A torchmetrics metric as its documentation has it, with features handed through."""

    def call(real, fake):
        import torch

        module, _, cls = name.rpartition(".")
        feature = metrics.passthrough(real.shape[1])
        metric = getattr(importlib.import_module(module), cls)(feature=feature, **options)
        kind = torch.float32 if dtype is None else getattr(torch, dtype)
        metric.update(torch.tensor(real, dtype=kind), real=True)
        metric.update(torch.tensor(fake, dtype=kind), real=False)
        found = metric.compute()
        return float(found[0] if isinstance(found, tuple) else found)

    return call


def monai_fid(real, fake):
    import torch
    from monai.metrics import FIDMetric

    return float(FIDMetric()(torch.tensor(fake), torch.tensor(real)))


def frechet_of(name):
    """A function of means and covariances, as several packages have it."""

    def call(real, fake):
        module, _, function = name.rpartition(".")
        stats = [f(a) for a in (real, fake) for f in (mean, covariance)]
        return float(getattr(importlib.import_module(module), function)(*stats))

    return call


def mean(rows):
    return rows.mean(0)


def covariance(rows):
    return np.cov(rows, rowvar=False)


def torch_fidelity(real, fake):
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    stats = [fid_features_to_statistics(torch.tensor(a)) for a in (real, fake)]
    return float(next(iter(fid_statistics_to_metric(*stats, verbose=False).values())))


def prdc(real, fake):
    return importlib.import_module("prdc").compute_prdc(real, fake, nearest_k=5)["coverage"]


def vendi_score(dtype):
    def call(real, fake):
        from vendi_score import vendi

        return float(vendi.score_dual(fake.astype(dtype), normalize=True))

    return call


def pytorch_msssim(real, fake):
    import torch
    from pytorch_msssim import ms_ssim

    pairs = (torch.tensor(fake[start::2]) for start in (0, 1))
    return float(ms_ssim(*pairs, data_range=1.0))


def ms_ssim_of_torchmetrics(real, fake):
    import torch
    from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

    metric = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)
    return float(metric(torch.tensor(fake[0::2]), torch.tensor(fake[1::2])))


def ours(name, **options):
    return lambda real, fake: metrics.get(name)(real, fake, **options)


def neighbour_family(real, fake):
    """Precision, recall, density, coverage, AuthPct, realism and the search for copies."""
    family = ("precision", "recall", "density", "coverage", "authpct", "realism")
    as_prdc = {"k": 5, "ties": "strict"}
    samples = {"real": metrics.Sample(real), "fake": metrics.Sample(fake)}
    found = metrics.evaluate(
        family,
        **samples,
        train=samples["real"],
        options={"precision": as_prdc, "recall": as_prdc, "realism": {"k": 5}},
    )
    metrics.nearest_pairs(samples["fake"], samples["real"])
    return found["coverage"]


def images(n):
    rng = np.random.default_rng(0)
    found = rng.random((2 * n, 1, 176, 176)).astype("f4")
    return found, found


FID = "torchmetrics.image.fid.FrechetInceptionDistance"
KID = "torchmetrics.image.kid.KernelInceptionDistance"

# name: (data, ours, rounds, {peer: (call, how many times faster ours must be)}, same value)
JOBS = {
    "FID n 500": (
        lambda: features(500),
        ours("fid"),
        5,
        {
            "torchmetrics": (torchmetric(FID), 30),
            "MONAI": (monai_fid, 30),
            "pytorch-fid": (frechet_of("pytorch_fid.fid_score.calculate_frechet_distance"), 1),
            "clean-fid": (frechet_of("cleanfid.fid.frechet_distance"), 1),
            "torch-fidelity": (torch_fidelity, 1),
        },
        1e-4,
    ),
    "FID n 10000": (
        lambda: features(10_000),
        ours("fid"),
        2,
        {"torchmetrics": (torchmetric(FID), 2)},
        1e-4,
    ),
    "KID n 10000": (
        lambda: features(10_000),
        ours("kid"),
        1,
        {
            "torchmetrics 100 x 1000": (torchmetric(KID), 1),
            "the same in float64": (torchmetric(KID, "float64"), 1),
        },
        None,
    ),
    "neighbours n 10000": (
        lambda: features(10_000),
        neighbour_family,
        1,
        {"prdc": (prdc, 3)},
        0.0,
    ),
    "Vendi n 2000": (
        lambda: features(2000),
        ours("vendi"),
        3,
        {"vendi-score": (vendi_score("f8"), 1), "the same in float32": (vendi_score("f4"), 0)},
        1e-3,
    ),
    "MS-SSIM 50 pairs": (
        lambda: images(50),
        lambda real, fake: float(ms_ssim_pairs(fake[0::2], fake[1::2]).mean()),
        2,
        {"torchmetrics": (ms_ssim_of_torchmetrics, 0), "pytorch-msssim": (pytorch_msssim, 0)},
        None,
    ),
}

# The family of neighbours keeps no table of all pairs.
MEMORY = {"neighbours n 10000": 1 / 5}


def ms_ssim_pairs(a, b):
    from nriqm_bench.metrics.structural import ms_ssim_of_pairs

    return ms_ssim_of_pairs(a, b)


def timed(call, data):
    with Peak() as peak, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        value = call(*data)
        seconds = time.perf_counter() - start
    return seconds, peak.megabytes, value


@pytest.mark.parametrize("job", JOBS)
def test_speed(job, benchmark, record_property):
    if benchmark.disabled:
        pytest.skip("pytest-benchmark times nothing beside others: run without -n")
    make, call, rounds, peers, same = JOBS[job]
    data = make()
    # Once on a little, so that neither side is charged for imports.
    small = [a[:40] for a in data]
    call(*small)
    _, memory, value = timed(call, data)
    benchmark.group = job
    benchmark.pedantic(call, args=data, rounds=rounds)
    seconds = benchmark.stats.stats.min
    table = [{"job": job, "who": "nriqm_bench", "seconds": seconds, "memory": memory}]
    found = {}
    for name, (peer, _) in peers.items():
        row = {"job": job, "who": name}
        try:
            timed(peer, small)
        except ImportError as error:
            table.append(row | {"absent": f"does not import: {error}"})
            continue
        except (AttributeError, TypeError, ValueError) as error:
            # A subset of 1000 does not fit the warm-up; anything else shows in the timed call.
            row["warm_up"] = str(error)
        spent, used, other = timed(peer, data)
        found[name] = (spent / seconds, used, other)
        row |= {"seconds": spent, "memory": used, "ratio": spent / seconds}
        table.append(row)
    benchmark.extra_info["peers"] = table
    record_property("nriqm_speed", json.dumps(table))
    if not found:
        pytest.skip(f"no peer of {job} imports: " + "; ".join(r["absent"] for r in table[1:]))
    for name, (ratio, used, other) in found.items():
        least = peers[name][1]
        assert ratio >= least, f"{job}: {name} took {ratio:.2f} times as long, must be >= {least}"
        if same is not None:
            assert value == pytest.approx(other, rel=max(same, 1e-12))
        if job in MEMORY:
            limit = MEMORY[job] * used
            assert memory <= limit, f"{job} took {memory:.0f} MB, must be <= {limit:.0f}"
