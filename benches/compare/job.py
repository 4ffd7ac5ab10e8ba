"""Job file: the description of one measurement, and its network.

The same files as in `benches/src/bin/compare_ours/job.rs`, with two more fields: `modes`, the execution modes of
PyTorch, and `compare`, inkdrop's outputs, which are compared with PyTorch's.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Our own PyTorch modules.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/inkdrop-parity/online"))

CIFAR10 = {"img_channels": 3, "base_channels": 128, "channel_mults": [1, 2, 2, 2], "num_res_blocks": 2,
           "time_emb_dim": 512, "activation": "silu", "attention_resolutions": [1]}
IMPROVED = {"in_channels": 3, "model_channels": 128, "out_channels": 6, "num_res_blocks": 3,
            "attention_resolutions": [2, 4], "dropout": 0.3, "channel_mult": [1, 2, 2, 2], "num_heads": 4,
            "use_scale_shift_norm": True}

# inkdrop's presets in the argument names of the PyTorch programs; loading the same weights checks them.
PRESETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "sprites": ("context", {"in_channels": 3, "n_feat": 64, "n_cfeat": 5, "height": 16}, 16),
    "ddpm_cifar10": ("ddpm", CIFAR10, 32),
    "improved_cifar10": ("improved", IMPROVED, 32),
}


@dataclass
class Job:
    """One job; compare_ours/job.rs documents the fields."""

    what: str
    model: str
    batch: int
    steps: int
    threads: int
    warm_up: int
    least: int
    seconds: float
    inner: int
    size: int | None = None
    weights: Path | None = None
    inputs: Path | None = None
    output: Path | None = None
    compare: Path | None = None
    modes: list[str] = field(default_factory=list)

    @staticmethod
    def read(path: str) -> "Job":
        """The job of a file."""
        given = json.loads(Path(path).read_text())
        paths = {name: Path(given[name]) for name in ("weights", "inputs", "output", "compare") if given.get(name)}
        return Job(**(given | paths))

    def preset(self) -> tuple[str, dict[str, Any], int]:
        """Family, arguments and side of the images."""
        if self.model not in PRESETS:
            raise SystemExit(f"given the model {self.model!r}, expected one of {', '.join(PRESETS)}")
        return PRESETS[self.model]
