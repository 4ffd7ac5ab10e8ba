"""The `ddpm` U-Net in PyTorch.

The network of Ho et al. 2020 in the form of nanodiffusion, with the arguments and keys of nanodiffusion;
attention_resolutions are level indices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ddpm_blocks import ACTIVATIONS, Downsample, Options, PositionalEmbedding, ResidualBlock, Upsample


class UNet(nn.Module):
    """The U-Net over x [B, C, H, W] at times t [B], where it has a time embedding."""

    def __init__(self, img_channels: int, base_channels: int, channel_mults: Sequence[int] = (1, 2, 4, 8),
                 num_res_blocks: int = 2, time_emb_dim: int | None = None, time_emb_scale: float = 1.0,
                 num_classes: int | None = None, activation: str = "relu", dropout: float = 0.1,
                 attention_resolutions: Sequence[int] = (), norm: str | None = "gn", num_groups: int = 32,
                 initial_pad: int = 0) -> None:
        super().__init__()
        self.options = Options(activation, dropout, norm, num_groups, time_emb_dim, num_classes)
        self.activation, self.pad = ACTIVATIONS[activation], initial_pad
        self.blocks, self.attended = num_res_blocks, set(attention_resolutions)
        self.time_mlp = None if time_emb_dim is None else nn.Sequential(
            PositionalEmbedding(base_channels, time_emb_scale), nn.Linear(base_channels, time_emb_dim),
            nn.SiLU(), nn.Linear(time_emb_dim, time_emb_dim))
        self.init_conv = nn.Conv2d(img_channels, base_channels, 3, padding=1)
        # nanodiffusion registers `ups` before `mid` and fills it after.
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        widths = [base_channels * mult for mult in channel_mults]
        skips = self.build_downs(base_channels, widths)
        middle = widths[-1]
        self.mid = nn.ModuleList([self.res(middle, middle, True), self.res(middle, middle, False)])
        self.build_ups(widths, skips)
        self.out_norm = self.options.norm(base_channels)
        self.out_conv = nn.Conv2d(base_channels, img_channels, 3, padding=1)

    def res(self, channels: int, out: int, attend: bool) -> ResidualBlock:
        return ResidualBlock(channels, out, self.options, attend)

    def build_downs(self, channels: int, widths: list[int]) -> list[int]:
        """Builds the encoder; returns the channels of every skip connection."""
        skips = [channels]
        for level, width in enumerate(widths):
            for _ in range(self.blocks):
                self.downs.append(self.res(channels, width, level in self.attended))
                channels = width
                skips.append(channels)
            if level + 1 < len(widths):
                self.downs.append(Downsample(channels))
                skips.append(channels)
        return skips

    def build_ups(self, widths: list[int], skips: list[int]) -> None:
        """Builds the decoder."""
        channels = widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(self.blocks + 1):
                self.ups.append(self.res(channels + skips.pop(), width, level in self.attended))
                channels = width
            if level:
                self.ups.append(Upsample(channels))

    def forward(self, x: Tensor, t: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        pad = self.pad
        emb = None
        if self.time_mlp is not None:
            embedding = self.time_mlp[0](t).to(self.init_conv.weight.dtype)
            emb = self.time_mlp[1:](embedding)
        x = self.init_conv(F.pad(x, (pad, pad, pad, pad)))
        skips = [x]
        for layer in self.downs:
            skips.append(x := layer(x, emb, y))
        for layer in self.mid:
            x = layer(x, emb, y)
        for layer in self.ups:
            joined = x if isinstance(layer, Upsample) else torch.cat([x, skips.pop()], dim=1)
            x = layer(joined, emb, y)
        x = self.out_conv(self.activation(self.out_norm(x)))
        return x[:, :, pad:x.shape[2] - pad, pad:x.shape[3] - pad]
