import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.look.palette import categorical


@pytest.fixture
def history():
    epoch = np.arange(60)
    phase = np.repeat(["autoencoder", "gates", "head"], [10, 30, 20])
    table = pd.DataFrame(
        {"phase": phase, "epoch": epoch, "open": np.where(phase == "gates", 600 * 0.8**epoch + 5, np.nan)}
    )
    table["silhouette"] = np.where(epoch % 10 == 0, 0.01 * epoch, np.nan)
    table["plain"] = np.where(phase == "head", np.nan, 1.0 / (1 + epoch))
    table["rate_of_something"] = -np.where(phase == "head", epoch, np.nan)
    table["empty"], table["text"] = np.nan, "a"
    return table


def panels(figure):
    return {ax.get_label(): ax for ax in figure.axes if ax.get_label() != "phases"}


@pytest.mark.parametrize("form", ["table", "columns", "inside"])
def test_a_panel_for_each_quantity_losses_first(table, history, form):
    columns = {name: history[name].to_numpy() for name in history}
    stored = {"table": history, "columns": columns, "inside": {"history": columns, "params": {"x": 1}}}[form]
    found = panels(plot.training(table(1, uns__deep=stored)))
    assert list(found) == ["plain", "rate_of_something", "open", "silhouette"]
    titles = [ax.get_title(loc="left") for ax in found.values()]
    assert titles == ["error, all features", "rate of something", "open gates", "silhouette"]


def test_lines_and_shades_are_those_of_the_phases(table, history):
    figure = plot.training(table(1, uns__deep=history))
    found = panels(figure)
    lines = [line for line in found["plain"].lines if len(line.get_xdata())]
    assert [line.get_color() for line in lines] == categorical(3)[:2]
    np.testing.assert_array_equal(np.concatenate([line.get_xdata() for line in lines]), np.arange(40))
    np.testing.assert_array_equal(np.concatenate([line.get_ydata() for line in lines]), history["plain"][:40])
    assert [to_hex(patch.get_facecolor()).upper() for patch in found["plain"].patches] == categorical(3)
    edges = [patch.get_x() for patch in found["plain"].patches]
    assert edges == pytest.approx([-0.5, 9.5, 39.5])
    legend = next(ax for ax in figure.axes if ax.get_label() == "phases").get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["autoencoder", "gates", "head"]


def test_values_missing_in_between_are_bridged_and_steep_ones_logarithmic(table, history):
    found = panels(plot.training(table(1, uns__deep=history)))
    assert sum(len(line.get_xdata()) for line in found["silhouette"].lines) == 6
    assert {name: ax.get_yscale() for name, ax in found.items()} == {
        "plain": "log",
        "rate_of_something": "linear",
        "open": "linear",
        "silhouette": "linear",
    }


def test_epochs_that_count_anew_follow_each_other(table):
    history = {"epoch": [0, 1, 0, 1, 2], "phase": ["a", "a", "b", "b", "b"], "loss": [5.0, 4, 3, 2, 1]}
    ax = panels(plot.training(table(1, uns__deep=history)))["loss"]
    assert [x for line in ax.lines for x in line.get_xdata()] == [0, 1, 2, 3, 4]


def test_texts_do_not_overlap(table, history, apart):
    for n_columns in (1, 3):
        figure = plot.training(table(1, uns__deep=history), n_columns=n_columns)
        legend = next(ax for ax in figure.axes if ax.get_label() == "phases").get_legend()
        titles = [ax.get_title(loc="left") and ax._left_title for ax in panels(figure).values()]
        figure.canvas.draw()
        ticks = [t for ax in panels(figure).values() for t in drawn_ticks(ax)]
        assert len(ticks) > 20
        assert apart(figure, [*legend.get_texts(), *titles, *ticks])


def drawn_ticks(ax):
    """Labels of ticks within the axes: those beyond are not drawn."""
    x, y = ((low, high) for low, high in (sorted(ax.get_xlim()), sorted(ax.get_ylim())))
    kept = [t for t, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True) if x[0] <= place <= x[1]]
    kept += [t for t, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True) if y[0] <= place <= y[1]]
    minor = [t for t in ax.yaxis.get_minorticklabels() if t.get_text()]
    return [*kept, *minor]


def test_what_is_no_history_is_refused(table):
    with pytest.raises(MissingResultError, match="uns/deep"):
        plot.training(table(1))
    for stored in ({"params": 1}, {"history": {"loss": [1.0]}}, {"epoch": [], "phase": []}):
        with pytest.raises(ParameterError, match="uns/deep must hold the history of a training"):
            plot.training(table(1, uns__deep=stored))
    with pytest.raises(ParameterError, match="no quantity"):
        plot.training(table(1, uns__deep={"epoch": [0], "phase": ["a"]}))
    with pytest.raises(ParameterError, match="n_columns must be at least 1"):
        plot.training(table(1), n_columns=0)


def test_what_was_not_used_has_no_panel(table, history):
    history["compression"], history["nothing"] = 0.0, np.where(history["epoch"] < 9, 0.0, np.nan)
    assert list(panels(plot.training(table(1, uns__deep=history)))) == [
        "plain",
        "rate_of_something",
        "open",
        "silhouette",
    ]
