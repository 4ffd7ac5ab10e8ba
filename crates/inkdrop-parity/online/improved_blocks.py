"""Blocks of the `improved` U-Net.

Nichol & Dhariwal 2021, with the options of Dhariwal & Nichol 2021. Names and order of the layers are those of
improved-diffusion's state_dict.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def frequencies(exponents: Tensor) -> Tensor:
    """exp, rounded once: PyTorch's own in f32 differs by a bit from machine to machine, which t makes visible."""
    return exponents.double().exp().float()


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000) -> Tensor:
    """[B] -> [B, dim]: cosines, sines, and a column of zeros where dim is odd."""
    half = dim // 2
    exponents = -math.log(max_period) * torch.arange(half, dtype=torch.float32) / half
    angles = t[:, None].float() * frequencies(exponents)[None]
    embedding = torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
    return F.pad(embedding, (0, dim % 2))


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm of 32 groups."""
    return nn.GroupNorm(32, channels)


def zero(layer: nn.Module) -> nn.Module:
    """The layer with all parameters zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Downsample(nn.Module):
    """Half the size; volumes keep their depth."""

    def __init__(self, channels: int, use_conv: bool, dims: int) -> None:
        super().__init__()
        stride = (1, 2, 2) if dims == 3 else 2
        if use_conv:
            self.op = CONVS[dims](channels, channels, 3, stride=stride, padding=1)
        else:
            self.op = POOLS[dims](stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Twice the size; volumes keep their depth."""

    def __init__(self, channels: int, use_conv: bool, dims: int) -> None:
        super().__init__()
        self.scale = (1.0, 2.0, 2.0) if dims == 3 else 2.0
        if use_conv:
            self.conv = CONVS[dims](channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=self.scale, mode="nearest")
        return self.conv(x) if hasattr(self, "conv") else x


class ResBlock(nn.Module):
    """Two convolutions around an embedding; `up` and `down` resize before the first."""

    def __init__(self, channels: int, emb_channels: int, dropout: float = 0.0, out_channels: int | None = None,
                 use_conv: bool = False, use_scale_shift_norm: bool = False, dims: int = 2,
                 use_checkpoint: bool = False, up: bool = False, down: bool = False) -> None:
        super().__init__()
        out, conv = out_channels or channels, CONVS[dims]
        self.scale_shift, self.checkpointed = use_scale_shift_norm, use_checkpoint
        self.in_layers = nn.Sequential(norm(channels), nn.SiLU(), conv(channels, out, 3, padding=1))
        self.resize = Upsample(channels, False, dims) if up else Downsample(channels, False, dims) if down else None
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, 2 * out if use_scale_shift_norm else out))
        last = zero(conv(out, out, 3, padding=1))
        self.out_layers = nn.Sequential(norm(out), nn.SiLU(), nn.Dropout(dropout), last)
        if out == channels:
            self.skip_connection = nn.Identity()
        else:
            self.skip_connection = conv(channels, out, 3, padding=1) if use_conv else conv(channels, out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if self.checkpointed and torch.is_grad_enabled():
            return checkpoint(self.compute, x, emb, use_reentrant=False)
        return self.compute(x, emb)

    def compute(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers[:-1](x)
        if self.resize is not None:
            h, x = self.resize(h), self.resize(x)
        h = self.in_layers[-1](h)
        e = self.emb_layers(emb)
        e = e.view(*e.shape, *[1] * (h.dim() - 2))
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class AttentionBlock(nn.Module):
    """Attention between all positions; heads are split before q, k, v unless in the new order."""

    def __init__(self, channels: int, num_heads: int = 1, num_head_channels: int = -1,
                 use_new_attention_order: bool = False, use_checkpoint: bool = False) -> None:
        super().__init__()
        self.heads = num_heads if num_head_channels == -1 else channels // num_head_channels
        self.new_order, self.checkpointed = use_new_attention_order, use_checkpoint
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zero(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.checkpointed and torch.is_grad_enabled():
            return checkpoint(self.compute, x, use_reentrant=False)
        return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        flat = x.reshape(batch, channels, -1)
        qkv = self.qkv(self.norm(flat))
        width = channels // self.heads
        if self.new_order:
            q, k, v = (part.reshape(batch * self.heads, width, -1) for part in qkv.chunk(3, dim=1))
        else:
            q, k, v = qkv.reshape(batch * self.heads, 3 * width, -1).split(width, dim=1)
        scale = width ** -0.25
        weight = torch.softmax((q * scale).transpose(1, 2) @ (k * scale), dim=-1)
        h = (v @ weight.transpose(1, 2)).reshape(batch, channels, -1)
        return (flat + self.proj_out(h)).reshape(x.shape)
