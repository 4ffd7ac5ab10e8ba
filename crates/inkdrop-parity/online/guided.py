"""Checks the options of Dhariwal & Nichol 2021, which have no golden case, against diffusers.

diffusers has the same layers with other names: attention that splits q, k, v before the heads, and
residual blocks that resize. Both must agree for the same weights.
"""

import torch
from torch import Tensor, nn

import make
from case import FORWARD, line, worst
from improved_blocks import AttentionBlock, ResBlock

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
          "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def drawn(layer: nn.Module) -> nn.Module:
    make.randomise(layer, torch.Generator().manual_seed(3))
    return layer.eval()


def attention(channels: int, heads: int) -> tuple[nn.Module, nn.Module]:
    """Ours in the new order, and theirs with the same weights."""
    from diffusers.models.attention_processor import Attention

    ours = drawn(AttentionBlock(channels, num_head_channels=channels // heads, use_new_attention_order=True))
    theirs = Attention(channels, heads=heads, dim_head=channels // heads, norm_num_groups=32, bias=True,
                       residual_connection=True)
    weights: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        weights[f"group_norm.{kind}"] = getattr(ours.norm, kind)
        parts = dict(zip("qkv", getattr(ours.qkv, kind).chunk(3)), out=getattr(ours.proj_out, kind))
        names = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
        weights |= {f"{names[part]}.{kind}": value.reshape(value.shape[:2]) for part, value in parts.items()}
    theirs.load_state_dict(weights, strict=True)
    return ours, theirs


def resblock(channels: int, out: int, norm: str, **resize: bool) -> tuple[nn.Module, nn.Module]:
    """Ours that resizes, and theirs with the same weights."""
    from diffusers.models.resnet import ResnetBlock2D

    ours = drawn(ResBlock(channels, 48, out_channels=out, use_scale_shift_norm=norm == "scale_shift", **resize))
    theirs = ResnetBlock2D(in_channels=channels, out_channels=out, temb_channels=48, eps=1e-5,
                           time_embedding_norm=norm, **resize)
    weights = ours.state_dict()
    theirs.load_state_dict({key: weights[f"{RESNET[key.split('.')[0]]}.{key.split('.')[1]}"]
                            for key in theirs.state_dict()}, strict=True)
    return ours, theirs


def check() -> bool:
    """All combinations, a line each."""
    dice = torch.Generator().manual_seed(5)
    x, emb = torch.randn(2, 64, 6, 4, generator=dice), torch.randn(2, 48, generator=dice)
    right = True
    with torch.no_grad():
        for heads in (1, 4):
            ours, theirs = attention(64, heads)
            right &= line(f"attention, {heads} heads", "out", worst({"out": ours(x)}, {"out": theirs(x)}), FORWARD)
        for norm in ("default", "scale_shift"):
            for resize in ("up", "down"):
                ours, theirs = resblock(64, 32, norm, **{resize: True})
                both = {"out": ours(x, emb)}, {"out": theirs(x, emb)}
                right &= line(f"resblock, {norm}, {resize}", "out", worst(*both), FORWARD)
    return right
