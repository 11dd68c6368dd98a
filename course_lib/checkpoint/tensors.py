"""Weights, to a safetensors file and back."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from course_lib.checkpoint.explaining import instead_of
from course_lib.errors import CourseError
from course_lib.paths import quoted


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The weights by name, on the CPU; of tied ones only the first name."""
    shared = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    first = {name for name, _ in model.named_parameters()}
    tensors = model.state_dict()
    return on_cpu({n: t for n, t in tensors.items() if n not in shared or n in first})


def on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same on the CPU, contiguous; what is there already is not copied.

    From a CUDA card all copies are given out before the first is waited for. torch puts such a copy into pinned memory,
    into which the card writes by itself, and keeps that memory for the next save.
    """
    copies = {n: t.detach().contiguous().to("cpu", non_blocking=t.is_cuda) for n, t in tensors.items()}
    for card in {t.device for t in tensors.values() if t.is_cuda}:  # before it, anything may stand in the copies
        torch.cuda.current_stream(card).synchronize()
    return copies


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file of a save, on the CPU; CourseError where it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        what = f"{quoted(path)} is missing; the save is not whole. {instead_of(path.parent)}"
        raise CourseError(what) from error
    except RuntimeError as error:  # torch opens the file a second time, and the save may have been replaced meanwhile
        if path.exists():
            raise
        what = f"{quoted(path)} is gone; the save was replaced while it was read. {instead_of(path.parent)}"
        raise CourseError(what) from error
    except OSError as error:
        raise CourseError(
            f"Cannot read {quoted(path)}: {error}. Check its permissions. {instead_of(path.parent)}"
        ) from error
    except SafetensorError as error:
        what = f"{quoted(path)} is not a whole safetensors file ({error}). {instead_of(path.parent)}"
        raise CourseError(what) from error


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put a save's weights into ``model``; CourseError names the first that is missing, extra or misshapen."""
    path = folder / "model.safetensors"
    found, expected = read_tensors(path), model_tensors(model)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            where = "lacks" if name not in found else "has the unknown"
            raise CourseError(f"{quoted(path)} {where} weight {name!r}; it belongs to a model of another form.")
        if found[name].shape != expected[name].shape:
            raise CourseError(
                f"{quoted(path)}: {name} should have the shape {tuple(expected[name].shape)}; it has "
                f"{tuple(found[name].shape)}. It belongs to a model of another size or vocabulary."
            )
    own = dict(model.state_dict(keep_vars=True))
    with torch.no_grad():
        for name, tensor in found.items():
            own[name].copy_(tensor)  # tied weights share memory: one copy serves both names
