"""What a run has left in its folder, to be compared with what another one left."""

from pathlib import Path
from typing import Any

from course_lib import checkpoint


def kept(run: Path) -> dict[str, Any]:
    """All that a run leaves, but for the time it took."""
    folder = checkpoint.find_save(run)
    found: dict[str, Any] = {part.name: part.read_bytes() for part in folder.glob("*.safetensors")}
    found["state"] = {k: v for k, v in checkpoint.read_state(folder).items() if k != "seconds"}
    found["rows"] = [{k: v for k, v in row.items() if k != "seconds"} for row in checkpoint.read_metrics(run)]
    return found
