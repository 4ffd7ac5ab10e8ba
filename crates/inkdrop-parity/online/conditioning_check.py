"""Checks that a case is well-conditioned: that f32 rounding does not change its numbers.

A kink (relu, max pooling) within rounding of an input makes gradients jump, and some gradients consist of rounding
only. Cases are drawn or scaled so that these effects are far below the tolerances.
"""

import copy
import math

import torch
from torch import Tensor, nn

import models
from case import worst
from dit import DiT
from song import SongUNet

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

# The checker wants 1e-6 of a model in f64, so the f32 reference must be surer than that.
WELL_CONDITIONED = 8e-7

# Gradients that move smoothly stay below this under the perturbation of `kinked`; a jump is far above.
SMOOTH = 3e-4


class Exact(nn.Module):
    """diffusers' time embedding with exp in f64, to see how much its f32 leaves open."""

    def __init__(self, timesteps: nn.Module) -> None:
        super().__init__()
        self.timesteps = timesteps

    def forward(self, t: Tensor) -> Tensor:
        half = self.timesteps.num_channels // 2
        exponents = torch.arange(half).float() * -torch.log(torch.tensor(10000.0).double()).item()
        frequencies = (exponents / (half - self.timesteps.downscale_freq_shift)).double().exp().float()
        angles = t[:, None].float() * frequencies[None]
        parts = [angles.sin(), angles.cos()]
        embedding = torch.cat(parts[::-1] if self.timesteps.flip_sin_to_cos else parts, dim=-1)
        return nn.functional.pad(embedding, (0, self.timesteps.num_channels % 2))


class ExactLucid(nn.Module):
    """lucidrains' time embedding with exp in f64, likewise."""

    def __init__(self, sinusoids: nn.Module) -> None:
        super().__init__()
        self.half, self.theta = sinusoids.dim // 2, getattr(sinusoids, "theta", 10000)

    def forward(self, t: Tensor) -> Tensor:
        exponents = torch.arange(self.half).float() * -(math.log(self.theta) / (self.half - 1))
        angles = t.float()[:, None] * exponents.double().exp().float()
        return torch.cat([angles.sin(), angles.cos()], dim=-1).double()


def exact(family: str, model: nn.Module) -> nn.Module:
    """The same model in f64."""
    double = copy.deepcopy(model).double()
    if family == "unet2d":
        double.time_proj = Exact(double.time_proj)
    if family == "lucid" and not hasattr(double.time_mlp[0], "weights"):
        double.time_mlp[0] = ExactLucid(double.time_mlp[0])
    return double


def rounding(family: str, model: nn.Module, tensors: dict[str, Tensor], out: Tensor) -> float:
    """How far the f32 output is from the same model's in f64, in units of max(1, largest)."""
    with torch.no_grad():
        right = models.call(family, exact(family, model), tensors)
    return float((out.double() - right).abs().max() / right.abs().max().clamp(min=1))


def last(model: nn.Module) -> list[nn.Module]:
    """The layers that make the output: a convolution, except in DiT; several that SongUNet's skip decoder adds."""
    if isinstance(model, DiT):
        return [model.final_layer.linear]
    if isinstance(model, SongUNet):
        return [layer for name, layer in model.dec.items() if name.endswith("aux_conv")]
    return [module for module in model.modules() if isinstance(module, CONVS)][-1:]


def settle(family: str, model: nn.Module, tensors: dict[str, Tensor]) -> float:
    """Shrinks the last convolution until f32 determines the output; returns the effect of rounding.

    By powers of two, so that the last bits of a measurement do not get into the weights.
    """
    with torch.no_grad():
        while True:
            open_by = rounding(family, model, tensors, models.call(family, model, tensors))
            if open_by <= WELL_CONDITIONED:
                return open_by
            for layer in last(model):
                for parameter in layer.parameters():
                    parameter.mul_(0.5)


def kinked(family: str, model: nn.Module, tensors: dict[str, Tensor]) -> bool:
    """Whether a change of all weights by the size of a rounding makes the gradients jump."""
    double = exact(family, model)
    _, grads = models.gradients(family, copy.deepcopy(double), tensors)
    for seed in range(4):
        other, dice = copy.deepcopy(double), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for value in other.parameters():
                value.mul_(1 + 2e-6 * torch.randn(value.shape, generator=dice, dtype=value.dtype))
        if worst(models.gradients(family, other, tensors)[1], grads) > SMOOTH:
            return True
    return False


def moderate(family: str, model: nn.Module, tensors: dict[str, Tensor]) -> set[str]:
    """Halves the probe until all gradients together are at most 256; returns which do not vanish.

    Some are zero but for rounding, such as a bias before a norm, and rounding grows with the others.
    """
    _, grads = models.gradients(family, exact(family, model), tensors)
    norm = float(models.grad_norm(family, grads))
    tensors["probe"] /= 2.0 ** max(0, math.ceil(math.log2(norm / 256)))
    return {name for name, grad in grads.items() if grad.abs().max() > 1e-7 * norm}
