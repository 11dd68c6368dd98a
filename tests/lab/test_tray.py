"""The lab's parts, each by itself: the tray."""

from course_lib.lab.tray import Tray, TrayRow
from course_lib.widgets.style import run_style

# Tray -----------------------------------------------------------------------------------------------------


def test_the_tray_tells_of_what_is_done_on_the_page_and_not_of_what_it_is_given():
    heard: list[object] = []
    tray = Tray(lambda: heard.append("checked"), heard.append)
    tray.put([TrayRow(4, "run 4", "as the recipe says", "6 steps", run_style(0))], [4])
    assert heard == []
    assert tray.rows[0]["label"] == "run 4"
    tray.set_state({"checked": []})  # as the page sends it
    tray._handle_custom_msg({"remove": 4}, [])
    assert heard == ["checked", 4]
