"""`cargo xtask bench --compare pytorch` and `--growth`: runs both programs, and prints a table.

- All baselines read the same weights and inputs, in f32, with the same number of threads.
- Outputs are compared first. A baseline with different outputs is not timed.
- Both programs then run in pairs of new processes. The order is swapped in every other pair.
- A row is the median of the paired ratios. inkdrop against itself (A/A) measures the noise.
- PyTorch's modes (eager, channels_last, compile) share one process; memory has one process for each.

`--growth` measures inkdrop alone: how time and memory scale with batch size, resolution and steps. The driver itself
needs Python's standard library only.
"""

import argparse
import datetime
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODES = ["eager", "channels_last", "compile"]
# Least number of pairs for a verdict.
FEW = 5


@dataclass(frozen=True)
class Row:
    """A row of the comparison.

    - tolerance: unit (see `error`) and bound
    - checkpoint: ours alone checkpoints
    - size: the side of the images if it is not that of inkdrop's preset
    - sampler: other samplers than DDIM have the weights of `sprites-fast`
    """

    name: str
    what: str
    model: str
    batch: int = 1
    steps: int = 1
    tolerance: tuple[str, float] = ("scaled", 2e-5)
    figure: str = "seconds"
    times: int = 0
    checkpoint: bool = False
    size: int | None = None
    sampler: str = "ddim"

    def modes(self) -> list[str]:
        if self.what == "schedule":
            return ["numpy"]
        # `compile` would measure the compiler itself, and memory layouts hardly matter for memory.
        return {"seconds": MODES, "peak": ["eager", "import"], "wall": ["python"]}[self.figure]


# Losses are near 1, and gradients in units of the largest.
TRAINING = ("scaled", 1e-4)

# The networks of EDM and of lucidrains, and the side of their images.
OTHERS = [("edm_cifar10", None), ("lucid", 32)]

ROWS = [
    *(Row(f"forward/context/{n}", "forward", "sprites", n) for n in (1, 16, 64)),
    *(Row(f"forward/{m}/{n}", "forward", m, n) for m in ("ddpm_cifar10", "improved_cifar10") for n in (1, 8)),
    *(Row(f"forward/{m}/{n}", "forward", m, n, size=side) for m, side in OTHERS for n in (1, 8)),
    Row("training/context/100", "training", "sprites", 100, tolerance=TRAINING),
    *(Row(f"training/{m}/{n}", "training", m, n, tolerance=TRAINING)
      for m, n in (("ddpm_cifar10", 8), ("ddpm_cifar10", 32), ("improved_cifar10", 8), ("improved_cifar10", 32),
                   ("unet2d_cifar10", 8))),
    *(Row(f"training/{m}/8", "training", m, 8, tolerance=TRAINING, size=side) for m, side in OTHERS),
    Row("sampling/context/1", "sampling", "sprites", 1, 25, ("absolute", 1e-3)),
    Row("sampling/context/64", "sampling", "sprites", 64, 25, ("absolute", 1e-3)),
    Row("sampling/ddpm_cifar10/1", "sampling", "ddpm_cifar10", 1, 10, ("absolute", 1e-3)),
    *(Row(f"sampling/{sampler}_{steps}/64", "sampling", "sprites", 64, steps, ("absolute", 1e-3), sampler=sampler)
      for sampler, steps in (("consistency", 1), ("consistency", 2), ("dpm++2m", 10))),
    Row("start/first_image", "start", "sprites", figure="wall"),
    Row("memory/sample", "sampling", "ddpm_cifar10", 1, 3, figure="peak", times=1),
    Row("memory/train", "training", "sprites", 100, figure="peak", times=6),
    *(Row(f"memory/train_{m}", "training", m, 8, figure="peak", times=3)
      for m in ("ddpm_cifar10", "improved_cifar10", "unet2d_cifar10")),
    *(Row(f"memory/train_{m}_checkpointed", "training", m, 8, figure="peak", times=3, checkpoint=True)
      for m in ("ddpm_cifar10", "improved_cifar10", "unet2d_cifar10")),
    *(Row(f"memory/train_{m}_checkpointed/32", "training", m, 32, figure="peak", times=3, checkpoint=True)
      for m in ("ddpm_cifar10", "improved_cifar10")),
    *(Row(f"schedules/{n}", "schedule", n, tolerance=("each", 1e-12))
      for n in ("linear_1000", "cosine_4000", "sprites_500")),
]

