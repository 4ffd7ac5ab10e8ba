"""Which random diffusers schedulers, with which random arguments, and what do they compute?

The arguments are any that the class takes. Drawn again is what the class itself refuses or turns into NaN, what
f32 leaves open, and what docs/parity.md names as not to be matched (PNDM's two middles).
"""

import random
import sys
from collections.abc import Callable

import diffusers
import torch
from torch import Tensor

from case import Case, error
from draw import noise
from standin import StandIn

CLASSES = {"ddpm": "DDPMScheduler", "ddim": "DDIMScheduler", "pndm": "PNDMScheduler",
           "euler": "EulerDiscreteScheduler", "euler_a": "EulerAncestralDiscreteScheduler",
           "heun": "HeunDiscreteScheduler", "kdpm2": "KDPM2DiscreteScheduler", "lms": "LMSDiscreteScheduler",
           "dpm": "DPMSolverMultistepScheduler", "unipc": "UniPCMultistepScheduler"}

# A case whose samples move by more than this share of the bound when x_T is rounded anew is not sure of itself.
SURE = 1e-5

# How the classes refuse, on purpose or not.
REFUSALS = (ValueError, IndexError, NotImplementedError, UnboundLocalError, RuntimeError, AssertionError)

Options = dict[str, object]


def schedule(dice: random.Random, name: str) -> Options:
    """The noise schedule."""
    steps, start = dice.choice([1000, 1000, 1000, 250, 100, 333]), 10 ** dice.uniform(-4, -3)
    end = dice.uniform(5, 25) / steps
    names = ["linear", "scaled_linear", "squaredcos_cap_v2"] + ["sigmoid"] * (name == "ddpm") + ["exp"] * (name == "heun")
    options = {"num_train_timesteps": steps, "beta_start": start, "beta_end": end, "beta_schedule": dice.choice(names)}
    if steps <= 333 and dice.random() < 0.3:
        options["trained_betas"] = sorted(dice.uniform(1e-4, 20 / steps) for _ in range(steps))
    if name in ("ddpm", "ddim", "euler", "euler_a", "dpm", "unipc") and dice.random() < 0.3:
        options["rescale_betas_zero_snr"] = True
    return options


def curve(dice: random.Random, name: str) -> Options:
    """How sigmas are spread."""
    kinds = ["use_karras_sigmas", "use_exponential_sigmas"] + ["use_lu_lambdas"] * (name == "dpm")
    return {dice.choice(kinds): True} if dice.random() < 0.5 else {}


def held(dice: random.Random) -> Options:
    """How the predicted image is held."""
    return {"clip_sample": dice.random() < 0.6, "clip_sample_range": dice.choice([1.0, 0.7, 2.5]),
            "thresholding": dice.random() < 0.3, "dynamic_thresholding_ratio": dice.choice([0.995, 0.8]),
            "sample_max_value": dice.choice([1.0, 1.5, 10.0])}


def dpm(dice: random.Random) -> Options:
    algorithm = dice.choice(["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"])
    order = dice.choice([1, 2, 2, 3, 3])
    options = {"algorithm_type": algorithm, "solver_order": 2 if algorithm == "sde-dpmsolver" else order,
               "solver_type": dice.choice(["midpoint", "heun"]), "lower_order_final": dice.random() < 0.6,
               "euler_at_final": dice.random() < 0.3,
               "final_sigmas_type": dice.choice(["zero", "sigma_min"]) if algorithm.endswith("++") else "sigma_min",
               "thresholding": dice.random() < 0.3, "sample_max_value": dice.choice([1.0, 1.5, 10.0])}
    if dice.random() < 0.3:
        options["lambda_min_clipped"] = dice.choice([-5.1, -3.0])
    return options


def unipc(dice: random.Random) -> Options:
    return {"solver_order": dice.choice([1, 2, 2, 3]), "solver_type": dice.choice(["bh1", "bh2"]),
            "predict_x0": dice.random() < 0.6, "lower_order_final": dice.random() < 0.7,
            "disable_corrector": list(range(dice.choice([0, 0, 1, 2, 3]))),
            "final_sigmas_type": dice.choice(["zero", "sigma_min"]), "thresholding": dice.random() < 0.3,
            "sample_max_value": dice.choice([1.0, 1.5, 10.0])}


def euler(dice: random.Random) -> Options:
    options = {"interpolation_type": dice.choice(["linear", "linear", "log_linear"]),
               "timestep_type": dice.choice(["discrete", "discrete", "continuous"]),
               "final_sigmas_type": dice.choice(["zero", "zero", "sigma_min"])}
    if dice.random() < 0.2:
        options |= {"sigma_min": dice.uniform(0.01, 0.1), "sigma_max": dice.uniform(5, 50)}
    return options


def heun(dice: random.Random) -> Options:
    return {"clip_sample": dice.random() < 0.4, "clip_sample_range": dice.choice([1.0, 0.7, 2.5])}


