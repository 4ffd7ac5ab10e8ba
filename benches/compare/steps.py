"""Samplers: DDIM on the schedules of the sprites notebook and of Ho et al. 2020, and few steps of a consistency model."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from job import Job


class Notebook:
    """The sprites notebook's process: entry t of 1..=500, 0 is no noise."""

    steps = 500

    def __init__(self) -> None:
        betas = (0.02 - 1e-4) * torch.linspace(0, 1, self.steps + 1) + 1e-4
        self.bars = (1 - betas).log().cumsum(0).exp()
        self.bars[0] = 1

    def time(self, t: int, batch: int) -> Tensor:
        """What the network is given as t."""
        return torch.full((batch,), t / self.steps)

    def times(self, t: Tensor) -> Tensor:
        """The same of several."""
        return t / self.steps


class Linear:
    """Ho et al. 2020's process, counted in the same way."""

    steps = 1000

    def __init__(self) -> None:
        betas = np.linspace(1e-4, 0.02, self.steps)
        self.bars = torch.from_numpy(np.concatenate([[1.0], np.cumprod(1 - betas)])).float()

    def time(self, t: int, batch: int) -> Tensor:
        return torch.full((batch,), t - 1)

    def times(self, t: Tensor) -> Tensor:
        """The same of several."""
        return t - 1


def process_of(job: Job) -> Notebook | Linear:
    """The process of a job's network."""
    return Notebook() if job.model == "sprites" else Linear()


class Ddim:
    """The notebook's sample_ddim; with the image held in [-1, 1] where the process is the linear one."""

    def __init__(self, job: Job) -> None:
        self.process = process_of(job)
        self.clip, self.count = job.model != "sprites", job.steps

    def walk(self, network: Callable[..., Tensor], x: Tensor, context: Tensor | None) -> Tensor:
        """Images of noise."""
        every = self.process.steps // self.count
        for t in range(self.process.steps, 0, -every):
            time = self.process.time(t, len(x))
            eps = network(x, time) if context is None else network(x, time, context)
            x = self.step(x, eps, self.process.bars[t], self.process.bars[t - every])
        return x

    def step(self, x: Tensor, eps: Tensor, bar: Tensor, before: Tensor) -> Tensor:
        """The notebook's denoise_ddim."""
        x0 = (x - (1 - bar).sqrt() * eps) / bar.sqrt()
        if self.clip:
            x0 = x0.clamp(-1, 1)
            eps = (x - bar.sqrt() * x0) / (1 - bar).sqrt()
        return before.sqrt() * x0 + (1 - before).sqrt() * eps


class FewSteps:
    """The denoiser D(x; σ) of `sprites-fast` (Karras et al. 2022, eq. 7; Song et al. 2023, appendix C) in a loop over σ."""

    data, least, most, rho = 0.7, 0.002, 60.0, 7.0

    def __init__(self, job: Job) -> None:
        # Karras et al. 2022, eq. 5. The last level, at which D is the identity, is left out.
        places = np.linspace(self.most ** (1 / self.rho), self.least ** (1 / self.rho), job.steps + 1)
        self.sigmas = [*(places[:-1] ** self.rho).tolist(), 0.0]

    def denoise(self, network: Callable[..., Tensor], x: Tensor, sigma: float, context: Tensor | None) -> Tensor:
        above, norm = sigma - self.least, (sigma**2 + self.data**2) ** 0.5
        skip, out = self.data**2 / (above**2 + self.data**2), above * self.data / norm
        time = torch.full((len(x),), 0.25 * float(np.log(sigma)))
        given = x * (1 / norm)
        f = network(given, time) if context is None else network(given, time, context)
        return skip * x + out * f

    def walk(self, network: Callable[..., Tensor], x: Tensor, context: Tensor | None, noise: Tensor) -> Tensor:
        """Images of noise of unit variance."""
        x = x * (1 + self.sigmas[0] ** 2) ** 0.5
        return self.loop(lambda x, sigma: self.denoise(network, x, sigma, context), x, noise)

    def loop(self, denoise: Callable[[Tensor, float], Tensor], x: Tensor, noise: Tensor) -> Tensor:
        raise NotImplementedError


class Consistency(FewSteps):
    """Song et al. 2023, algorithm 1."""

    def loop(self, denoise: Callable[[Tensor, float], Tensor], x: Tensor, noise: Tensor) -> Tensor:
        for sigma, following, drawn in zip(self.sigmas[:-1], self.sigmas[1:], noise, strict=True):
            x = denoise(x, sigma)
            if following > 0:
                x = x + (following**2 - self.least**2) ** 0.5 * drawn
        return x


class DpmSolver(FewSteps):
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), of first order at both ends."""

    def loop(self, denoise: Callable[[Tensor, float], Tensor], x: Tensor, noise: Tensor) -> Tensor:
        before, last = None, 0.0
        for sigma, following in zip(self.sigmas[:-1], self.sigmas[1:], strict=True):
            x0 = denoise(x, sigma)
            if following == 0:
                return x0
            step = float(np.log(sigma / following))
            mixed = x0 if before is None else x0 + (x0 - before) * (0.5 * step / last)
            x = (following / sigma) * x - float(np.expm1(-step)) * mixed
            before, last = x0, step
        return x


SOLVERS: dict[str, type[FewSteps]] = {"consistency": Consistency, "dpm++2m": DpmSolver}
