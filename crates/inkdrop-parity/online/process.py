"""The diffusion process of improved-diffusion.

Our own implementation after Nichol & Dhariwal 2021, with the names and conventions of improved-diffusion: tables
in f64, tensor operations in the dtype of x. verify.py checks it against the golden cases.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]


def betas(name: str, steps: int) -> np.ndarray:
    if name == "linear":
        return np.linspace(0.1 / steps, 20 / steps, steps)
    angles = (np.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2
    bars = np.cos(angles) ** 2
    return np.minimum(1 - bars[1:] / bars[:-1], 0.999)


def kept(steps: int, text: str) -> list[int]:
    """Which steps a respaced process keeps."""
    if not text:
        return list(range(steps))
    if text.startswith("ddim"):
        wanted = int(text[4:])
        strides = [range(0, steps, k) for k in range(1, steps) if len(range(0, steps, k)) == wanted]
        if not strides:
            raise ValueError(f"no stride gives {wanted} of {steps} steps")
        return list(strides[0])
    counts = [int(part) for part in text.split(",")]
    sizes = [steps // len(counts) + (i < steps % len(counts)) for i in range(len(counts))]
    picks, start = [], 0
    for count, size in zip(counts, sizes, strict=True):
        if count > size:
            raise ValueError(f"{count} steps of a section of {size}")
        stride, at = (size - 1) / (count - 1) if count > 1 else 1, 0.0
        for _ in range(count):
            picks.append(start + round(at))
            at += stride
        start += size
    return picks


class Process:
    """SpacedDiffusion: the tables of the kept steps, and what a network's output means."""

    def __init__(self, config: dict) -> None:
        self.config, total = config, config["diffusion_steps"]
        picks = kept(total, config.get("timestep_respacing", ""))
        bars = np.cumprod(1 - betas(config["noise_schedule"], total))[picks]
        before = np.append(1.0, bars[:-1])
        self.beta = 1 - bars / before
        self.bar, self.before, self.after = np.cumprod(1 - self.beta), before, np.append(bars[1:], 0.0)
        self.variance = self.beta * (1 - before) / (1 - self.bar)
        with np.errstate(divide="ignore"):
            self.log_small, self.log_large = np.log(np.append(self.variance[1], self.variance[1:])), np.log(self.beta)
        self.of_x0 = self.beta * np.sqrt(before) / (1 - self.bar)
        self.of_x = (1 - before) * np.sqrt(1 - self.beta) / (1 - self.bar)
        scale = 1000 / total if config["rescale_timesteps"] else 1.0
        self.times, self.steps = torch.tensor(picks).float() * scale, len(picks)

    @staticmethod
    def at(table: np.ndarray, t: Tensor, x: Tensor) -> Tensor:
        """The entries of t, cast once, beside x."""
        return torch.from_numpy(table)[t].to(x.dtype).view(-1, *[1] * (x.dim() - 1))

    def noised(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return self.at(np.sqrt(self.bar), t, x0) * x0 + self.at(np.sqrt(1 - self.bar), t, x0) * noise

    def posterior_mean(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return self.at(self.of_x0, t, x) * x0 + self.at(self.of_x, t, x) * x

    def eps_of(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        scaled = self.at(np.sqrt(1 / self.bar), t, x) * x - x0
        return scaled / self.at(np.sqrt(1 / self.bar - 1), t, x)

    def read(self, out: Tensor, x: Tensor, t: Tensor, clip: bool) -> tuple[Tensor, Tensor, Tensor]:
        """x0, the mean and the log-variance of the step that an output stands for."""
        kind, mean_type = self.config["model_var_type"], self.config["model_mean_type"]
        small, large = self.at(self.log_small, t, x), self.at(self.log_large, t, x)
        if kind.startswith("learned"):
            out, variance = out.chunk(2, dim=1)
            share = (variance + 1) / 2
            log_variance = variance if kind == "learned" else share * large + (1 - share) * small
        elif kind == "fixed_small":
            log_variance = small.expand_as(x)
        else:
            log_variance = self.at(np.log(np.append(self.variance[1], self.beta[1:])), t, x).expand_as(x)
        if mean_type == "previous_x":
            x0 = out / self.at(self.of_x0, t, x) - self.at(self.of_x / self.of_x0, t, x) * x
        elif mean_type == "start_x":
            x0 = out
        else:
            x0 = self.at(np.sqrt(1 / self.bar), t, x) * x - self.at(np.sqrt(1 / self.bar - 1), t, x) * out
        x0 = x0.clamp(-1, 1) if clip else x0
        return x0, out if mean_type == "previous_x" else self.posterior_mean(x0, x, t), log_variance

    def chain(self, network: Network, x: Tensor, noise: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """x after each step, and the x0 predicted in it."""
        method, eta, clip = self.config["method"], self.config.get("eta", 0.0), self.config["clip_denoised"]
        order = range(self.steps) if method == "ddim_reverse" else reversed(range(self.steps))
        for number, index in enumerate(order):
            t = torch.full((len(x),), index)
            x0, mean, log_variance = self.read(network(x, self.times[t]), x, t, clip)
            if method == "ddpm":
                x = mean + (index != 0) * (0.5 * log_variance).exp() * noise[number]
            else:
                eps = self.eps_of(x0, x, t)
                before = self.after if method == "ddim_reverse" else self.before
                ratio = np.divide(self.bar, before, out=np.ones(self.steps), where=before > 0)
                sigma = eta * np.sqrt((1 - before) / (1 - self.bar) * np.maximum(1 - ratio, 0))
                straight = self.at(np.sqrt(before), t, x) * x0 + self.at(np.sqrt(1 - before - sigma ** 2), t, x) * eps
                x = straight if eta == 0 else straight + (index != 0) * self.at(sigma, t, x) * noise[number]
            yield x, x0

    def bound(self, out: Tensor, x0: Tensor, x: Tensor, t: Tensor, clip: bool) -> tuple[Tensor, Tensor]:
        """A term of the variational bound in bits per dimension, and the predicted x0."""
        said, mean, log_variance = self.read(out, x, t, clip)
        true, small = self.posterior_mean(x0, x, t), self.at(self.log_small, t, x)
        ratio = log_variance - small
        kl = 0.5 * (ratio - 1 + (-ratio).exp() + (true - mean) ** 2 * (-log_variance).exp())
        nll = -pixel_log_likelihood(x0, mean, 0.5 * log_variance)
        return torch.where(t == 0, flat(nll), flat(kl)) / math.log(2), said

    def losses(self, network: Network, x0: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The terms of config.loss_type, image by image."""
        kind, x = self.config["loss_type"], self.noised(x0, t, noise)
        out = network(x, self.times[t])
        if kind.endswith("kl"):
            return {"loss": self.bound(out, x0, x, t, False)[0] * (self.steps if kind == "rescaled_kl" else 1)}
        terms = {}
        if self.config["model_var_type"].startswith("learned"):
            mean, variance = out.chunk(2, dim=1)
            vb = self.bound(torch.cat([mean.detach(), variance], dim=1), x0, x, t, False)[0]
            terms["vb"] = vb * self.steps / 1000 if kind == "rescaled_mse" else vb
            out = mean
        target = {"epsilon": noise, "start_x": x0, "previous_x": self.posterior_mean(x0, x, t)}
        terms["mse"] = flat((target[self.config["model_mean_type"]] - out) ** 2)
        return terms | {"loss": terms["mse"] + terms.get("vb", 0)}

    def bits(self, network: Network, x0: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Bits per dimension, the noisiest step first."""
        vb, xstart_mse, mse = [], [], []
        for number, index in enumerate(reversed(range(self.steps))):
            t = torch.full((len(x0),), index)
            x = self.noised(x0, t, noise[number])
            term, said = self.bound(network(x, self.times[t]), x0, x, t, self.config["clip_denoised"])
            vb.append(term)
            xstart_mse.append(flat((said - x0) ** 2))
            mse.append(flat((self.eps_of(said, x, t) - noise[number]) ** 2))
        last = torch.full((len(x0),), self.steps - 1)
        left = self.at(1 - self.bar, last, x0)
        mean = self.at(np.sqrt(self.bar), last, x0) * x0
        prior = flat(0.5 * (left - 1 - left.log() + mean ** 2)) / math.log(2)
        found = {"vb": torch.stack(vb, 1), "xstart_mse": torch.stack(xstart_mse, 1), "mse": torch.stack(mse, 1)}
        return found | {"prior_bpd": prior, "total_bpd": found["vb"].sum(1) + prior}


def flat(x: Tensor) -> Tensor:
    """The mean of each image."""
    return x.flatten(1).mean(1)


def normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def pixel_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Of pixels in bins of 2/255, the outermost open."""
    centred, precision = x - mean, (-log_scale).exp()
    upper, lower = normal_cdf((centred + 1 / 255) * precision), normal_cdf((centred - 1 / 255) * precision)
    inner = (upper - lower).clamp(min=1e-12).log()
    edges = torch.where(x > 0.999, (1 - lower).clamp(min=1e-12).log(), inner)
    return torch.where(x < -0.999, upper.clamp(min=1e-12).log(), edges)
