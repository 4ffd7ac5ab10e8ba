"""Draws cases of lucidrains' GaussianDiffusion: tables, losses and sampling chains, computed by the package itself."""

import copy
import random
from unittest import mock

import torch
from denoising_diffusion_pytorch import classifier_free_guidance as guided
from denoising_diffusion_pytorch import denoising_diffusion_pytorch as lucid
from torch import Tensor, nn

import make
import models
from case import Case, worst
from conditioning_check import ExactLucid
from draw import labels, noise
from draw_process import SURE_TERM, SURE_WALK, images
from toy_network import ToyNetwork

SOURCE = "denoising-diffusion-pytorch 2.3.4"
TABLES = ("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
          "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
          "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
          "loss_weight")

# The last bit of a number below 1, and how far it may move an entry of a table, of which inkdrop knows 1e-12.
ROUNDING, SURE_TABLE = 2.0 ** -52, 5e-13

Found = dict[str, Tensor]


class Toy(ToyNetwork):
    """The toy network with what GaussianDiffusion asks of one."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, damped=False)
        self.channels = self.out_dim = channels
        self.self_condition = False

    def forward(self, x: Tensor, t: Tensor, x_self_cond: Tensor | None = None) -> Tensor:
        return super().forward(x, t)


def process(dice: random.Random, most: int, with_classes: bool = False) -> dict:
    """The arguments that all kinds share. A linear schedule of 20 steps or fewer has no signal, or less, at its end."""
    schedule = dice.choice(["linear", "cosine"] if with_classes else ["linear", "cosine", "sigmoid"])
    config = {"timesteps": dice.randint(21, most), "beta_schedule": schedule,
              "objective": dice.choice(["pred_noise", "pred_x0", "pred_v"])}
    if schedule == "sigmoid" and dice.random() < 0.5:
        config["schedule_fn_kwargs"] = {"start": dice.choice([-3, 0, -1.5]), "end": dice.choice([3, 2.5]),
                                        "tau": dice.choice([1, 0.7, 0.3, 1.4])}
    if dice.random() < 0.5:
        config |= {"min_snr_loss_weight": True, "min_snr_gamma": dice.choice([5, 1, 3.5])}
    return config


def diffusion(config: dict, network: nn.Module, size: tuple[int, int], exact: bool = False) -> nn.Module:
    """The package's process around a network; in f64, tables included, where it is to be exact."""
    names = ("timesteps", "sampling_timesteps", "objective", "beta_schedule", "schedule_fn_kwargs", "ddim_sampling_eta",
             "auto_normalize", "offset_noise_strength", "min_snr_loss_weight", "min_snr_gamma")
    given = {name: config[name] for name in names if name in config}
    module, size = (guided, size[0]) if config.get("module") else (lucid, size)
    if not exact:
        return module.GaussianDiffusion(network, image_size=size, **given).eval()
    network = copy.deepcopy(network).double()
    if hasattr(network, "time_mlp"):
        network.time_mlp[0] = ExactLucid(network.time_mlp[0])
    with mock.patch.object(torch, "float32", torch.float64):
        return module.GaussianDiffusion(network, image_size=size, **given).eval()


def network(dice: random.Random, config: dict, channels: int) -> nn.Module:
    """The toy network, or a small one of the package, whose arguments go to config.model."""
    torch.manual_seed(dice.getrandbits(31))
    kind = dice.choice(["toy", "unet", "self_condition"])
    if kind == "toy" and not config.get("module"):
        config["network"] = "tanh(conv3x3(x) + linear(t/1000))"
        return Toy(channels)
    model = {"dim": dice.choice([4, 8]), "dim_mults": dice.choice([[1], [1, 2]]), "channels": channels,
             "attn_heads": dice.choice([1, 2]), "attn_dim_head": 8}
    config |= {"network": "Unet", "model": model}
    if module := config.get("module"):
        model |= {"num_classes": 4}
    elif kind == "self_condition":
        model["self_condition"] = True
    made = models.build_lucid(module=module, **model)
    make.randomise(made, torch.Generator().manual_seed(dice.getrandbits(31)))
    return made


LOGISTIC = Tensor.sigmoid


