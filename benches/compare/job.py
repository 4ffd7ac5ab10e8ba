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

# google/ddpm-cifar10-32's config.json.
UNET2D = {"act_fn": "silu", "attention_head_dim": None, "block_out_channels": [128, 256, 256, 256],
          "center_input_sample": False, "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
          "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2,
          "mid_block_scale_factor": 1, "norm_eps": 1e-6, "norm_num_groups": 32, "out_channels": 3, "sample_size": 32,
          "time_embedding_type": "positional", "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]}

# edm-cifar10-32x32-uncond-vp.
EDM = {"img_resolution": 32, "in_channels": 3, "out_channels": 3, "augment_dim": 9, "model_channels": 128,
       "channel_mult": [2, 2, 2], "channel_mult_emb": 4, "num_blocks": 4, "attn_resolutions": [16], "dropout": 0.13}
# The README of lucidrains' package.
LUCID = {"dim": 64, "dim_mults": [1, 2, 4, 8]}

# inkdrop's presets in the argument names of the PyTorch programs; loading the same weights checks them.
PRESETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "sprites": ("context", {"in_channels": 3, "n_feat": 64, "n_cfeat": 5, "height": 16}, 16),
    "ddpm_cifar10": ("ddpm", CIFAR10, 32),
    "improved_cifar10": ("improved", IMPROVED, 32),
    "unet2d_cifar10": ("unet2d", UNET2D, 32),
    "edm_cifar10": ("edm", EDM, 32),
    "lucid": ("lucid", LUCID, 32),
}
# In training: no dropout, whose random numbers differ, no learned variance, whose loss is another one, and no
# augmentation, whose layer would get no gradient.
TRAINED = {"ddpm": {"dropout": 0.0}, "improved": {"dropout": 0.0, "out_channels": 3}, "edm": {"dropout": 0.0, "augment_dim": 0}}


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
    sampler: str = "ddim"
    size: int | None = None
    checkpoint: bool = False
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
        family, config, side = PRESETS[self.model]
        return family, config | (TRAINED.get(family, {}) if self.what == "training" else {}), side
