"""Training checkpoints as training loops really write them: what is taken, and that it is said."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nriqm_bench import load_generator
from nriqm_bench.generators import GeneratorError


class Net(torch.nn.Module):
    """With a buffer, as batch norms have, and a parameter that is not trained."""

    def __init__(self, channels: int = 4):
        super().__init__()
        self.latent_dim = 5
        self.first = torch.nn.Linear(5, channels * 16)
        self.norm = torch.nn.BatchNorm2d(channels)
        self.last = torch.nn.Conv2d(channels, 1, 3, padding=1)
        self.frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(z).unflatten(1, (-1, 4, 4)))
        return torch.sigmoid(3 * self.last(x) + self.frozen)


class Critic(torch.nn.Module):
    """The keys of the network, with other shapes."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 3)
        self.norm = torch.nn.BatchNorm2d(3)
        self.last = torch.nn.Conv2d(3, 3, 1)
        self.frozen = torch.nn.Parameter(torch.zeros(2))


@pytest.fixture
def nets():
    """A network, and the same after some training."""
    torch.manual_seed(0)
    old = Net()
    new = copy.deepcopy(old)
    with torch.no_grad():
        for value in new.state_dict().values():
            if value.is_floating_point():
                value.add_(0.3 * torch.rand_like(value))
    return old, new


def load(content, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    return load_generator(tmp_path / "w.pt", architecture=Net)


def same(generator, net) -> bool:
    """Whether the generator makes the images of `net`."""
    from nriqm_bench.generators.generator import chunk_seed
    from nriqm_bench.generators.module import latents

    with torch.no_grad():
        expected = net.eval()(latents(16, 5, chunk_seed(0, 0), "cpu"))
    return torch.allclose(torch.from_numpy(generator.sample(16, 0).images), expected, atol=1e-5)


def notes(generator) -> str:
    return "; ".join(generator.notes)


@pytest.mark.parametrize("trained_only", [False, True])
def test_lists_of_averages(trained_only, nets, tmp_path):
    """torch_ema keeps the trained parameters, diffusers all of them; neither has names."""
    old, new = nets
    shadow = [p.detach() for p in old.parameters() if p.requires_grad or not trained_only]
    state = {"decay": 0.999, "num_updates": 3, "shadow_params": shadow, "collected_params": None}
    # What has no average comes from the plain weights, as buffers do.
    expected = copy.deepcopy(new)
    averaged = dict(expected.named_parameters())
    for name, value in old.named_parameters():
        if value.requires_grad or not trained_only:
            averaged[name].data.copy_(value)
    generator = load({"model": new.state_dict(), "ema": state}, tmp_path)
    assert same(generator, expected)
    assert "weights were taken from 'ema.shadow_params'" in notes(generator)
    assert "came from 'model'" in notes(generator)
    assert not same(generator, new)


def test_the_average_of_diffusers(nets, tmp_path):
    from diffusers.training_utils import EMAModel

    old, new = nets
    average = EMAModel(old.parameters(), decay=0.5)
    average.step(new.parameters())
    generator = load({"state_dict": new.state_dict(), "ema": average.state_dict()}, tmp_path)
    wanted = copy.deepcopy(new)
    average.copy_to(wanted.parameters())
    assert same(generator, wanted)


def test_the_average_of_torch(nets, tmp_path):
    old, new = nets
    average = AveragedModel(old, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    average.update_parameters(new)
    average.update_parameters(new)
    generator = load({"net": new.state_dict(), "model_ema": average.state_dict()}, tmp_path)
    assert same(generator, average.module)
    assert "weights were taken from 'model_ema' (there was also 'net')" in notes(generator)
    assert "prefix 'module.' was removed" in notes(generator)
    assert "1 keys without it were left out" in notes(generator)


def test_averages_without_buffers_need_the_plain_weights(nets, tmp_path):
    shadow = list(nets[0].parameters())
    with pytest.raises(GeneratorError, match=r"but not norm\.num_batches_tracked"):
        load({"ema": {"shadow_params": shadow}}, tmp_path)
    with pytest.raises(GeneratorError, match="holds 2 averaged parameters"):
        load({"model": nets[0].state_dict(), "ema": {"shadow_params": shadow[:2]}}, tmp_path)


def test_compiled_and_parallel_networks(nets, tmp_path):
    new = nets[1]
    inside = copy.deepcopy(new)
    with warnings.catch_warnings():
        # What the compiler imports warns of its own deprecations.
        warnings.simplefilter("ignore")
        compiled = torch.compile(copy.deepcopy(new))
        inside.norm = torch.compile(inside.norm)
        parallel = torch.nn.DataParallel(torch.compile(copy.deepcopy(new)))
    for net, removed in ((compiled, "_orig_mod."), (parallel, "module._orig_mod.")):
        generator = load({"model": net.state_dict()}, tmp_path)
        assert same(generator, new)
        assert f"prefix '{removed}' was removed" in notes(generator)
    generator = load(inside.state_dict(), tmp_path)
    assert same(generator, new)
    assert "the parts module and _orig_mod were removed from the keys" in notes(generator)


@pytest.mark.parametrize("name", ["generator", "netG", "G", "unet", "params", "my_own_name"])
def test_names_of_generators(name, nets, tmp_path):
    content = {
        "optimizer": torch.optim.Adam(nets[1].parameters()).state_dict(),
        "D": nets[0].state_dict(),
        "discriminator": nets[0].state_dict(),
        "epoch": 3,
        name: nets[1].state_dict(),
    }
    generator = load(content, tmp_path)
    assert same(generator, nets[1])
    assert f"weights were taken from '{name}'" in notes(generator)


def test_a_network_of_the_same_keys_is_told_by_its_shapes(nets, tmp_path):
    flat = {f"a_first.{k}": v for k, v in Critic().state_dict().items()}
    flat |= {f"b_second.{k}": v for k, v in nets[1].state_dict().items()}
    assert same(load(flat, tmp_path), nets[1])


def test_two_generators_that_fit_are_said(nets, tmp_path):
    flat = {f"netG_B.{k}": v for k, v in nets[0].state_dict().items()}
    flat |= {f"netG_A.{k}": v for k, v in nets[1].state_dict().items()}
    generator = load(flat, tmp_path)
    assert same(generator, nets[1])
    assert "keys below 'netG_B.' fit as well" in notes(generator)


def test_averages_inside_a_state_dict_go_first(nets, tmp_path):
    flat = {f"g.{k}": v for k, v in nets[0].state_dict().items()}
    flat |= {f"ema_g.{k}": v for k, v in nets[1].state_dict().items()}
    assert same(load({"state_dict": flat}, tmp_path), nets[1])


def test_what_does_not_fit_is_listed(nets, tmp_path):
    state = nets[0].state_dict()
    state["extra.weight"] = state.pop("last.bias")
    state["first.weight"] = torch.zeros(2, 2)
    with pytest.raises(GeneratorError) as caught:
        load({"state_dict": state, "optimizer": {}}, tmp_path)
    said = str(caught.value)
    assert "1 missing (last.bias); 1 unexpected (extra.weight)" in said
    assert "1 of another shape (first.weight (2, 2) for (64, 5))" in said


def test_only_an_optimizer_is_no_network(nets, tmp_path):
    optimizer = torch.optim.Adam(nets[0].parameters())
    nets[0](torch.randn(4, 5)).sum().backward()
    optimizer.step()
    with pytest.raises(GeneratorError, match="holds no state dict"):
        load({"optimizer": optimizer.state_dict(), "epoch": 1}, tmp_path)
