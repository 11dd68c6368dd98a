"""Gradients averaged by NCCL: of one process, the run that it would be without."""

import pytest
from cards import CUDA, run_script

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1")


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), *CUDA], indirect=True)
def test_one_process_under_torchrun_trains_the_run_without_it(device: str) -> None:
    """Bit for bit: a sum over one process, divided by one, is what it was. On the CPU gloo does what NCCL does here."""
    launcher = dict(launcher=TORCHRUN, OMP_NUM_THREADS="1", CUBLAS_WORKSPACE_CONFIG=":4096:8")
    lines = [line.split() for line in run_script("shared.py", device, **launcher).splitlines()]
    runs = {(optimizer, run): losses for optimizer, run, *losses in lines}
    assert runs.keys() == {(optimizer, run) for optimizer in ("adamw", "muon") for run in ("alone", "shared")}
    for optimizer in ("adamw", "muon"):
        assert len(runs[optimizer, "alone"]) == 10
        assert runs[optimizer, "alone"] == runs[optimizer, "shared"]
