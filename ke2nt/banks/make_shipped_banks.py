"""Make the shipped banks: `python -m ke2nt.banks.make_shipped_banks` (extra `offline`)."""

from __future__ import annotations

from dataclasses import replace

from ke2nt.banks.bank_files import write_bank
from ke2nt.banks.build_bank import encode_bank, plan_recipe
from ke2nt.banks.shipped_banks import SHIPPED_FOLDER, shipped_bank_files
from ke2nt.banks.text_bank import TextBank
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.runtime.progress import stderr_console
from ke2nt.vlm.catalog import DEFAULT_ENCODER, get_text_encoder

__all__ = ["make_shipped_banks"]


def make_shipped_banks() -> list[str]:
    """Write the bank of every shipped prompt set, and remove banks of sets that are gone.

    Returns:
        The names written.
    """
    encoder = get_text_encoder(DEFAULT_ENCODER)
    fingerprint = encoder.fingerprint()

    # one bank for each shipped prompt set, all its classes
    names = list(list_resources("prompts"))
    for name in names:
        prompts = PromptSet.load(name)
        recipe = replace(
            plan_recipe(prompts, encoder.id),
            weights=fingerprint.weights,
            tokenizer=fingerprint.tokenizer,
        )
        bank = encode_bank(encoder, recipe, prompts.name, TextBank)
        write_bank(bank, *shipped_bank_files(name))

    # banks of prompt sets that were removed
    for path in SHIPPED_FOLDER.iterdir():
        if path.stem not in names:
            path.unlink()
    return names


if __name__ == "__main__":
    stderr_console().print(f"{SHIPPED_FOLDER}: {', '.join(make_shipped_banks())}", markup=False)
