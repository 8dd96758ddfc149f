"""YAML of plain values in which no key is given twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ["PlainLoader"]


class PlainLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, of which YAML libraries take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is given twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
