"""Pictures: what stands in the axes is what was measured, and the line of knowing nothing is there."""

import base64
import io
import math

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from course_lib import plots
from course_lib.errors import CourseError
from course_lib.training import StepRecord


def record(step: int, train_loss: float | None, val_loss: float | None = None) -> StepRecord:
    return StepRecord(step, train_loss, val_loss, 0.01, 768 * (step + 1), 0.1 * step, 1.0, 0.0)


PAGES = ("#FFFFFF", "#111111")  # of JupyterLab, light and dark

RECORDS = [record(0, 3.2), record(1, 2.5, 2.25), record(2, None), record(3, 1.5, 1.75)]
TRAIN, VAL = [(0, 3.2), (1, 2.5), (3, 1.5)], [(2, 2.25), (4, 1.75)]


def drawn(figure: plots.Picture) -> dict[str, list[tuple[float, float]]]:
    """Label to points, for the curves of a figure; lines across it are left out."""
    lines = figure.axes[0].get_lines()
    named = [line for line in lines if not line.get_label().startswith("_")]
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in named}


def across(figure: plots.Picture) -> list[float]:
    """The heights of the lines that run across the whole picture."""
    return [line.get_ydata()[0] for line in figure.axes[0].get_lines() if line.get_label().startswith("_")]


def test_the_axes_hold_the_records():
    figure = plots.loss_curve(RECORDS, vocab_size=24, title="A run")
    assert drawn(figure) == {"training": TRAIN, "validation": VAL}
    axes = figure.axes[0]
    assert axes.get_title() == "A run"
    assert axes.get_xlabel() == "completed optimizer steps"
    assert axes.get_ylabel() == "loss (nats per token)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]


def test_ln_v_is_drawn_and_named():
    figure = plots.loss_curve(RECORDS, vocab_size=24)
    assert across(figure) == [pytest.approx(math.log(24))]
    assert [text.get_text() for text in figure.axes[0].texts] == ["knowing nothing: ln 24 = 3.18"]
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert high > math.log(24)


def test_further_lines_are_drawn_too():
    figure = plots.loss_curve(RECORDS, vocab_size=24, lines={"the floor": 0.32})
    assert across(figure) == [pytest.approx(math.log(24)), 0.32]
    assert figure.axes[0].texts[1].get_text() == "the floor"
    assert "A dashed line marks the floor (0.32)." in figure.alt


def test_rows_of_a_log_and_plain_losses_do_as_well():
    rows = [{"step": r.step, "train_loss": r.train_loss, "val_loss": r.val_loss, "lr": r.lr} for r in RECORDS]
    assert drawn(plots.loss_curve(rows)) == {"training": TRAIN, "validation": VAL}
    assert drawn(plots.loss_curve([3.2, 2.5, 1.5])) == {"training": [(0, 3.2), (1, 2.5), (2, 1.5)]}


def test_several_runs_have_their_names_and_colors():
    figure = plots.loss_curve({"first": RECORDS, "second": [2.0, 1.0]}, vocab_size=24)
    assert drawn(figure) == {"first: training": TRAIN, "first: validation": VAL, "second": [(0, 2.0), (1, 1.0)]}
    colors = {line.get_label(): line.get_color() for line in figure.axes[0].get_lines()}
    assert colors["first: training"] == colors["first: validation"] != colors["second"]


def test_what_is_missing_or_not_finite_has_no_point():
    losses = [math.inf, 2.0, math.nan, None, 1.0]
    assert plots.loss_points(losses) == ([(1, 2.0), (4, 1.0)], [])
    assert drawn(plots.loss_curve([], vocab_size=24)) == {"training": []}
    assert "no point yet" in plots.alt_text([])


def test_a_loss_that_explodes_leaves_the_rest_readable():
    top = plots.loss_curve([3.0, 2.0, 1e9], vocab_size=24).axes[0].get_ylim()[1]
    assert math.log(24) < top < 3 * math.log(24)
    assert plots.highest([[(0, 7.0)]], {}) == pytest.approx(7.35)
    assert plots.highest([], {}) == 1


def test_an_exploded_loss_is_short_to_read():
    assert plots.rounded(3.14159) == "3.14"
    assert plots.rounded(3.14159, 1) == "3.1"
    assert plots.rounded(1.3e30) == "1e+30"


def test_a_logarithmic_axis_bears_a_loss_of_zero():
    figure = plots.loss_curve([3.0, 0.0, 1.0], vocab_size=24, log=True)
    assert figure.axes[0].get_yscale() == "log"
    figure.canvas.draw()
    assert figure.axes[0].get_ylim()[0] > 0


