"""The readers of single datasets, by name. A new one is one file and one line here."""

from __future__ import annotations

from ke2nt.datasets.affectnet import AffectNet7, AffectNet8
from ke2nt.datasets.base import Reader
from ke2nt.datasets.ckplus import CKPlus
from ke2nt.datasets.drawn import DrawnReader
from ke2nt.datasets.expw import ExpW
from ke2nt.datasets.fer2013 import FER2013
from ke2nt.datasets.ferplus import FERPlus
from ke2nt.datasets.folder import ImageFolder
from ke2nt.datasets.huggingface import HuggingFace
from ke2nt.datasets.jaffe import JAFFE
from ke2nt.datasets.manifest import Manifest
from ke2nt.datasets.mmi import MMI
from ke2nt.datasets.oulucasia import OuluCASIA
from ke2nt.datasets.packed import Packed
from ke2nt.datasets.rafdb import RAFDB
from ke2nt.datasets.rafdb_compound import RAFDBCompound
from ke2nt.datasets.sfew import SFEW
from ke2nt.datasets.yolo import Yolo

__all__ = ["SINGLE_READERS"]

# Everything in `catalog.READERS` except "corruptions", which wraps one of these
SINGLE_READERS: dict[str, type[Reader]] = {
    "ferplus": FERPlus,
    "rafdb": RAFDB,
    "rafdb_compound": RAFDBCompound,
    "affectnet7": AffectNet7,
    "affectnet8": AffectNet8,
    "ckplus": CKPlus,
    "fer2013": FER2013,
    "oulucasia": OuluCASIA,
    "mmi": MMI,
    "jaffe": JAFFE,
    "sfew": SFEW,
    "expw": ExpW,
    "folder": ImageFolder,
    "manifest": Manifest,
    "yolo": Yolo,
    "huggingface": HuggingFace,
    "packed": Packed,
    "drawn": DrawnReader,
}
