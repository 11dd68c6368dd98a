"""The order in which a computation is walked back."""

from typing import Any


def inputs_first(result: Any) -> list[Any]:
    """``result`` and all that it was computed from, each node after its ``children``; leaves are left out.

    A depth-first search with a stack of its own: Python's recursion would end at a depth of 1,000.
    """
    order = []
    seen = {result}
    stack = [(result, iter(result.children))]
    while stack:
        node, children = stack[-1]
        for child in children:
            if child.children and child not in seen:
                seen.add(child)
                stack.append((child, iter(child.children)))
                break
        else:
            order.append(node)
            stack.pop()
    return order
