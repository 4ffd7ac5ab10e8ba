"""Writes the weights and inputs of a job, which all baselines share.

Existing files are kept. The contents are always the same.
"""

import sys

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from job import Job

import make
import models

# Steps whose losses are compared: before Adam's first step, and after it. That step goes by the signs of
# gradients, of which some are nothing but rounding; the third loss on, PyTorch's own eager and channels_last
# are 1e-4 apart.
STEPS = 2


def weights(job: Job) -> dict[str, Tensor]:
    """Training begins as PyTorch draws layers; elsewhere no layer is zero, so that outputs mean something."""
    torch.manual_seed(0)
    family, config, _ = job.preset()
    model: nn.Module = models.build(family, config)
    if job.what != "training":
        make.randomise(model, torch.Generator().manual_seed(1))
    return model.state_dict()


def contexts(*rows: int) -> Tensor:
    """One-hot rows, one class after the other."""
    every = torch.arange(rows[-1]).remainder(5)
    return nn.functional.one_hot(every, 5).float().expand(*rows, 5)


def inputs(job: Job) -> dict[str, Tensor]:
    """x, t and the conditioning; for several steps in training."""
    family, _, side = job.preset()
    dice = torch.Generator().manual_seed(2)
    shape = (job.batch, 3, side, side)
    if job.what == "training":
        every = (STEPS, job.batch)
        kept = torch.rand(*every, 1, generator=dice) < 0.9
        found = {"x0": torch.rand(STEPS, *shape, generator=dice) * 2 - 1,
                 "t": torch.randint(500, every, generator=dice),
                 "noise": torch.randn(STEPS, *shape, generator=dice)}
        return found | ({"context": contexts(*every) * kept} if family == "context" else {})
    found = {"x": torch.randn(shape, generator=dice)}
    if job.sampler != "ddim":
        found["noise"] = torch.randn(job.steps, *shape, generator=dice)
    found["t"] = torch.full((job.batch,), 0.5) if family == "context" else torch.full((job.batch,), 500.0)
    return found | ({"context": contexts(job.batch)} if family == "context" else {})


def main() -> None:
    job = Job.read(sys.argv[1])
    for path, draw in ((job.weights, weights), (job.inputs, inputs)):
        if path is not None and not path.exists():
            save_file({key: value.detach().contiguous().clone() for key, value in draw(job).items()}, path)


if __name__ == "__main__":
    main()
