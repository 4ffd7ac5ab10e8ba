"""DDIM steps and noise schedules of the sprites notebook and of Ho et al. 2020."""

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
