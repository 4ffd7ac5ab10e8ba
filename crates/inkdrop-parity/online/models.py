"""The PyTorch model of a case, and its inputs."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from context import ContextUnet
from ddpm import UNet
from dit import DiT
from improved import SuperResModel, UNetModel
from song import SongUNet

Config = dict[str, Any]
Tensors = dict[str, Tensor]


def build_unet2d(**config: Any) -> nn.Module:
    """The real package's model; it takes its own config.json."""
    from diffusers import UNet2DModel

    return UNet2DModel.from_config(config)


def build_lucid(arch: str = "Unet", module: str | None = None, call: Config | None = None,
                **config: Any) -> nn.Module:
    """The real package's model; `call` holds arguments of its call that the inputs do not say."""
    import denoising_diffusion_pytorch as package
    from denoising_diffusion_pytorch import classifier_free_guidance

    kind = getattr(classifier_free_guidance if module else package, arch)
    # The package tells a tuple, one value for each stage, from a single value.
    model = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in config.items()})
    model.called_with = call or {}
    return model


def build_edm(arch: str = "SongUNet", **config: Any) -> nn.Module:
    assert arch == "SongUNet", f"of EDM's networks only SongUNet is written here, not {arch}"
    return SongUNet(**config)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "improved": UNetModel,
    "improved-super-res": SuperResModel,
    "ddpm": UNet,
    "context": ContextUnet,
    "unet2d": build_unet2d,
    "lucid": build_lucid,
    "edm": build_edm,
    "dit": DiT,
}
# Builders that refuse unknown arguments themselves.
STRICT = ("unet2d", "lucid", "edm", "dit")

INPUTS = ("t", "y", "context", "low_res", "augment", "x_self_cond", "cond_keep_mask")


def build(family: str, config: Config) -> nn.Module:
    """A model of the family with these arguments; others, such as `mode`, are the case's own."""
    builder = BUILDERS[family]
    if family in STRICT:
        return builder(**{name: value for name, value in config.items() if name != "mode"})
    names = inspect.signature(BUILDERS["improved"] if family.startswith("improved") else builder).parameters
    unknown = set(config) - set(names) - {"mode", "family"}
    assert not unknown, f"unknown arguments of {family}: {sorted(unknown)}"
    return builder(**{name: value for name, value in config.items() if name in names})


def inputs(tensors: Tensors, dtype: torch.dtype = torch.float32) -> Tensors:
    """What the model is called with beside x; t stays as it is, for it is embedded in f32."""
    given = {name: tensors[name] for name in INPUTS if name in tensors}
    return {name: value.to(dtype) if value.is_floating_point() and (name != "t") else value
            for name, value in given.items()}


def call(family: str, model: nn.Module, tensors: Tensors) -> Tensor:
    """model(x, t, …) of a case."""
    dtype = next(model.parameters()).dtype
    x, given = tensors["x"].to(dtype), inputs(tensors, dtype)
    if family == "context":
        given["t"] = given["t"].to(dtype)
    if family == "unet2d":
        return model(x, given["t"], class_labels=given.get("y")).sample
    if family == "lucid":
        return call_lucid(model, x, given)
    return model(x, **given)


def call_lucid(model: nn.Module, x: Tensor, given: Tensors) -> Tensor:
    """The package's names of the inputs; the first of the two outputs of guidance."""
    names = {"t": "time", "y": "classes"}
    renamed = {names.get(name, name): value for name, value in given.items()}
    if "cond_scale" not in model.called_with:
        return model(x, **renamed, **model.called_with)
    out = model.forward_with_cond_scale(x, **renamed, **model.called_with)
    return out[0] if isinstance(out, tuple) else out


def features(model: UNetModel, tensors: Tensors) -> Tensors:
    """The activations of an `improved` model by the names of the format."""
    trace = model.trace(tensors["x"], **inputs(tensors))
    named = {"feature:middle": trace["middle"][0]}
    for side in ("down", "up"):
        named |= {f"feature:{side}.{i}": value for i, value in enumerate(trace[side])}
    return named


def gradients(family: str, model: nn.Module, tensors: Tensors) -> tuple[Tensor, Tensors]:
    """The output, and the gradient of sum(out * probe) by every parameter."""
    model.zero_grad(set_to_none=True)
    out = call(family, model, tensors)
    (out * tensors["probe"]).sum().backward()
    return out.detach(), {name: parameter.grad for name, parameter in model.named_parameters()
                          if parameter.grad is not None}


def grad_norm(family: str, grads: Tensors) -> Tensor:
    """The root of the sum of squares, in f64; of `context` without the shortcut."""
    counted = [grad for name, grad in grads.items()
               if not (family == "context" and name.startswith("init_conv.shortcut"))]
    return torch.stack([grad.double().square().sum() for grad in counted]).sum().sqrt().reshape(1)