def test_the_picture_in_words():
    words = plots.alt_text(RECORDS, 24, "A run")
    assert words == (
        "A run: loss in nats per token against completed optimizer steps. Training loss goes from 3.2 to 1.5 in 4 "
        "steps; validation loss ends at 1.8. A dashed line marks knowing nothing: ln 24 = 3.18."
    )
    assert "first: training loss goes" in plots.alt_text({"first": RECORDS})


def test_a_notebook_gets_a_picture_with_its_words():
    figure = plots.loss_curve(RECORDS, vocab_size=24, title="A run")
    bundle, about = figure._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert about["image/png"] == {"width": 672, "height": 346, "alt": figure.alt}
    assert bundle["text/plain"] == "A run: loss (nats per token) against completed optimizer steps"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(color: str) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_colors_can_be_seen_by_day_and_by_night():
    for page in PAGES:
        for color in (plots.TRAIN_COLOR, plots.VAL_COLOR):
            assert contrast(color, page) >= 3
        assert contrast(plots.INK, page) >= 4


def shown(figure: plots.Picture) -> np.ndarray:
    """A picture as a notebook gets it, (height, width, 4), each from 0 to 1."""
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(figure._repr_mimebundle_()[0]["image/png"])))


def least_contrasts(pixels: np.ndarray) -> dict[str, float]:
    """For each page, the least contrast of any color that is drawn thickly enough to cover whole pixels."""
    opaque = pixels[pixels[..., 3] == 1][:, :3]
    colors, counts = np.unique(opaque, axis=0, return_counts=True)
    return {page: min(contrast(tuple(c), page) for c in colors[counts > 20]) for page in PAGES}


def own_black_on_white() -> plots.Picture:
    """A figure as someone draws it who thinks of white paper only."""
    figure = plots.Picture(figsize=(4, 3), facecolor="white")
    axes = figure.add_subplot(xlabel="x", ylabel="y", title="black on white")
    axes.plot([0, 1], [0, 1], "o-", color="black", markeredgecolor="white", label="a line")
    axes.barh(0.5, 0.5, color="white", edgecolor="#404040", hatch="////")
    axes.text(0.5, 0.5, "words", bbox=dict(facecolor="white", lw=0))
    axes.axhline(0.3, color="#595959")
    axes.legend()
    return figure


