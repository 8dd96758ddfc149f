"""YAML of plain values in which no key is given twice."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["PlainLoader"]


class PlainLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, of which YAML libraries take the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:  # before "<<" is filled in from elsewhere
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is given twice",
                        problem_mark=key.start_mark,
                    )
                seen.add((key.tag, key.value))
        return node
