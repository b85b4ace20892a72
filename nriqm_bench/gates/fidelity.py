"""The fidelity gate: how far from real, as the noise and the blur that take real images as far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nriqm_bench import cases
from nriqm_bench.cases import HELD_OUT
from nriqm_bench.evidence import Floor
from nriqm_bench.gates.spec import Finding, GateSpec

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

# No trained generator is real data, so that this gate has no floor to hide behind. Noise of this
# sigma takes images as far from real, in FID, as blur of about 1.5 pixels (64 x 64 and 128 x 128
# phantoms): edges are gone for any reader. Noise of .15 and blur of 2.5 pixels are beyond.
LIMIT = 0.125


def measure(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The sigma of Gaussian noise that moves held-out images as far as the generator is."""
    space = spec.space(lab)
    distance = lab.scores(cases.GAUSSIAN_NOISE, generator, space, 0.0)[spec.metric]
    noise = lab.curve(cases.GAUSSIAN_NOISE, HELD_OUT, space, spec.metric)
    blur = lab.curve(cases.BLUR, HELD_OUT, space, spec.metric)
    sigma, off_scale = noise.level_at(distance)
    width, off_blur = blur.level_at(distance)
    floor = Floor(tuple(noise.level_at(value)[0] for value in noise.floor.values))
    return Finding(
        value=sigma,
        floor=floor,
        told=(
            f"{spec.metric} in {space} is {distance:.4g}, as far from real as noise of sigma "
            f"{'more than ' if off_scale else ''}{sigma:.3g} or blur of "
            f"{'more than ' if off_blur else ''}{width:.2g} px"
        ),
    )
