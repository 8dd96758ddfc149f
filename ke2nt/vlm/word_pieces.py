"""Words that a tokenizer only spells out: the encoder never learned what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["find_unknown_words"]

_MIN_REPEATED = 3  # letters, so that "oo" may be a word
_SHORT = 3  # letters; short words are often cut in two
# Scripts whose letters are syllables or words: Thai and Lao, and all from the radicals of CJK on
_DENSE_SCRIPTS = re.compile("[\u0e00-\u0eff\u2e80-\uffff]")


def find_unknown_words(count_pieces: Callable[[str], int], texts: Sequence[str]) -> list[str]:
    """Words of some texts that a tokenizer cuts nearly into letters, and repeated letters.

    Words that are only rare come in pieces of several letters ("contempt" + "uous"), "xqzt" in
    pieces of one. A piece of fewer than two letters on average marks a word as unknown; one of up
    to three letters only if each letter is a piece.

    Args:
        count_pieces: Word → number of its tokens, without special ones.
        texts: Words or prompts.

    Returns:
        Distinct words, in the order of the texts.
    """
    words = dict.fromkeys(word for text in texts for word in re.findall(r"[^\W\d_]+", text))
    return [word for word in words if _is_unknown(word, count_pieces)]


def _is_unknown(word: str, count_pieces: Callable[[str], int]) -> bool:
    letters = len(word)
    if letters >= _MIN_REPEATED and len(set(word.casefold())) == 1:
        return True
    pieces = count_pieces(word) if letters > 1 else 1

    # one letter of such a script is a word or a syllable, and only its bytes are less
    if _DENSE_SCRIPTS.search(word):
        return pieces > letters
    if letters <= _SHORT:
        return 1 < letters == pieces
    return letters < 2 * pieces
