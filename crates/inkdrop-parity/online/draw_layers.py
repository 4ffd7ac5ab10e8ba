"""Draws random single layers."""

import random

import torch

import layers
import make
import conditioning_check
from case import Case
from draw import noise


def attention_improved(dice: random.Random) -> tuple[dict, list[int]]:
    channels, heads = dice.choice([32, 64, 96]), dice.choice([1, 2, 4])
    config = {"channels": channels, "num_heads": heads}
    if dice.random() < 0.7:
        config |= {"use_new_attention_order": dice.random() < 0.7, "num_head_channels": dice.choice([-1, 8, 16])}
    return config, [channels]


def attention_ddpm(dice: random.Random) -> tuple[dict, list[int]]:
    channels, groups = dice.choice([(32, 8), (15, 5), (12, 1)])
    config = {"in_channels": channels, "norm": dice.choice(["gn", "gn", "bn", "in", "none"]), "num_groups": groups}
    return config, [channels]


def resblock(dice: random.Random) -> tuple[dict, list[int]]:
    channels, out = dice.choice([32, 64]), dice.choice([32, 64])
    config = {"channels": channels, "emb_channels": dice.choice([31, 48]), "out_channels": out,
              "use_scale_shift_norm": dice.random() < 0.5}
    if (resize := dice.choice(["", "up", "down"])):
        config |= {"up": resize == "up", "down": resize == "down"}
    if dice.random() < 0.2:
        config["use_conv"] = True
    return config, [channels]


KINDS = {"improved-attention": attention_improved, "ddpm-attention": attention_ddpm, "improved-resblock": resblock}


def layer(seed: int, index: int) -> Case:
    """The layer of this number; the kinds take turns."""
    dice = random.Random(f"{seed} layer {index}")
    family = list(KINDS)[index % len(KINDS)]
    config, (channels,) = KINDS[family](dice)
    case = Case(f"live_layer_{index}", "layer", family, config, {}, {"note": f"live case, seed {seed}"})
    model = layers.build(family, config).eval()
    make.randomise(model, torch.Generator().manual_seed(dice.getrandbits(31)))
    case.tensors = {f"weight:{key}": value for key, value in model.state_dict().items()}
    for _ in range(20):  # norms over few places may be ill-conditioned in f32
        size = (2 * dice.randint(1, 4), 2 * dice.randint(1, 4))
        case.tensors["x"] = noise(dice, 2, channels, *size)
        if family == "improved-resblock":
            case.tensors["emb"] = noise(dice, 2, config["emb_channels"])
        if layers.rounding(case) <= conditioning_check.WELL_CONDITIONED:
            break
    case.tensors |= layers.compute(case)
    return case
