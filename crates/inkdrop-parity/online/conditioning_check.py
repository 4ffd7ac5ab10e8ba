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


def rounding(family: str, model: nn.Module, tensors: dict[str, Tensor], out: Tensor) -> float:
    """How far the f32 output is from the same model's in f64, in units of max(1, largest)."""
    double = copy.deepcopy(model).double()
    if family == "unet2d":
        double.time_proj = Exact(double.time_proj)
    with torch.no_grad():
        exact = models.call(family, double, tensors)
    return float((out.double() - exact).abs().max() / exact.abs().max().clamp(min=1))


def last(model: nn.Module) -> nn.Module:
    """The convolution that makes the output."""
    return [module for module in model.modules() if isinstance(module, CONVS)][-1]


def settle(family: str, model: nn.Module, tensors: dict[str, Tensor]) -> float:
    """Shrinks the last convolution until f32 determines the output; returns the effect of rounding.

    By powers of two, so that the last bits of a measurement do not get into the weights.
    """
    with torch.no_grad():
        while True:
            open_by = rounding(family, model, tensors, models.call(family, model, tensors))
            if open_by <= WELL_CONDITIONED:
                return open_by
            for parameter in last(model).parameters():
                parameter.mul_(0.5)


def kinked(family: str, model: nn.Module, tensors: dict[str, Tensor]) -> bool:
    """Whether a change of all weights by the size of a rounding makes the gradients jump."""
    exact = copy.deepcopy(model).double()
    _, grads = models.gradients(family, copy.deepcopy(exact), tensors)
    for seed in range(4):
        other, dice = copy.deepcopy(exact), torch.Generator().manual_seed(seed)
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
    double = copy.deepcopy(model).double()
    _, grads = models.gradients(family, double, tensors)
    norm = float(models.grad_norm(family, grads))
    tensors["probe"] /= 2.0 ** max(0, math.ceil(math.log2(norm / 256)))
    return {name for name, grad in grads.items() if grad.abs().max() > 1e-7 * norm}
