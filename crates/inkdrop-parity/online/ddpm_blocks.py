"""Blocks of the `ddpm` U-Net.

Ho et al. 2020 in the form of nanodiffusion. Names and order of the layers are those of nanodiffusion's
state_dict.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from improved_blocks import frequencies

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "silu": F.silu, "mish": F.mish}


def norm(kind: str | None, channels: int, groups: int) -> nn.Module:
    """The normalisation of this name."""
    if kind == "gn":
        return nn.GroupNorm(groups, channels)
    if kind == "bn":
        return nn.BatchNorm2d(channels)
    if kind == "in":
        return nn.InstanceNorm2d(channels, affine=True)
    assert kind in (None, "none"), f"norm {kind!r} is unknown"
    return nn.Identity()


@dataclass
class Options:
    """What all residual blocks of a network share."""

    activation: str
    dropout: float
    kind: str | None
    groups: int
    time_dim: int | None
    classes: int | None

    def norm(self, channels: int) -> nn.Module:
        return norm(self.kind, channels, self.groups)


class PositionalEmbedding(nn.Module):
    """[B] -> [B, dim]: sines, then cosines, of t times scale."""

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        super().__init__()
        assert dim % 2 == 0, f"dim {dim} is odd"
        self.dim, self.scale = dim, scale

    def forward(self, t: Tensor) -> Tensor:
        half = self.dim // 2
        exponents = torch.arange(half) * -(math.log(10000) / half)
        angles = (t.float() * self.scale)[:, None] * frequencies(exponents)[None]
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class AttentionBlock(nn.Module):
    """One head over all positions."""

    def __init__(self, channels: int, kind: str | None, groups: int) -> None:
        super().__init__()
        self.norm = norm(kind, channels, groups)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)  # [B, HW, C]
        weight = torch.softmax(q @ k.transpose(1, 2) * x.shape[1] ** -0.5, dim=-1)
        return x + self.to_out((weight @ v).transpose(1, 2).reshape(x.shape))


class ResidualBlock(nn.Module):
    """Two convolutions with biases from time and class between them."""

    def __init__(self, channels: int, out: int, options: Options, attend: bool) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[options.activation]
        self.norm_1 = options.norm(channels)
        self.conv_1 = nn.Conv2d(channels, out, 3, padding=1)
        self.norm_2 = options.norm(out)
        self.conv_2 = nn.Sequential(nn.Dropout(options.dropout), nn.Conv2d(out, out, 3, padding=1))
        self.time_bias = nn.Linear(options.time_dim, out) if options.time_dim is not None else None
        self.class_bias = nn.Embedding(options.classes, out) if options.classes is not None else None
        self.residual_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        self.attention = AttentionBlock(out, options.kind, options.groups) if attend else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor | None, y: Tensor | None) -> Tensor:
        h = self.conv_1(self.activation(self.norm_1(x)))
        if self.time_bias is not None:
            h = h + self.time_bias(self.activation(emb))[:, :, None, None]
        if self.class_bias is not None:
            h = h + self.class_bias(y)[:, :, None, None]
        h = self.conv_2(self.activation(self.norm_2(h)))
        return self.attention(h + self.residual_connection(x))


class Downsample(nn.Module):
    """Half the size, which must be even."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.downsample = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor | None, y: Tensor | None) -> Tensor:
        assert x.shape[2] % 2 == 0 == x.shape[3] % 2, f"size {tuple(x.shape[2:])} is odd"
        return self.downsample(x)


class Upsample(nn.Module):
    """Twice the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, emb: Tensor | None, y: Tensor | None) -> Tensor:
        return self.upsample(x)