def moved_logistic(x: Tensor, turns: int) -> Tensor:
    """The logistic function with its last bit moved, in f64."""
    found = LOGISTIC(x)
    if found.dtype != torch.float64:
        return found
    signs = turns ** torch.arange(found.numel()).view(found.shape)
    return found + ROUNDING * signs.double()


def schedule(dice: random.Random) -> Case:
    """The tables; in f64 without those that rounding moves: a β of 1e-4 is known to 2e-12, as 1 minus a rounded ratio, and
    where ᾱ is the small difference of two logistic functions, their last bit moves β."""
    config = process(dice, 1200)
    single, exact = (diffusion(config, Toy(1), (8, 8), exact) for exact in (False, True))
    name = f"{config['beta_schedule']}_beta_schedule"
    betas = getattr(lucid, name)
    moved = []
    # All up, or up and down in turns, which moves the products before an entry otherwise than those after it.
    for turns in (1, -1):
        signs = turns ** torch.arange(config["timesteps"])
        with mock.patch.object(lucid, name, lambda *args, **given: betas(*args, **given) + ROUNDING * signs):
            moved.append(diffusion(config, Toy(1), (8, 8), exact=True))
        with mock.patch.object(Tensor, "sigmoid", lambda x: moved_logistic(x, turns)):
            moved.append(diffusion(config, Toy(1), (8, 8), exact=True))
    tensors = {f"f32:{name}": getattr(single, name) for name in TABLES}
    for name in TABLES:
        table = getattr(exact, name)
        if all(torch.allclose(getattr(other, name), table, rtol=SURE_TABLE, atol=0) for other in moved):
            tensors[name] = table
    return Case("", "schedule", "lucid", config, tensors)


def loss_of(config: dict, process: nn.Module, given: Found) -> Found:
    """The loss of each image, their mean and its gradients."""
    network, kind = process.model, next(process.model.parameters()).dtype
    network.zero_grad(set_to_none=True)
    x0, eps = given["x_start"].to(kind), given["noise"].to(kind)
    conditioned = 0.0 if config.get("self_cond") else 1.0
    # The package draws by itself whether it conditions, and the offset of the noise.
    with mock.patch.object(lucid, "random", lambda: conditioned), \
            mock.patch.object(torch, "randn", lambda *_, **__: given["offset_noise"].to(kind)):
        each = process.p_losses(x0, given["t"], noise=eps.clone(), loss_reduction="none")
    each.mean().backward()
    grads = {f"grad:{key}": value.grad for key, value in network.named_parameters() if value.grad is not None}
    return {"term:loss_per_image": each.detach(), "term:loss": each.detach().mean()[None]} | grads


def loss(dice: random.Random) -> Case | None:
    config = process(dice, 1000)
    size = (dice.choice([1, 2, 3]), dice.choice([1, 3]), 2 * dice.randint(2, 4), 2 * dice.randint(2, 4))
    if dice.random() < 0.4:
        config["offset_noise_strength"] = dice.choice([0.1, 0.5])
    made = network(dice, config, size[1])
    config["self_cond"] = made.self_condition and dice.random() < 0.7
    steps = config["timesteps"]
    t = torch.tensor([dice.choice([0, steps - 1, dice.randrange(steps)]) for _ in range(size[0])])
    given = {"x_start": images(dice, *size), "t": t, "noise": noise(dice, *size)}
    if "offset_noise_strength" in config:
        given["offset_noise"] = noise(dice, *size[:2])
    single, exact = (diffusion(config, made, size[2:], exact) for exact in (False, True))
    found, right = loss_of(config, single, given), loss_of(config, exact, given)
    terms = {key: value for key, value in found.items() if key.startswith("term:")}
    norm = sum(float(value.square().sum()) for value in right.values()) ** 0.5
    grads = {key: value for key, value in found.items()
             if key.startswith("grad:") and value.abs().max() > 1e-6 * norm}
    if not (worst(right, terms) < SURE_TERM and worst(right, grads) < SURE_WALK):
        return None
    found = terms | dict(dice.sample(list(grads.items()), min(9, len(grads))))
    found["loss_weight_at_t"] = single.loss_weight[t]
    weights = {f"weight:{key}": value.clone() for key, value in made.state_dict().items()}
    return Case("", "loss", "lucid", config, given | found | weights)


