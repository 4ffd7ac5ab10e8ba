"""Case files, and the error between two tensors."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FORWARD, GRADIENT = 2e-5, 1e-4


@dataclass
class Case:
    """A case: its metadata and its tensors by name."""

    name: str
    kind: str
    family: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    extra: dict[str, str] = field(default_factory=dict)

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of this prefix, without it."""
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def save(self, folder: Path) -> Path:
        """Writes the case as folder/name.safetensors."""
        path = folder / f"{self.name}.safetensors"
        metadata = {"kind": self.kind, "family": self.family, "config": json.dumps(self.config),
                    "torch": torch.__version__} | self.extra
        save_file({key: value.detach().contiguous().clone() for key, value in self.tensors.items()}, path, metadata)
        return path


def read(path: Path) -> Case:
    """The case at path."""
    with safe_open(path, "pt") as file:
        meta = dict(file.metadata() or {})
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    config = json.loads(meta.pop("config", "{}"))
    return Case(path.stem, meta.pop("kind", ""), meta.pop("family", ""), config, tensors, meta)


def error(ours: Tensor, theirs: Tensor) -> float:
    """Largest |ours - theirs| in units of max(1, largest |theirs|); infinite where they cannot be compared."""
    if ours.shape != theirs.shape:
        return float("inf")
    if theirs.numel() == 0:
        return 0.0
    ours, theirs = ours.detach(), theirs.detach()
    worst = (ours.double() - theirs.double()).abs().max() / theirs.double().abs().max().clamp(min=1)
    return float(worst) if torch.isfinite(worst) else float("inf")


def worst(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The largest error over all of theirs; infinite where one of them is not among ours."""
    return max((error(ours[key], value) if key in ours else float("inf") for key, value in theirs.items()),
               default=0.0)


def line(case: str, what: str, value: float, tolerance: float) -> bool:
    """Prints a line of the report and says whether it is right."""
    right = value <= tolerance
    print(f"{case:<30} {what:<12} {value:7.1e} {tolerance:5.0e} {'ok' if right else 'FAIL'}")
    return right
