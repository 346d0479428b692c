from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tomolift.training import ConfigError
from tomolift.training._split import Split, choose_cases, keep_split, make_split, nested_subset

CASES = tuple(f"case_{index:03d}" for index in range(17))


def test_every_case_is_evaluated_once_and_never_trained_on_in_its_fold() -> None:
    split = make_split(CASES, folds=5)
    evaluated = [case for fold in range(5) for case in split.evaluation(fold)]
    assert sorted(evaluated) == list(CASES)
    for fold in range(5):
        assert set(split.training(fold)) == set(CASES) - set(split.evaluation(fold))


def test_the_split_depends_on_the_seed_alone_not_on_the_order_of_the_cases() -> None:
    assert make_split(CASES[::-1]) == make_split(CASES)
    assert make_split(CASES, seed=1) != make_split(CASES, seed=0)


def test_a_subset_of_cases_is_seeded_and_within_the_cases() -> None:
    subset = choose_cases(CASES, 6)
    assert subset == choose_cases(CASES[::-1], 6)
    assert len(set(subset)) == 6
    assert set(subset) < set(CASES)
    assert choose_cases(CASES, 0) == CASES
    with pytest.raises(ConfigError, match="--cases 18"):
        choose_cases(CASES, 18)


def test_overlapping_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="case a stands in two parts"):
        Split((("a", "b"), ("a",)))


def test_fewer_cases_than_folds_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 cases cannot make 5 folds"):
        make_split(CASES[:3])


def test_a_kept_split_is_read_back_and_another_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split = make_split(CASES)
    assert keep_split(path, split) == split
    assert keep_split(path, split) == split
    with pytest.raises(ConfigError, match="choose another --out"):
        keep_split(path, make_split(CASES[:10]))


def test_a_split_file_edited_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    keep_split(path, make_split(CASES))
    stored = json.loads(path.read_text())
    stored["parts"][0], stored["parts"][1] = stored["parts"][1], stored["parts"][0]
    path.write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match="edited by hand"):
        keep_split(path, make_split(CASES))
    path.write_text("{")
    with pytest.raises(ConfigError, match="damaged split file"):
        keep_split(path, make_split(CASES))


def test_fractions_of_the_training_cases_are_nested() -> None:
    shares = [nested_subset(CASES, f, fold=1, seed=3) for f in (0.01, 0.25, 0.5, 0.75, 1.0)]
    assert [len(share) for share in shares] == [1, 4, 8, 13, 17]
    for smaller, larger in pairwise(shares):
        assert set(smaller) < set(larger)
    assert shares[-1] == CASES


def test_the_choice_of_a_fraction_depends_on_fold_and_seed_not_on_the_cases_order() -> None:
    def choose(cases: tuple[str, ...], fold: int, seed: int) -> tuple[str, ...]:
        return nested_subset(cases, 0.4, fold=fold, seed=seed)

    assert choose(CASES[::-1], 0, 0) == choose(CASES, 0, 0)
    assert len({choose(CASES, 0, 0), choose(CASES, 1, 0), choose(CASES, 0, 1)}) == 3
