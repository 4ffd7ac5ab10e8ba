"""Draws random arguments for diffusers' further scheduler classes: singlestep and EDM solvers, flow matching,
consistency models.

The class may reject them; draw_solver.py then draws again.
"""

import random
from dataclasses import dataclass, field

Options = dict[str, object]


@dataclass
class Run:
    """Arguments of the constructor, of set_timesteps, of every step, and τ of SA-Solver."""

    options: Options
    count: int
    set_timesteps: Options = field(default_factory=dict)
    step: Options = field(default_factory=dict)
    tau: dict[str, float] | None = None


def betas(dice: random.Random) -> Options:
    """A noise schedule of the classes that solve in lambda."""
    steps = dice.choice([1000, 1000, 1000, 250, 333])
    options = {"num_train_timesteps": steps, "beta_start": 10 ** dice.uniform(-4, -3),
               "beta_end": dice.uniform(5, 25) / steps,
               "beta_schedule": dice.choice(["linear", "scaled_linear", "squaredcos_cap_v2"])}
    if steps <= 333 and dice.random() < 0.3:
        options["trained_betas"] = sorted(dice.uniform(1e-4, 20 / steps) for _ in range(steps))
    return options


def curve(dice: random.Random, flow: bool = False) -> Options:
    kinds = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"] + ["use_flow_sigmas"] * flow
    return {dice.choice(kinds): True} if dice.random() < 0.6 else {}


def multistep(dice: random.Random, data: bool) -> Options:
    """Curves, prediction type and thresholding of DEIS, SA-Solver and singlestep DPM-Solver."""
    options = curve(dice, flow=True)
    kinds = ["epsilon", "epsilon", "v_prediction", "sample"]
    if options.get("use_flow_sigmas"):
        options["flow_shift"] = dice.choice([1.0, 1.7, 3.0])
        kinds = ["flow_prediction", "flow_prediction", "sample"] if data else ["epsilon", "sample"]
    options["prediction_type"] = dice.choice(kinds)
    if data and dice.random() < 0.3:
        options |= {"thresholding": True, "dynamic_thresholding_ratio": dice.choice([0.995, 0.8]),
                    "sample_max_value": dice.choice([1.0, 1.5, 10.0])}
    return options


def spaced(dice: random.Random) -> Options:
    return {"timestep_spacing": dice.choice(["linspace", "leading", "trailing"]),
            "steps_offset": dice.choice([0, 0, 1, 3])}


def lambda_min(dice: random.Random) -> Options:
    return {"lambda_min_clipped": dice.choice([-5.1, -3.0])} if dice.random() < 0.3 else {}


def deis(dice: random.Random) -> Run:
    options = betas(dice) | multistep(dice, data=True) | spaced(dice)
    options |= {"solver_order": dice.choice([1, 2, 2, 3]), "lower_order_final": dice.random() < 0.6}
    return Run(options, dice.randint(4, 20))


def sa_solver(dice: random.Random) -> Run:
    data = dice.random() < 0.7
    options = betas(dice) | multistep(dice, data) | spaced(dice) | lambda_min(dice)
    options |= {"predictor_order": dice.choice([1, 2, 2, 3, 4]), "corrector_order": dice.choice([1, 2, 2, 3, 4]),
                "algorithm_type": "data_prediction" if data else "noise_prediction",
                "lower_order_final": dice.random() < 0.7}
    total = options["num_train_timesteps"]
    tau = {"start": dice.uniform(0, 0.4) * total, "end": dice.uniform(0.5, 1) * total,
           "value": dice.choice([0.0, 0.3, 0.7, 1.0])}
    return Run(options, dice.randint(4, 20), tau=dice.choice([None, tau, tau]))


def singlestep(dice: random.Random) -> Run:
    algorithm = dice.choice(["dpmsolver", "dpmsolver++", "dpmsolver++", "sde-dpmsolver++"])
    data = algorithm.endswith("++")
    options = betas(dice) | multistep(dice, data) | lambda_min(dice)
    options |= {"algorithm_type": algorithm, "solver_order": dice.choice([1, 2, 2, 3, 3]),
                "solver_type": dice.choice(["midpoint", "heun"]), "lower_order_final": dice.random() < 0.5,
                "final_sigmas_type": dice.choice(["zero", "sigma_min"]) if data else "sigma_min"}
    if options["prediction_type"] == "epsilon" and dice.random() < 0.2:
        options["variance_type"] = dice.choice(["learned", "learned_range"])
    run = Run(options, dice.randint(3, 20))
    if dice.random() < 0.2:
        times = dice.sample(range(1, options["num_train_timesteps"]), run.count)
        run.set_timesteps = {"timesteps": sorted(times, reverse=True)}
    return run


def kdpm2_ancestral(dice: random.Random) -> Run:
    options = betas(dice) | curve(dice) | spaced(dice)
    options["prediction_type"] = dice.choice(["epsilon", "v_prediction"])
    return Run(options, dice.randint(3, 20))


def ipndm(dice: random.Random) -> Run:
    return Run({"num_train_timesteps": dice.choice([1000, 100])}, dice.randint(1, 30))


