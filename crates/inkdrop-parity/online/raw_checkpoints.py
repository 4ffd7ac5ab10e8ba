"""Writes checkpoints in the common forms, as input of `inkdrop convert`.

Saves the weights of `unet` cases as raw PyTorch files of several forms, and as diffusers folders, with
the config in a separate file if the checkpoint has none. `jobs.tsv` lists the conversions in columns: input,
output, config file (or -) and case.
"""

import argparse
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import models
from case import Case, read

Weights = dict[str, Tensor]


def plain(weights: Weights, path: Path) -> None:
    torch.save(dict(weights), path)


def ordered(weights: Weights, path: Path) -> None:
    torch.save(OrderedDict(weights), path)


def legacy(weights: Weights, path: Path) -> None:
    torch.save(OrderedDict(weights), path, _use_new_zipfile_serialization=False)


def nested(weights: Weights, path: Path) -> None:
    torch.save({"model": OrderedDict(weights), "step": 7}, path)


def parallel(weights: Weights, path: Path) -> None:
    torch.save(OrderedDict((f"module.{key}", value) for key, value in weights.items()), path)


MAKES = [ordered, legacy, nested, parallel, plain]
ENDINGS = [".safetensors", ".pt"]


def folder(case: Case, weights: Weights, path: Path, pipeline: bool) -> None:
    """The model, or a whole pipeline around it, as diffusers saves it."""
    from diffusers import DDPMPipeline, DDPMScheduler

    model = models.build(case.family, case.config)
    model.load_state_dict(weights, strict=True)
    (DDPMPipeline(unet=model, scheduler=DDPMScheduler()) if pipeline else model).save_pretrained(path)


def job(case: Case, index: int, out: Path) -> list[Path | str]:
    """Writes the checkpoint of one case; returns its line of jobs.tsv."""
    weights, source = case.below("weight:"), out / "in" / case.name
    target, kind = out / "out" / case.name, index % 5
    unet2d = case.family == "unet2d"
    if unet2d and kind in (3, 4):
        folder(case, weights, source, pipeline=kind == 4)
        return [source, target, "-"]
    MAKES[index % len(MAKES)](weights, path := source.with_suffix(".pt"))
    config: dict[str, Any] = {key: value for key, value in case.config.items() if key not in ("mode", "call")}
    settings = source.with_suffix(".json")
    settings.write_text(json.dumps({"family": case.family} | config))
    ending = "" if unet2d and kind == 0 else ENDINGS[index // 2 % 2]
    return [path, target.with_suffix(ending), settings]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path, help="folder of cases")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    given = parser.parse_args()
    for name in ("in", "out"):
        (given.out / name).mkdir(parents=True, exist_ok=True)
    lines, count = [], dict.fromkeys(models.BUILDERS, 0)
    for path in sorted(given.cases.glob("*.safetensors")):
        case = read(path)
        if case.kind == "unet":
            columns = [*job(case, count[case.family], given.out), path]
            lines.append("\t".join(str(column) for column in columns))
            count[case.family] += 1
    (given.out / "jobs.tsv").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} checkpoints to convert in {given.out}")


if __name__ == "__main__":
    main()
