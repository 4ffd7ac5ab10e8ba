"""The `context` U-Net in PyTorch.

The sprites notebook's ContextUnet. The shortcut of its first block is a layer (`init_conv.shortcut`), where the
notebook draws one in every forward pass.
"""

import torch
from torch import Tensor, nn


def half_block(channels: int, out: int) -> nn.Sequential:
    """Convolution, batch norm, GELU."""
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.GELU())


class ResidualConvBlock(nn.Module):
    """Two half blocks, with a shortcut around both where `is_res`."""

    def __init__(self, channels: int, out: int, is_res: bool = False) -> None:
        super().__init__()
        self.is_res = is_res
        self.conv1 = half_block(channels, out)
        self.conv2 = half_block(out, out)
        self.shortcut = nn.Conv2d(channels, out, 1) if is_res and channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x))
        return (self.shortcut(x) + h) / 1.414 if self.is_res else h


class UnetDown(nn.Module):
    """Two blocks, then half the size."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.model = nn.Sequential(ResidualConvBlock(channels, out), ResidualConvBlock(out, out), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UnetUp(nn.Module):
    """Twice the size of x beside its skip, then two blocks."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.ConvTranspose2d(channels, out, 2, 2), ResidualConvBlock(out, out),
                                   ResidualConvBlock(out, out))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.model(torch.cat([x, skip], dim=1))


class EmbedFC(nn.Module):
    """A vector as a feature map of one pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.model = nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.Linear(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.reshape(-1, self.inputs))[:, :, None, None]


class ContextUnet(nn.Module):
    """The network over x [B, C, H, H] at times t [B] in (0, 1], and a context [B, n_cfeat] or none."""

    def __init__(self, in_channels: int, n_feat: int = 256, n_cfeat: int = 10, height: int = 28) -> None:
        super().__init__()
        n = n_feat
        self.n_cfeat = n_cfeat
        self.init_conv = ResidualConvBlock(in_channels, n, is_res=True)
        self.down1 = UnetDown(n, n)
        self.down2 = UnetDown(n, 2 * n)
        self.to_vec = nn.Sequential(nn.AvgPool2d(4), nn.GELU())
        self.timeembed1 = EmbedFC(1, 2 * n)
        self.timeembed2 = EmbedFC(1, n)
        self.contextembed1 = EmbedFC(n_cfeat, 2 * n)
        self.contextembed2 = EmbedFC(n_cfeat, n)
        side = height // 4
        self.up0 = nn.Sequential(nn.ConvTranspose2d(2 * n, 2 * n, side, side), nn.GroupNorm(8, 2 * n), nn.ReLU())
        self.up1 = UnetUp(4 * n, n)
        self.up2 = UnetUp(2 * n, n)
        self.out = nn.Sequential(nn.Conv2d(2 * n, n, 3, padding=1), nn.GroupNorm(8, n), nn.ReLU(),
                                 nn.Conv2d(n, in_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        c = x.new_zeros(x.shape[0], self.n_cfeat) if context is None else context
        first = self.init_conv(x)
        down1 = self.down1(first)
        down2 = self.down2(down1)
        up = self.up0(self.to_vec(down2))
        up = self.up1(self.contextembed1(c) * up + self.timeembed1(t), down2)
        up = self.up2(self.contextembed2(c) * up + self.timeembed2(t), down1)
        return self.out(torch.cat([up, first], dim=1))
