"""YAML of plain values in which no key is repeated."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["PlainLoader"]


class PlainLoader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, of which other loaders keep the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = set()

        # merge keys ("<<") are resolved later, and may repeat keys
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in keys:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            keys.add((key.tag, key.value))
        return node
