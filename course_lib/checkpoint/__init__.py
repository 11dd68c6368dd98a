"""A run directory: everything a run needs to be sampled from, scored or carried on.

    runs/<id>/config.json  tokenizer.json  metrics.jsonl  last  best
              saves/<step>/model.safetensors  optimizer.safetensors  state.json
              lock  holder.json (while it is trained)

``saves/<n>`` is the state after n completed steps. ``last`` and ``best`` are small files that name a
save; they change only after the save they name is whole on the disk, and older saves are pruned after
that (`keep` says how many stay). So a process killed at any instant leaves a whole save. There is no pickle anywhere:
what is read is data, and it is checked before it is believed. Only this module writes run directories, and only the
process that has a run's lock does so.
"""

from course_lib.checkpoint.boards import boards_for, need_boards
from course_lib.checkpoint.explaining import has_save
from course_lib.checkpoint.listing import LATEST, RunRow, list_runs, run_folders, table_of
from course_lib.checkpoint.locking import RunLock, locked
from course_lib.checkpoint.metrics import MetricsLog, read_metrics
from course_lib.checkpoint.optimizers import load_optimizer, load_own_optimizer, name_of
from course_lib.checkpoint.reading import Run, blank_model, find_run, find_save, load, read_config, read_state
from course_lib.checkpoint.tensors import load_weights
from course_lib.checkpoint.writing import (
    create_run,
    discard_run,
    read_pointer,
    record_data,
    rewind,
    save,
    settings_of,
)

__all__ = [
    "LATEST",
    "MetricsLog",
    "Run",
    "RunLock",
    "RunRow",
    "blank_model",
    "boards_for",
    "create_run",
    "discard_run",
    "find_run",
    "find_save",
    "has_save",
    "list_runs",
    "load",
    "load_optimizer",
    "load_own_optimizer",
    "load_weights",
    "locked",
    "name_of",
    "need_boards",
    "read_config",
    "read_metrics",
    "read_pointer",
    "read_state",
    "record_data",
    "rewind",
    "run_folders",
    "save",
    "settings_of",
    "table_of",
]
