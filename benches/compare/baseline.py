"""Measures PyTorch (or numpy) on a job, and compares the outputs.

One process runs all modes of its job, one after the other. Each mode has its own model and warm-up, so they share only
the interpreter. Memory is measured in one process per mode. The last line is JSON: for each mode its `seconds`, its
`difference` if outputs are compared, or the `error` that stopped it.

With `compare`, that file (inkdrop's outputs) and every later mode are compared with the first mode's outputs;
inkdrop's difference is under `ours`.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load_file

import figures
from job import Job

Found = dict[str, Any]
Outputs = dict[str, Any]


class Tables:
    """The tables of a schedule."""

    def __init__(self, job: Job, mode: str) -> None:
        import tables

        self.make: Callable[[], Outputs] = lambda: tables.make(job.model)

    def once(self) -> Outputs:
        return self.make()

    def outputs(self) -> Outputs:
        return self.make()


class Nothing(Tables):
    """PyTorch imported, and no more."""

    def __init__(self, job: Job, mode: str) -> None:
        self.make = dict


def kind(job: Job, mode: str) -> Callable[[Job, str], Any]:
    """Which work it is; numpy's has no PyTorch in its process."""
    if mode == "import":
        return Nothing
    if job.what == "schedule":
        return Tables
    import work

    return work.KINDS["few_steps" if job.sampler != "ddim" else job.what]


def arrays(outputs: Outputs) -> Outputs:
    """As numpy has them."""
    return {name: value if isinstance(value, np.ndarray) else value.detach().numpy()
            for name, value in outputs.items()}


def one(job: Job, mode: str, reference: Outputs, modes: dict[str, Found]) -> Found:
    """A mode's figures; the first mode's outputs are the reference."""
    if job.compare is None:
        work = kind(job, mode)(job, mode)
        return {"seconds": figures.measure(job, work.once)}
    outputs = arrays(kind(job, mode)(job, mode).outputs())
    if not reference:
        reference.update(outputs)
        modes["ours"] = {"difference": figures.difference(load_file(job.compare), reference)}
    return {"difference": figures.difference(outputs, reference)}


def run(job: Job) -> Found:
    """Runs all modes; a failed one gets an `error`, and the others still run."""
    modes: dict[str, Found] = {}
    reference: Outputs = {}
    for mode in job.modes:
        try:
            modes[mode] = one(job, mode, reference, modes)
        except Exception as error:  # noqa: BLE001 - whatever a compiler may throw
            first = next(iter(str(error).strip().splitlines()), "")
            modes[mode] = {"error": f"{type(error).__name__}: {first}"}
    return {"modes": modes, "peak_mib": figures.peak_mib()}


def main() -> None:
    job = Job.read(sys.argv[1])
    versions = {"Python": platform.python_version(), "numpy": np.__version__}
    threads = job.threads
    if job.what != "schedule":
        import torch

        torch.set_num_threads(job.threads)
        threads, versions["PyTorch"] = torch.get_num_threads(), torch.__version__
    print(json.dumps(run(job) | {"threads": threads, "versions": versions}))
    sys.stdout.flush()
    # Compilers keep threads and worker processes that need not be waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
