"""One repetition of a job in PyTorch.

A piece of work has `outputs`, which are compared, and `once`, which is timed. Each mode has its own model. `eager` is
the plain model, `channels_last` keeps model and inputs in that memory format, `compile` is torch.compile in its default
mode. The latter two are PyTorch's recommendations for speed.
"""

from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from job import Job

import models
from steps import SOLVERS, Ddim, process_of

Tensors = dict[str, Tensor]
LAST = torch.channels_last


class Work:
    """A model in a mode, and what goes into it."""

    def __init__(self, job: Job, mode: str) -> None:
        family, config, _ = job.preset()
        self.job, self.mode = job, mode
        self.model: nn.Module = models.build(family, config)
        self.model.load_state_dict(load_file(job.weights), strict=True)
        self.given: Tensors = load_file(job.inputs)
        if mode == "channels_last":
            self.model = self.model.to(memory_format=LAST)
        run = torch.compile(self.model) if mode == "compile" else self.model
        # diffusers' models return a structure.
        self.call: Callable[..., Tensor] = (lambda x, t: run(x, t).sample) if family == "unet2d" else run

    def laid(self, images: Tensor) -> Tensor:
        """Images in the layout of the mode."""
        return images.to(memory_format=LAST) if self.mode == "channels_last" else images


class Forward(Work):
    """One pass."""

    def __init__(self, job: Job, mode: str) -> None:
        super().__init__(job, mode)
        self.model.eval()
        self.x = self.laid(self.given["x"])
        self.rest = [self.given[name] for name in ("t", "context") if name in self.given]

    @torch.inference_mode()
    def once(self) -> Tensor:
        return self.call(self.x, *self.rest)

    def outputs(self) -> Tensors:
        return {"out": self.once()}


class Sampling(Work):
    """DDIM from noise to images."""

    def __init__(self, job: Job, mode: str) -> None:
        super().__init__(job, mode)
        self.model.eval()
        self.x, self.context = self.laid(self.given["x"]), self.given.get("context")
        self.ddim = Ddim(job)

    @torch.inference_mode()
    def once(self) -> Tensor:
        return self.ddim.walk(self.call, self.x, self.context)

    def outputs(self) -> Tensors:
        return {"images": self.once()}


class FewSteps(Work):
    """A few steps of a consistency model, or of another solver with its denoiser."""

    def __init__(self, job: Job, mode: str) -> None:
        super().__init__(job, mode)
        self.model.eval()
        self.x, self.context = self.laid(self.given["x"]), self.given.get("context")
        self.noise = torch.stack([self.laid(noise) for noise in self.given["noise"]])
        self.solver = SOLVERS[job.sampler](job)

    @torch.inference_mode()
    def once(self) -> Tensor:
        return self.solver.walk(self.call, self.x, self.context, self.noise)

    def outputs(self) -> Tensors:
        return {"images": self.once()}


class Training(Work):
    """A step: noise on images, loss, gradients, their clipping, Adam, the average of the weights.

    Adam is the fused one, the fastest there is; the average keeps no more than n/(9 + n) of the past after
    step n, as inkdrop's default does.
    """

    def __init__(self, job: Job, mode: str) -> None:
        super().__init__(job, mode)
        self.model.train()
        self.process = process_of(job)
        self.rate, self.clip = (1e-3, None) if job.model == "sprites" else (2e-4, 1.0)
        self.parameters = dict(self.model.named_parameters())
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=self.rate, fused=True)
        state = self.model.state_dict(keep_vars=False).values()
        self.live = [value for value in state if value.is_floating_point()]
        self.average = [value.clone() for value in self.live]
        self.batches = [self.batch(step) for step in range(len(self.given["t"]))]
        self.step = 0

    def batch(self, step: int) -> tuple[Tensor, ...]:
        x0, t, noise, *rest = (self.given[name][step] for name in ("x0", "t", "noise", "context") if name in self.given)
        return self.laid(x0), t, self.laid(noise), *rest

    def gradients(self) -> Tensor:
        """The loss of the next batch and its gradients."""
        x0, t, noise, *rest = self.batches[self.step % len(self.batches)]
        bar = self.process.bars[t + 1][:, None, None, None]
        x = bar.sqrt() * x0 + (1 - bar).sqrt() * noise
        loss = nn.functional.mse_loss(self.call(x, self.process.times(t + 1), *rest), noise)
        self.optimizer.zero_grad()
        loss.backward()
        return loss.detach()

    def update(self) -> None:
        """The optimizer's step and the average."""
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters.values(), self.clip)
        self.optimizer.step()
        self.step += 1
        kept = min(0.999, self.step / (9 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.live, 1 - kept)

    def once(self) -> Tensor:
        loss = self.gradients()
        self.update()
        return loss

    def outputs(self) -> Tensors:
        """The losses, and the gradients of the first, in units of the largest."""
        losses = [self.gradients()]
        all_of_them = torch.cat([self.parameters[name].grad.flatten() for name in sorted(self.parameters)])
        self.update()
        losses += [self.once() for _ in self.batches[1:]]
        return {"losses": torch.stack(losses), "gradients": all_of_them / all_of_them.abs().max()}


KINDS: dict[str, type[Work]] = {"forward": Forward, "sampling": Sampling, "few_steps": FewSteps, "training": Training}