def distilled(dice: random.Random, lcm: bool) -> Run:
    options = betas(dice)
    total = options["num_train_timesteps"]
    options |= {"original_inference_steps": dice.choice([50, 50, 25, 40]),
                "prediction_type": dice.choice(["epsilon", "v_prediction", "sample"]),
                "rescale_betas_zero_snr": dice.random() < 0.2, "timestep_scaling": dice.choice([10.0, 10.0, 3.0])}
    if lcm:
        options |= {"clip_sample": dice.random() < 0.4, "clip_sample_range": dice.choice([1.0, 0.7, 2.5]),
                    "thresholding": dice.random() < 0.3, "sample_max_value": dice.choice([1.0, 1.5])}
    run = Run(options, dice.randint(1, 12))
    kind = dice.random()
    if kind < 0.2:
        run.set_timesteps = {"timesteps": sorted(dice.sample(range(1, total), run.count), reverse=True)}
    elif kind < 0.5:
        run.set_timesteps = {"original_inference_steps": dice.choice([20, 60, 100])}
    if dice.random() < 0.3:
        run.set_timesteps["strength"] = dice.choice([0.5, 0.8])
    if not lcm:
        run.step = {"eta": dice.choice([0.0, 0.3, 0.7, 1.0])}
    return run


def sigma_range(dice: random.Random) -> Options:
    return {"sigma_min": dice.choice([0.002, 0.01, 0.05]), "sigma_max": dice.choice([80.0, 20.0, 160.0]),
            "sigma_data": dice.choice([0.5, 0.7, 1.0]), "rho": dice.choice([7.0, 5.0])}


def edm(dice: random.Random) -> Options:
    return sigma_range(dice) | {"sigma_schedule": dice.choice(["karras", "exponential"]),
                                "prediction_type": dice.choice(["epsilon", "v_prediction"]),
                                "final_sigmas_type": dice.choice(["zero", "sigma_min"])}


def churn(dice: random.Random, largest: float) -> Options:
    if dice.random() < 0.5:
        return {}
    return {"s_churn": dice.choice([0.5, 4.0, 40.0]), "s_tmin": dice.uniform(0, 0.2) * largest,
            "s_tmax": dice.uniform(0.3, 1) * largest, "s_noise": dice.choice([1.0, 1.007])}


def edm_euler(dice: random.Random) -> Run:
    run = Run(edm(dice), dice.randint(1, 20), step=churn(dice, 20.0))
    if dice.random() < 0.2:
        run.set_timesteps = {"sigmas": sorted(dice.uniform(0, 1) for _ in range(run.count))}
    return run


def edm_multistep(dice: random.Random) -> Run:
    options = edm(dice) | {"algorithm_type": dice.choice(["dpmsolver++", "sde-dpmsolver++"]),
                           "solver_order": dice.choice([1, 2, 2, 3]), "solver_type": dice.choice(["midpoint", "heun"]),
                           "lower_order_final": dice.random() < 0.6, "euler_at_final": dice.random() < 0.3}
    if dice.random() < 0.3:
        options |= {"thresholding": True, "sample_max_value": dice.choice([1.0, 1.5])}
    if options["algorithm_type"].startswith("sde"):
        options["solver_order"] = min(options["solver_order"], 2)
    return Run(options, dice.randint(3, 24))


def consistency(dice: random.Random) -> Run:
    options = sigma_range(dice) | {"num_train_timesteps": dice.choice([40, 18, 151]),
                                   "clip_denoised": dice.random() < 0.5, "s_noise": dice.choice([1.0, 0.9])}
    run = Run(options, dice.randint(1, 8))
    if dice.random() < 0.4:
        times = dice.sample(range(options["num_train_timesteps"]), run.count)
        run.set_timesteps = {"timesteps": sorted(times, reverse=True)}
    return run


def flow_euler(dice: random.Random) -> Run:
    options = curve(dice) | {"num_train_timesteps": dice.choice([1000, 100]), "shift": dice.choice([1.0, 1.7, 3.0, 0.6]),
                             "use_dynamic_shifting": dice.random() < 0.3, "invert_sigmas": dice.random() < 0.2,
                             "time_shift_type": dice.choice(["exponential", "linear"]),
                             "stochastic_sampling": dice.random() < 0.3}
    # diffusers takes the inverted list for the share of noise.
    options["stochastic_sampling"] &= not options["invert_sigmas"]
    if dice.random() < 0.3:
        options["shift_terminal"] = dice.choice([0.02, 0.1])
    run = Run(options, dice.randint(2, 20))
    if options["use_dynamic_shifting"]:
        run.set_timesteps["mu"] = dice.uniform(0.4, 1.5)
    kind = dice.random()
    if kind < 0.2:
        run.set_timesteps["sigmas"] = sorted((dice.uniform(0.02, 1) for _ in range(run.count)), reverse=True)
    elif kind < 0.35:
        total = options["num_train_timesteps"]
        run.set_timesteps["timesteps"] = sorted((dice.uniform(0.02, 1) * total for _ in range(run.count)), reverse=True)
    return run


def flow_heun(dice: random.Random) -> Run:
    options = {"num_train_timesteps": dice.choice([1000, 100]), "shift": dice.choice([1.0, 1.7, 3.0, 0.6])}
    return Run(options, dice.randint(2, 16), step=churn(dice, 1.0))


FURTHER = {"deis": deis, "sa": sa_solver, "singlestep": singlestep, "kdpm2_a": kdpm2_ancestral, "ipndm": ipndm,
           "lcm": lambda dice: distilled(dice, lcm=True), "tcd": lambda dice: distilled(dice, lcm=False),
           "edm_euler": edm_euler, "edm_dpm": edm_multistep, "cm": consistency,
           "flow_euler": flow_euler, "flow_heun": flow_heun}
