"""Time of repetitions, peak resident memory, and differences of outputs."""

import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from job import Job

Arrays = dict[str, Any]


def measure(job: Job, work: Callable[[], object]) -> list[float]:
    """The seconds of each repetition, after the warm-up."""
    def repetition() -> float:
        begun = time.perf_counter()
        for _ in range(job.inner):
            work()
        return (time.perf_counter() - begun) / job.inner

    seconds: list[float] = []
    if job.least == 0:
        return seconds
    for _ in range(job.warm_up):
        repetition()
    begun = time.perf_counter()
    while len(seconds) < job.least or time.perf_counter() - begun < job.seconds:
        seconds.append(repetition())
    return seconds


def peak_mib() -> float:
    """The peak of resident memory so far: the kernel's own count, which begins with the program."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def difference(ours: Arrays, reference: Arrays) -> dict[str, float | None]:
    """The largest of all tensors: |Δ|, |reference|, |Δ| / max(1, |reference|) and |Δ| / |reference|.

    None where it is no number.
    """
    if set(ours) != set(reference):
        raise SystemExit(f"the outputs are {sorted(ours)}, expected {sorted(reference)}")
    found = {"absolute": 0.0, "largest": 0.0, "each": 0.0, "relative": 0.0}
    for name, theirs in reference.items():
        mine, theirs = np.asarray(ours[name], np.float64), np.asarray(theirs, np.float64)
        if mine.shape != theirs.shape:
            raise SystemExit(f"{name} has shape {mine.shape}, expected {theirs.shape}")
        apart, size = np.abs(mine - theirs), np.abs(theirs)
        for key, values in (("absolute", apart), ("largest", size), ("each", apart / np.maximum(1, size)),
                            ("relative", apart / np.maximum(size, 1e-300))):
            # Not max, which would lose a NaN.
            found[key] = float(np.max([found[key], values.max()]))
    return {key: value if math.isfinite(value) else None for key, value in found.items()}
