"""`make colab`: what it compares, and how it names what differs. The run itself is long: see tests/colab.py."""

import pytest
from colab import COLAB, LEFT_OUT, chosen, differences, environment_for, replaced, wanted


def test_a_package_that_is_replaced_or_gone_is_found_and_a_new_one_is_not():
    before = {"numpy": "2.1.3", "torch": "2.11.0+cu128", "pip": "24.0"}
    assert replaced(before, before | {"tyro": "1.0.17"}) == []
    after = {"numpy": "2.4.6", "torch": "2.11.0+cu128"}
    assert replaced(before, after) == ["numpy was 2.1.3 and is 2.4.6", "pip was 24.0 and is gone"]


def test_what_is_not_as_on_colab_is_said():
    assert differences({"torch": "2.11.0+cpu"}, {"torch": "2.11.0"}) == [], "the card apart, it is the same"
    words = differences({"torch": "2.13.0+cpu"}, {"torch": "2.11.0", "numpy": "2.1.3"})
    assert words == ["torch is 2.13.0+cpu here, 2.11.0 there", "numpy is missing here, 2.1.3 there"]


def test_the_versions_asked_for_are_colab_s():
    assert wanted() == {n: v.removesuffix("+cu128") for n, v in COLAB.items() if n not in LEFT_OUT}
    assert set(LEFT_OUT) < set(COLAB)


def test_chapters_are_chosen_by_their_numbers():
    assert [path.stem for path in chosen(["05", "00"])] == ["05_loop", "00_what_is_training"]
    assert len(chosen([])) >= 10
    with pytest.raises(SystemExit, match="There is no chapter 77; there is: 00, 01"):
        chosen(["77"])


def test_the_kernels_get_nothing_of_this_project(tmp_path, monkeypatch):
    for name in ("PYTHONPATH", "COURSE_DATA", "COURSE_LIB", "VIRTUAL_ENV", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, "/somewhere")
    found = environment_for(tmp_path)
    assert "/somewhere" not in found.values()
    assert found["COURSE_OFFLINE"] == "1"
    assert [path.name for path in tmp_path.rglob("*.py")] == ["00-colab.py"]
    modules: dict = {}
    exec(next(tmp_path.rglob("*.py")).read_text().replace("sys.modules", "modules"), {"modules": modules})
    assert set(modules) == {"google", "google.colab"}
