"""Creates a case from a model with random weights."""

import copy
import random

import torch
from torch import Tensor, nn

import models
import conditioning_check
from case import Case

NORMS = (nn.GroupNorm, nn.BatchNorm2d, nn.InstanceNorm2d)


def randomise(model: nn.Module, dice: torch.Generator) -> None:
    """Draws all weights anew, so that no layer is zero and no scale is one.

    Without norms in it that look at the input, a network gets smaller ones, or it would explode.
    """
    calm = any(isinstance(module, (nn.GroupNorm, nn.InstanceNorm2d)) or hasattr(module, "g")
               for module in model.modules())
    gain, bias = (1.0, 0.3) if calm else (0.7, 0.1)

    def noise(tensor: Tensor, std: float) -> Tensor:
        return std * torch.randn(tensor.shape, generator=dice)

    with torch.no_grad():
        for module in model.modules():
            for name, value in module.named_parameters(recurse=False):
                if not value.requires_grad:
                    continue  # positions and frequencies stay as they were drawn
                if isinstance(module, NORMS) or name == "g":
                    value.copy_((name != "bias") + noise(value, 0.3))
                elif name == "bias":
                    value.copy_(noise(value, bias))
                elif isinstance(module, nn.Embedding):
                    value.copy_(noise(value, 0.5))
                else:
                    value.copy_(noise(value, gain * value[0].numel() ** -0.5))
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(noise(module.running_mean, 0.2))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=dice))
                module.num_batches_tracked.fill_(int(torch.randint(1, 1000, (), generator=dice)))


def some(grads: dict[str, Tensor], sound: set[str], most: int, dice: random.Random) -> list[str]:
    """Nine of the parameters with so many numbers at most, the first and the last among these."""
    small = [name for name, grad in grads.items() if grad.numel() <= most]
    inner = dice.sample(small[1:-1], len(small) - 2)
    return [name for name in [small[0], small[-1], *inner] if name in sound][:9]


def fill(case: Case, model: nn.Module, dice: random.Random, most: int = 20_000) -> Case:
    """Adds to a case with inputs: weights, output, probe, gradients, statistics. May draw another x."""
    tensors, family = case.tensors, case.family
    generator = torch.Generator().manual_seed(dice.getrandbits(31))
    model.train(case.config.get("mode") == "train")
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        shape = models.call(family, model, tensors).shape
    model.load_state_dict(before)
    tensors["probe"] = torch.randn(shape, generator=generator)
    for _ in range(20):
        if not conditioning_check.kinked(family, model, tensors):
            break
        tensors["x"] = torch.randn(tensors["x"].shape, generator=generator)
    with torch.no_grad():
        for layer in conditioning_check.last(model):
            layer.weight.mul_(0.25)
    if not model.training:
        case.extra["rounding"] = f"{conditioning_check.settle(family, model, tensors):.1e}"
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        tensors["out"] = models.call(family, model, tensors)
    after = copy.deepcopy(dict(model.named_buffers())) if model.training else {}
    model.load_state_dict(before)
    sound = conditioning_check.moderate(family, model, tensors)
    _, grads = models.gradients(family, model, tensors)
    tensors["grad_norm"] = models.grad_norm(family, grads)
    tensors |= {f"grad:{name}": grads[name] for name in some(grads, sound, most, dice)}
    tensors |= {f"after:{name}": value for name, value in after.items()}
    tensors |= {f"weight:{name}": value for name, value in before.items()}
    return case
