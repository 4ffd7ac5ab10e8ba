"""The `improved` U-Net in PyTorch.

The network of Nichol & Dhariwal 2021 in one, two or three dimensions, its super-resolution form, and
the options of Dhariwal & Nichol 2021, with the arguments and keys of improved-diffusion and guided-diffusion.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from improved_blocks import CONVS, AttentionBlock, Downsample, ResBlock, Upsample, norm, timestep_embedding, zero


class Layers(nn.Sequential):
    """Layers one after the other, of which residual blocks see the embedding as well."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


class UNetModel(nn.Module):
    """The U-Net over x [B, C, *size] at times t [B]."""

    def __init__(self, in_channels: int, model_channels: int, out_channels: int, num_res_blocks: int,
                 attention_resolutions: Sequence[int], dropout: float = 0.0,
                 channel_mult: Sequence[float] = (1, 2, 4, 8), conv_resample: bool = True, dims: int = 2,
                 num_classes: int | None = None, use_checkpoint: bool = False, num_heads: int = 1,
                 num_heads_upsample: int = -1, use_scale_shift_norm: bool = False, num_head_channels: int = -1,
                 resblock_updown: bool = False, use_new_attention_order: bool = False) -> None:
        super().__init__()
        self.model_channels, self.dims, self.dropout = model_channels, dims, dropout
        self.conv_resample, self.resblock_updown = conv_resample, resblock_updown
        self.emb, self.rates = 4 * model_channels, set(attention_resolutions)
        self.res_options = {"dropout": dropout, "dims": dims, "use_checkpoint": use_checkpoint,
                            "use_scale_shift_norm": use_scale_shift_norm}
        self.attention_options = {"num_head_channels": num_head_channels, "use_checkpoint": use_checkpoint,
                                  "use_new_attention_order": use_new_attention_order}
        self.time_embed = nn.Sequential(nn.Linear(model_channels, self.emb), nn.SiLU(),
                                        nn.Linear(self.emb, self.emb))
        if num_classes is not None:
            self.label_emb = nn.Embedding(num_classes, self.emb)
        widths = [int(mult * model_channels) for mult in channel_mult]
        first = CONVS[dims](in_channels, widths[0], 3, padding=1)
        self.input_blocks = nn.ModuleList([Layers(first)])
        skips = self.build_inputs(widths, num_res_blocks, num_heads)
        middle = widths[-1]
        self.middle_block = Layers(self.res(middle), self.attention(middle, num_heads), self.res(middle))
        self.output_blocks = nn.ModuleList()
        upper = num_heads if num_heads_upsample == -1 else num_heads_upsample
        self.build_outputs(widths, num_res_blocks, upper, skips)
        last = CONVS[dims](widths[0], out_channels, 3, padding=1)
        self.out = nn.Sequential(norm(widths[0]), nn.SiLU(), zero(last))

    def res(self, channels: int, out: int | None = None, **resize: bool) -> ResBlock:
        return ResBlock(channels, self.emb, out_channels=out, **self.res_options, **resize)

    def attention(self, channels: int, heads: int) -> AttentionBlock:
        return AttentionBlock(channels, heads, **self.attention_options)

    def build_inputs(self, widths: list[int], blocks: int, heads: int) -> list[int]:
        """Builds the encoder; returns the channels of every block."""
        channels, skips = widths[0], [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(blocks):
                layers: list[nn.Module] = [self.res(channels, width)]
                channels = width
                if 2 ** level in self.rates:
                    layers.append(self.attention(channels, heads))
                self.input_blocks.append(Layers(*layers))
                skips.append(channels)
            if level + 1 < len(widths):
                half = self.res(channels, down=True) if self.resblock_updown else \
                    Downsample(channels, self.conv_resample, self.dims)
                self.input_blocks.append(Layers(half))
                skips.append(channels)
        return skips

    def build_outputs(self, widths: list[int], blocks: int, heads: int, skips: list[int]) -> None:
        """Builds the decoder."""
        channels = widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                layers: list[nn.Module] = [self.res(channels + skips.pop(), width)]
                channels = width
                if 2 ** level in self.rates:
                    layers.append(self.attention(channels, heads))
                if level and block == blocks:
                    layers.append(self.res(channels, up=True) if self.resblock_updown else
                                  Upsample(channels, self.conv_resample, self.dims))
                self.output_blocks.append(Layers(*layers))

    def embed(self, t: Tensor, y: Tensor | None) -> Tensor:
        weight = self.time_embed[0].weight
        emb = self.time_embed(timestep_embedding(t, self.model_channels).to(weight.dtype))
        return emb if y is None else emb + self.label_emb(y)

    def trace(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> dict[str, list[Tensor]]:
        """The activation after every block: `down`, `middle` (one) and `up`."""
        emb, down, up = self.embed(t, y), [], []
        for block in self.input_blocks:
            down.append(x := block(x, emb))
        middle = x = self.middle_block(x, emb)
        skips = list(down)
        for block in self.output_blocks:
            up.append(x := block(torch.cat([x, skips.pop()], dim=1), emb))
        return {"down": down, "middle": [middle], "up": up}

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        return self.out(self.trace(x, t, y)["up"][-1])


class SuperResModel(UNetModel):
    """The U-Net over x beside a smaller picture, enlarged to the size of x."""

    def __init__(self, in_channels: int, *args: object, **options: object) -> None:
        super().__init__(2 * in_channels, *args, **options)

    def trace(self, x: Tensor, t: Tensor, y: Tensor | None = None, *,
              low_res: Tensor) -> dict[str, list[Tensor]]:
        enlarged = F.interpolate(low_res, x.shape[2:], mode="bilinear", align_corners=False)
        return super().trace(torch.cat([x, enlarged], dim=1), t, y)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None, *, low_res: Tensor) -> Tensor:
        return self.out(self.trace(x, t, y, low_res=low_res)["up"][-1])
