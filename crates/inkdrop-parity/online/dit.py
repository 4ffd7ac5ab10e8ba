"""DiT, the diffusion transformer, in PyTorch.

Our own implementation after Peebles & Xie 2023, with the keys of facebookresearch/DiT.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def sides(width: int, grid: int) -> Tensor:
    """Sinusoids of the places of a grid, [1, grid², width]: the columns' half first, sines before cosines."""
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(grid, dtype=torch.float64).outer(frequencies)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    both = [waves.repeat(grid, 1), waves.repeat_interleave(grid, 0)]
    return torch.cat(both, dim=1).float()[None]


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    normed = functional.layer_norm(x, x.shape[-1:], eps=1e-6)
    return normed * (1 + scale[:, None]) + shift[:, None]


def conditioned(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, count * width))


class Patches(nn.Module):
    """The tokens of the patches, row by row."""

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, side, side)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Times(nn.Module):
    """256 cosines and sines of t, and two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32, device=t.device) / 128)
        angles = t.float()[:, None] * frequencies
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1).to(self.mlp[0].weight.dtype))


class Labels(nn.Module):
    """A vector for each class, and a last one for none."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, y: Tensor) -> Tensor:
        return self.embedding_table(y)


class Attention(nn.Module):
    """Attention of all tokens, with PyTorch's fused kernel, which the original uses too."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and an MLP, each with a shift, a scale and a gate of the condition (adaLN-Zero)."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(width, heads), Mlp(width, int(width * ratio))
        self.adaLN_modulation = conditioned(width, 6)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.adaLN_modulation(condition).chunk(6, dim=1)
        x = x + gate[:, None] * self.attn(modulated(x, shift, scale))
        return x + gate2[:, None] * self.mlp(modulated(x, shift2, scale2))


class Final(nn.Module):
    """The values of the pixels of each token."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.linear, self.adaLN_modulation = nn.Linear(width, values), conditioned(width, 2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.linear(modulated(x, *self.adaLN_modulation(condition).chunk(2, dim=1)))


class DiT(nn.Module):
    """Called with x, t [B] and the classes [B]; no class where they are not given."""

    def __init__(self, input_size=32, patch_size=2, in_channels=4, hidden_size=1152, depth=28, num_heads=16,
                 mlp_ratio=4.0, class_dropout_prob=0.1, num_classes=1000, learn_sigma=True):
        super().__init__()
        assert class_dropout_prob > 0, "a DiT without label dropout has no vector for no class"
        self.classes, self.side = num_classes, patch_size
        self.pos_embed = nn.Parameter(sides(hidden_size, input_size // patch_size), requires_grad=False)
        self.x_embedder = Patches(in_channels, hidden_size, patch_size)
        self.t_embedder, self.y_embedder = Times(hidden_size), Labels(num_classes, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads, mlp_ratio) for _ in range(depth))
        self.final_layer = Final(hidden_size, patch_size ** 2 * in_channels * (2 if learn_sigma else 1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = torch.full((len(x),), self.classes, device=x.device) if y is None else y
        condition, grid = self.t_embedder(t) + self.y_embedder(y), x.shape[-1] // self.side
        x = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            x = block(x, condition)
        x = self.final_layer(x, condition).unflatten(2, (self.side, self.side, -1)).unflatten(1, (grid, grid))
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
