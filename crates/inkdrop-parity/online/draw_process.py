"""Draws random processes, and computes their chains, losses and bits per dimension."""

import random

import torch
from torch import Tensor

from case import Case, error, worst
from draw import noise
from process import Process
from toy_network import ToyNetwork

# f32 must leave no more open than this (chains and gradients; terms that inkdrop checks in f64 too).
SURE_WALK, SURE_TERM = 2e-5, 8e-7

Found = dict[str, Tensor]


def respacing(dice: random.Random, steps: int) -> str:
    kind = dice.choice(["", "count", "sections", "ddim"])
    if kind == "count":
        return str(dice.randint(2, min(steps, 30)))
    if kind == "sections":
        return ",".join(str(dice.randint(1, 10)) for _ in range(dice.choice([2, 3])))
    strides = range(2, steps // 2 + 1)
    return f"ddim{len(range(0, steps, dice.choice(strides)))}" if kind == "ddim" else ""


def process(dice: random.Random, steps: list[int]) -> dict:
    """The arguments that all kinds share."""
    total = dice.choice(steps)
    return {"noise_schedule": dice.choice(["linear", "cosine"]), "diffusion_steps": total,
            "timestep_respacing": respacing(dice, total),
            "model_mean_type": dice.choice(["epsilon", "epsilon", "start_x", "previous_x"]),
            "model_var_type": dice.choice(["learned", "learned_range", "fixed_small", "fixed_large"]),
            "rescale_timesteps": dice.random() < 0.5}


def chain(dice: random.Random) -> dict:
    config = process(dice, [30, 50, 100, 300, 1000, 4000])
    if config["diffusion_steps"] > 100 and not config["timestep_respacing"]:
        config["timestep_respacing"] = "20"
    config |= {"method": dice.choice(["ddpm", "ddim", "ddim", "ddim_reverse"]), "clip_denoised": dice.random() < 0.7}
    config["eta"] = dice.choice([0.0, 0.4, 1.0]) if config["method"] == "ddim" else 0.0
    return config


def loss(dice: random.Random) -> dict:
    config = process(dice, [20, 100, 1000, 4000])
    return config | {"loss_type": dice.choice(["mse", "rescaled_mse", "kl", "rescaled_kl"])}


def bpd(dice: random.Random) -> dict:
    config = process(dice, [20, 50, 1000])
    if config["diffusion_steps"] > 50 and not config["timestep_respacing"]:
        config["timestep_respacing"] = "25"
    return config | {"clip_denoised": dice.random() < 0.7}


def images(dice: random.Random, *shape: int) -> Tensor:
    """Levels of 0 to 255 in [-1, 1], the outermost often among them."""
    return (noise(dice, *shape) * 0.8).clamp(-1, 1).add(1).mul(127.5).round() / 127.5 - 1


def inputs(dice: random.Random, kind: str, steps: int, config: dict) -> Found:
    size = (dice.choice([1, 2, 3]), dice.choice([1, 3]), dice.randint(4, 8), dice.randint(4, 8))
    if kind == "chain":
        reverse = config["method"] == "ddim_reverse"
        start = {"x_T": images(dice, *size) if reverse else noise(dice, *size)}
        return start if reverse else start | {"noise_tape": noise(dice, steps, *size)}
    found = {"x_start": images(dice, *size)}
    if kind == "bpd":
        return found | {"noise_tape": noise(dice, steps, *size)}
    t = torch.tensor([dice.choice([0, steps - 1, dice.randrange(steps)]) for _ in range(size[0])])
    return found | {"t": t, "noise": noise(dice, *size)}


def compute(kind: str, config: dict, given: Found, network: ToyNetwork) -> Found:
    """What a case of this kind holds beside its inputs, in the kind of its network."""
    subject, kind_of = Process(config), next(network.parameters()).dtype
    given = {key: value if key == "t" else value.to(kind_of) for key, value in given.items()}
    if kind == "loss":
        terms = subject.losses(network, given["x_start"], given["t"], given["noise"])
        network.zero_grad()
        terms["loss"].mean().backward()
        grads = {f"grad:{key}": value.grad.clone() for key, value in network.named_parameters()}
        return {f"term:{key}": value.detach() for key, value in terms.items()} | grads
    with torch.no_grad():
        if kind == "bpd":
            return subject.bits(network, given["x_start"], given["noise_tape"])
        states = list(subject.chain(network, given["x_T"], given.get("noise_tape")))
    mid = config["sample_mid_index"]
    return {"sample_step_1": states[0][0], "sample_mid": states[mid][0], "sample": states[-1][0],
            "pred_xstart_last": states[-1][1]}


def later(kind: str, found: Found, t: Tensor | None) -> Found:
    """What is checked in f64: all but the likelihood of pixels, at t = 0."""
    if kind == "bpd":
        pixels = found["vb"][:, -1]
        return found | {"vb": found["vb"][:, :-1], "total_bpd": found["total_bpd"] - pixels}
    return {key: value[t > 0] for key, value in found.items() if key.startswith("term:")}


def well_conditioned(kind: str, found: Found, exact: Found, t: Tensor | None) -> bool:
    """Whether f32 leaves little open."""
    if not all(torch.isfinite(value).all() for value in found.values()):
        return False
    if kind == "chain":
        return worst(exact, found) < SURE_WALK
    terms = {key: value for key, value in found.items() if not key.startswith("grad:")}
    return (worst(later(kind, exact, t), later(kind, found, t)) < SURE_TERM and worst(exact, terms) < SURE_WALK / 2
            and all(error(exact[key], value) < SURE_WALK for key, value in found.items()))


DRAW = {"chain": chain, "loss": loss, "bpd": bpd}


def attempt(dice: random.Random, kind: str) -> Case | None:
    config = DRAW[kind](dice)
    try:
        steps = Process(config).steps
    except ValueError:
        return None
    config["sample_mid_index"] = steps // 2
    given = inputs(dice, kind, steps, config)
    channels = next(value for key, value in given.items() if key in ("x_T", "x_start")).shape[1]
    learned = config["model_var_type"].startswith("learned")
    torch.manual_seed(dice.getrandbits(31))
    network = ToyNetwork(channels, channels * (2 if learned else 1), damped=False)
    weights = {f"weight:{key}": value.clone() for key, value in network.state_dict().items()}
    found = compute(kind, config, given, network)
    exact = compute(kind, config, given, network.double())
    if not well_conditioned(kind, found, exact, given.get("t")):
        return None
    return Case("", kind, "improved", config, given | found | weights)


def process_case(seed: int, index: int) -> Case:
    """The case of this number; the kinds take turns."""
    dice = random.Random(f"{seed} process {index}")
    kind = list(DRAW)[index % len(DRAW)]
    for _ in range(1000):
        case = attempt(dice, kind)
        if case is not None:
            case.name = f"live_{kind}_{index}"
            case.extra = {"source": "crates/inkdrop-parity/online", "note": f"live case, seed {seed}"}
            return case
    raise RuntimeError(f"no case of kind {kind} is well conditioned")
