"""Names that people bring from other training scripts: nanoGPT's, wherever settings are typed."""

from typing import Any

from course_lib.errors import CourseError

ALIASES = {
    "learning_rate": "max_lr",
    "max_iters": "max_steps",
    "gradient_accumulation_steps": "grad_accum",
    "warmup_iters": "warmup_steps",
    "lr_decay_iters": "decay_steps",
    "eval_interval": "eval_every",
    "eval_iters": "eval_batches",
    "log_interval": "log_every",
    "always_save_checkpoint": "always_save",
    "wandb_log": "wandb",
}
"""Another script's name of a setting, and the course's own. The value is the same."""
WORDS: dict[str, tuple[str, dict[str, Any]]] = {
    "dtype": ("precision", {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}),
    "decay_lr": ("schedule", {"True": "cosine", "False": "constant"}),
}
"""Another script's name of a setting whose values have other names here, too; with them."""


def by_own_names(settings: dict[str, Any]) -> dict[str, Any]:
    """``settings`` with the course's names and values for those of `ALIASES` and `WORDS`.

    nanoGPT's rate that does not decay has no warm-up either.

    Raises:
        CourseError: where a setting comes under both names, or has a value that its old name never had.
    """
    names = ALIASES | {name: known for name, (known, _) in WORDS.items()}
    for name, known in names.items():
        if name in settings and known in settings:
            raise CourseError(f"{name} is another name for {known}, and both are given. Leave one of them out.")
    own = {names.get(name, name): own_value(name, value) for name, value in settings.items()}
    return own | ({"warmup_steps": 0} if "decay_lr" in settings and own["schedule"] == "constant" else {})


def own_value(name: str, value: Any) -> Any:
    """What the course calls the ``value`` of a setting that came by ``name``; CourseError where there is no such."""
    if name not in WORDS:
        return value
    words = WORDS[name][1]
    typed = {"0": "False", "1": "True"}.get(str(value), str(value).capitalize()) if name == "decay_lr" else value
    if typed not in words:
        raise CourseError(f"{name} should be {' or '.join(words)}; it is {value!r}.")
    return words[typed]
