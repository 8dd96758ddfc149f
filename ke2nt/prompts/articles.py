"""The right article before a class word: "an anger", "a happy", "a unique", "an hour-long"."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["article", "fill_template"]

# A vowel letter that sounds like a consonant: "you" (unique, usual, euphoric, ewe) or "w" (one).
_CONSONANT_SOUND = re.compile(
    r"eu|ew|ubi|ufo|uk|ut[eio]|us[aeu]|ur[aeio]|unanim|one(?![a-z])|once|oneness"
    r"|uni(?!ll|n|r|ss|m(?!od)|de)"
)
# A vowel sound without a vowel letter: the silent h, and the numbers eight, eleven and eighteen.
_VOWEL_SOUND = re.compile(r"honest|hono|hour|heir|8|1[18](?!\d)")
_NAMED_WITH_VOWEL = frozenset("aefhilmnorsx")  # letters whose name starts with a vowel sound
_SLOT = re.compile(r"(?<![\w'’-])([Aa])n?(\s+)\{class\}")


def article(word: str) -> str:
    """Return the indefinite article of a word or phrase, "a" or "an".

    The rule: "an" before a vowel letter. The exceptions are those above and single letters ("an
    S-shaped", "a U-shaped"). The first word of a phrase decides, and the first letter of an
    acronym.
    """
    # accents become separate characters; quotes and dashes before the word are skipped
    plain = unicodedata.normalize("NFD", word.lower())
    match = re.search(r"[^\W_]", plain)
    plain = plain[match.start() :] if match else ""

    if re.match(r"[a-z](?![a-z\u0300-\u036f])", plain):
        vowel = plain[0] in _NAMED_WITH_VOWEL
    elif plain[:1] in set("aeiou"):
        vowel = not _CONSONANT_SOUND.match(plain)
    else:
        vowel = bool(_VOWEL_SOUND.match(plain))
    return "an" if vowel else "a"


def fill_template(template: str, word: str) -> str:
    """Fill a template's `{class}` with a word; "a" or "an" before it is chosen by the word."""

    def fill_slot(match: re.Match[str]) -> str:
        capital, space = match[1], match[2]
        return f"{capital}{article(word)[1:]}{space}{word}"

    return _SLOT.sub(fill_slot, template).replace("{class}", word)