# Name, work, model, what grows, sizes.
SERIES = [
    ("batch/context", "forward", "sprites", "batch", [1, 2, 4, 8, 16, 32, 64, 128]),
    ("batch/ddpm_cifar10", "forward", "ddpm_cifar10", "batch", [1, 2, 4, 8]),
    ("pixels/ddpm_cifar10", "forward", "ddpm_cifar10", "side", [16, 32, 64]),
    ("steps/context", "sampling", "sprites", "steps", [10, 20, 40, 80]),
    ("training_batch/ddpm_cifar10", "training", "ddpm_cifar10", "batch", [1, 2, 4, 8]),
    ("training_pixels/ddpm_cifar10", "training", "ddpm_cifar10", "side", [16, 32, 64]),
]

Pair = tuple[float, float]


@dataclass
class Result:
    """A row's figures: pairs of ours with ours (A/A) and with each baseline, and what went wrong."""

    row: Row
    same: list[Pair] = field(default_factory=list)
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    differences: dict[str, Any] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    failed: bool = False


class Failure(Exception):
    """A program failed, or outputs differ."""


def ratio(figure: str, pair: Pair) -> float:
    """Of times theirs / ours, above 1 is faster; of memory ours / theirs, below 1 is less."""
    return pair[0] / pair[1] if figure == "peak" else pair[1] / pair[0]


def summary(figures: list[float]) -> list[float]:
    """Least, lower quartile, median, upper quartile, most."""
    ordered = sorted(figures)
    quartiles = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return [ordered[0], *quartiles, ordered[-1]]


def verdict(figure: str, pairs: list[Pair], same: list[Pair]) -> str:
    """A ratio inside the spread of A/A, or of its inverse, is even."""
    if not pairs or not same:
        return ""
    if len(same) < FEW:
        return "too few"
    noise = [ratio(figure, pair) for pair in same]
    most, median = max(max(noise), 1 / min(noise)), summary([ratio(figure, pair) for pair in pairs])[2]
    if 1 / most <= median <= most:
        return "even"
    better = median < 1 if figure == "peak" else median > 1
    return {("peak", True): "less", ("peak", False): "more"}.get((figure, better), "faster" if better else "slower")


def error(difference: dict[str, float | None], unit: str) -> float:
    """The difference in the unit of a tolerance; null stands for NaN."""
    number = {name: math.nan if value is None else value for name, value in difference.items()}
    return number["absolute"] / max(number["largest"], 1.0) if unit == "scaled" else number[unit]


def judge(result: Result, outcome: dict[str, Any]) -> None:
    """Notes which baselines differ or cannot run; raises if ours differ."""
    unit, bound = result.row.tolerance
    for mode, found in outcome["modes"].items():
        result.differences[mode] = found.get("difference")
        if "error" in found:
            result.troubles[mode] = f"cannot run: {found['error']}"
        # Not `error > bound`, which a NaN would pass.
        elif not error(found["difference"], unit) <= bound:
            text = f"outputs differ by {error(found['difference'], unit):.1e}, expected at most {bound:.0e}"
            if mode == "ours":
                raise Failure(f"inkdrop's {text}; it is not timed")
            result.troubles[mode], result.failed = f"FAILED: its {text}; it is not timed", True
    if "ours" not in result.differences:
        raise Failure("the reference returned no outputs to compare with")


