"""Sort a model's weights into those that decay and those that do not (04-3): the groups are read, not the code."""

from typing import Any

from torch import Tensor, nn

from course_lib.exercises.judge.calling import call, described, need_function
from course_lib.exercises.judge.exercise import Exercise, Wrong
from course_lib.exercises.judge.values import near, need_number

DECAY = 0.3
COMPARED = ("Boolean value of Tensor", "must match the size")
"""What torch says where two tensors were compared as if they were single numbers."""
IDENTITY = (
    "in and == compare tensors number by number. Compare which object a weight is: its id(w), or keep the weights in "
    "a set."
)


EMBEDDING = "an embedding"
KINDS = {
    "tokens.weight": EMBEDDING,
    "places.weight": EMBEDDING,
    "norm.weight": "a gain",
    "norm.bias": "a bias",
    "mix.weight": "a matrix of a linear layer",
    "mix.bias": "a bias",
    "head.weight": "a matrix of a linear layer",
}


class Small(nn.Module):
    """Every kind of weight once: tables, a tied head, a gain, biases, matrices, and a matrix that is frozen."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(7, 4)
        self.places = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm(4)
        self.mix = nn.Linear(4, 4)
        self.frozen = nn.Linear(4, 4, bias=False).requires_grad_(False)
        self.head = nn.Linear(4, 7, bias=False)
        if tied:
            self.head.weight = self.tokens.weight


def expected_decay(model: Small) -> dict[str, float]:
    """By name, how strongly each trainable weight should decay."""
    decaying = {"mix.weight"} if model.head.weight is model.tokens.weight else {"mix.weight", "head.weight"}
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return {name: DECAY if name in decaying else 0.0 for name in names}


def _judge_groups(attempt: Any) -> str:
    sort_weights = need_function(attempt, "sort_weights(model, weight_decay)")
    for tied in (False, True):
        model = Small(tied)
        kind = "a model whose head and embedding are one tensor" if tied else "a model"
        shown = f"sort_weights(model, weight_decay={DECAY}), for {kind},"
        try:
            groups = call(sort_weights, model, DECAY, shown=shown)
        except Wrong as wrong:
            if isinstance(wrong.__cause__, RuntimeError) and any(words in str(wrong) for words in COMPARED):
                raise Wrong(f"{wrong} {IDENTITY}") from wrong.__cause__
            raise
        found = _decay_of(groups, model, shown)
        _is_right(found, model, shown)
    return (
        "Matrices decay; gains and biases do not, and here the embeddings do not either. A frozen weight is in no "
        "group and a tied one in one only: torch refuses a weight that stands in two."
    )


def _decay_of(groups: Any, model: Small, shown: str) -> dict[str, float]:
    """By name, the decay that the returned groups give to each weight."""
    form = 'a list of dicts, each with "params" and "weight_decay"'
    if not isinstance(groups, (list, tuple)) or not groups:
        hint = " Does the function end with return?" if groups is None else ""
        raise Wrong(f"{shown} should return {form}; it is {described(groups)}.{hint}")
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, float] = {}
    for group in groups:
        if not isinstance(group, dict) or not {"params", "weight_decay"} <= group.keys():
            raise Wrong(f"{shown} should return {form}; one entry is {described(group)}.")
        decay = need_number(group["weight_decay"], f"{shown} a group's weight_decay")
        weights = group["params"]
        if isinstance(weights, (Tensor, str, dict)) or not hasattr(weights, "__iter__"):
            raise Wrong(f'{shown} a group\'s "params" should be a list of weights; it is {described(weights)}.')
        for weight in list(weights):
            if not isinstance(weight, Tensor) or id(weight) not in names:
                pair = " Of the pairs of named_parameters the second is the weight." * isinstance(weight, (str, tuple))
                came = f'{shown} "params" should hold weights of the model; one entry is {described(weight)}.'
                raise Wrong(came + pair)
            name = names[id(weight)]
            if name in found:
                raise Wrong(f"{shown} has {name} twice. Each weight belongs to exactly one group.")
            found[name] = decay
    return found


def _is_right(found: dict[str, float], model: Small, shown: str) -> None:
    expected = expected_decay(model)
    if "frozen.weight" in found:
        raise Wrong(f"{shown} has frozen.weight in a group. Its requires_grad is False: nobody should move it.")
    if missing := [name for name in expected if name not in found]:
        raise Wrong(f"{shown} has {missing[0]} in no group: it would never be moved.")
    for name, decay in expected.items():
        if near(found[name], decay):
            continue
        should = f"decay with {decay:g}" if decay else "not decay"
        came = f"{shown} gives {name} weight_decay {found[name]:g}. It is {KINDS[name]} and should {should}."
        if KINDS[name] == EMBEDDING:
            came += " It has two dimensions, like a matrix; what tells them apart is the module that it belongs to."
        raise Wrong(came)


GROUPS = Exercise(
    id="04-3",
    title="Who decays?",
    difficulty="medium",
    minutes=10,
    attempt="sort_weights",
    expects="your function sort_weights(model, weight_decay) itself, without calling it",
    hints=(
        "Begin with the library's rule: two dimensions decay, one does not. Which weights does that put wrong here?",
        "`model.modules()` goes through all modules; for each that is an `nn.Embedding` note `id(module.weight)`.",
        "Go through `model.parameters()`: it gives a tied weight once. Skip those whose `requires_grad` is False; a "
        "weight decays if it has two dimensions and its `id` is not that of an embedding.",
    ),
    judge=_judge_groups,
)
