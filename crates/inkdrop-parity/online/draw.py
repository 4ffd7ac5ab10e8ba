"""Draws random configurations and inputs for the families of our own modules.

Every drawing function returns the config, in the argument names of the PyTorch program, and the inputs.
"""

import random

import torch
from torch import Tensor

Drawn = tuple[dict, dict[str, Tensor]]


def noise(dice: random.Random, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(dice.getrandbits(31)))


def times(dice: random.Random, batch: int, most: int) -> Tensor:
    """Whole steps, or one time in three fractional ones."""
    if dice.random() < 1 / 3:
        return torch.tensor([dice.random() * most for _ in range(batch)])
    return torch.tensor([dice.randrange(most) for _ in range(batch)])


def labels(dice: random.Random, batch: int, classes: int) -> Tensor:
    return torch.tensor([dice.randrange(classes) for _ in range(batch)])


def some(dice: random.Random, among: list) -> list:
    """Any subset, in order."""
    return [value for value in among if dice.random() < 0.5]


def sides(dice: random.Random, levels: int) -> tuple[int, int]:
    """Height and width that can be halved levels - 1 times down to 3 and 2 at least."""
    unit = 2 ** (levels - 1)
    return unit * dice.randint(3, 16 // unit + 1), unit * dice.randint(2, 16 // unit + 1)


def improved_widths(dice: random.Random) -> dict:
    """model_channels and channel_mult; every product is a multiple of 32, however odd the factors.

    Some level has 64 channels or more: where a group of the norm is one channel, what is added to it is lost.
    """
    channels, mult = dice.choice([(64, [1]), (32, [1, 2]), (32, [2, 1]), (32, [1, 1, 2]), (64, [0.5, 1]),
                                  (64, [0.5, 1.5]), (16, [2, 4]), (16, [4, 4]), (33, [0.97, 1.94])])
    return {"model_channels": channels, "channel_mult": mult}


def improved_guided(dice: random.Random) -> dict:
    """The options of Dhariwal & Nichol 2021."""
    return {"num_head_channels": dice.choice([-1, 8, 16, 32]), "resblock_updown": dice.random() < 0.5,
            "use_new_attention_order": dice.random() < 0.5}


def improved(dice: random.Random, super_res: bool = False) -> Drawn:
    widths = improved_widths(dice)
    levels, dims = len(widths["channel_mult"]), 2 if super_res else dice.choice([1, 2, 2, 2, 3])
    if dims == 3:
        widths = {"model_channels": 32, "channel_mult": dice.choice([[2], [1, 2]])}
        levels = len(widths["channel_mult"])
    channels = dice.choice([1, 2, 3, 5])
    classes = dice.choice([None, None, 7])
    config = {"in_channels": channels, **widths, "out_channels": channels * dice.choice([1, 2]),
              "num_res_blocks": 1 if dims == 3 else dice.choice([1, 1, 2]),
              "attention_resolutions": some(dice, [2 ** level for level in range(levels)]),
              "dropout": dice.choice([0.0, 0.3]), "conv_resample": dice.random() < 0.7, "dims": dims,
              "num_classes": classes, "use_checkpoint": dice.random() < 0.3, "num_heads": dice.choice([1, 2, 4]),
              "num_heads_upsample": dice.choice([-1, -1, 2, 8]), "use_scale_shift_norm": dice.random() < 0.5}
    if dice.random() < 0.6:
        config |= improved_guided(dice)
    batch, (height, width) = dice.choice([1, 2, 3]), sides(dice, levels)
    size = {1: (4 * height,), 2: (height, width), 3: (dice.randint(2, 3), height // 2 * 2, width // 2 * 2)}[dims]
    tensors = {"x": noise(dice, batch, channels, *size), "t": times(dice, batch, 1000)}
    if classes is not None:
        tensors["y"] = labels(dice, batch, classes)
    if super_res:
        factor = dice.choice([1, 2]) if min(size) > 2 else 1
        tensors["low_res"] = noise(dice, batch, channels, height // factor, dice.choice([width // factor, width // 2]))
    return config, tensors


def improved_super_res(dice: random.Random) -> Drawn:
    return improved(dice, super_res=True)


def ddpm(dice: random.Random) -> Drawn:
    norm, activation = dice.choice(["gn", "gn", "bn", "in", "none"]), dice.choice(["relu", "silu", "mish"])
    base, groups = dice.choice([(16, 4), (12, 3), (8, 8), (24, 1), (10, 5), (6, 2)])
    mults = dice.choice([[1], [1, 2], [1, 3], [1, 1, 2], [1, 2, 1]])
    classes, time = dice.choice([None, None, 10]), dice.choice([None, 32, 32, 17])
    config = {"img_channels": dice.choice([1, 2, 3, 5]), "base_channels": base, "channel_mults": mults,
              "num_res_blocks": dice.choice([1, 1, 2]), "time_emb_dim": time,
              "time_emb_scale": dice.choice([1.0, 0.5, 2.0]), "num_classes": classes, "activation": activation,
              "dropout": dice.choice([0.0, 0.1, 0.4]), "attention_resolutions": some(dice, list(range(len(mults)))),
              "norm": norm, "num_groups": groups, "initial_pad": dice.choice([0, 0, 1, 2])}
    batch, pad = dice.choice([1, 2, 3]), 2 * config["initial_pad"]
    height, width = (max(side - pad, side % 2 + 2) for side in sides(dice, len(mults)))
    unit = 2 ** (len(mults) - 1)
    height, width = (side + -(side + pad) % unit for side in (height, width))
    tensors = {"x": noise(dice, batch, config["img_channels"], height, width)}
    if time is not None:
        tensors["t"] = times(dice, batch, 1000)
    if classes is not None:
        tensors["y"] = labels(dice, batch, classes)
    return config, tensors


def context(dice: random.Random) -> Drawn:
    mode = dice.choice(["eval", "eval", "train"])
    config = {"in_channels": dice.choice([1, 2, 3, 8]), "n_feat": dice.choice([8, 16]),
              "n_cfeat": dice.choice([1, 5, 10]), "height": dice.choice([16, 20, 24, 28]), "mode": mode}
    batch = dice.choice([2, 3, 4])
    tensors = {"x": noise(dice, batch, config["in_channels"], config["height"], config["height"]),
               "t": torch.tensor([dice.random() for _ in range(batch)])}
    if dice.random() < 0.7:
        tensors["context"] = noise(dice, batch, config["n_cfeat"]).abs()
    return config, tensors