class Programs:
    """inkdrop's program and PyTorch's, each call in a new process."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.bin, self.threads, self.folder = options.bin, options.threads, folder
        self.sprites = ROOT / "crates/inkdrop/assets/sprites.safetensors"
        self.env = os.environ | {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads),
                                 "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}

    def printed(self, command: list[Any]) -> str:
        done = subprocess.run([str(part) for part in command], env=self.env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failure(f"{command[0]} ended with status {done.returncode} (see its output above)")
        return done.stdout

    def outcome(self, command: list[Any]) -> dict[str, Any]:
        """The JSON in the last line."""
        lines = [line for line in self.printed(command).splitlines() if line.startswith("{")]
        if not lines:
            raise Failure(f"{command[0]} printed no JSON")
        outcome = json.loads(lines[-1])
        if outcome["threads"] != self.threads:
            raise Failure(f"{command[0]} used {outcome['threads']} threads, expected {self.threads}")
        return outcome

    def file(self, name: str) -> Path:
        return self.folder / name.replace("/", "-")

    def job(self, row: Row, pace: tuple[int, int, float], **more: Any) -> Path:
        """The job file of a row; pace: warm-up, least repetitions, least seconds."""
        # Sampling uses trained weights if there are any.
        weights = self.file(f"{row.model}{'-start' if row.what == 'training' else ''}.safetensors")
        if (row.what, row.model) == ("sampling", "sprites"):
            weights = self.sprites if row.sampler == "ddim" else self.sprites.with_stem("sprites-fast")
        job = {"what": row.what, "model": row.model, "batch": row.batch, "steps": row.steps, "threads": self.threads,
               "warm_up": pace[0], "least": pace[1], "seconds": pace[2],
               # A schedule table takes microseconds, too short for a single measurement.
               "inner": 100 if row.what == "schedule" else 1, "checkpoint": row.checkpoint, "size": row.size,
               "sampler": row.sampler}
        if row.what != "schedule":
            job |= {"weights": str(weights), "inputs": str(self.file(f"{row.name}-inputs.safetensors"))}
        path = self.file(f"{row.name}.json")
        path.write_text(json.dumps(job | more))
        return path

    def ours(self, job: Path) -> dict[str, Any]:
        return self.outcome([self.bin / "compare_ours", job])

    def theirs(self, job: Path) -> dict[str, Any]:
        return self.outcome([sys.executable, Path(__file__).with_name("baseline.py"), job])

    def wall(self, command: list[Any], out: Path) -> float:
        """Wall time in seconds of a process that writes an image."""
        out.unlink(missing_ok=True)
        begun = time.perf_counter()
        self.printed(command)
        seconds = time.perf_counter() - begun
        if not out.read_bytes().startswith(b"\x89PNG"):
            raise Failure(f"{out} is no PNG file")
        return seconds


def compare(programs: Programs, result: Result, modes: list[str]) -> None:
    """Prepares weights and inputs, and compares the outputs."""
    row, still = result.row, (0, 0, 0.0)
    if row.what != "schedule":
        programs.printed([sys.executable, Path(__file__).with_name("prepare.py"), programs.job(row, still)])
    if row.figure == "peak":
        return
    output = str(programs.file(f"{row.name}-output.safetensors"))
    programs.ours(programs.job(row, still, output=output))
    judge(result, programs.theirs(programs.job(row, still, output=output, compare=output, modes=modes)))


def figures(programs: Programs, row: Row) -> tuple[Callable[[], float], Callable[[list[str]], list[float]]]:
    """Functions that run inkdrop, or modes of PyTorch, once."""
    if row.figure == "wall":
        ours, theirs = programs.file("ours.png"), programs.file("theirs.png")
        sample = [programs.bin / "inkdrop", "sample", "sprites", "-n", "1", "--steps", "25", "--out", ours]
        first = [sys.executable, Path(__file__).with_name("first_image.py"), programs.sprites, programs.threads, theirs]
        return lambda: programs.wall(sample, ours), lambda _: [programs.wall(first, theirs)]
    pace = (0, row.times, 0.0) if row.times else (3, 5, 1.5)

    def of(outcome: dict[str, Any], mode: str) -> float:
        found = outcome["peak_mib"] if row.figure == "peak" else outcome["modes"][mode].get("seconds")
        if not found:
            raise Failure(f"{mode} returned no figure: {outcome['modes'].get(mode)}")
        return found if row.figure == "peak" else statistics.median(found)

    def theirs(modes: list[str]) -> list[float]:
        groups = [[mode] for mode in modes] if row.figure == "peak" else [modes]
        outcomes = [(programs.theirs(programs.job(row, pace, modes=group)), group) for group in groups]
        return [of(outcome, mode) for outcome, group in outcomes for mode in group]

    return lambda: of(programs.ours(programs.job(row, pace)), "ours"), theirs


def measure(programs: Programs, result: Result, modes: list[str], pairs: int) -> None:
    """The pairs of a row, in alternating order."""
    ours, theirs = figures(programs, result.row)
    runnable = [mode for mode in modes if mode not in result.troubles]
    for number in range(pairs):
        print(f"{result.row.name}: pair {number + 1} of {pairs}", file=sys.stderr)
        if number % 2 == 0:
            mine, others = ours(), theirs(runnable)
        else:
            others, mine = theirs(runnable), ours()
        for mode, other in zip(runnable, others, strict=True):
            result.pairs.setdefault(mode, []).append((mine, other))
        result.same.append((mine, ours()))


def run_row(programs: Programs, row: Row, modes: list[str], pairs: int) -> Result:
    """Outputs first, then figures; a failure is noted, and the next row runs."""
    result = Result(row)
    try:
        if row.figure != "wall":
            compare(programs, result, modes)
        measure(programs, result, modes, pairs)
    except (Failure, OSError) as failure:
        result.troubles[""], result.failed = f"FAILED: {failure}", True
    return result


def digits(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def amount(figure: str, value: float) -> str:
    """With its unit and three digits."""
    if figure == "peak":
        return f"{value:.0f} MiB"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{digits(value / size)} {unit}"
    return ""


def table(results: list[Result]) -> Iterator[str]:
    """The results as Markdown."""
    yield "| row | against | ours | theirs | ratio | quartiles | spread | |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        figure, name = result.row.figure, result.row.name
        for mode, pairs in [("A/A", result.same), *result.pairs.items()]:
            if not pairs:
                continue
            low, lower, median, upper, high = map(digits, summary([ratio(figure, pair) for pair in pairs]))
            ours, theirs = (amount(figure, statistics.median(side)) for side in zip(*pairs, strict=True))
            word = "" if mode == "A/A" else verdict(figure, pairs, result.same)
            yield (f"| {name if mode == 'A/A' else ''} | {mode} | {ours} | {theirs} | {median} "
                   f"| {lower}–{upper} | {low}–{high} | {word} |")
    for result in results:
        yield from (f"- {result.row.name}{', ' * bool(mode)}{mode}: {text}" for mode, text in result.troubles.items())
    yield ""
    yield "Medians over pairs of new processes, in alternating order. Ratio of times: theirs / ours (above 1, inkdrop is"
    yield "faster); of memory: ours / theirs (below 1, inkdrop takes less). A/A is inkdrop against itself: a ratio inside"
    yield "its spread, or inside the inverse of it, is even."


def machine(threads: int) -> dict[str, Any]:
    """Where it is measured."""
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")] \
        if Path("/proc/cpuinfo").exists() else []
    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return {"cpu": models[0] if models else "unknown processor", "cores": os.cpu_count(), "threads": threads,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "commit": git("rev-parse", "--short", "HEAD") + changed}


def versions(programs: Programs) -> str:
    row = Row("versions", "forward", "sprites")
    outcome = programs.theirs(programs.job(row, (0, 0, 0.0), modes=["import"]))
    text = ", ".join(f"{name} {version}" for name, version in outcome["versions"].items())
    if "+cu" in text:
        text += "\nPyTorch is a build with CUDA: it loads libraries that a CPU build does not have, which costs\n" \
                "start-up time and memory"
    return text


def growth(programs: Programs, series: tuple[str, str, str, str, list[int]], repeats: int) -> list[dict[str, Any]]:
    """The points of a series, with random weights."""
    name, what, model, grows, sizes = series
    points = []
    for size in sizes:
        print(f"{name}: {size}", file=sys.stderr)
        row = Row(name, what, model, size if grows == "batch" else 1, size if grows == "steps" else 1)
        side = {"size": size} if grows == "side" else {}
        job = programs.job(row, (3, 5, 1.5), weights=None, inputs=None, **side)
        outcomes = [programs.ours(job) for _ in range(repeats)]
        seconds = statistics.median(statistics.median(o["modes"]["ours"]["seconds"]) for o in outcomes)
        gflop = outcomes[0].get("gflop")
        points.append({"size": size, "seconds": seconds, "units": size * size if grows == "side" else size,
                       "gflop": gflop and gflop * (size if grows == "batch" else 1),
                       "peak_mib": statistics.median(o["peak_mib"] for o in outcomes)})
    return points


def growth_table(series: tuple[str, str, str, str, list[int]], points: list[dict[str, Any]]) -> Iterator[str]:
    name, _, _, grows, _ = series
    unit = {"batch": "image", "side": "pixel", "steps": "step"}[grows]
    yield f"{name}\n\n| {grows} | time | per {unit} | to linear | GFLOP | per GFLOP | to linear | peak |"
    yield "|---|---|---|---|---|---|---|---|"
    first = points[0]
    for point in points:
        each, start = point["seconds"] / point["units"], first["seconds"] / first["units"]
        flop = "– | – | –"
        if point["gflop"]:
            rate, from_ = point["seconds"] / point["gflop"], first["seconds"] / first["gflop"]
            flop = f"{point['gflop']:.2f} | {amount('seconds', rate)} | {digits(rate / from_)}"
        yield (f"| {point['size']} | {amount('seconds', point['seconds'])} | {amount('seconds', each)} "
               f"| {digits(each / start)} | {flop} | {point['peak_mib']:.0f} MiB |")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a number of at least 1")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("cargo xtask bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--compare", "--against", choices=["pytorch"], help="compare with PyTorch, and numpy for schedules")
    kind.add_argument("--growth", action="store_true", help="measure how time and memory scale")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only rows whose name contains this")
    parser.add_argument("--modes", default="", metavar="MODE,…", help="only these modes of PyTorch (eager is included)")
    parser.add_argument("--pairs", type=positive, default=9, metavar="N", help="pairs of processes per row")
    parser.add_argument("--repeats", type=positive, default=3, metavar="N", help="with --growth: processes per size")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1, metavar="N", help="threads of each operation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release", metavar="DIR", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    names = [series[0] for series in SERIES] if options.growth else [row.name for row in ROWS]
    if not any(options.filter in name for name in names):
        sys.exit(f"no row contains `{options.filter}`, expected one of {', '.join(names)}")
    folder = Path(tempfile.mkdtemp(prefix="compare-", dir=options.bin))
    programs = Programs(options, folder)
    about, results, grown = machine(options.threads), [], {}
    about["versions"] = "" if options.growth else versions(programs)
    print("\n{cpu}, {cores} cores; {date}; commit {commit}; {threads} threads, f32\n{versions}\n".format(**about))
    for series in SERIES if options.growth else []:
        if options.filter in series[0]:
            grown[series[0]] = growth(programs, series, options.repeats)
            print("\n".join(growth_table(series, grown[series[0]])) + "\n")
    for row in [] if options.growth else ROWS:
        if options.filter in row.name:
            chosen = [m for m in row.modes() if not options.modes or m in options.modes.split(",") or m == row.modes()[0]]
            results.append(run_row(programs, row, chosen, options.pairs))
    if results:
        print("\n".join(table(results)))
    if options.json:
        rows = [vars(result) | {"row": result.row.name} for result in results]
        options.json.write_text(json.dumps({"machine": about, "rows": rows, "growth": grown}, indent=2) + "\n")
    if any(result.failed for result in results):
        print(f"the jobs and their files are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
