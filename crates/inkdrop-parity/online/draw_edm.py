"""Draws random configurations of the `edm` family (SongUNet) and of `dit`."""

import math
import random

import torch

from draw import Drawn, labels, noise, some


def edm(dice: random.Random) -> Drawn:
    mults = dice.choice([[1], [1, 2], [2, 1], [1, 1, 2]])
    side = dice.choice([4, 8, 12]) << (len(mults) - 1) >> (len(mults) == 3)
    positional = dice.random() < 0.6
    config = {"arch": "SongUNet", "img_resolution": side, "in_channels": dice.choice([1, 3]),
              "out_channels": dice.choice([1, 3, 4]), "label_dim": dice.choice([0, 0, 3]),
              "augment_dim": dice.choice([0, 0, 9]), "model_channels": dice.choice([4, 8, 16]), "channel_mult": mults,
              "channel_mult_emb": dice.choice([1, 2, 4]), "num_blocks": dice.choice([1, 1, 2]),
              "attn_resolutions": some(dice, [side >> level for level in range(len(mults))]),
              "dropout": dice.choice([0.0, 0.1]), "label_dropout": dice.choice([0, 0.1]),
              "embedding_type": "positional" if positional else "fourier",
              "channel_mult_noise": dice.choice([1, 2]), "encoder_type": dice.choice(["standard", "skip", "residual"]),
              "decoder_type": dice.choice(["standard", "standard", "skip"]),
              "resample_filter": dice.choice([[1, 1], [1, 3, 3, 1]])}
    batch = dice.choice([1, 2, 3])
    # The network's time is the logarithm of a noise level over four.
    t = torch.tensor([math.log(dice.choice([0.002, 0.5, 3.0, 80.0]) * dice.uniform(0.5, 1)) / 4 for _ in range(batch)])
    tensors = {"x": noise(dice, batch, config["in_channels"], side, side), "t": t}
    if classes := config["label_dim"]:
        rows = torch.eye(classes + 1)[labels(dice, batch, classes + 1)]
        tensors["y"] = rows[:, :classes]  # no class is a row of zeros
    if config["augment_dim"] and dice.random() < 0.7:
        tensors["augment"] = noise(dice, batch, 9)
    return config, tensors


def dit(dice: random.Random) -> Drawn:
    patch, grid = dice.choice([1, 2, 4]), dice.choice([2, 3, 4])
    width, heads = dice.choice([(24, 3), (32, 2), (16, 1), (12, 1), (40, 5)])
    config = {"input_size": patch * grid, "patch_size": patch, "in_channels": dice.choice([1, 3, 4]),
              "hidden_size": width, "depth": dice.choice([1, 2, 3]), "num_heads": heads,
              "mlp_ratio": dice.choice([4.0, 2.0, 1.5]), "num_classes": dice.choice([1, 5, 10]),
              "learn_sigma": dice.random() < 0.5}
    batch = dice.choice([1, 2, 3])
    tensors = {"x": noise(dice, batch, config["in_channels"], patch * grid, patch * grid),
               "t": torch.tensor([dice.randrange(1000) for _ in range(batch)]),
               "y": labels(dice, batch, config["num_classes"] + 1)}
    return config, tensors
