"""SCRFD and RetinaFace on tiny ONNX graphs with constant maps, against boxes computed by hand."""

import numpy as np
import pytest

from ke2nt.errors import CheckpointError
from ke2nt.predict.anchor_detectors import AnchorDetector
from ke2nt.predict.detectors import get_detector

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

# stride → sides of RetinaFace's squares
PRIORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}


def cells(side):
    return [(s, x * s, y * s) for s in PRIORS for y in range(side // s) for x in range(side // s)]


def save_constants(path, arrays, side=64):
    """A network that answers the same for every image."""
    helper, types = onnx.helper, onnx.TensorProto
    image = helper.make_tensor_value_info("image", types.FLOAT, [1, 3, side, side])
    nodes, outputs = [], []
    for i, array in enumerate(arrays):
        value = onnx.numpy_helper.from_array(np.asarray(array, np.float32), f"value{i}")
        nodes.append(helper.make_node("Constant", [], [f"out{i}"], value=value))
        outputs.append(helper.make_tensor_value_info(f"out{i}", types.FLOAT, np.shape(array)))
    graph = helper.make_graph(nodes, "constant", [image], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def scrfd_outputs(*, points=True, side=64):
    """Two anchors in each cell; a face at stride 8, row 3, column 2, second anchor."""
    scores, boxes, marks = [], [], []
    for stride in PRIORS:
        count = 2 * (side // stride) ** 2
        scores.append(np.zeros((count, 1)))
        boxes.append(np.ones((count, 4)))
        marks.append(np.zeros((count, 10)))
    row = 2 * (3 * (side // 8) + 2) + 1
    scores[0][row], boxes[0][row] = 0.9, [1, 2, 3, 1.5]
    marks[0][row] = [0.5, -1, 1, 1, 0, 0, 0, 0, 2, 2]
    return [*scores, *boxes, *(marks if points else [])]


def retinaface_outputs(side=64, *, logits=False):
    """A face at stride 16, row 1, column 2, second square (128 px)."""
    count = 2 * len(cells(side))
    row = 2 * cells(side).index((16, 32, 16)) + 1
    boxes, scores, marks = np.zeros((count, 4)), np.tile([0.98, 0.02], (count, 1)), None
    marks = np.zeros((count, 10))
    scores[row] = [0.2, 0.8]
    boxes[row], marks[row, :2] = [1, -0.5, np.log(0.25) / 0.2, np.log(0.5) / 0.2], [-1, 0.5]
    scores = np.log(scores) + 3 if logits else scores
    return [boxes[None], scores[None], marks[None]]


GRAY = np.full((64, 64, 3), 128, np.uint8)
# anchor (16, 24): left 1, top 2, right 3, bottom 1.5 strides of 8
SCRFD_BOX = (8, 8, 40, 36)
# square of 128 px at (40, 24): center + (12.8, -6.4), sides 32 and 64
RETINAFACE_BOX = (36.8, -14.4, 68.8, 49.6)


@pytest.mark.parametrize("name", ["scrfd:{}", "{}"])
def test_scrfd(tmp_path, name):
    path = save_constants(tmp_path / "a.onnx", scrfd_outputs())
    (face,) = get_detector(name.format(path)).detect(GRAY)
    assert face.box == pytest.approx(SCRFD_BOX)
    assert face.score == pytest.approx(0.9)
    assert face.landmarks[0] == pytest.approx((20, 16))
    assert face.landmarks[4] == pytest.approx((32, 40))


def test_scrfd_with_batch_axis_other_order_and_no_landmarks(tmp_path):
    outputs = [array[None] for array in reversed(scrfd_outputs(points=False))]
    (face,) = AnchorDetector(save_constants(tmp_path / "a.onnx", outputs)).detect(GRAY)
    assert face.box == pytest.approx(SCRFD_BOX)
    assert face.landmarks is None


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("name", ["retinaface:{}", "{}"])
def test_retinaface(tmp_path, name, logits):
    path = save_constants(tmp_path / "b.onnx", retinaface_outputs(logits=logits))
    (face,) = get_detector(name.format(path)).detect(GRAY)
    assert face.box == pytest.approx(RETINAFACE_BOX, abs=1e-3)
    assert face.score == pytest.approx(0.8)
    assert face.landmarks[0] == pytest.approx((40 - 12.8, 24 + 6.4), abs=1e-3)


def test_boxes_of_a_file_with_a_fixed_size_are_in_pixels_of_the_image(tmp_path):
    path = save_constants(tmp_path / "a.onnx", scrfd_outputs())
    (face,) = get_detector(str(path)).detect(np.full((96, 192, 3), 128, np.uint8))
    assert face.box == pytest.approx([3 * value for value in SCRFD_BOX])


@pytest.mark.parametrize("name", ["scrfd:{}", "retinaface:{}", "{}"])
def test_other_outputs_are_refused_with_their_shapes(tmp_path, name):
    path = save_constants(tmp_path / "c.onnx", [np.zeros((1, 10, 4)), np.zeros((1, 10, 3))])
    with pytest.raises(CheckpointError, match=r"\(1, 10, 4\), \(1, 10, 3\)"):
        get_detector(name.format(path))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.onnx"):
        get_detector(f"scrfd:{tmp_path / 'none.onnx'}")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"bad\.onnx"):
        get_detector(str(tmp_path / "bad.onnx"))
