"""What all tests share: no downloads, and a project folder of their own."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("COURSE_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # there is a test process for each core: see course_lib.waiting
if mirror := os.environ.get("COURSE_DATA"):  # tests work in folders of their own
    os.environ["COURSE_DATA"] = str(Path(mirror).resolve())

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m gpu`` only tests/gpu is looked into: the others need packages that a bare machine with a card lacks."""
    if config.option.markexpr != "gpu" or HERE not in collection_path.parents:
        return None
    return True if HERE / "gpu" not in (collection_path, *collection_path.parents) else None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project root as the working folder, so that data/ and runs/ land in it."""
    (tmp_path / "_toc.yml").write_text("format: jb-book\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def made_once(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Callable[[Path], object]], Path]:
    """``made_once(name, make)``: a folder that ``make`` has filled, once for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    if hasattr(pytestconfig, "workerinput"):  # pytest-xdist gives each process a folder of its own in that of the run
        base = base.parent

    def once(name: str, make: Callable[[Path], object]) -> Path:
        with FileLock(base / f"{name}.lock"):
            if not (base / f"{name}.made").exists():
                shutil.rmtree(base / name, ignore_errors=True)  # of one that failed
                (base / name).mkdir()
                make(base / name)
                (base / f"{name}.made").touch()
        return base / name

    return once


@pytest.fixture(scope="session", autouse=True)
def threads_of_the_numerics() -> None:
    """As many threads as COURSE_THREADS says, where it says so: `make test-portable` plays several machines."""
    if asked := os.environ.get("COURSE_THREADS"):
        import torch

        torch.set_num_threads(int(asked))


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Under nohup SIGHUP is ignored, and SIGINT in a script's background: every program that a test starts would too.

    A handler that does nothing keeps this process alive all the same; programs that are started have none of it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread: small models gain nothing from more, and other programs keep a core."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
