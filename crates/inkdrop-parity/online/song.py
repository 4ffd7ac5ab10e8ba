"""EDM's SongUNet in PyTorch.

Our own implementation after Song et al. 2021 and Karras et al. 2022, with EDM's keys. verify.py checks it against the
golden cases.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from song_layers import Block, Conv, Fourier, Linear, Positional, norm


class SongUNet(nn.Module):
    """DDPM++, NCSN++ and their mixtures; called with x, t [B], one-hot rows y and augmentation labels."""

    def __init__(self, img_resolution, in_channels, out_channels, label_dim=0, augment_dim=0, model_channels=128,
                 channel_mult=(1, 2, 2, 2), channel_mult_emb=4, num_blocks=4, attn_resolutions=(16,), dropout=0.10,
                 label_dropout=0.0, embedding_type="positional", channel_mult_noise=1, encoder_type="standard",
                 decoder_type="standard", resample_filter=(1, 1)):
        super().__init__()
        self.label_dropout = label_dropout
        waves, width = model_channels * channel_mult_noise, model_channels * channel_mult_emb
        self.map_noise = Positional(waves) if embedding_type == "positional" else Fourier(waves)
        self.map_label = Linear(label_dim, waves) if label_dim else None
        self.map_augment = Linear(augment_dim, waves, bias=False) if augment_dim else None
        self.map_layer0, self.map_layer1 = Linear(waves, width), Linear(width, width)
        taps = list(resample_filter)

        def block(inside: int, outside: int, side: int = 0, attends: bool | None = None, **options) -> Block:
            attends = side in attn_resolutions if attends is None else attends
            return Block(inside, outside, width, attends, taps, dropout, **options)

        self.enc, skips, channels, aux = nn.ModuleDict(), [], in_channels, in_channels
        for level, mult in enumerate(channel_mult):
            side = img_resolution >> level
            here = f"{side}x{side}"
            if level == 0:
                self.enc[f"{here}_conv"] = Conv(channels, model_channels, 3)
                channels = model_channels
            else:
                self.enc[f"{here}_down"] = block(channels, channels, attends=False, down=True)
                if encoder_type == "skip":
                    self.enc[f"{here}_aux_down"] = Conv(aux, aux, 0, taps, down=True)
                    self.enc[f"{here}_aux_skip"] = Conv(aux, channels, 1)
                if encoder_type == "residual":
                    self.enc[f"{here}_aux_residual"] = Conv(aux, channels, 3, taps, down=True, fused=True)
                    aux = channels
            skips.append(channels)
            for index in range(num_blocks):
                self.enc[f"{here}_block{index}"] = block(channels, model_channels * mult, side)
                channels = model_channels * mult
                skips.append(channels)

        self.dec = nn.ModuleDict()
        for level, mult in reversed(list(enumerate(channel_mult))):
            side, deepest = img_resolution >> level, level == len(channel_mult) - 1
            here = f"{side}x{side}"
            if deepest:
                self.dec[f"{here}_in0"] = block(channels, channels, attends=True)
                self.dec[f"{here}_in1"] = block(channels, channels, attends=False)
            else:
                self.dec[f"{here}_up"] = block(channels, channels, attends=False, up=True)
            for index in range(num_blocks + 1):
                attends = index == num_blocks and side in attn_resolutions
                self.dec[f"{here}_block{index}"] = block(
                    channels + skips.pop(), model_channels * mult, attends=attends)
                channels = model_channels * mult
            if decoder_type == "skip" or level == 0:
                if decoder_type == "skip" and not deepest:
                    self.dec[f"{here}_aux_up"] = Conv(out_channels, out_channels, 0, taps, up=True)
                self.dec[f"{here}_aux_norm"] = norm(channels)
                self.dec[f"{here}_aux_conv"] = Conv(channels, out_channels, 3, scale=1e-5)

    def embedding(self, t: Tensor, y: Tensor | None, augment: Tensor | None) -> Tensor:
        found = self.map_noise(t).unflatten(1, (2, -1)).flip(1).flatten(1)
        if self.map_label is not None and y is not None:
            if self.training and self.label_dropout:
                y = y * (torch.rand(len(t), 1, device=t.device) >= self.label_dropout)
            found = found + self.map_label(y * y.shape[1] ** 0.5)
        if self.map_augment is not None and augment is not None:
            found = found + self.map_augment(augment)
        return functional.silu(self.map_layer1(functional.silu(self.map_layer0(found))))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None, augment: Tensor | None = None) -> Tensor:
        embedding, aux, skips = self.embedding(t.to(x.dtype), y, augment), x, []
        for name, layer in self.enc.items():
            if name.endswith("aux_down"):
                aux = layer(aux)
            elif name.endswith("aux_skip"):
                x = skips[-1] = x + layer(aux)
            elif name.endswith("aux_residual"):
                x = skips[-1] = aux = (x + layer(aux)) / 2 ** 0.5
            else:
                x = layer(x, embedding) if isinstance(layer, Block) else layer(x)
                skips.append(x)
        out, inner = None, x
        for name, layer in self.dec.items():
            if name.endswith("aux_up"):
                out = layer(out)
            elif name.endswith("aux_norm"):
                inner = layer(x)
            elif name.endswith("aux_conv"):
                inner = layer(functional.silu(inner))
                out = inner if out is None else out + inner
            else:
                x = layer(torch.cat([x, skips.pop()], dim=1) if "_block" in name else x, embedding)
        return out
