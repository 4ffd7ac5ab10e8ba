"""Checks that the files converted by inkdrop work in PyTorch.

Reads jobs.tsv (see raw_checkpoints.py). Every output is loaded with strict loading, compared bitwise, and must compute the
output of its case.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

import models
from case import FORWARD, Case, error, line, read


def load(path: Path, case: Case) -> nn.Module:
    """The PyTorch model with the weights of a file, or from a folder that diffusers can read."""
    if (path / "model_index.json").is_file():
        from diffusers import DDPMPipeline
        from diffusers.utils.logging import disable_progress_bar

        disable_progress_bar()
        return DDPMPipeline.from_pretrained(path, low_cpu_mem_usage=False).unet
    if path.is_dir():
        from diffusers import UNet2DModel

        return UNet2DModel.from_pretrained(path, low_cpu_mem_usage=False)
    weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    model = models.build(case.family, case.config)
    model.load_state_dict(weights, strict=True)
    return model


def check(path: Path, case: Case) -> bool:
    """One file, one line."""
    try:
        model = load(path, case).train(case.config.get("mode") == "train")
        weights, wanted = model.state_dict(), case.below("weight:")
        changed = [key for key in wanted if not torch.equal(weights[key], wanted[key])]
        assert not changed, f"{len(changed)} weights are others, {changed[0]} for one"
        with torch.no_grad():
            out = models.call(case.family, model, case.tensors)
    except Exception as problem:  # whatever is wrong with the file is its verdict
        print(f"{path.name:<30} {str(problem).splitlines()[0] if str(problem) else repr(problem)} FAIL")
        return False
    return line(path.name, "read back", error(out, case.tensors["out"]), FORWARD)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, help="jobs.tsv")
    rows = [row.split("\t") for row in parser.parse_args().manifest.read_text().splitlines() if row]
    verdicts = [check(Path(output), read(Path(case))) for _, output, _, case in rows]
    print(f"{verdicts.count(True)} of {len(verdicts)} written files hold in PyTorch")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
