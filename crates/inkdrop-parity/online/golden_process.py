"""Checks process.py, toy_network.py and draw_solver.py against the golden `chain`, `loss`, `bpd` and `solver` cases."""

import torch

from case import GRADIENT, Case, line, worst
from draw_process import compute
from draw_further import Run
from draw_solver import CLASSES, Tape, build, walk
from toy_network import of_weights

# What only this program's own f32 rounding may add, beside the same operations in the same order.
SAME = 1e-5


def check_process(case: Case) -> bool:
    """Everything that a case of improved-diffusion's process holds."""
    given = {key: case.tensors[key] for key in ("x_T", "x_start", "t", "noise", "noise_tape") if key in case.tensors}
    found = compute(case.kind, case.config, given, of_weights(case.below("weight:"), damped=False))
    wanted = {key: value for key, value in case.tensors.items() if key not in given and not key.startswith("weight:")}
    grads = {key: value for key, value in wanted.items() if key.startswith("grad:")}
    rest = {key: value for key, value in wanted.items() if key not in grads}
    right = line(case.name, case.kind, worst(found, rest), SAME)
    return right & line(case.name, "grads", worst(found, grads), GRADIENT) if grads else right


def check_solver(case: Case) -> bool:
    """The states of a scheduler, and its timesteps."""
    config = case.config
    name = next(name for name, family in CLASSES.items() if family == case.family)
    run = Run(config["scheduler"], config["num_inference_steps"], config.get("set_timesteps", {}), tau=config.get("tau"))
    scheduler, step = build(name, run), config.get("step", {})
    tape = Tape(0, list(case.tensors.get("noise_tape", [])))
    with torch.no_grad():
        states = walk(scheduler, of_weights(case.below("weight:"), damped=True), case.tensors["x_T"], tape, step)
    found = {"timesteps": scheduler.timesteps, "sample_step_1": states[0], "sample": states[-1],
             "sample_mid": states[case.config["sample_mid_index"]]}
    return line(case.name, "solver", worst(found, {key: case.tensors[key] for key in found}), SAME)


def check(case: Case) -> bool:
    return check_solver(case) if case.kind == "solver" else check_process(case)


def known(case: Case) -> bool:
    """Whether this module answers for a case."""
    return case.kind == "solver" or (case.family == "improved" and case.kind in ("chain", "loss", "bpd"))
