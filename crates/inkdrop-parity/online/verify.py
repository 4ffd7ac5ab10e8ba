"""Checks these PyTorch modules against the golden cases.

Loads every golden `unet` and `layer` case with strict loading, and compares outputs, gradients, features and running
statistics. Layers without golden case are compared with diffusers. Then it checks the golden processes and
schedulers. Online comparisons are valid only if all checks pass.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import guided
import layers
import models
import golden_process
from case import FORWARD, GRADIENT, Case, line, read, worst


def state_before(case: Case, cases: list[Case]) -> tuple[dict[str, Tensor], bool]:
    """The state_dict before the case's forward, and whether its running statistics are those of then.

    A golden case in train mode was exported after its forward, running statistics included; those
    before are in a case of the same trained weights.
    """
    weights, after = case.below("weight:"), case.below("after:")
    stale = {key for key in after if torch.equal(weights[key], after[key])}
    if not stale:
        return weights, True
    for other in cases:
        theirs = other.below("weight:")
        if theirs.keys() == weights.keys() and all(
                torch.equal(theirs[key], weights[key]) != (key in stale) for key in weights):
            return theirs, True
    return weights, False


def check_unet(case: Case, cases: list[Case]) -> bool:
    """Everything that a `unet` case holds."""
    weights, known = state_before(case, cases)

    def fresh() -> nn.Module:
        model = models.build(case.family, case.config).train(case.config.get("mode") == "train")
        model.load_state_dict(weights, strict=True)
        return model

    model = fresh()
    out = models.call(case.family, model, case.tensors).detach()
    right = line(case.name, "out", worst({"out": out}, {"out": case.tensors["out"]}), FORWARD)
    if (after := case.below("after:")) and known:
        right &= line(case.name, "after", worst(dict(model.named_buffers()), after), FORWARD)
    if "feature:middle" in case.tensors:
        wanted = {key: value for key, value in case.tensors.items() if key.startswith("feature:")}
        right &= line(case.name, "features", worst(models.features(model, case.tensors), wanted), FORWARD)
    if "probe" in case.tensors:
        _, grads = models.gradients(case.family, fresh(), case.tensors)
        norm = {"grad_norm": models.grad_norm(case.family, grads)}
        wanted = {key: case.tensors[key] for key in norm if key in case.tensors}
        right &= line(case.name, "grads", worst(grads, case.below("grad:")), GRADIENT)
        right &= line(case.name, "grad_norm", worst(norm, wanted), GRADIENT)
    return right


def check_layer(case: Case) -> bool:
    """All outputs of a `layer` case."""
    wanted = {key: value for key, value in case.tensors.items() if key.startswith("out")}
    return line(case.name, "out", worst(layers.compute(case), wanted), FORWARD)


def known(case: Case) -> bool:
    """Whether there is a module here for a network or a layer: not for EDM2's, nor EDM's DhariwalUNet and its block."""
    if case.family == "edm":
        return case.kind == "unet" and case.config["arch"] == "SongUNet"
    return case.kind == "layer" or (case.kind == "unet" and case.family in models.BUILDERS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of golden cases")
    cases = [read(path) for path in sorted(parser.parse_args().folder.glob("*.safetensors"))]
    processes = [case for case in cases if golden_process.known(case)]
    cases = [case for case in cases if known(case)]
    assert cases and processes, "no golden unet or layer case there, or none of a process"
    verdicts = [check_layer(case) if case.kind == "layer" else check_unet(case, cases) for case in cases]
    verdicts += [golden_process.check(case) for case in processes]
    print(f"{verdicts.count(True)} of {len(verdicts)} golden cases hold in PyTorch")
    return 0 if guided.check() and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
