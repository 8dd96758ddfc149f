"""Miniature copies of Oulu-CASIA, MMI, JAFFE, SFEW and ExpW in their official layouts."""

from __future__ import annotations

from reader_trees import write_image, write_text

OULU = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
JAFFE = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")
SFEW = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
SESSION = '<session><subject id="{}"/><track type="Video" view="{}"/></session>'
EMOTION = (
    '<ActionUnitCoding><Metatag Name="Posed" Value="1"/><Metatag Name="Emotion" Value="{}"/>'
    "</ActionUnitCoding>"
)


def write_oulu(root, people=3, top="PreProcess_Img/VL_Acropped/Strong", frames=5):
    for person in range(1, people + 1):
        for name in OULU:
            for frame in range(frames):
                write_image(root / top / f"P{person:03d}" / name / f"{frame:03d}.jpeg", frame, 4)
    return root


def write_mmi(root, sessions):
    """Sessions of images: number → (person, view, number of the emotion or None, frames)."""
    for number, (person, view, code, frames) in sessions.items():
        folder = root / "Sessions" / str(number)
        write_text(folder / "session.xml", SESSION.format(person, view))
        for frame in range(frames):
            write_image(folder / f"S{person:03d}-{number:03d}-{frame:03d}.png", frame, 4)
        if code is not None:
            write_text(folder / f"S{person:03d}-{number:03d}.xml", EMOTION.format(code))
        write_text(folder / f"S{person:03d}-{number:03d}-oao_aucs.xml", "<AUs/>")
    return root


def write_jaffe(root, people=("KA", "KL", "KM"), codes=JAFFE):
    for person in people:
        for number, code in enumerate(codes):
            write_image(root / f"{person}.{code}1.{number}.tiff", number, 4)
    return root


def write_sfew(root, aligned=True):
    inner = {"Train": "Train_Aligned_Faces", "Val": "Val_Aligned_Faces_new"}
    for split, folder in inner.items():
        for name in SFEW:
            file = f"{name}/Airheads_000519240_{len(name):08d}.png"
            write_image(root / split / (folder if aligned else "") / file, len(name), 4)
    write_image(root / "Test" / "Test_Aligned_Faces" / "a_000519240_00000001.png", 1, 4)
    return root


def write_expw(root, lines):
    write_text(root / "label" / "label.lst", "\n".join(lines) + "\n")
    for line in lines:
        write_image(root / "image" / "origin" / line.split()[0], 1, 20)
    return root
