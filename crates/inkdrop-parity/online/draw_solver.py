"""Draws random diffusers schedulers with random arguments, and computes their samples.

Arguments are drawn again if the class rejects them, the samples are NaN or ill-conditioned in f32, or docs/parity.md
lists them as unsupported (PNDM's two midpoints).
"""

import random
import sys
import warnings
from collections.abc import Callable

import diffusers
import torch
from torch import Tensor

from case import Case, error
from draw import noise
from draw_further import FURTHER, Run
from draw_scheduler import Options, drawn
from toy_network import ToyNetwork

diffusers.utils.logging.set_verbosity_error()

CLASSES = {"ddpm": "DDPMScheduler", "ddim": "DDIMScheduler", "pndm": "PNDMScheduler",
           "euler": "EulerDiscreteScheduler", "euler_a": "EulerAncestralDiscreteScheduler",
           "heun": "HeunDiscreteScheduler", "kdpm2": "KDPM2DiscreteScheduler", "lms": "LMSDiscreteScheduler",
           "dpm": "DPMSolverMultistepScheduler", "unipc": "UniPCMultistepScheduler",
           "deis": "DEISMultistepScheduler", "sa": "SASolverScheduler", "singlestep": "DPMSolverSinglestepScheduler",
           "kdpm2_a": "KDPM2AncestralDiscreteScheduler", "ipndm": "IPNDMScheduler", "lcm": "LCMScheduler",
           "tcd": "TCDScheduler", "edm_euler": "EDMEulerScheduler", "edm_dpm": "EDMDPMSolverMultistepScheduler",
           "cm": "CMStochasticIterativeScheduler", "flow_euler": "FlowMatchEulerDiscreteScheduler",
           "flow_heun": "FlowMatchHeunDiscreteScheduler"}

# A case whose samples move by more than this when x_T and the outputs are rounded anew is ill-conditioned.
WELL_CONDITIONED, ROUNDING = 1e-5, 1.2e-7
# And one whose samples move by more than this when the coefficients are computed in f64.
EXACT = 3e-5

Forward = Callable[[Tensor, Tensor], Tensor]

# How the classes refuse, on purpose or not.
REFUSALS = (ValueError, IndexError, NotImplementedError, UnboundLocalError, RuntimeError, AssertionError)


def matched(name: str, options: Options, scheduler: object, count: int) -> bool:
    """Whether ours can do it: PNDM must step from timestep to timestep, Runge-Kutta steps by even strides.

    Where numpy's arange gives one timestep too many, a step -1, the classes that look it up take the last one's ᾱ.
    Where the last ᾱ, lifted from 0, is above the one before, the last bit of a logarithm decides which time a
    curve's first sigma gets.
    """
    times, bars = scheduler.timesteps.tolist(), getattr(scheduler, "alphas_cumprod", None)
    curves = ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas")
    curved = any(options.get(f"use_{curve}") for curve in curves)
    if bars is None:
        return True
    # x is all noise at the first step, and predicted noise does not determine the image; diffusers clips infinities.
    no_signal = name in ("ddpm", "ddim", "lcm", "tcd") and bars[int(times[0])] == 0
    if no_signal and options["prediction_type"] == "epsilon":
        return False
    if curved and (bars[1:] > bars[:-1]).any():
        return False
    if name in ("ddpm", "ddim", "pndm") and min(times) < 0:
        return False
    if name != "pndm":
        return True
    stride = int(options["num_train_timesteps"]) // count
    if options["skip_prk_steps"]:
        return times[0] - times[1] == stride
    ends = times[:12:4] + times[12:13]
    return stride % 2 == 0 and all(a - b == stride for a, b in zip(ends, ends[1:]))


class Tape:
    """Fresh noise, recorded; or, from a record, the same again."""

    def __init__(self, seed: int, record: list[Tensor] | None = None) -> None:
        self.generator, self.record, self.draws = torch.Generator().manual_seed(seed), record, []

    def __call__(self, shape: torch.Size, **_: object) -> Tensor:
        draw = self.record[len(self.draws)] if self.record else torch.randn(shape, generator=self.generator)
        self.draws.append(draw)
        return draw


def walk(scheduler: object, network: Forward, x: Tensor, tape: Tape, step: Options) -> list[Tensor]:
    """x after every call of the scheduler's step."""
    module = sys.modules[type(scheduler).__module__]
    kept, like, states = getattr(module, "randn_tensor", None), torch.randn_like, []
    module.randn_tensor = tape
    torch.randn_like = lambda x, **_: tape(x.shape)
    # Flow matching does not scale the network's input.
    scale = getattr(scheduler, "scale_model_input", lambda x, _: x)
    try:
        for t in scheduler.timesteps:
            out = network(scale(x, t), t)
            x = scheduler.step(out, t, x, **step).prev_sample
            states.append(x)
    finally:
        module.randn_tensor, torch.randn_like = kept, like
    return states


