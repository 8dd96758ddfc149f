"""Label policies: reordering, merging, dropping, keeping, and what the result says about them."""

import csv
import io
import json

import numpy as np
import pytest

from ke2nt.errors import DataError, LabelError
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import score_predictions

MODEL = ("neutral", "happiness", "disgust", "fear")


def make(data_classes, labels, probabilities, embeddings=None):
    return Predictions(
        probabilities=np.array(probabilities, dtype=np.float64),
        labels=np.array(labels),
        names=tuple(f"n{i}" for i in range(len(labels))),
        classes=MODEL,
        data_classes=data_classes,
        embeddings=embeddings,
        failed=(("broken.png", "not an image"),),
    )


def test_strict_reorders_by_name():
    data = ("fear", "disgust", "happiness", "neutral")
    result = score_predictions(make(data, [0, 1, 2, 3], np.eye(4)[[3, 2, 1, 0]]), bootstrap=0)
    assert result.report.accuracy == 1
    assert result.report.classes == MODEL
    assert result.predictions.labels.tolist() == [3, 2, 1, 0]


def test_strict_refuses_other_classes():
    with pytest.raises(LabelError, match="label sets differ"):
        score_predictions(make(("neutral", "happiness", "disgust"), [0], [[1, 0, 0, 0]]))


def test_merge_maps_a_class_to_another():
    data = (*MODEL, "contempt")
    p = make(data, [4, 2, 0], [[0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]])
    result = score_predictions(p, merge={"contempt": "disgust"}, bootstrap=0)
    assert result.report.accuracy == 1
    assert result.report.per_class[2].support == 2
    assert result.to_dict()["labels"]["merged"] == {"contempt": "disgust"}
    assert "contempt → disgust" in result.to_dict()["labels"]["summary"]


def test_drop_removes_samples_and_masks_predictions():
    data = ("contempt", "happiness", "neutral")
    rows = [[1, 0, 0, 0], [0.1, 0.3, 0.2, 0.4], [0.4, 0.1, 0.5, 0], [0, 0, 1, 0]]
    embeddings = np.arange(8.0).reshape(4, 2)
    result = score_predictions(
        make(data, [0, 1, 2, 2], rows, embeddings), policy="drop", bootstrap=0
    )
    assert result.report.classes == ("neutral", "happiness")
    assert result.report.n == 3
    assert result.dropped == {"contempt": 1}
    expected = [[0.25, 0.75], [0.8, 0.2], [0.5, 0.5]]  # no mass at all on the kept: uniform
    assert np.allclose(result.predictions.probabilities, expected)
    assert result.predictions.labels.tolist() == [1, 0, 0]
    assert result.predictions.names == ("n1", "n2", "n3")
    assert result.predictions.embeddings.tolist() == [[2, 3], [4, 5], [6, 7]]
    assert result.report.accuracy == 1


def test_keep_counts_other_predictions_as_wrong():
    data = ("happiness", "neutral")
    rows = [[0.1, 0.3, 0.2, 0.4], [0.6, 0.1, 0.3, 0]]
    result = score_predictions(make(data, [0, 1], rows), policy="keep", bootstrap=20)
    assert result.report.classes == MODEL
    assert result.report.accuracy == 0.5
    assert result.report.uar == 0.5
    assert result.report.per_class[3].recall is None
    assert result.report.confusion[1, 3] == 1


def test_nothing_left_is_an_error():
    data = ("contempt", "neutral")
    with pytest.raises(DataError, match="no image is left"):
        score_predictions(make(data, [0, 0], [[1, 0, 0, 0]] * 2), policy="drop")


def test_a_model_without_a_choice_is_not_scored():
    predictions = make(("neutral",), [0, 0], [[0.25, 0.25, 0.25, 0.25]] * 2)
    with pytest.raises(LabelError, match="only one class is shared"):
        score_predictions(predictions, policy="drop")
    assert score_predictions(predictions, policy="keep", bootstrap=0).report.n == 2


def test_json_and_csv():
    p = make(MODEL, [0, 3], [[0.75, 0.25, 0, 0], [0.5, 0.25, 0, 0.25]])
    result = score_predictions(p, bootstrap=10, seed=4, settings={"dataset": "drawn"})
    value = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert value["dataset"] == "drawn"
    assert value["failed"] == [{"name": "broken.png", "reason": "not an image"}]
    assert value["intervals"]["resamples"] == 10
    assert value["intervals"]["seed"] == 4
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert rows[0] == {
        "name": "n0",
        "label": "neutral",
        "predicted": "neutral",
        "p_neutral": "0.75",
        "p_happiness": "0.25",
        "p_disgust": "0",
        "p_fear": "0",
    }
    assert (rows[1]["label"], rows[1]["predicted"]) == ("fear", "neutral")
