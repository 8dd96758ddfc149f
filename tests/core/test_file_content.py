"""Files that are saved under the name of a weights file and are something else."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from ke2nt.errors import CheckpointError
from ke2nt.predict.detectors import get_detector
from ke2nt.runtime.file_content import foreign_content, is_safetensors
from ke2nt.runtime.tensor_files import read_metadata, read_safetensors, read_tensor_groups

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.ones(3))
    return buffer.getvalue()


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights.pth", b"x")
    return buffer.getvalue()


FOREIGN = {
    "empty file": b"",
    "Git LFS pointer": LFS,
    r"web page \(HTML\)": b"\n<!DOCTYPE html><html>404</html>",
    "(?i)web page": b"\xef\xbb\xbf<HTML><body>quota exceeded",
    r"NumPy array": npy(),
    r"NumPy archive \(.npz\)": npz(),
    "zip archive": zipped(),
    "gzip": b"\x1f\x8b\x08rest",
    "HDF5": b"\x89HDF\r\n",
    "an image": b"\xff\xd8\xff\xe0JFIF",
}


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
def test_every_reader_names_what_a_file_is(tmp_path, words, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(FOREIGN[words])
    readers = [read_tensor_groups]
    if suffix == ".safetensors":
        readers += [read_safetensors, read_metadata]
    for read in readers:
        with pytest.raises(CheckpointError, match=words):
            read(path)


def test_files_of_torch_and_safetensors_are_not_foreign(tmp_path):
    tensors = {"weight": torch.ones(3)}
    for name, is_new in (("new.pt", True), ("old.pt", False)):
        torch.save(tensors, tmp_path / name, _use_new_zipfile_serialization=is_new)
        assert foreign_content(tmp_path / name) is None
        assert not is_safetensors(tmp_path / name)
    (tmp_path / "w.bin").write_bytes(save(tensors))
    assert foreign_content(tmp_path / "w.bin") is None
    assert is_safetensors(tmp_path / "w.bin")


def test_a_detector_file_is_named_for_what_it_is(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "yunet.onnx").write_bytes(LFS)
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        get_detector(f"yunet:{tmp_path / 'yunet.onnx'}")