OWN: dict[str, Callable[[random.Random], Options]] = {
    "ddpm": lambda dice: held(dice) | {"variance_type": dice.choice(
        ["fixed_small", "fixed_small_log", "fixed_large", "learned_range"])},
    "ddim": lambda dice: held(dice) | {"set_alpha_to_one": dice.random() < 0.5},
    "pndm": lambda dice: {"set_alpha_to_one": dice.random() < 0.5, "skip_prk_steps": dice.random() < 0.5},
    "euler": euler, "heun": heun, "dpm": dpm, "unipc": unipc,
}


def drawn(dice: random.Random, name: str) -> tuple[Options, int]:
    """Arguments of a class and a number of steps, perhaps ones that it refuses."""
    options = schedule(dice, name)
    options |= {"prediction_type": dice.choice(["epsilon", "epsilon", "v_prediction", "sample"]),
                "timestep_spacing": dice.choice(["linspace", "leading", "trailing"]),
                "steps_offset": dice.choice([0, 0, 1, 3])}
    if name in ("euler", "heun", "kdpm2", "lms", "dpm", "unipc"):
        options |= curve(dice, name)
    options |= OWN[name](dice) if name in OWN else {}
    if name == "dpm" and options["prediction_type"] == "epsilon" and dice.random() < 0.3:
        options["variance_type"] = dice.choice(["learned", "learned_range"])
    if name == "pndm":
        options["prediction_type"] = "epsilon"
    return options, dice.randint(4, 30)


def matched(name: str, options: Options, scheduler: object, count: int) -> bool:
    """Whether ours can do it: PNDM must step from timestep to timestep, Runge-Kutta steps by even strides.

    Where numpy's arange gives one timestep too many, a step -1, the classes that look it up take the last one's ᾱ.
    Where the last ᾱ, lifted from 0, is above the one before, the last bit of a logarithm decides which time a
    curve's first sigma gets.
    """
    times, bars = scheduler.timesteps.tolist(), scheduler.alphas_cumprod
    curved = any(options.get(f"use_{curve}") for curve in ("karras_sigmas", "exponential_sigmas", "lu_lambdas"))
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


def walk(scheduler: object, network: StandIn, x: Tensor, tape: Tape, step: Options) -> list[Tensor]:
    """x after every call of the scheduler's step."""
    module = sys.modules[type(scheduler).__module__]
    kept, states = getattr(module, "randn_tensor", None), []
    module.randn_tensor = tape
    try:
        for t in scheduler.timesteps:
            out = network(scheduler.scale_model_input(x, t), t)
            x = scheduler.step(out, t, x, **step).prev_sample
            states.append(x)
    finally:
        module.randn_tensor = kept
    return states


def attempt(dice: random.Random, name: str) -> Case | None:
    """A case, unless the class refuses its arguments or is not sure of its samples."""
    options, count = drawn(dice, name)
    seed, halves = dice.getrandbits(31), str(options.get("variance_type")).startswith("learned")
    channels = 3 if halves else dice.choice([1, 2, 3])
    step: Options = {}
    if name == "ddim" and dice.random() < 0.6:
        step = {"eta": dice.choice([0.0, 0.3, 1.0]), "use_clipped_model_output": dice.random() < 0.5}
    size = (dice.choice([1, 2]), channels, dice.randint(4, 9), dice.randint(4, 9))

    def fresh() -> object:
        scheduler = getattr(diffusers, CLASSES[name])(**options)
        scheduler.set_timesteps(count)
        return scheduler

    scheduler = fresh()
    times, sigmas = scheduler.timesteps.clone(), getattr(scheduler, "sigmas", None)
    if not matched(name, options, scheduler, count):
        return None
    torch.manual_seed(seed)
    network = StandIn(channels, channels * (2 if halves else 1), damped=True)
    x, tape = noise(dice, *size) * float(scheduler.init_noise_sigma), Tape(seed)
    with torch.no_grad():
        states = walk(scheduler, network, x, tape, step)
        nearby = x * (1 + 1.2e-7 * noise(dice, *size).sign())
        others = walk(fresh(), network, nearby, Tape(seed, tape.draws), step)
    finite = all(torch.isfinite(state).all() for state in states)
    if not finite or max(error(a, b) for a, b in zip(others, states)) > SURE:
        return None
    full = {key: value for key, value in scheduler.config.items() if not key.startswith("_") and value is not None}
    mid = len(states) // 2
    config = {"scheduler": full if dice.random() < 0.5 else options, "num_inference_steps": count,
              "sample_mid_index": mid, **step}
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
            case = attempt(dice, name)
        except REFUSALS:
            continue
        if case is not None:
            case.name = f"live_solver_{name}_{index}"
            case.extra = {"source": f"diffusers {diffusers.__version__}", "note": f"live case, seed {seed}"}
            return case
    raise RuntimeError(f"no arguments of {CLASSES[name]} give a case that is sure of itself")
