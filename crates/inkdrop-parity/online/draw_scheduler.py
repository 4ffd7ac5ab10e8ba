"""Draws random arguments for diffusers' scheduler classes.

The class may reject them; draw_solver.py then draws again.
"""

import random
from collections.abc import Callable

Options = dict[str, object]


def schedule(dice: random.Random, name: str) -> Options:
    """The noise schedule."""
    steps, start = dice.choice([1000, 1000, 1000, 250, 100, 333]), 10 ** dice.uniform(-4, -3)
    end = dice.uniform(5, 25) / steps
    names = ["linear", "scaled_linear", "squaredcos_cap_v2", *{"ddpm": ["sigmoid"], "heun": ["exp"]}.get(name, [])]
    options = {"num_train_timesteps": steps, "beta_start": start, "beta_end": end, "beta_schedule": dice.choice(names)}
    if steps <= 333 and dice.random() < 0.3:
        options["trained_betas"] = sorted(dice.uniform(1e-4, 20 / steps) for _ in range(steps))
    if name in ("ddpm", "ddim", "euler", "euler_a", "dpm", "unipc") and dice.random() < 0.3:
        options["rescale_betas_zero_snr"] = True
    return options


def curve(dice: random.Random, name: str) -> Options:
    """How sigmas are spread."""
    kinds = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"] + ["use_lu_lambdas"] * (name == "dpm")
    return {dice.choice(kinds): True} if dice.random() < 0.5 else {}


def clipping(dice: random.Random) -> Options:
    """Clipping of the predicted x0."""
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
    "ddpm": lambda dice: clipping(dice) | {"variance_type": dice.choice(
        ["fixed_small", "fixed_small_log", "fixed_large", "learned_range"])},
    "ddim": lambda dice: clipping(dice) | {"set_alpha_to_one": dice.random() < 0.5},
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
