"""MMI facial expression database (Pantic et al., ICME 2005)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ke2nt.data.picture_formats import is_image_name
from ke2nt.data.sample import FaceSample, ImageSource
from ke2nt.data.video_frame import VideoFrame
from ke2nt.datasets.base import list_entries, list_folders
from ke2nt.datasets.class_words import canonical_or_same, remark_on_words
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.subject_folds import SubjectReader
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL, DATASET_LABELS, NEUTRAL

__all__ = ["MMI"]

# As published code reads them; no document of MMI was at hand to check them with
_CODES: Mapping[int, str] = dict(enumerate(DATASET_LABELS["mmi"][1:], start=1))
_VIDEOS = (".avi", ".mp4", ".mov", ".mpg", ".mpeg", ".wmv")
_UNITS_SUFFIX = "-oao_aucs.xml"  # action units by frame
# Emotions go from neutral to the apex and back, and no frame is marked as the apex
_APEX = (0.45, 0.5, 0.55)


@dataclass(frozen=True)
class _Session:
    """One recording.

    Attributes:
        folder: Its folder.
        subject: The person.
        code: Number of the emotion, or None where the XML files name none.
        view: View of the camera as session.xml numbers it, or None.
        media: The video, or images in order.
    """

    folder: Path
    subject: str
    code: int | None
    view: str | None
    media: tuple[Path, ...]


class MMI(SubjectReader):
    """MMI: sessions with a video or images and XML files, of which some show an emotion.

    The frames around the middle of a session are its emotion and the first one is neutral, as
    sessions go from neutral to the apex and back; MMI marks no frame as the apex. Numbers of
    emotions are read as published code does: 1 anger, 2 disgust, 3 fear, 4 happiness, 5 sadness,
    6 surprise. Other numbers are left out and named, until `codes` says what they mean. Sessions
    without an emotion, and views from the side, are left out.

    Args:
        root: Folder that holds `Sessions`, or that folder.
        neutral: Whether the first frame of each session is a neutral sample.
        codes: Number → expression, in place of the numbers above. Words are read as those of class
            folders are ("Happy" is happiness); unknown ones are classes of their own.
        views: Number of the view in session.xml to read, or several with commas; 0 is frontal.
        folds: Number of folds, at least 3.
        fold: Which fold to test on, from 0; None gives the one split `all`.
    """

    name = "mmi"
    summary = "Posed videos, 6 or 7 classes, subjects known; needs the extra predict"
    expected_tree = (
        "Sessions/1/session.xml (subject and view)\n"
        "Sessions/1/S001-001.xml (number of the emotion)\n"
        "Sessions/1/S001-001.avi (or images)"
    )
    classes: tuple[str, ...] = DATASET_LABELS["mmi"]

    def __init__(
        self,
        root: str | Path | None,
        *,
        neutral: bool = True,
        codes: dict[Any, Any] | None = None,
        views: str | int = "0",
        folds: int = 10,
        fold: int | None = None,
    ) -> None:
        super().__init__(root, folds=folds, fold=fold)
        self._codes = _CODES if codes is None else _read_codes(codes)
        self._views = {view.strip() for view in str(views).split(",")}
        known = DATASET_LABELS["mmi"]
        order = [*known, *sorted(set(self._codes.values()) - set(known))]
        used = {*self._codes.values(), *([NEUTRAL] if neutral else [])}
        self.classes = tuple(name for name in order if name in used)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        folder = root / "Sessions" if (root / "Sessions").is_dir() else root
        return any((session / "session.xml").is_file() for session in list_folders(folder)[:20])

    def read_faces(self) -> Iterator[FaceSample]:
        for session in self._sessions:
            name = self._codes.get(session.code) if session.code is not None else None
            if name is None or not self._is_read(session):
                continue
            for label, place, source in _choose_frames(session, name):
                if label in self.classes:
                    index = self.classes.index(label)
                    text = f"{self.relative(session.folder)}:{place}"
                    yield FaceSample(text, source, index, subject=session.subject)

    def remarks(self) -> Iterator[Finding]:
        yield from remark_on_words([*self._codes.values(), *CANONICAL])
        unknown = Counter(
            s.code for s in self._sessions if s.code is not None and s.code not in self._codes
        )
        if unknown:
            lines = [f"{code} ({count} sessions)" for code, count in sorted(unknown.items())]
            message = (
                f"numbers of emotions without a known meaning are left out: {', '.join(lines)}"
            )
            hint = "Name them with --option 'codes={1: anger, …}'."
            yield make_finding("warning", "unknown_codes", message, lines, hint)

        side = [
            s.folder.name for s in self._sessions if s.code is not None and not self._is_read(s)
        ]
        if side:
            message = f"{len(side)} sessions from other views are left out"
            hint = "To read them, name the views with --option views=0,1."
            yield make_finding("note", "other_views", message, side, hint)
        without = [s.folder.name for s in self._sessions if s.code is None]
        if without:
            message = f"{len(without)} sessions name no emotion and are left out"
            hint = "MMI has sessions of single action units, too."
            yield make_finding("note", "no_emotion", message, without, hint)

    def _is_read(self, session: _Session) -> bool:
        return session.view is None or session.view in self._views

    @cached_property
    def _sessions(self) -> list[_Session]:
        folder = self.root / "Sessions" if (self.root / "Sessions").is_dir() else self.root
        return [_read_session(path) for path in _by_number(list_folders(folder))]


def _read_session(folder: Path) -> _Session:
    """Read the XML files of a session, and list its media."""
    entries = list_entries(folder)
    videos = tuple(path for path in entries if path.suffix.lower() in _VIDEOS)
    media = videos[:1] or tuple(path for path in entries if is_image_name(path))
    facts = folder / "session.xml"
    root = _parse(facts) if facts.is_file() else None

    # the name of the video begins with the person: S001-001
    match = re.match(r"S\d+", media[0].name) if media else None
    subject = _attribute(root, "subject", "id") or (match[0] if match else folder.name)
    view = _attribute(root, "track", "view")
    codes = [_emotion(path) for path in entries if _may_name_emotion(path)]
    code = next((code for code in codes if code is not None), None)
    return _Session(folder, subject, code, view, media)


def _choose_frames(session: _Session, name: str) -> Iterator[tuple[str, str, ImageSource]]:
    """Class, place and source of each frame that is read of a session."""
    if not session.media:
        # listed, so that it counts as a missing image
        yield name, "middle", session.folder / f"{session.folder.name}.avi"
        return
    first, *others = session.media
    is_video = first.suffix.lower() in _VIDEOS

    # one image shows the apex alone
    if is_video or others:
        yield NEUTRAL, "first", VideoFrame(first, 0) if is_video else first
    for share in _APEX:
        if is_video:
            yield name, f"{share:g}", VideoFrame(first, share)
    if not is_video:
        last = len(session.media) - 1
        for index in dict.fromkeys(round(share * last) for share in _APEX):
            yield name, session.media[index].name, session.media[index]


def _may_name_emotion(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(".xml") and name != "session.xml" and not name.endswith(_UNITS_SUFFIX)


def _emotion(path: Path) -> int | None:
    """The number in <Metatag Name="Emotion" Value="…"/>, if there is one."""
    for element in _parse(path).iter():
        if _tag(element) == "metatag" and element.get("Name", "").lower() == "emotion":
            value = element.get("Value", "").strip()
            if re.fullmatch(r"\d{1,3}", value):
                return int(value)
            if value:
                raise DataError(
                    "not a number of an emotion", where=path, expected="a whole number", found=value
                )
    return None


def _attribute(root: ElementTree.Element | None, tag: str, name: str) -> str | None:
    """An attribute of the first element of a kind."""
    elements = () if root is None else root.iter()
    values = (element.get(name) for element in elements if _tag(element) == tag)
    return next((value.strip() for value in values if value and value.strip()), None)


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DataError("an XML file cannot be read", where=path, found=error) from error


def _read_codes(codes: Mapping[Any, Any]) -> dict[int, str]:
    """Number → expression of the option."""
    read = {}
    for number, name in codes.items():
        if (
            not re.fullmatch(r"\d{1,3}", str(number))
            or not isinstance(name, str)
            or not name.strip()
        ):
            raise DataError(
                "codes is not valid",
                expected="{1: anger, 2: disgust, …}",
                found=f"{number}: {name}",
            )
        read[int(str(number))] = canonical_or_same(name.strip(), CANONICAL)
    return read


def _by_number(folders: list[Path]) -> list[Path]:
    """Sessions in the order of their numbers."""
    return sorted(folders, key=lambda path: (len(path.name), path.name))
