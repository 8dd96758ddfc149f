"""Sentences of a language model as a prompt set: class names mapped, descriptors made sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.errors import LabelError, PromptError
from ke2nt.labels import NEUTRAL, canonical_name, nearest_expression
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.check import prompt_warnings
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet
from ke2nt.prompts.sentence_files import read_sentences

__all__ = ["DESCRIPTOR_TEMPLATE", "ImportedPrompts", "import_sentences"]

DESCRIPTOR_TEMPLATE = "a photo of a person making a {class} facial expression, which has {text}"

# descriptors that start with a verb of their own
_VERBS = re.compile(r"(has|have|is|are|may|can|often|usually|typically|sometimes)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ImportedPrompts:
    """A prompt set made of a file, and what was changed or is doubtful.

    Attributes:
        prompts: The set.
        renamed: Class of the file → its name in the datasets, where they differ.
        repeated: Class → number of sentences that were there before and are left out.
        warnings: Names that no dataset has, and sentences that are nearly the same.
    """

    prompts: PromptSet
    renamed: Mapping[str, str]
    repeated: Mapping[str, int]
    warnings: tuple[str, ...]


def import_sentences(
    path: str | Path,
    *,
    name: str | None = None,
    template: str | None = None,
    anchor: Sequence[str] | None = None,
    keep_names: bool = False,
    leave_out: Sequence[str] = (),
) -> ImportedPrompts:
    """Read a file of sentences as a prompt set.

    Args:
        path: JSON or CSV, as `read_sentences` reads it.
        name: Name of the set; that of the file unless given.
        template: A sentence with {class} and {text} that every entry is put into, such as
            `DESCRIPTOR_TEMPLATE` for descriptors; None for entries that are whole sentences.
        anchor: Prompts of the neutral anchor; by default those of the class neutral, or the KE2NT
            prompt.
        keep_names: Leave class names as they are, instead of "happiness" for "Happy" or "joy".
        leave_out: Prompts to leave out.

    Raises:
        PromptError: As for `read_sentences`; two classes have one name in the datasets; the
            template or the resulting set is not valid.
    """
    path = Path(path).expanduser()
    found = read_sentences(path)
    renamed, warnings = _map_names(found, path, keep_names)

    # class → prompts, without those that were there before
    descriptions: dict[str, list[str]] = {}
    repeated: dict[str, int] = {}
    for old, texts in found.items():
        class_name = renamed.get(old, old)
        prompts = [_fill(template, class_name, text) for text in texts]
        distinct = dict.fromkeys(prompts)
        if len(distinct) < len(prompts):
            repeated[class_name] = len(prompts) - len(distinct)
        descriptions[class_name] = [text for text in distinct if text not in leave_out]

    neutral = list(anchor) if anchor else [fill_template(PAPER_TEMPLATE, NEUTRAL)]
    prompt_set = PromptSet.from_dict(
        {
            "name": name or _set_name(path),
            "description": f"{sum(map(len, descriptions.values()))} sentences.",
            "source": path.name,
            "classes": dict.fromkeys(descriptions, ()),
            "descriptions": descriptions,
            "anchor": NEUTRAL if NEUTRAL in descriptions and not anchor else neutral,
        },
        where=path,
    )
    return ImportedPrompts(
        prompts=prompt_set,
        renamed=renamed,
        repeated=repeated,
        warnings=(*warnings, *prompt_warnings(prompt_set)),
    )


def _map_names(
    found: Mapping[str, list[str]], path: Path, keep_names: bool
) -> tuple[dict[str, str], list[str]]:
    """Names of the datasets for the classes of a file, where they differ; and doubts."""
    renamed: dict[str, str] = {}
    warnings: list[str] = []
    class_of: dict[str, str] = {}
    for name in found:
        new = " ".join(name.split())
        try:
            new = new if keep_names else canonical_name(name)
        except LabelError:
            near = nearest_expression(name)
            hint = f"; the nearest one is {near!r}" if near else ""
            warnings.append(f"no dataset has a class {name!r}: it stays a word{hint}")

        # "Happy" and "joy" are one class of the datasets
        first = class_of.setdefault(new, name)
        if first != name:
            raise PromptError(
                f"the classes {first!r} and {name!r} are both {new!r} in the datasets",
                where=path,
                hint="Merge them in the file, or leave names as they are with --keep-names.",
            )
        if new != name:
            renamed[name] = new
    return renamed, warnings


def _fill(template: str | None, class_name: str, text: str) -> str:
    """A prompt from an entry of the file."""
    if template is None:
        return text
    if template.count("{text}") != 1 or "{" in template.replace("{class}", "").replace(
        "{text}", ""
    ):
        raise PromptError(
            "the template is not valid",
            expected="a sentence with {text} once, and perhaps {class}",
            found=repr(template),
        )

    # "often smiles" takes no "has" before it
    if _VERBS.match(text):
        template = re.sub(r"\bhas \{text\}", "{text}", template)
    word = class_name.replace("_", " ")
    return fill_template(template, word).replace("{text}", text)


def _set_name(path: Path) -> str:
    """The name of a file as the name of a set."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).strip("_.-")[:64] or "imported"
