"""Facts for the card of an average of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ke2nt.checkpoints.card_facts import evaluation_facts, without_measurements
from ke2nt.checkpoints.card_sections import training_datasets

__all__ = ["blended_card"]

# what one of the models says about its own training alone
_OF_ONE_RUN = ("command", "config", "name", "parameters", "seed")


def blended_card(
    cards: Sequence[Mapping[str, Any]],
    blended: Mapping[str, Any],
    evaluations: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Combine the cards of the models.

    Args:
        cards: The cards; the facts about data are those of the last one that has some, those
            about first weights of all.
        blended: How the average was made.
        evaluations: Its metrics, as `Evaluation.to_dict` gives them.
        notes: What a reader of the metrics must know.
    """
    base = next((card for card in reversed(cards) if card.get("data")), cards[-1])
    kept = {k: v for k, v in without_measurements(base).items() if k not in _OF_ONE_RUN}
    # the shares that the logits carry are known where all models carry the same
    if any(card.get("class_prior") != base.get("class_prior") for card in cards):
        kept.pop("class_prior", None)

    first = dict.fromkeys(name for card in cards for name in card.get("first_weights") or ())
    if first:
        kept["first_weights"] = list(first)
    datasets = sorted(set().union(*(training_datasets(card) for card in cards)))
    facts = [evaluation_facts(each) for each in evaluations]
    for each in facts:
        each["notes"] = [*each["notes"], *notes]
    return {**kept, "blended": {**blended, "data": datasets}, "evaluations": facts}
