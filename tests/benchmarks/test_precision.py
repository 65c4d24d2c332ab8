"""What the benchmark of precisions compares: the same networks, by the same seeds, in both."""

from __future__ import annotations

import pytest
import torch

from benchmarks.precision import Case, main, points, taus
from spaces.library.named_spaces import load_space


def test_both_precisions_score_the_same_networks() -> None:
    case = Case("digits", {"name": "digits"}, load_space("digits"), 1, 0.1)
    full, low = (case.config(precision, 3, "cpu", {"kind": "oneshot"}) for precision in ("fp32", "bf16"))
    assert full.model_copy(update={"precision": "bf16"}) == low
    assert case.archs(8) == case.archs(8)
    assert len(set(case.archs(8))) == 8


def test_agreement_of_pairs() -> None:
    """By hand: one of three pairs of networks is ordered otherwise."""
    pairs = [([0.1, 0.2, 0.3], [0.1, 0.3, 0.2]), ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])]
    assert taus(pairs) == "0.67 (0.33 to 1.00)"
    assert points(pairs) == "3.33"


def test_everything_is_told_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    main(["--smoke", "--markdown"])
    torch.set_num_threads(threads)
    told = capsys.readouterr().out
    for words in ("| digits | the same weights (of fp32), scored in bf16 |", "| digits | 2 x 2 |", "bf16 / fp32"):
        assert words in told
