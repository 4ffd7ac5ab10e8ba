"""The single layers of the `layer` cases."""

import torch
from torch import Tensor, nn

import ddpm_blocks
import improved_blocks
from case import Case


def build(family: str, config: dict) -> nn.Module:
    """The layer of a case that has weights."""
    if family == "ddpm-attention":
        return ddpm_blocks.AttentionBlock(config["in_channels"], config["norm"], config["num_groups"])
    if family == "improved-attention":
        return improved_blocks.AttentionBlock(**config)
    assert family == "improved-resblock", f"unknown layer {family!r}"
    return improved_blocks.ResBlock(dropout=0.0, **config)


def compute(case: Case) -> dict[str, Tensor]:
    """The layer's outputs by the names of the format."""
    config, tensors = case.config, case.tensors
    if case.family == "positional-embedding":
        scales = {"out": config["scale"], "out_scale_half": config["scale"] / 2}
        return {name: ddpm_blocks.PositionalEmbedding(config["dim"], scale)(tensors["t"])
                for name, scale in scales.items()}
    if case.family == "timestep-embedding":
        period = config["period_100"]
        wanted = {"out_even": (config["even"], 10000), "out_odd": (config["odd"], 10000),
                  "out_period_100": (period["dim"], period["max_period"])}
        return {name: improved_blocks.timestep_embedding(tensors["t"], *arguments)
                for name, arguments in wanted.items()}
    return {"out": run(case, torch.float32)}


def run(case: Case, kind: torch.dtype) -> Tensor:
    """The output of a layer that has weights, computed in this type."""
    layer = build(case.family, case.config).eval()
    layer.load_state_dict(case.below("weight:"), strict=True)
    given = [case.tensors[name].to(kind) for name in ("x", "emb") if name in case.tensors]
    return layer.to(kind)(*given).detach()


def rounding(case: Case) -> float:
    """How far the f32 output is from that in f64, in units of max(1, largest)."""
    exact = run(case, torch.float64)
    return float((run(case, torch.float32).double() - exact).abs().max() / exact.abs().max().clamp(min=1))