def walk(config: dict, process: nn.Module, given: Found) -> tuple[list[Tensor], Tensor, list[int]]:
    """The states after every step in the running space, the last x0, and the times fed to the network."""
    kind = next(process.model.parameters()).dtype
    draws = iter(given.get("noise_tape", torch.empty(0)).to(kind))
    seen: list[tuple[Tensor, int, Tensor]] = []
    predict, start = process.model_predictions, given["x_T"].to(kind)

    def predictions(x: Tensor, t: Tensor, *args, **kwargs):
        found = predict(x, t, *args, **kwargs)
        seen.append((x.clone(), int(t[0]), found.pred_x_start))  # clamped in place later on
        return found

    with mock.patch.object(process, "model_predictions", predictions), \
            mock.patch.object(torch, "randn", lambda *_, **__: start), \
            mock.patch.object(torch, "randn_like", lambda _: next(draws)), \
            mock.patch.multiple(lucid, tqdm=lambda steps, **_: steps), \
            mock.patch.multiple(guided, tqdm=lambda steps, **_: steps):
        if "y" in given:
            call = config["call"]
            end = process.sample(given["y"], call["cond_scale"], call["rescaled_phi"])
        else:
            end = process.sample(len(start))
    assert next(draws, None) is None, "the package draws less noise than the case holds"
    unit = "y" in given or config.get("auto_normalize", True)
    states = [x for x, _, _ in seen[1:]] + [end * 2 - 1 if unit else end]
    return states, seen[-1][2], [t for _, t, _ in seen]


def chain(dice: random.Random) -> Case | None:
    with_classes = dice.random() < 0.25
    config = process(dice, 60 if dice.random() < 0.5 else 1000, with_classes)
    config |= {"module": "classifier_free_guidance"} if with_classes else {"auto_normalize": dice.random() < 0.5}
    ddim = config["timesteps"] > 60 or dice.random() < 0.5
    if ddim:
        config |= {"sampling_timesteps": dice.randint(1, 20), "ddim_sampling_eta": dice.choice([0.0, 0.5, 1.0])}
    steps = config["sampling_timesteps"] if ddim else config["timesteps"]
    size = (dice.choice([1, 2]), dice.choice([1, 3]), 8, 8)
    made = network(dice, config, size[1])
    given = {"x_T": noise(dice, *size)} | ({"noise_tape": noise(dice, steps - 1, *size)} if steps > 1 else {})
    if with_classes:
        given["y"] = labels(dice, size[0], config["model"]["num_classes"])
        config["call"] = {"cond_scale": dice.choice([1.5, 3.0]), "rescaled_phi": dice.choice([0.0, 0.7])}
    unit = with_classes or config["auto_normalize"]
    config |= {"method": "ddim" if ddim else "ancestral", "sample_mid_index": max(steps // 2, 1), "steps": steps,
               "sample_range": "[0,1]" if unit else "[-1,1]"}
    found = []
    for exact in (False, True):
        states, x0, times = walk(config, diffusion(config, made, size[2:], exact), given)
        shown = [(x + 1) / 2 if unit else x for x in states]
        inner = states if with_classes else shown
        found.append({"sample_step_1": inner[0], "sample_mid": inner[config["sample_mid_index"] - 1],
                      "sample": shown[-1], "pred_xstart_last": x0})
    if not worst(found[1], found[0]) < SURE_WALK:
        return None
    weights = {f"weight:{key}": value.clone() for key, value in made.state_dict().items()}
    return Case("", "chain", "lucid", config, given | found[0] | weights | {"times": torch.tensor(times)})


DRAW = {"schedule": schedule, "loss": loss, "chain": chain}


def diffusion_case(seed: int, index: int) -> Case:
    """The case of this number; the kinds take turns."""
    dice = random.Random(f"{seed} diffusion {index}")
    kind = list(DRAW)[index % len(DRAW)]
    for _ in range(200):
        case = DRAW[kind](dice)
        if case is not None:
            case.name = f"live_lucid_{kind}_{index}"
            case.extra = {"source": SOURCE, "note": f"live case, seed {seed}"}
            return case
    raise RuntimeError(f"no case of kind {kind} is well conditioned")
