"""Exports cases of the PyTorch programs for random configurations.

Writes N cases of every family in the format of docs/parity.md, all determined by the seed.
"""

import argparse
import random
import sys
from pathlib import Path

import torch

import draw
import draw_diffusion
import draw_layers
import draw_process
import draw_solver
import draw_train
import make
import models
from case import Case
from draw_edm import dit, edm
from draw_lucid import lucid
from draw_unet2d import unet2d

FAMILIES = {
    "improved": draw.improved,
    "improved-super-res": draw.improved_super_res,
    "ddpm": draw.ddpm,
    "context": draw.context,
    "unet2d": unet2d,
    "lucid": lucid,
    "edm": edm,
    "dit": dit,
}
SOURCES = {"unet2d": "diffusers UNet2DModel", "lucid": "denoising-diffusion-pytorch 2.3.4"}
OTHERS = {"layer": draw_layers.layer, "process": draw_process.process_case,
          "diffusion": draw_diffusion.diffusion_case, "solver": draw_solver.solver,
          "train": draw_train.train_case, "curve": draw_train.curve_case}


def unet(family: str, seed: int, index: int) -> Case:
    """The case of this number."""
    dice = random.Random(f"{seed} {family} {index}")
    config, tensors = FAMILIES[family](dice)
    name = f"live_{family.replace('-', '_')}_{index}"
    extra = {"source": SOURCES.get(family, "crates/inkdrop-parity/online"), "note": f"live case, seed {seed}"}
    case = Case(name, "unet", family, config, tensors, extra)
    torch.manual_seed(dice.getrandbits(31))
    model = models.build(family, config)
    make.randomise(model, torch.Generator().manual_seed(dice.getrandbits(31)))
    make.fill(case, model, dice)
    if family.startswith("improved") and dice.random() < 0.3:
        with torch.no_grad():
            tensors |= models.features(model.eval(), tensors)
    return case


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=4, help="cases of every family")
    parser.add_argument("--family", action="append", choices=[*FAMILIES, *OTHERS], help="only these")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    total = 0
    for family in given.family or [*FAMILIES, *OTHERS]:
        for index in range(given.count):
            case = OTHERS[family](given.seed, index) if family in OTHERS else unet(family, given.seed, index)
            total += case.save(given.out).stat().st_size
        print(f"{given.count:3} cases of {family}")
    print(f"{total / 1e6:.1f} MB in {given.out}, seed {given.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
