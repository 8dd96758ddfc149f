"""Images that occur more than once: the same pixels, or nearly the same image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ke2nt.data.images import decode
from ke2nt.runtime.digest import digest_bytes

__all__ = [
    "HASH_BITS",
    "NEAR_BITS",
    "difference_hash",
    "find_mirrored_pairs",
    "find_near_pairs",
    "group_equal",
    "pixel_digest",
]

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE

NEAR_BITS = 7
"""Most bits by which the hashes of near-duplicates differ."""

_BANDS = NEAR_BITS + 1
_MAX_BUCKET = 64
_LUMA = np.array([299, 587, 114])
_BIT_COUNTS = np.array([i.bit_count() for i in range(256)])


def pixel_digest(pixels: np.ndarray) -> str:
    """Digest of decoded pixels and their shape; equal for the same image in another file format.

    Args:
        pixels: uint8 (H, W, 3).
    """
    return digest_bytes(str(pixels.shape).encode() + pixels.tobytes())


def difference_hash(pixels: np.ndarray) -> bytes:
    """256 bits: whether each cell of a 16 × 17 gray thumbnail is darker than its right neighbor.

    The hash survives resizing, compression and changes of brightness and contrast.

    Args:
        pixels: uint8 (H, W, 3).

    Returns:
        32 bytes.
    """
    # 17 × 17, of which the last row is not used
    thumbnail = decode(pixels, size=HASH_SIDE + 1, interpolation="bilinear")
    gray = thumbnail[:HASH_SIDE].astype(np.int32) @ _LUMA
    return np.packbits(gray[:, :-1] < gray[:, 1:]).tobytes()


def group_equal(keys: Sequence[str]) -> list[list[int]]:
    """Positions that share a key, in groups of two or more, in order of first appearance."""
    # key → positions
    groups: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        groups[key].append(i)
    return [group for group in groups.values() if len(group) > 1]


def find_near_pairs(hashes: Sequence[bytes]) -> list[tuple[int, int]]:
    """Pairs (i < j) whose hashes differ in at most `NEAR_BITS` bits, without comparing all pairs.

    Args:
        hashes: Values of `difference_hash`, one for each distinct image.
    """
    return _find_pairs(hashes)


def find_mirrored_pairs(
    hashes: Sequence[bytes], mirrored: Sequence[bytes]
) -> list[tuple[int, int]]:
    """Pairs (i < j) of which one is nearly the mirror image of the other.

    Pairs that are nearly the same without mirroring, too, are left out: nothing tells which of the
    two a symmetric image is.

    Args:
        hashes: Values of `difference_hash`, one for each distinct image.
        mirrored: Those of the mirrored images.
    """
    count = len(hashes)
    pairs = _find_pairs([*hashes, *mirrored])
    same = {(a, b) for a, b in pairs if b < count}
    flipped = {(min(a, b - count), max(a, b - count)) for a, b in pairs if a < count <= b}
    return sorted(pair for pair in flipped - same if pair[0] != pair[1])


def _find_pairs(hashes: Sequence[bytes]) -> list[tuple[int, int]]:
    """Pairs (i < j) of similar hashes.

    Hashes that differ in at most 7 bits agree in at least one of eight 32-bit bands, so only
    hashes that share a band are compared. A band that over 64 images share, such as that of a
    plain background, carries no information and is skipped.
    """
    # (N, 32) bytes
    bits = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, HASH_BITS // 8)

    candidates: set[tuple[int, int]] = set()
    for band in np.split(bits, _BANDS, axis=1):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(band):
            buckets[row.tobytes()].append(i)
        # a bucket holds the hashes that agree in this band
        for members in buckets.values():
            if len(members) <= _MAX_BUCKET:
                candidates.update(combinations(members, 2))

    # (P, 2) candidate pairs, and the number of bits in which they differ
    pairs = np.array(sorted(candidates), dtype=np.int64).reshape(-1, 2)
    distance = _BIT_COUNTS[bits[pairs[:, 0]] ^ bits[pairs[:, 1]]].sum(axis=1)
    return [(a, b) for a, b in pairs[distance <= NEAR_BITS].tolist()]
