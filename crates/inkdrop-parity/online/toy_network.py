"""Toy network for cases that test the process or the solver."""

import torch
from torch import Tensor, nn


class ToyNetwork(nn.Module):
    """h = tanh(conv3x3(x) + linear(t/1000)), or (t/1000)·x + 0.3·h, x repeated where there are two halves."""

    def __init__(self, channels: int, outputs: int, damped: bool) -> None:
        super().__init__()
        self.conv, self.t, self.damped = nn.Conv2d(channels, outputs, 3, padding=1), nn.Linear(1, outputs), damped

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        t = t.to(x.dtype).reshape(-1, 1).expand(len(x), 1) / 1000
        h = torch.tanh(self.conv(x) + self.t(t)[..., None, None])
        if not self.damped:
            return h
        return t[..., None, None] * x.repeat(1, h.shape[1] // x.shape[1], 1, 1) + 0.3 * h


def of_weights(weights: dict[str, Tensor], damped: bool) -> ToyNetwork:
    """The network of a case."""
    outputs, channels = weights["conv.weight"].shape[:2]
    network = ToyNetwork(channels, outputs, damped)
    network.load_state_dict(weights)
    return network
