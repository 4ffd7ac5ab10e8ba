"""Draws random configurations of the `lucid` family: lucidrains' Unet, Unet1D and the Unet with classes."""

import random

import torch

from draw import Drawn, labels, noise, sides, times

MULTIPLIERS = [[1], [2], [1, 2], [2, 1], [1, 3], [1, 1, 2]]


def common(dice: random.Random) -> dict:
    """The arguments that all three classes have."""
    dim = dice.choice([4, 6, 8, 10, 16])
    config = {"dim": dim, "dim_mults": dice.choice(MULTIPLIERS), "channels": dice.choice([1, 2, 3, 5]),
              "learned_variance": dice.random() < 0.3}
    if dice.random() < 0.3:
        config["init_dim"] = dim + dice.choice([-1, 2, 3])
    if dice.random() < 0.2:
        config["out_dim"] = dice.choice([1, 4, 7])
    kind = dice.choice(["sinusoids", "sinusoids", "learned_sinusoidal_cond", "random_fourier_features"])
    if kind != "sinusoids":
        config |= {kind: True, "learned_sinusoidal_dim": dice.choice([2, 6, 16])}
    return config | {"attn_dim_head": dice.choice([32, 8, 5, 1]), "attn_heads": dice.choice([4, 1, 3])}


def theta(dice: random.Random) -> dict:
    """Arguments that the class with class labels lacks."""
    found = {"self_condition": dice.random() < 0.4, "dropout": dice.choice([0.0, 0.3])}
    if dice.random() < 0.4:
        found["sinusoidal_pos_emb_theta"] = dice.choice([500, 100.5, 20000])
    return found


def each(dice: random.Random, stages: int, values: list) -> list:
    return [dice.choice(values) for _ in range(stages)]


def unet(dice: random.Random) -> dict:
    """Attention by stage: one value for all, or one for each."""
    config = {"arch": "Unet"} | common(dice) | theta(dice)
    stages = len(config["dim_mults"])
    if dice.random() < 0.3:
        config["attn_dim_head"] = each(dice, stages, [8, 4, 16])
    if dice.random() < 0.3:
        config["attn_heads"] = each(dice, stages, [1, 2, 3])
    full = dice.choice([None, None, True, False, "each", "each"])
    if full is not None:
        config["full_attn"] = each(dice, stages, [True, False]) if full == "each" else full
    return config


def guidance(dice: random.Random) -> dict:
    call = {"cond_scale": dice.choice([1.0, 0.5, 2.0, 6.0]), "rescaled_phi": dice.choice([0.0, 0.3, 0.7, 1.0])}
    if dice.random() < 0.4:
        call["remove_parallel_component"] = False
    return call | ({"keep_parallel_frac": dice.choice([0.2, 1.0])} if dice.random() < 0.3 else {})


def with_classes(dice: random.Random) -> Drawn:
    config = {"arch": "Unet", "module": "classifier_free_guidance", "num_classes": dice.choice([1, 2, 10])}
    config |= common(dice) | {"cond_drop_prob": dice.choice([0.0, 0.5])}
    call = dice.choice([{"cond_drop_prob": 0.0}, {"cond_drop_prob": 1.0}, None, "guidance", "guidance"])
    config["call"] = guidance(dice) if call == "guidance" else call
    batch = dice.choice([1, 2, 3])
    size = sides(dice, len(config["dim_mults"]))
    tensors = {"x": noise(dice, batch, config["channels"], *size), "t": times(dice, batch, 1000),
               "y": labels(dice, batch, config["num_classes"])}
    if config["call"] is None:
        tensors["cond_keep_mask"] = torch.tensor([dice.random() < 0.6 for _ in range(batch)])
    return config, tensors


def lucid(dice: random.Random) -> Drawn:
    arch = dice.choice(["Unet", "Unet", "Unet", "Unet1D", "classes"])
    if arch == "classes":
        return with_classes(dice)
    config = unet(dice) if arch == "Unet" else {"arch": "Unet1D"} | common(dice) | theta(dice)
    batch, (height, width) = dice.choice([1, 2, 3]), sides(dice, len(config["dim_mults"]))
    size = (height, width) if arch == "Unet" else (2 * width,)
    tensors = {"x": noise(dice, batch, config["channels"], *size), "t": times(dice, batch, 1000)}
    if config["self_condition"] and dice.random() < 0.7:
        tensors["x_self_cond"] = noise(dice, batch, config["channels"], *size)
    return config, tensors
