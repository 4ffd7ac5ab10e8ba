"""Draws random configurations of the `unet2d` family."""

import json
import random

from draw import Drawn, labels, noise, sides, some, times


def blocks(dice: random.Random, levels: int) -> dict:
    """Block types, with attention at any level."""
    attended = set(some(dice, list(range(levels))))
    down = ["AttnDownBlock2D" if level in attended else "DownBlock2D" for level in range(levels)]
    if dice.random() < 0.3:
        attended = set(some(dice, list(range(levels))))
    up = ["AttnUpBlock2D" if level in attended else "UpBlock2D" for level in reversed(range(levels))]
    return {"down_block_types": down, "up_block_types": up}


def widths(dice: random.Random) -> dict:
    """Channels by level, groups that divide them and heads that fit into them."""
    channels, groups, heads = dice.choice([
        ([16, 32], 4, [4, 8, 16, None]),
        ([32], 32, [8, 32, None]),
        ([8, 16, 16], 8, [1, 2, 8, None]),
        ([24, 12], 3, [3, 6, 12, None]),
        ([9, 18], 3, [3, 9, None]),
        ([12, 12, 24], 2, [4, 5, 12, None]),
        ([8, 8, 16, 16], 4, [8, 3, None]),
    ])
    return {"block_out_channels": channels, "norm_num_groups": groups, "attention_head_dim": dice.choice(heads)}


def options(dice: random.Random) -> dict:
    """Everything that does not depend on the number of levels."""
    channels = dice.choice([1, 3, 3, 4])
    return {"in_channels": channels, "out_channels": channels * dice.choice([1, 1, 2]),
            "center_input_sample": dice.random() < 0.3, "freq_shift": dice.choice([0, 1]),
            "flip_sin_to_cos": dice.random() < 0.5, "layers_per_block": dice.choice([1, 1, 2]),
            "mid_block_scale_factor": dice.choice([1, 1, 2 ** 0.5, 0.5]), "downsample_padding": dice.choice([0, 1]),
            "dropout": dice.choice([0.0, 0.1]),
            "act_fn": dice.choice(["silu", "silu", "relu", "mish", "gelu", "swish"]),
            "norm_eps": dice.choice([1e-5, 1e-6, 1e-3]), "add_attention": dice.random() < 0.8,
            "resnet_time_scale_shift": dice.choice(["default", "default", "scale_shift"]),
            "attn_norm_num_groups": dice.choice([None, None, 1]),
            "mid_block_type": dice.choice(["UNetMidBlock2D"] * 4 + [None]),
            "num_class_embeds": dice.choice([None, None, 6])}


def unet2d(dice: random.Random) -> Drawn:
    """The config as the package itself writes it; one time in three without the keys that equal its defaults."""
    drawn = widths(dice)
    levels = len(drawn["block_out_channels"])
    drawn |= blocks(dice, levels) | options(dice)
    batch, (height, width) = dice.choice([1, 2, 3]), sides(dice, levels)
    drawn["sample_size"] = dice.choice([None, max(height, width), [height, width]])
    tensors = {"x": noise(dice, batch, drawn["in_channels"], height, width), "t": times(dice, batch, 1000)}
    if drawn["num_class_embeds"] is not None:
        tensors["y"] = labels(dice, batch, drawn["num_class_embeds"])
    return written(drawn, short=dice.random() < 1 / 3), tensors


def written(arguments: dict, short: bool = False) -> dict:
    """The content of config.json for these arguments."""
    from diffusers import UNet2DModel

    config = json.loads(UNet2DModel(**arguments).to_json_string())
    defaults = UNet2DModel.__init__.__wrapped__.__defaults__
    names = UNet2DModel.__init__.__wrapped__.__code__.co_varnames[1:len(defaults) + 1]
    default = dict(zip(names, (list(value) if isinstance(value, tuple) else value for value in defaults)))
    return {key: value for key, value in config.items() if not (short and key in default and default[key] == value)}
