"""Tests of the driver, with the standard library only: `python3 -m unittest discover benches/compare`."""

import math
import unittest
from pathlib import Path

from driver import ROWS, Failure, Programs, Result, amount, digits, judge, ratio, run_row, summary, table, verdict


def result(modes: dict[str, float | str | None]) -> tuple[Result, dict[str, object]]:
    """A row, and an outcome with these absolute differences, or errors."""
    def found(value: float | str | None) -> dict[str, object]:
        if isinstance(value, str):
            return {"error": value}
        return {"difference": {"absolute": value, "largest": 0.5, "each": 0, "relative": 0}}

    return Result(ROWS[0]), {"modes": {mode: found(value) for mode, value in modes.items()}}


class Stand(Programs):
    """Programs that run nothing: inkdrop takes 1 s, PyTorch 2 s."""

    def __init__(self, apart: float) -> None:
        self.apart, self.log = apart, []

    def printed(self, command: list[object]) -> str:
        return ""

    def job(self, row: object, pace: object, **more: object) -> dict[str, object]:  # type: ignore[override]
        return more

    def file(self, name: str) -> Path:
        return Path(name)

    def ours(self, job: object) -> dict[str, object]:
        self.log.append("ours")
        return {"modes": {"ours": {"seconds": [1.0]}}}

    def theirs(self, job: dict[str, object]) -> dict[str, object]:  # type: ignore[override]
        self.log.append("theirs")
        _, outcome = result({"ours": self.apart, "eager": 0})
        return outcome if "compare" in job else {"modes": {"eager": {"seconds": [2.0]}}}


class Driver(unittest.TestCase):
    def test_outputs_are_compared_and_then_pairs_measured(self) -> None:
        stand = Stand(1e-6)
        found = run_row(stand, ROWS[0], ["eager"], 5)
        self.assertFalse(found.failed)
        self.assertEqual(found.pairs["eager"], [(1.0, 2.0)] * 5)
        # Once to compare, then in each pair once with PyTorch and once more for itself.
        self.assertEqual(stand.log.count("ours"), 1 + 5 * 2)
        order = "".join(word[0] for word in stand.log[2:])
        self.assertEqual(order, "oto" + "too" + "oto" + "too" + "oto")

    def test_different_outputs_are_not_timed(self) -> None:
        stand = Stand(1e-4)
        found = run_row(stand, ROWS[0], ["eager"], 5)
        self.assertTrue(found.failed)
        self.assertIn("inkdrop's outputs differ by 1.0e-04", found.troubles[""])
        self.assertEqual(stand.log.count("ours"), 1)

    def test_five_numbers_are_those_of_numpy(self) -> None:
        self.assertEqual(summary([4.0, 1.0, 3.0, 2.0]), [1.0, 1.75, 2.5, 3.25, 4.0])
        self.assertEqual(summary([2.0]), [2.0] * 5)

    def test_ratios_are_paired(self) -> None:
        self.assertEqual(ratio("seconds", (2.0, 3.0)), 1.5)
        self.assertEqual(ratio("peak", (1.0, 2.0)), 0.5)

    def test_nothing_inside_the_spread_of_the_same_is_claimed(self) -> None:
        same = [(1.0, theirs) for theirs in (0.8, 1.0, 1.1, 1.0, 1.0)]
        words = [verdict("seconds", [(1.0, theirs)], same) for theirs in (0.79, 0.81, 1.24, 1.26)]
        self.assertEqual(words, ["slower", "even", "even", "faster"])
        words = [verdict("peak", [(1.0, theirs)], same) for theirs in (0.5, 1.1, 2.0)]
        self.assertEqual(words, ["more", "even", "less"])
        self.assertEqual(verdict("seconds", [(1.0, 9.0)], same[:4]), "too few")
        self.assertEqual(verdict("seconds", [], same), "")

    def test_a_baseline_that_differs_or_cannot_run_is_left_out(self) -> None:
        found, outcome = result({"ours": 1e-6, "eager": 0, "channels_last": 1e-4, "compile": "no compiler"})
        judge(found, outcome)
        self.assertEqual(sorted(found.troubles), ["channels_last", "compile"])
        self.assertTrue(found.failed, "different outputs are a failure, a missing compiler is not")

    def test_a_row_whose_outputs_differ_is_not_timed(self) -> None:
        for ours in (3e-5, None, math.nan):
            found, outcome = result({"ours": ours, "eager": 0})
            with self.assertRaisesRegex(Failure, "not timed"):
                judge(found, outcome)
        found, outcome = result({"eager": "out of memory"})
        with self.assertRaises(Failure):
            judge(found, outcome)

    def test_figures_have_a_unit_and_three_digits(self) -> None:
        all_ = [amount("seconds", value) for value in (12.34, 1.0, 0.1234, 0.001, 1.23456e-5)]
        self.assertEqual(all_, ["12.3 s", "1.00 s", "123 ms", "1.00 ms", "12.3 µs"])
        self.assertEqual(amount("peak", 123.4), "123 MiB")
        self.assertEqual([digits(value) for value in (0.987, 12.345, 234.5)], ["0.99", "12.3", "234"])

    def test_a_table_has_a_line_for_each_baseline(self) -> None:
        found, _ = result({})
        found.same = [(0.4, 0.4)] * 5
        found.pairs = {"eager": [(0.4, 0.8)] * 5}
        found.troubles = {"compile": "cannot run: no compiler"}
        text = "\n".join(table([found]))
        self.assertIn("|  | eager | 400 ms | 800 ms | 2.00 | 2.00–2.00 | 2.00–2.00 | faster |", text)
        self.assertIn("- forward/context/1, compile: cannot run: no compiler", text)

    def test_names_are_there_once(self) -> None:
        self.assertEqual(len({row.name for row in ROWS}), len(ROWS))


if __name__ == "__main__":
    unittest.main()