def shaken(network: ToyNetwork, seed: int) -> Forward:
    """The same network with its outputs off by a rounding."""
    generator = torch.Generator().manual_seed(seed)

    def forward(x: Tensor, t: Tensor) -> Tensor:
        out = network(x, t)
        return out * (1 + ROUNDING * torch.randn(out.shape, generator=generator).sign())

    return forward


def drawn_run(dice: random.Random, name: str) -> Run:
    if name in FURTHER:
        return FURTHER[name](dice)
    step: Options = {}
    options, count = drawn(dice, name)
    if name == "ddim" and dice.random() < 0.6:
        step = {"eta": dice.choice([0.0, 0.3, 1.0]), "use_clipped_model_output": dice.random() < 0.5}
    return Run(options, count, step=step)


def build(name: str, run: Run) -> object:
    """The scheduler with its timesteps."""
    tau = run.tau
    function = {"tau_func": lambda t: tau["value"] if tau["start"] <= t <= tau["end"] else 0} if tau else {}
    scheduler = getattr(diffusers, CLASSES[name])(**run.options, **function)
    given = dict(run.set_timesteps)
    if name == "edm_euler" and "sigmas" in given:
        given["sigmas"] = torch.tensor(given["sigmas"])
    if "timesteps" not in given:
        given["num_inference_steps"] = run.count
    scheduler.set_timesteps(**given)
    return scheduler


def in_double(scheduler: object) -> object:
    """The scheduler with its tables in f64, so that its coefficients are, too."""
    for key, value in vars(scheduler).items():
        if isinstance(value, Tensor) and value.dtype == torch.float32 and key != "timesteps":
            setattr(scheduler, key, value.double())
    return scheduler


def attempt(dice: random.Random, name: str) -> Case | None:
    """A case, unless the class refuses its arguments or gives ill-conditioned samples."""
    run = drawn_run(dice, name)
    options, step = run.options, run.step
    seed, halves = dice.getrandbits(31), str(options.get("variance_type")).startswith("learned")
    channels = 3 if halves else dice.choice([1, 2, 3])
    size = (dice.choice([1, 2]), channels, dice.randint(4, 9), dice.randint(4, 9))

    scheduler = build(name, run)
    times, sigmas = scheduler.timesteps.clone(), getattr(scheduler, "sigmas", None)
    if not matched(name, options, scheduler, run.count):
        return None
    torch.manual_seed(seed)
    network = ToyNetwork(channels, channels * (2 if halves else 1), damped=True)
    x, tape = noise(dice, *size) * float(getattr(scheduler, "init_noise_sigma", 1.0)), Tape(seed)
    with torch.no_grad():
        states = walk(scheduler, network, x, tape, step)
        nearby = x * (1 + ROUNDING * noise(dice, *size).sign())
        others = walk(build(name, run), shaken(network, seed), nearby, Tape(seed, tape.draws), step)
        if name in FURTHER:
            double = walk(in_double(build(name, run)), network.double(), x.double(), Tape(seed, tape.draws), step)
            network.float()
            if not max(error(a.float(), b) for a, b in zip(double, states)) < EXACT:
                return None
    finite = all(torch.isfinite(state).all() for state in states)
    if not finite or max(error(a, b) for a, b in zip(others, states)) > WELL_CONDITIONED:
        return None
    full = {key: value for key, value in scheduler.config.items() if not key.startswith("_") and value is not None}
    mid = len(states) // 2
    full.pop("tau_func", None)
    count = len(run.set_timesteps.get("timesteps", [])) or run.count
    config = {"scheduler": full if dice.random() < 0.5 else options, "num_inference_steps": count,
              "sample_mid_index": mid}
    config |= {"step": step} if name in FURTHER else step
    config |= {"set_timesteps": run.set_timesteps} if run.set_timesteps else {}
    config |= {"tau": run.tau} if run.tau else {}
    tensors = {"x_T": x, "timesteps": times, "sample_step_1": states[0], "sample_mid": states[mid],
               "sample": states[-1]}
    tensors |= {"sigmas": sigmas} if sigmas is not None else {}
    tensors |= {"noise_tape": torch.stack(tape.draws)} if tape.draws else {}
    tensors |= {f"weight:{key}": value for key, value in network.state_dict().items()}
    return Case("", "solver", CLASSES[name], config, tensors)


def solver(seed: int, index: int) -> Case:
    """The case of this number; the classes take turns."""
    dice = random.Random(f"{seed} solver {index}")
    name = list(CLASSES)[index % len(CLASSES)]
    for _ in range(1000):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                case = attempt(dice, name)
        except REFUSALS:
            continue
        if case is not None:
            case.name = f"live_solver_{name}_{index}"
            case.extra = {"source": f"diffusers {diffusers.__version__}", "note": f"live case, seed {seed}"}
            return case
    raise RuntimeError(f"no arguments of {CLASSES[name]} give a case that is well conditioned")
