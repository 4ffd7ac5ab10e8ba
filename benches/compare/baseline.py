"""How long does PyTorch (or numpy) take for a job, and does it compute the same?

One process does the modes of its job one after the other: each has a model of its own and its own warm-up,
so they share nothing but the interpreter. What is measured in memory has a process for each mode. The last
line is JSON: for each mode its `seconds`, its `difference` where outputs are compared, or the `error` that
kept it from running.

With `compare`, that file (inkdrop's outputs) and every later mode are held against the first mode's outputs;
inkdrop's difference stands under `ours`.
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

    return work.KINDS[job.what]


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
    """All modes; one that fails says so in words, and the rest goes on."""
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
