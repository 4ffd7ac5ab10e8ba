"""The layers of EDM's SongUNet, with EDM's keys and initialisation."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def xavier(shape: tuple[int, ...], scale: float = 1.0) -> nn.Parameter:
    """Xavier's uniform weights of a matrix or a kernel."""
    area = math.prod(shape[2:])
    bound = math.sqrt(6 / ((shape[0] + shape[1]) * area))
    return nn.Parameter((torch.rand(shape) * 2 - 1) * bound * scale)


def norm(channels: int) -> nn.GroupNorm:
    """Groups of four channels or more, 32 at most."""
    return nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6)


class Linear(nn.Linear):
    """A linear layer that begins with Xavier's weights and no bias."""

    def __init__(self, inside: int, outside: int, bias: bool = True) -> None:
        super().__init__(inside, outside, bias)
        self.weight = xavier((outside, inside))
        if bias:
            nn.init.zeros_(self.bias)


class Conv(nn.Module):
    """A convolution that doubles or halves the sides by a filter; kernel 0 only filters.

    Doubling comes before the convolution, halving too, unless fused: then after it, with the bias last.
    """

    def __init__(self, inside: int, outside: int, kernel: int, taps: list[int] = (), up: bool = False,
                 down: bool = False, fused: bool = False, scale: float = 1.0) -> None:
        super().__init__()
        self.up, self.down, self.fused, self.padding = up, down, fused, kernel // 2
        self.weight = xavier((outside, inside, kernel, kernel), scale) if kernel else None
        self.bias = nn.Parameter(torch.zeros(outside)) if kernel else None
        if up or down:
            row = torch.tensor(taps, dtype=torch.float32)
            self.register_buffer("resample_filter", (row.outer(row) / row.sum() ** 2)[None, None])

    def resampled(self, x: Tensor, padding: int) -> Tensor:
        channels = x.shape[1]
        kernel = self.resample_filter.to(x.dtype)
        if self.up:
            kernel = (kernel * 4).expand(channels, 1, -1, -1)
            return functional.conv_transpose2d(x, kernel, groups=channels, stride=2, padding=padding)
        return functional.conv2d(x, kernel.expand(channels, 1, -1, -1), groups=channels, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.up or self.down):
            return functional.conv2d(x, self.weight, self.bias, padding=self.padding)
        around = (self.resample_filter.shape[-1] - 1) // 2
        if self.fused:
            x = functional.conv2d(x, self.weight, padding=self.padding + around)
            return self.resampled(x, 0) + self.bias[:, None, None]
        x = self.resampled(x, around)
        return x if self.weight is None else functional.conv2d(x, self.weight, self.bias, padding=self.padding)


class Block(nn.Module):
    """A residual block, with attention of one head if wanted; both sums are scaled to unit variance."""

    def __init__(self, inside: int, outside: int, embedding: int, attends: bool, taps: list[int], dropout: float,
                 up: bool = False, down: bool = False) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm0, self.conv0 = norm(inside), Conv(inside, outside, 3, taps, up, down)
        self.affine = Linear(embedding, outside)
        self.norm1, self.conv1 = norm(outside), Conv(outside, outside, 3, scale=1e-5)
        resized = inside != outside or up or down
        self.skip = Conv(inside, outside, 1, taps, up, down) if resized else None
        self.norm2 = norm(outside) if attends else None
        if attends:
            self.qkv = Conv(outside, 3 * outside, 1, scale=math.sqrt(0.2))
            self.proj = Conv(outside, outside, 1, scale=1e-5)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv0(functional.silu(self.norm0(x)))
        h = functional.silu(self.norm1(h + self.affine(embedding)[:, :, None, None]))
        h = self.conv1(functional.dropout(h, self.dropout, self.training))
        h = (h + (x if self.skip is None else self.skip(x))) * math.sqrt(0.5)
        return h if self.norm2 is None else (self.proj(self.attention(h)) + h) * math.sqrt(0.5)

    def attention(self, h: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm2(h)).flatten(2).unflatten(1, (-1, 3)).unbind(2)
        weights = torch.einsum("bcq,bck->bqk", q, k / math.sqrt(q.shape[1])).softmax(dim=2)
        return torch.einsum("bqk,bck->bcq", weights, v).reshape(h.shape)


class Positional(nn.Module):
    """Cosines and sines of t, with frequencies from 1 to 1/10000."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2

    def forward(self, t: Tensor) -> Tensor:
        exponents = torch.arange(self.half, dtype=torch.float32, device=t.device) / (self.half - 1)
        phases = t.outer(((1 / 10000) ** exponents).to(t.dtype))
        return torch.cat([phases.cos(), phases.sin()], dim=1)


class Fourier(nn.Module):
    """Cosines and sines of t with random frequencies, which are saved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(channels // 2) * 16)

    def forward(self, t: Tensor) -> Tensor:
        # The factors are multiplied in f32 also where the network runs in f64.
        phases = t.outer((2 * math.pi * self.freqs.float()).to(t.dtype))
        return torch.cat([phases.cos(), phases.sin()], dim=1)
