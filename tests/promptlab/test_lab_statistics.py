"""McNemar's test and the paired bootstrap against known values and plain resampling."""

from __future__ import annotations

import numpy as np
import pytest
from lab_oracles import CLASSES, random_faces, slow_metrics, slow_predictions, words_set

from ke2nt.errors import DataError
from ke2nt.promptlab import compare
from ke2nt.promptlab.comparison import compare_predictions
from ke2nt.promptlab.intervals import compute_difference, compute_metrics, count_paired_outcomes
from ke2nt.promptlab.mcnemar import EXACT_UP_TO, mcnemar


def test_mcnemar_by_hand():
    found = mcnemar(1, 5)  # 2 · (C(6,0) + C(6,1)) / 2⁶
    assert found.p_value == 2 * 7 / 64
    assert found.exact
    assert mcnemar(0, 0).p_value == 1
    assert mcnemar(3, 3).p_value == 1


@pytest.mark.parametrize(("b", "c"), [(0, 4), (7, 2), (30, 55), (12, 13), (400, 470), (500, 500)])
def test_mcnemar_equals_the_binomial_test(b, c):
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar(b, c).p_value == pytest.approx(stats.binomtest(b, b + c).pvalue, rel=1e-9)


def test_mcnemar_of_many_is_chi_squared_and_joins_the_exact_test():
    stats = pytest.importorskip("scipy.stats")
    b, c = 640, 560
    found = mcnemar(b, c)
    assert not found.exact
    chi = (abs(b - c) - 1) ** 2 / (b + c)
    assert found.p_value == pytest.approx(stats.chi2.sf(chi, 1), rel=1e-9)
    assert found.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue, rel=0.02)
    assert mcnemar(EXACT_UP_TO, 0).exact
    assert not mcnemar(EXACT_UP_TO, 1).exact


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(DataError):
        mcnemar(-1, 2)


def outcomes(n=400, seed=0, gap=0.1):
    """Two answers, right with probability 0.6 and 0.6 + gap, that mostly agree."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    luck = rng.random(n)
    return luck < 0.6, luck < 0.6 + gap, labels


def test_outcomes_are_counted_by_class():
    first, second, labels = outcomes()
    table = count_paired_outcomes(first, second, labels, 3)
    for k in range(3):
        mine = labels == k
        assert table[k].tolist() == [
            (first & second & mine).sum(),
            (first & ~second & mine).sum(),
            (~first & second & mine).sum(),
            (~first & ~second & mine).sum(),
        ]


def test_interval_matches_paired_resampling():
    first, second, labels = outcomes()
    found = compute_difference(
        count_paired_outcomes(first, second, labels, 3), resamples=4000, seed=3
    )
    rng = np.random.default_rng(9)
    accuracy, uar = [], []
    for _ in range(2000):
        rows = rng.integers(0, len(labels), len(labels))
        gap = second[rows].astype(float) - first[rows]
        accuracy.append(gap.mean())
        uar.append(np.mean([gap[labels[rows] == k].mean() for k in range(3)]))
    for name, values in (("accuracy", accuracy), ("uar", uar)):
        expected = np.percentile(values, [2.5, 97.5])
        assert found.intervals[name] == pytest.approx(expected, abs=0.006)
    assert found.accuracy == pytest.approx(second.mean() - first.mean())


def test_pairing_narrows_the_interval():
    first, second, labels = outcomes()
    table = count_paired_outcomes(first, second, labels, 3)
    low, high = compute_difference(table).intervals["accuracy"]
    one = compute_metrics(table[:, :2].sum(axis=1), table.sum(axis=1)).intervals["accuracy"]
    assert high - low < 0.8 * (one[1] - one[0])


def test_intervals_have_nominal_coverage():
    covered = 0
    for seed in range(200):
        first, second, labels = outcomes(300, seed)
        table = count_paired_outcomes(first, second, labels, 3)
        low, high = compute_difference(table, resamples=300, seed=seed).intervals["accuracy"]
        covered += low <= 0.1 <= high
    assert 0.88 * 200 <= covered <= 0.99 * 200


def test_the_same_seed_gives_the_same_intervals():
    table = count_paired_outcomes(*outcomes(), 3)
    assert compute_difference(table, seed=5) == compute_difference(table, seed=5)
    assert (
        compute_difference(table, seed=5).intervals != compute_difference(table, seed=6).intervals
    )
    assert compute_difference(table, resamples=0).intervals == {}


def test_a_class_without_images_has_no_recall():
    found = compute_metrics(np.array([3, 0]), np.array([4, 0]))
    assert found.recall == (0.75, None)
    assert found.recall_intervals[1] is None
    assert found.uar == 0.75


def test_compare_matches_slow_scores(encoder):
    images = random_faces(200)
    other = words_set(name="other", templates=["so {class}", "{class} indeed"])
    found = compare(images, words_set(), other, text_encoder=encoder, bootstrap=50)
    rights = []
    for prompt_set, metrics in ((words_set(), found.first), (other, found.second)):
        texts = [prompt_set.render(name) for name in CLASSES]
        predicted = slow_predictions(images.embeddings, texts, encoder)
        accuracy, uar, recalls = slow_metrics(predicted, images.labels, len(CLASSES))
        assert (metrics.accuracy, metrics.uar) == pytest.approx((accuracy, uar))
        assert metrics.recall == pytest.approx(recalls)
        rights.append(predicted == images.labels)
    assert found.difference.accuracy == pytest.approx(rights[1].mean() - rights[0].mean())
    assert (found.test.only_first, found.test.only_second) == (
        (rights[0] & ~rights[1]).sum(),
        (rights[1] & ~rights[0]).sum(),
    )
    assert found.gained == tuple(np.array(images.names)[rights[1] & ~rights[0]])
    assert found.lost == tuple(np.array(images.names)[rights[0] & ~rights[1]])
    assert sum(t.only_first for t in found.class_tests) == found.test.only_first


def test_planted_difference_is_found_and_equal_predictions_do_not_differ():
    labels = np.repeat(np.arange(4), 50)
    good, bad = labels.copy(), labels.copy()
    bad[::5] = (bad[::5] + 1) % 4
    found = compare_predictions(bad, good, labels, CLASSES)
    assert found.difference.accuracy == pytest.approx(0.2)
    assert found.difference.intervals["accuracy"][0] > 0
    assert found.test.p_value < 1e-6
    same = compare_predictions(bad, bad, labels, CLASSES)
    assert same.test.p_value == 1
    assert same.difference.intervals["uar"] == (0, 0)


def test_predictions_of_other_images_are_refused():
    with pytest.raises(DataError):
        compare_predictions(np.zeros(3), np.zeros(4), np.zeros(4), CLASSES)
