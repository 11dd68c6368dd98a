"""What an optimizer remembers, to a safetensors file and back.

The tensors that it keeps for a weight stand under ``<weight's name>/<quantity>``. Of one's own optimizer, all else of
its ``state_dict()`` (its groups' settings, counters, what lies deeper) is JSON in the file's metadata, which tells a
tensor by its name.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from course_lib.checkpoint.tensors import on_cpu, read_tensors
from course_lib.errors import CourseError
from course_lib.optim import AnyOptimizer, OptimizerSet
from course_lib.paths import quoted

KEPT = {"Muon": {"momentum_buffer"}, "RowAdam": {"step", "row_avg_sq"}}
"""What an optimizer remembers of each weight; all others of the library are AdamW."""


def members(optimizer: AnyOptimizer) -> list[torch.optim.Optimizer]:
    return optimizer.optimizers if isinstance(optimizer, OptimizerSet) else [optimizer]


def name_of(optimizer: AnyOptimizer) -> str:
    """Its class's name, by which a run knows it again."""
    return "+".join(type(member).__name__ for member in members(optimizer))


# ---- to a file ---------------------------------------------------------------------------------------


def pack_optimizer(model: nn.Module, optimizer: AnyOptimizer) -> tuple[dict[str, Tensor], dict[str, str]]:
    """An optimizer's tensors by name, on the CPU; and the file's metadata, which holds all else.

    Raises:
        CourseError: where it keeps other things than tensors, numbers, texts, and lists and dicts of them.
    """
    names = {p: name for name, p in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    packed = [_pack_member(member, names, tensors) for member in members(optimizer)]
    return on_cpu(tensors), {"optimizer": json.dumps({"name": name_of(optimizer), "members": packed}, sort_keys=True)}


def _pack_member(
    member: torch.optim.Optimizer, names: dict[Tensor, str], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    """The ``state_dict()`` of one optimizer, with names of weights for its numbers."""
    found = member.state_dict()
    order = [names[p] for group in member.param_groups for p in group["params"]]
    groups = []
    for at, (group, own) in enumerate(zip(found.pop("param_groups"), member.param_groups)):
        settings = {  # the rate follows from the step; a function or a class is its program's to bring again
            name: _pack(value, f"/group {at}/{name}", tensors, strict=False)
            for name, value in group.items()
            if name not in ("params", "lr")
        }
        groups.append({"params": [names[p] for p in own["params"]], "settings": settings})
    kept = found.pop("state")  # by a weight's number, and what belongs to no weight by other keys
    state = {order[i]: _pack(kept.pop(i), order[i], tensors) for i in range(len(order)) if i in kept}
    others = _pack(kept, "/state", tensors)
    return {"groups": groups, "state": state, "others": others, "rest": _pack(found, "/rest", tensors)}


def _pack(value: Any, key: str, tensors: dict[str, Tensor], strict: bool = True) -> Any:
    """``value`` as JSON; each tensor in it goes to ``tensors`` under ``key`` and where it lies, such as w/exp_avg."""
    if isinstance(value, Tensor):
        tensors[key] = value
        return {"tensor": key}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        parts = sorted(value.items(), key=lambda part: str(part[0]))  # a file gives them back in no order
        return {"dict": [[k, _pack(v, f"{key}/{k}", tensors, strict)] for k, v in parts]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(v, f"{key}/{i}", tensors, strict) for i, v in enumerate(value)]}
    if not strict:
        return {"as given": type(value).__name__}
    raise CourseError(
        f"The optimizer keeps a {type(value).__name__} ({key}); a run folder holds tensors, numbers, texts, and lists "
        "and dicts of them. Train with run_dir=None, or keep it in another form."
    )


# ---- and back ----------------------------------------------------------------------------------------


def load_optimizer(optimizer: AnyOptimizer, model: nn.Module, folder: Path) -> None:
    """Put a save's optimizer state into ``optimizer``; CourseError where it belongs to another one."""
    path = folder / "optimizer.safetensors"
    by_weight: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(path).items():
        name, _, quantity = key.rpartition("/")
        by_weight.setdefault(name, {})[quantity] = value
    names = {p: name for name, p in model.named_parameters()}
    for member in members(optimizer):
        own = member.state_dict()
        params = [p for group in member.param_groups for p in group["params"]]
        order = [names[p] for p in params]
        own["state"] = {i: by_weight.pop(name) for i, name in enumerate(order) if name in by_weight}
        for i, quantities in own["state"].items():
            wanted = KEPT.get(type(member).__name__, {"step", "exp_avg", "exp_avg_sq"})
            if quantities.keys() != wanted:
                raise CourseError(
                    f"{quoted(path)}: {order[i]} has {sorted(quantities)}; this optimizer keeps {sorted(wanted)}. "
                    "It belongs to another optimizer."
                )
            for quantity, value in quantities.items():
                shape = () if quantity == "step" else tuple(params[i].shape)
                shape = (shape[0], 1) if quantity == "row_avg_sq" else shape
                if tuple(value.shape) != shape:
                    raise CourseError(
                        f"{quoted(path)}: {order[i]}/{quantity} should have the shape {shape}; it has "
                        f"{tuple(value.shape)}. "
                        "It belongs to a model of another size."
                    )
        member.load_state_dict(own)
    if by_weight:
        raise CourseError(
            f"{quoted(path)} has state for the unknown weight {next(iter(by_weight))!r}; it belongs to another model."
        )


def load_own_optimizer(optimizer: AnyOptimizer, model: nn.Module, folder: Path) -> None:
    """Put a save's state into an optimizer that is not the library's, with the settings that its groups had.

    As `torch.optim.Optimizer.load_state_dict` does it, but every tensor keeps its type: torch makes those of a weight
    the weight's, and a momentum kept in bfloat16 would go on in float32.

    Raises:
        CourseError: where the save is of another optimizer, of other groups, or damaged.
    """
    path = folder / "optimizer.safetensors"
    tensors = read_tensors(path)
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("optimizer", "{}")
    try:
        found = json.loads(text)
        name, parts = found.get("name"), found.get("members", [])
        if name != name_of(optimizer):
            remedy = "Leave it out." if name is None else "Give one of the class that the run was trained with."
            theirs = "the library, which it builds itself" if name is None else f"the class {name}"
            raise CourseError(
                f"{quoted(path)} is of an optimizer of {theirs}; this one is {name_of(optimizer)}. {remedy}"
            )
        for member, part in zip(members(optimizer), parts, strict=True):
            _load_member(member, part, tensors, model, path)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CourseError(f"{quoted(path)} does not fit the optimizer {name_of(optimizer)} ({error!r}).") from error


def _load_member(
    member: torch.optim.Optimizer, part: dict[str, Any], tensors: dict[str, Tensor], model: nn.Module, path: Path
) -> None:
    names = {p: name for name, p in model.named_parameters()}
    groups = [[names[p] for p in group["params"]] for group in member.param_groups]
    saved = [group["params"] for group in part["groups"]]
    if groups != saved:
        sizes = " and ".join(str([len(group) for group in those]) for those in (saved, groups))
        raise CourseError(
            f"{quoted(path)}: the optimizer's groups should hold the weights that they held when it was saved, in "
            f"that order; "
            f"they do not (weights per group: {sizes}). Make the groups as they were."
        )
    order = {name: i for i, name in enumerate(name for group in groups for name in group)}
    states = {name: _unpack(tree, tensors, None) for name, tree in part["state"].items()}
    own = member.state_dict() | _unpack(part["rest"], tensors, None)
    own["state"] = {order[name]: state for name, state in states.items()} | _unpack(part["others"], tensors, None)
    own["param_groups"] = [
        given | {n: _unpack(tree, tensors, given.get(n)) for n, tree in group["settings"].items()}
        for given, group in zip(own["param_groups"], part["groups"])
    ]
    member.load_state_dict(own)
    for p in [p for group in member.param_groups for p in group["params"]]:
        if names[p] in states:
            member.state[p] = _as_saved(member.state[p], states[names[p]])


def _unpack(tree: Any, tensors: dict[str, Tensor], given: Any) -> Any:
    """The reverse of `_pack`; what no file can hold is as it is ``given``."""
    if not isinstance(tree, dict):
        return tree
    ((kind, parts),) = tree.items()
    if kind == "tensor":
        return tensors[parts]
    if kind == "dict":
        inside = given if isinstance(given, dict) else {}
        return {key: _unpack(part, tensors, inside.get(key)) for key, part in parts}
    if kind == "as given":
        return given
    return {"list": list, "tuple": tuple}[kind](_unpack(part, tensors, None) for part in parts)


def _as_saved(loaded: Any, saved: Any) -> Any:
    """``loaded``, where torch has put it, with its tensors in the types that ``saved`` has."""
    if isinstance(saved, Tensor):
        return loaded if loaded.dtype == saved.dtype else saved.to(loaded.device)
    if isinstance(saved, dict):
        return {key: _as_saved(loaded[key], part) for key, part in saved.items()}
    if isinstance(saved, list | tuple):
        return type(saved)(_as_saved(one, part) for one, part in zip(loaded, saved, strict=True))
    return saved  # torch takes a text for a list of letters
