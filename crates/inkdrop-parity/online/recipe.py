"""Trains a small network by the recipe of lucidrains' Trainer or of EDM, and writes the training as a `train` case.

    inkdrop data --count 2000 --out sprites.npy
    python recipe.py lucid edm --images sprites.npy --out curves

Both programs see the same images, noise levels and noise from the same weights. lucidrains' loss is the package's own;
EDM's is ours after Karras et al. 2022. `cargo xtask parity curves` trains inkdrop on the cases.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from denoising_diffusion_pytorch import GaussianDiffusion
from ema_pytorch import EMA
from torch import Tensor, nn

import models
from case import Case

STEPS, BATCH, WINDOW = 500, 16, 50
ADAM = {"eps": 1e-8, "window": WINDOW}
LUCID = {"timesteps": 1000, "beta_schedule": "sigmoid", "objective": "pred_v", "lr": 1e-4, "betas": [0.9, 0.99],
         "max_grad_norm": 1.0, "ema": "0.995:ema-pytorch", "model": {"dim": 32, "dim_mults": [1, 2], "channels": 3}} | ADAM
EDM = {"precond": "EDMPrecond", "lr": 1e-3, "betas": [0.9, 0.999], "lr_rampup_kimg": 2.0,
       "ema": "halflife-kimg=0.5:rampup-ratio=0.05",
       "args": {"model_type": "SongUNet", "img_resolution": 16, "img_channels": 3, "model_channels": 32,
                "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [8], "dropout": 0.0}} | ADAM
SIGMA_DATA = 0.5


class Lucid:
    """The package's GaussianDiffusion, called with images in [-1, 1]."""

    family, config, levels = "lucid", LUCID, "t"

    def __init__(self, side: int) -> None:
        names = ("timesteps", "beta_schedule", "objective")
        self.network = models.build("lucid", self.config["model"])
        self.process = GaussianDiffusion(self.network, image_size=side, auto_normalize=False,
                                         **{name: self.config[name] for name in names})

    def average(self, network: nn.Module) -> EMA:
        """As lucidrains' Trainer has it."""
        return EMA(network, beta=0.995, update_every=10)

    def draw(self, count: int) -> Tensor:
        return torch.randint(self.config["timesteps"], (STEPS, count))

    def loss(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return self.process.p_losses(x0, t, noise=noise.clone())


class Edm:
    """EDM's preconditioning and loss: the sum over the values of an image, averaged over the images."""

    family, config, levels = "edm", EDM, "sigma"

    def __init__(self, side: int) -> None:
        args = {name: value for name, value in self.config["args"].items() if name not in ("model_type", "img_channels")}
        channels = self.config["args"]["img_channels"]
        self.network = models.build("edm", args | {"in_channels": channels, "out_channels": channels})

    def average(self, network: nn.Module) -> "HalfLife":
        return HalfLife(network, kimg=0.5, ratio=0.05)

    def draw(self, count: int) -> Tensor:
        return (torch.randn(STEPS, count) * 1.2 - 1.2).exp()

    def loss(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        sigma = sigma.view(-1, 1, 1, 1)
        variance = sigma ** 2 + SIGMA_DATA ** 2
        x = x0 + sigma * noise
        out = self.network(x / variance.sqrt(), sigma.flatten().log() / 4)
        denoised = SIGMA_DATA ** 2 / variance * x + sigma * SIGMA_DATA / variance.sqrt() * out
        return (variance / (sigma * SIGMA_DATA) ** 2 * (denoised - x0) ** 2).sum() / len(x0)


class HalfLife:
    """EDM's average: a half-life in images, which rises with the images that were seen."""

    def __init__(self, network: nn.Module, kimg: float, ratio: float) -> None:
        self.network, self.ema_model = network, copy.deepcopy(network)
        self.kimg, self.ratio, self.seen = kimg, ratio, 0

    @torch.no_grad()
    def update(self) -> None:
        beta = 0.5 ** (BATCH / max(min(1000 * self.kimg, self.seen * self.ratio), 1e-8))
        for mean, value in zip(self.ema_model.parameters(), self.network.parameters()):
            mean.copy_(value.lerp(mean, beta))
        self.seen += BATCH


def train(recipe: Lucid | Edm, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The losses before each step, and those of the average on the last window of batches, after the training."""
    config, network = recipe.config, recipe.network
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"], betas=config["betas"], eps=config["eps"])
    network.train()
    average = recipe.average(network)
    losses, batches = [], list(zip(given["x_start"], given[recipe.levels], given["noise"]))
    for step, batch in enumerate(batches):
        if "lr_rampup_kimg" in config:
            share = step * len(batch[0]) / (1000 * config["lr_rampup_kimg"])
            optimizer.param_groups[0]["lr"] = config["lr"] * min(share, 1)
        loss = recipe.loss(*batch)
        optimizer.zero_grad()
        loss.backward()
        if "max_grad_norm" in config:
            nn.utils.clip_grad_norm_(network.parameters(), config["max_grad_norm"])
        optimizer.step()
        average.update()
        losses.append(loss.detach())
    network.load_state_dict(average.ema_model.state_dict())
    with torch.no_grad():
        averaged = [recipe.loss(*batch) for batch in batches[-WINDOW:]]
    return torch.stack(losses), torch.stack(averaged)


def curve(kind: type[Lucid] | type[Edm], images: Tensor, seed: int) -> Case:
    """A training and its loss curve in means over windows of steps."""
    torch.manual_seed(seed)
    recipe = kind(images.shape[-1])
    picks = torch.randint(len(images), (STEPS, BATCH))
    given = {"x_start": images[picks], recipe.levels: recipe.draw(BATCH), "noise": torch.randn(STEPS, BATCH, *images[0].shape)}
    weights = {f"weight:{key}": value.clone() for key, value in recipe.network.state_dict().items()}
    losses, averaged = train(recipe, given)
    means = losses.view(-1, WINDOW).mean(1)
    for last, mean in zip(range(WINDOW, STEPS + 1, WINDOW), means):
        print(f"{recipe.family}: mean loss of the {WINDOW} steps to step {last}: {mean:.7f}")
    print(f"{recipe.family}: loss of step 1: {losses[0]:.7f}")
    print(f"{recipe.family}: mean loss of the average {recipe.config['ema']} on the last {WINDOW} batches: {averaged.mean():.7f}")
    found = {"losses": losses[:50], "curve": means, "average": averaged.mean().view(1)}
    return Case(f"recipe_{recipe.family}_{seed}", "train", recipe.family, recipe.config, given | weights | found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", choices=["lucid", "edm"])
    parser.add_argument("--images", type=Path, required=True, help="x.npy of `inkdrop data`, uint8 [N, H, W, C]")
    parser.add_argument("--out", type=Path, required=True, help="folder for the cases")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    images = torch.from_numpy(np.load(given.images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    for name in given.recipes:
        curve({"lucid": Lucid, "edm": Edm}[name], images, given.seed).save(given.out)


if __name__ == "__main__":
    main()
