"""How does a model with drawn weights become a case?"""

import copy
import random

import torch
from torch import Tensor, nn

import models
from case import Case

NORMS = (nn.GroupNorm, nn.BatchNorm2d, nn.InstanceNorm2d)
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

# The checker wants 1e-6 of a model in f64, so the f32 reference must be surer than that.
SURE = 4e-7


def randomise(model: nn.Module, dice: torch.Generator) -> None:
    """Draws all weights anew, so that no layer is zero and no scale is one."""

    def noise(tensor: Tensor, std: float) -> Tensor:
        return std * torch.randn(tensor.shape, generator=dice)

    with torch.no_grad():
        for module in model.modules():
            for name, value in module.named_parameters(recurse=False):
                if isinstance(module, NORMS):
                    value.copy_((name == "weight") + noise(value, 0.15))
                elif name == "bias":
                    value.copy_(noise(value, 0.1))
                elif isinstance(module, nn.Embedding):
                    value.copy_(noise(value, 0.5))
                else:
                    value.copy_(noise(value, 0.7 * value[0].numel() ** -0.5))
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(noise(module.running_mean, 0.2))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=dice))
                module.num_batches_tracked.fill_(int(torch.randint(1, 1000, (), generator=dice)))


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


def settle(family: str, model: nn.Module, tensors: dict[str, Tensor]) -> float:
    """Shrinks the last convolution until f32 itself is sure of the output to 4e-7; returns how sure it is."""
    last = [module for module in model.modules() if isinstance(module, CONVS)][-1]
    for _ in range(5):
        with torch.no_grad():
            open_by = rounding(family, model, tensors, models.call(family, model, tensors))
            if open_by <= SURE:
                break
            for parameter in last.parameters():
                parameter.mul_(0.7 * SURE / open_by)
    return open_by


def some(names: list[str], sizes: dict[str, int], dice: random.Random) -> list[str]:
    """First, last and seven others of the parameters that are not large."""
    small = [name for name in names if sizes[name] <= 2_500]
    inner = dice.sample(small[1:-1], min(7, len(small) - 2))
    return [small[0], *inner, small[-1]]


def fill(case: Case, model: nn.Module, dice: random.Random) -> Case:
    """Adds to a case with inputs: weights, output, probe, gradients, features, statistics."""
    tensors, family = case.tensors, case.family
    generator = torch.Generator().manual_seed(dice.getrandbits(31))
    model.train(case.config.get("mode") == "train")
    if not model.training:
        case.extra["rounding"] = f"{settle(family, model, tensors):.1e}"
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        out = models.call(family, model, tensors)
    after = copy.deepcopy(dict(model.named_buffers())) if model.training else {}
    tensors |= {"out": out, "probe": torch.randn(out.shape, generator=generator)}
    model.load_state_dict(before)
    _, grads = models.gradients(family, model, tensors)
    tensors["grad_norm"] = models.grad_norm(family, grads)
    sizes = {name: grad.numel() for name, grad in grads.items()}
    tensors |= {f"grad:{name}": grads[name] for name in some(list(grads), sizes, dice)}
    tensors |= {f"after:{name}": value for name, value in after.items()}
    tensors |= {f"weight:{name}": value for name, value in before.items()}
    return case