FIGURES = {
    "a loss curve": lambda: plots.loss_curve(RECORDS, 24, "A run", {"the floor": 0.32}, bands={"3 seeds": SEEDS}),
    "curves": lambda: plots.curves({"a": ([1, 2], [3, 1]), "b": ([1, 2], [2, 1])}, "x", "y", "t", {"z": 2.5}),
    "dots, logarithmic": lambda: plots.curves({"a": ([1, 100], [3, 1])}, "x", "y", log="xy", dots=True),
    "black on white": own_black_on_white,
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_holds_on_a_light_page_and_on_a_dark_one(name):
    pixels = shown(FIGURES[name]())
    assert (pixels[..., 3] == 0).mean() > 0.5, "the page is its ground"
    assert pixels[0, 0, 3] == 0
    for page, least in least_contrasts(pixels).items():
        assert least >= 3, page
    again = shown(FIGURES[name]())
    assert (pixels == again).all()


def test_a_line_stops_where_its_name_stands():
    lines = {"the floor for 64 characters: 0.32": 0.32, "the entropy rate: 0.19": 0.19}
    figure = plots.loss_curve([3.2, 0.4], vocab_size=40, lines=lines)
    figure.canvas.draw()
    axes = figure.axes[0]
    names = {text.get_text(): text.get_window_extent() for text in axes.texts}
    for label, value in lines.items():
        (line,) = [line for line in axes.get_lines() if list(line.get_ydata()) == [value, value]]
        ends = line.get_window_extent()
        assert not (ends.x0 < names[label].x1 - 1 and names[label].x0 + 1 < ends.x1), label


# Bands ----------------------------------------------------------------------------------------------------

SEEDS = [
    [record(0, 3.0), record(1, 2.0, 2.5), record(2, 1.0, 1.5)],
    [record(0, 3.4), record(1, 1.8, 2.7), record(2, None, 1.25)],
    [record(0, 3.2), record(1, 1.9, 2.6), record(2, 1.2, 1.75), record(3, 9.0)],
]


def strip(figure: plots.Picture) -> set[tuple[float, float]]:
    """The corners of the one gray band."""
    (band,) = figure.axes[0].collections
    return {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}


def test_a_band_spans_the_lowest_to_the_highest_at_the_steps_that_all_have():
    assert plots.band_points(SEEDS) == ([(0, 3.0), (1, 1.8)], [(0, 3.4), (1, 2.0)])
    assert plots.band_points(SEEDS, "val_loss") == ([(2, 2.5), (3, 1.25)], [(2, 2.7), (3, 1.75)])
    assert plots.band_points([]) == ([], [])
    with pytest.raises(CourseError, match="train_loss or of val_loss; this is 'validation'"):
        plots.band_points(SEEDS, "validation")


def test_a_band_is_drawn_behind_the_curve_with_its_name():
    figure = plots.loss_curve(RECORDS, vocab_size=24, bands={"3 seeds": SEEDS})
    assert strip(figure) == {(0, 3.0), (0, 3.4), (1, 1.8), (1, 2.0)}
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["3 seeds", "training", "validation"]
    assert axes.collections[0].get_zorder() < min(line.get_zorder() for line in axes.get_lines())
    assert drawn(figure) == {"training": TRAIN, "validation": VAL}
    assert strip(plots.loss_curve(RECORDS, bands={"a": SEEDS}, bands_of="val_loss")) == {
        (2, 2.5), (2, 2.7), (3, 1.25), (3, 1.75),
    }  # fmt: skip


def test_a_band_is_told_in_words_and_has_room():
    high = [[record(0, 5.0), record(1, 5.0)], [record(0, 6.0), record(1, 4.0)]]
    figure = plots.loss_curve([3.0, 2.0], vocab_size=24, bands={"2 seeds": high})
    assert "A gray band, 2 seeds, spans 5.0 to 6.0 at first and 4.0 to 5.0 in the end." in figure.alt
    assert figure.axes[0].get_ylim()[1] > 6.0
    assert "gray band" not in plots.alt_text([3.0], bands={"none": [[], []]})
    plots.loss_curve([3.0], bands={"none": [[], []]}).canvas.draw()
    assert "spans 2.5 to 2.7 at first" in plots.alt_text([3.0], bands={"s": SEEDS}, bands_of="val_loss")


def test_the_names_of_the_lines_cover_neither_one_another_nor_the_end_of_the_curve():
    losses = [3.2 * 0.98**step + 0.36 for step in range(300)]
    lines = {"the floor for 64 characters: 0.32": 0.32, "the entropy rate: 0.19": 0.19}
    figure = plots.loss_curve(losses, vocab_size=40, lines=lines)
    figure.canvas.draw()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    curve = [axes.transData.transform(point) for point in enumerate(losses)]
    assert not [box for box in boxes for x, y in curve if box.contains(x, y)]


def test_anything_can_be_drawn_against_anything():
    series = {"a": ([1e-5, 1e-3, 1.0], [3.0, 2.0, 4.0]), "b": ([1e-4], [1.0])}
    figure = plots.curves(series, "learning rate", "loss", "A finder", {"knowing nothing": 3.5}, log="x", dots=True)
    assert drawn(figure) == {name: list(zip(*points, strict=True)) for name, points in series.items()}
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "loss")
    a, b = (line for line in axes.get_lines() if not line.get_label().startswith("_"))
    assert a.get_linestyle() == b.get_linestyle() == "None"
    assert a.get_marker() != b.get_marker(), "told apart without color"
    assert across(figure) == [3.5]
    assert "A finder" in figure.caption
    assert "a goes from 3 to 4" in figure.alt
    assert axes.get_legend() is not None
    assert plots.curves({"one": ([0, 1], [2, 3])}, "step", "rate").axes[0].get_legend() is None


def test_a_loss_of_another_unit_says_so_everywhere():
    figure = plots.loss_curve(RECORDS, 10, "A run", unit="nats per picture")
    assert figure.axes[0].get_ylabel() == "loss (nats per picture)"
    assert figure.caption == "A run: loss (nats per picture) against completed optimizer steps"
    assert "loss in nats per picture against" in figure.alt
    assert "token" not in figure.alt + figure.caption


# Choices --------------------------------------------------------------------------------------------------


def test_each_choice_has_a_row_with_a_dot_for_each_run():
    figure = plots.choices({"as it is": [1.8, 1.9], "with more": [1.5]}, "loss", "Rows", beside=["5 ms", "6 ms"])
    assert drawn(figure) == {"as it is": [(1.8, 0), (1.9, 0)], "with more": [(1.5, 1)]}
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["as it is", "with more"]
    assert axes.get_ylim() == (1.5, -0.5), "the first row is on top"
    means = [line.get_xdata()[0] for line in axes.get_lines() if line.get_label().startswith("_")]
    assert means == [pytest.approx(1.85), 1.5, pytest.approx(1.85)], "each row's, and the line from the first"
    assert [text.get_text() for text in axes.texts] == ["5 ms", "6 ms"]
    assert "as it is: 1.85, with more: 1.5" in figure.alt


@pytest.mark.parametrize(
    ("rows", "beside", "message"),
    [({}, (), "at least one row"), ({"a": []}, (), "a number in each"), ({"a": [1.0]}, ("x", "y"), "it has 2")],
)
def test_choices_without_runs_or_with_other_words_are_refused(rows, beside, message):
    with pytest.raises(CourseError, match=message):
        plots.choices(rows, "loss", beside=beside)
