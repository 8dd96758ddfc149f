"""Make the shipped banks: `python -m ke2nt.banks.make_shipped_banks` (extra `offline`)."""

from __future__ import annotations

from dataclasses import replace

from ke2nt.banks.bank_files import write_bank
from ke2nt.banks.build import encode_bank, plan
from ke2nt.banks.shipped_banks import SEED_FOLDER, seed_files
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.runtime.progress import stderr_console
from ke2nt.vlm.catalog import DEFAULT_ENCODER, get_encoder

__all__ = ["make_seeds"]


def make_seeds() -> list[str]:
    """Write the bank of every shipped prompt set, and remove banks of sets that are gone.

    Returns:
        The names written.
    """
    encoder = get_encoder(DEFAULT_ENCODER)
    prints = encoder.fingerprint()
    names = list(list_resources("prompts"))
    for name in names:
        prompts = PromptSet.load(name)
        recipe = replace(
            plan(prompts, encoder.id), weights=prints.weights, tokenizer=prints.tokenizer
        )
        write_bank(encode_bank(encoder, recipe, prompts.name), *seed_files(name))
    for path in SEED_FOLDER.iterdir():
        if path.stem not in names:
            path.unlink()
    return names


if __name__ == "__main__":
    stderr_console().print(f"{SEED_FOLDER}: {', '.join(make_seeds())}", markup=False)
