"""Stands for your training: writes the checkpoint that the gate judges.

The toy learns the mean and the spread of each pixel. The gates will tell you so.
"""

from pathlib import Path

import torch

from nriqm_bench import datasets


class Pixels(torch.nn.Module):
    """Every pixel for itself: what a generator must not be."""

    def __init__(self, mean: torch.Tensor, sd: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("sd", sd)

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        noise = torch.randn(n, 1, self.mean.size(0), self.mean.size(1))
        return (self.mean + self.sd * noise).clamp(0.0, 1.0)

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return (self.mean + self.sd * noise).clamp(0.0, 1.0)


if __name__ == "__main__":
    real = torch.from_numpy(datasets.get("phantom-tumour")(n=64, size=64).images[:, 0])
    Path("out").mkdir(exist_ok=True)
    torch.jit.script(Pixels(real.mean(0), real.std(0))).save("out/model.pt")
