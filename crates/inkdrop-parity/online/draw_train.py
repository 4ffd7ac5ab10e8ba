"""Computes losses, weights and EMA over five steps of torch.optim, and loss curves over 500."""

import random

import torch

import make
import models
from case import Case, worst
from draw import noise
from process import Process

# f32 must leave no more open than this after five steps of Adam, whose first ones only know signs.
WELL_CONDITIONED = 2e-5


def recipe(dice: random.Random) -> dict:
    learned = dice.random() < 0.4
    model = {"in_channels": 3, "model_channels": 32, "out_channels": 6 if learned else 3, "num_res_blocks": 1,
             "attention_resolutions": dice.choice([[1], []]), "channel_mult": [1], "num_heads": dice.choice([1, 2]),
             "use_scale_shift_norm": dice.random() < 0.5}
    adamw = dice.random() < 0.7
    return {"model": model, "optimizer": "adamw" if adamw else "adam", "lr": dice.choice([1e-4, 1e-3]),
            "weight_decay": dice.choice([0.0, 0.01, 0.1]) if adamw else 0.0, "betas": [0.9, 0.999], "eps": 1e-8,
            "ema_rate": dice.choice([0.5, 0.9, 0.999]), "noise_schedule": dice.choice(["linear", "cosine"]),
            "diffusion_steps": dice.choice([50, 1000]), "rescale_timesteps": dice.random() < 0.5,
            "loss_type": dice.choice(["mse", "rescaled_mse"] + (["rescaled_kl"] if learned else []))}


def train(config: dict, model: torch.nn.Module, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The losses before each step, the weights after all of them, and their average."""
    learned = config["model"]["out_channels"] == 6
    process = Process(config | {"timestep_respacing": "", "model_mean_type": "epsilon",
                                "model_var_type": "learned_range" if learned else "fixed_large"})
    kind = torch.optim.AdamW if config["optimizer"] == "adamw" else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=config["lr"], betas=tuple(config["betas"]), eps=config["eps"],
                     weight_decay=config["weight_decay"])
    average = {key: value.detach().clone() for key, value in model.named_parameters()}
    losses = []
    for x0, t, eps in zip(given["x_start"], given["t"], given["noise"]):
        loss = process.losses(model, x0, t, eps)["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        for key, value in model.named_parameters():
            average[key].mul_(config["ema_rate"]).add_(value.detach(), alpha=1 - config["ema_rate"])
    after = {f"after:{key}": value.detach().clone() for key, value in model.named_parameters()}
    return {"losses": torch.stack(losses)} | after | {f"ema:{key}": value for key, value in average.items()}


def shaken(given: dict[str, torch.Tensor], dice: random.Random) -> dict[str, torch.Tensor]:
    """The same inputs, rounded anew in their last bits."""
    def shake(value: torch.Tensor) -> torch.Tensor:
        return value * (1 + 1e-6 * noise(dice, *value.shape))
    return {key: value if key == "t" else shake(value) for key, value in given.items()}


def rerun(config: dict, model: torch.nn.Module, start: dict[str, torch.Tensor],
          given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Where the same start goes with other inputs."""
    model.load_state_dict(start)
    return train(config, model, given)


def attempt(dice: random.Random) -> Case | None:
    config = recipe(dice)
    size = (5, 2, 3, 8, 8)
    t = torch.tensor([[dice.randrange(config["diffusion_steps"]) for _ in range(size[1])] for _ in range(size[0])])
    given = {"x_start": (noise(dice, *size) * 0.5).clamp(-1, 1), "t": t, "noise": noise(dice, *size)}
    torch.manual_seed(dice.getrandbits(31))
    model = models.build("improved", config["model"])
    make.randomise(model, torch.Generator().manual_seed(dice.getrandbits(31)))
    model.train()
    weights = {f"weight:{key}": value.clone() for key, value in model.state_dict().items()}
    found = train(config, model, given)
    start = {key.removeprefix("weight:"): value for key, value in weights.items()}
    near = [rerun(config, model.float(), start, shaken(given, dice)) for _ in range(12)]
    near.append(rerun(config, model.double(), start,
                      {key: value if key == "t" else value.double() for key, value in given.items()}))
    sure = {key: value for key, value in found.items()
            if all(worst({key: other[key]}, {key: value}) < WELL_CONDITIONED for other in near)}
    if "losses" not in sure or not all(torch.isfinite(value).all() for value in found.values()):
        return None
    # A weight whose gradient is nothing but rounding moves by a whole step either way; it is left out.
    return Case("", "train", "improved", config, given | weights | sure)


def train_case(seed: int, index: int) -> Case:
    """The case of this number."""
    dice = random.Random(f"{seed} train {index}")
    for _ in range(100):
        case = attempt(dice)
        if case is not None:
            case.name = f"live_train_{index}"
            case.extra = {"source": "crates/inkdrop-parity/online, torch.optim", "note": f"live case, seed {seed}"}
            return case
    raise RuntimeError("no training is well conditioned")


WINDOW = 25


def curve_case(seed: int, index: int) -> Case:
    """The loss curve over 500 steps, in means over windows of steps."""
    dice = random.Random(f"{seed} curve {index}")
    config = recipe(dice) | {"window": WINDOW}
    config["lr"] = 1e-4
    size = (500, 4, 3, 8, 8)
    t = torch.tensor([[dice.randrange(config["diffusion_steps"]) for _ in range(size[1])] for _ in range(size[0])])
    generator = torch.Generator().manual_seed(dice.getrandbits(31))
    # Few images again and again: there is something to learn.
    images = torch.randn(16, *size[2:], generator=generator).mul(0.5).clamp(-1, 1)
    picks = torch.randint(len(images), size[:2], generator=generator)
    given = {"x_start": images[picks], "t": t, "noise": torch.randn(size, generator=generator)}
    torch.manual_seed(dice.getrandbits(31))
    model = models.build("improved", config["model"])
    make.randomise(model, torch.Generator().manual_seed(dice.getrandbits(31)))
    model.train()
    weights = {f"weight:{key}": value.clone() for key, value in model.state_dict().items()}
    losses = train(config, model, given)["losses"]
    found = {"losses": losses[:5], "curve": losses.view(-1, WINDOW).mean(1)}
    extra = {"source": "crates/inkdrop-parity/online, torch.optim", "note": f"live case, seed {seed}"}
    return Case(f"live_curve_{index}", "train", "improved", config, given | weights | found, extra)
