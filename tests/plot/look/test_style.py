import io
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from kithkin import plot
from kithkin.plot.look.style import FINE


@pytest.fixture
def figure(table):
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(6000, 2)), pd.Categorical(np.resize(["T cell", "B cell"], 6000))
    return plot.scatter(table(6000), on=points, color=[labels, labels], legend="on data", title=["left", "right"])


def saved(figure, kind, **settings):
    file = io.BytesIO()
    figure.savefig(file, format=kind, **settings)
    return file.getvalue()


def test_text_stays_text_and_settings_of_the_process_are_left_alone(figure):
    before = dict(mpl.rcParams)
    pdf, svg = saved(figure, "pdf"), saved(figure, "svg").decode()
    assert b"/FontFile2" in pdf  # TrueType, embedded as Type 42
    assert b"/Type3" not in pdf
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"T cell", "B cell", "left", "right"} <= set(words)
    assert dict(mpl.rcParams) == before


def test_points_are_fine_unless_a_resolution_is_named(figure):
    def widths(svg):
        return [float(width) for width in re.findall(r"<image[^>]*? width=\"([0-9.]+)\"", svg.decode())]

    fine, coarse = saved(figure, "svg"), saved(figure, "svg", dpi=100)
    assert len(fine) > 3 * len(coarse)
    assert figure.dpi != FINE
    assert len(widths(fine)) == len(widths(coarse)) == 2


def test_the_format_is_read_off_the_name(figure, tmp_path):
    figure.savefig(tmp_path / "a.PDF")
    assert b"/Type3" not in (tmp_path / "a.PDF").read_bytes()
