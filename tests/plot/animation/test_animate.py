"""Animations: every kind of file is decoded again, and its frames, size and colours looked at."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from PIL import Image

from kithkin import plot
from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.core.execute import Execution

LOSSLESS = [".gif", ".png", ".html"]
VIDEOS = [".mp4", ".webm"]
# four corners of a square, which a picture of 200 x 200 without legend has at 8 % and 92 %
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
PLACES = [(185, 15), (185, 185), (15, 15), (15, 185)]  # row and column of each
PLAIN = {"size": (200, 200), "legend": False, "dot": 15}


def decoded(path):
    """All frames of a file as RGB."""
    if path.suffix in VIDEOS:
        av = pytest.importorskip("av")
        with av.open(str(path)) as file:
            return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    if path.suffix == ".html":
        return pages(path.read_text(encoding="utf-8"))
    with Image.open(path) as image:
        return [picture(image, k) for k in range(image.n_frames)]


def picture(image, k):
    image.seek(k)
    return np.asarray(image.convert("RGB"))


def pages(text):
    """Frames of a page, put together as its player does."""
    found = {name: re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)[1] for name in ("frames", "settings")}
    settings, out, sheet = json.loads(found["settings"]), [], None
    start, end = (base64.b64decode(settings[name]) for name in ("start", "end"))
    for k, data in enumerate(json.loads(found["frames"])):
        image = Image.open(io.BytesIO(start + base64.b64decode(data) + end)).convert("RGBA")
        sheet = image if k % settings["every"] == 0 else Image.alpha_composite(sheet, image)
        out.append(np.asarray(sheet.convert("RGB")))
    return out


def video(ending):
    if ending in VIDEOS:
        pytest.importorskip("av")
    return ending


@pytest.mark.parametrize("ending", LOSSLESS + VIDEOS)
def test_frames_have_the_size_and_the_colors_of_the_values(tmp_path, ending):
    values = np.array([[0.0, 1.0, 2.0, np.nan], [2.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0]])
    film = plot.animate(CORNERS, values, to=tmp_path / f"a{video(ending)}", rank=False, **PLAIN)
    frames = decoded(film.path)
    assert (film.n_frames, film.size, len(frames)) == (3, (200, 200), 3)
    assert {frame.shape for frame in frames} == {(200, 200, 3)}
    viridis, grey = colormaps["viridis"], np.full(3, 217)
    for frame, row in zip(frames, values, strict=True):
        for (y, x), value in zip(PLACES, row, strict=True):
            wanted = grey if np.isnan(value) else 255 * np.array(viridis(value / 2)[:3])
            # a video is coded with loss, and of 224 levels one lies within half a step of the value
            assert np.abs(frame[y, x] - wanted).max() <= (20 if ending in VIDEOS else 2)
        assert np.abs(frame[100, 100].astype(int) - 255).max() <= (3 if ending in VIDEOS else 0)


@pytest.mark.parametrize("ending", LOSSLESS + VIDEOS)
def test_many_noisy_frames_come_back_as_they_were_drawn(tmp_path, ending, monkeypatch):
    drawn, rng = [], np.random.default_rng(0)
    points, codes = rng.normal(size=(3000, 2)), rng.integers(-1, 3, (30, 3000))
    codes[7] = codes[6]  # a frame in which nothing changes

    def keep(frames):
        for frame in frames:
            drawn.append(frame)
            yield frame

    write_film = plot.animate.__wrapped__.__globals__["write_film"]
    palettes = []

    def watched(path, frames, film):
        palettes.append(film.palette)
        write_film(path, keep(frames), film)

    monkeypatch.setitem(plot.animate.__wrapped__.__globals__, "write_film", watched)
    film = plot.animate(points, codes, to=tmp_path / f"a{video(ending)}", size=(240, 160), titles="noise")
    frames = decoded(film.path)
    assert len(frames) == len(drawn) == 30
    for frame, pixels in zip(frames, drawn, strict=True):
        wanted = palettes[0][pixels].astype(int)
        if ending in LOSSLESS:
            np.testing.assert_array_equal(frame, wanted)
        else:
            assert np.abs(frame - wanted).mean() < 12


def test_the_sum_of_delays_in_a_gif_is_its_length(tmp_path):
    film = plot.animate(CORNERS, np.eye(4), to=tmp_path / "a.gif", fps=30, n_frames=4, loop=False, **PLAIN)
    with Image.open(film.path) as image:
        delays = []
        for k in range(image.n_frames):
            image.seek(k)
            delays.append(image.info["duration"])
        assert sum(delays) == pytest.approx(1000 * 4 / 30, abs=10)
        assert "loop" not in image.info
    assert film.seconds == pytest.approx(4 / 30)


def test_rates_are_kept(tmp_path):
    av = pytest.importorskip("av")
    film = plot.animate(CORNERS, np.eye(4), to=tmp_path / "a.mp4", fps=12.5, **PLAIN)
    with av.open(str(film.path)) as file:
        stream = file.streams.video[0]
        assert float(stream.average_rate) == 12.5
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    with Image.open(plot.animate(CORNERS, np.eye(4), to=tmp_path / "a.png", fps=12.5, **PLAIN).path) as image:
        assert image.info["duration"] == pytest.approx(80)


def test_colors_come_as_array_list_file_map_or_function(tmp_path):
    values = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    ways = {
        "array": values,
        "list": list(values),
        "path": str(tmp_path / "values.npy"),
        "map": np.load(tmp_path / "values.npy", mmap_mode="r"),
        "function": lambda k: values[k],
        "history": values[:, :, None],
    }
    files = [
        plot.animate(CORNERS, colors, to=tmp_path / f"{name}.gif", n_frames=3, **PLAIN).path.read_bytes()
        for name, colors in ways.items()
    ]
    assert len(set(files)) == 1


def test_a_function_is_called_in_order_and_once_for_each_frame(tmp_path):
    asked = []

    def colors(k):
        asked.append(k)
        return np.full(4, float(k))

    plot.animate(CORNERS, colors, to=tmp_path / "a.gif", n_frames=6, between=2, **PLAIN)
    assert asked == list(range(6))


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_files_are_the_same_for_every_number_of_threads(tmp_path, threads, ending):
    rng = np.random.default_rng(1)
    values, points = rng.random((9, 500)), rng.normal(size=(9, 500, 2))
    one, other = (
        plot.animate(
            points, values, to=tmp_path / f"{n}{video(ending)}", size=(120, 100), execution=Execution(threads=n)
        ).path.read_bytes()
        for n in (1, threads)
    )
    assert one == other


def test_points_move_and_pass_between_key_frames(tmp_path):
    coords = np.array([[[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    film = plot.animate(coords, ["a", "b", "b"], to=tmp_path / "a.gif", palette=["red", "blue"], between=1, **PLAIN)
    columns = [np.flatnonzero((frame[185] == [255, 0, 0]).all(axis=1)).mean() for frame in decoded(film.path)]
    assert columns == pytest.approx([15, 100, 185], abs=1.5)


def test_levels_pass_evenly_and_groups_point_by_point(tmp_path):
    values = np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    film = plot.animate(
        CORNERS, values, to=tmp_path / "a.gif", rank=False, palette=["black", "white"], between=3, **PLAIN
    )
    ramp = [int(frame[PLACES[0]][0]) for frame in decoded(film.path)]
    assert ramp == pytest.approx([0, 64, 128, 191, 255], abs=2)
    many = np.random.default_rng(0).random((5000, 2))
    groups = np.array([np.zeros(5000, int), np.ones(5000, int)])
    film = plot.animate(many, groups, to=tmp_path / "b.gif", palette=["red", "blue"], between=3, **PLAIN | {"dot": 1})
    shares = []
    for frame in decoded(film.path):
        red, blue = ((frame == color).all(axis=2).sum() for color in ([255, 0, 0], [0, 0, 255]))
        shares.append(blue / (red + blue))
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.04)


def test_ranks_show_what_values_hide(tmp_path):
    values = np.array([[0.0, 1e-9, 1e-6, 1.0]])
    shades = {}
    for rank in (True, False):
        film = plot.animate(CORNERS, values, to=tmp_path / "a.gif", rank=rank, palette=["black", "white"], **PLAIN)
        shades[rank] = [int(decoded(film.path)[0][place][0]) for place in PLACES]
    assert shades[True] == pytest.approx([0, 85, 170, 255], abs=2)
    assert shades[False] == [0, 0, 0, 255]


def test_limits_hold_for_all_frames(tmp_path):
    film = plot.animate(
        CORNERS, np.array([[0.0, 5.0, 10.0, 20.0]]), to=tmp_path / "a.gif", rank=False, limits=(5, 10),
        palette=["black", "white"], **PLAIN,
    )  # fmt: skip
    assert [int(decoded(film.path)[0][place][0]) for place in PLACES] == [0, 0, 255, 255]


def test_texts_and_categoricals_are_groups_with_their_colors(tmp_path):
    colors = {"T": "red", "B": "blue", "NK": "lime"}
    texts = np.array(["T", "B", "NK", "T"])
    several = [pd.Categorical(texts, ["NK", "T", "B"]), pd.Categorical(texts[::-1], ["NK", "T", "B"])]
    for name, what, n in (("texts", texts, 1), ("frames", np.array([texts, texts[::-1]]), 2), ("list", several, 2)):
        film = plot.animate(CORNERS, what, to=tmp_path / f"{name}.gif", palette=colors, **PLAIN)
        frames = decoded(film.path)
        assert len(frames) == n
        wanted = [[255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 0, 0]]
        for frame, order in zip(frames, (wanted, wanted[::-1]), strict=False):
            assert [frame[place].tolist() for place in PLACES] == order


def test_dark_background_titles_and_legends_are_drawn(tmp_path):
    bright, dark = (
        decoded(
            plot.animate(
                CORNERS, np.array([[0, 1, 1, -1]] * 2), names=["kith", "kin"], dark=dark, to=tmp_path / "a.gif",
                titles=["first", "second"], size=(400, 300),
            ).path
        )
        for dark in (False, True)
    )  # fmt: skip
    assert bright[0][150, 5].tolist() == [255, 255, 255]
    assert dark[0][150, 5].max() < 30
    head, rest = np.s_[:20], np.s_[20:]
    assert (bright[0][head] != bright[1][head]).any()
    np.testing.assert_array_equal(bright[0][rest], bright[1][rest])
    legend = bright[0][20:, -60:]
    found = {tuple(color) for color in legend.reshape(-1, 3).tolist()}
    assert {(0, 114, 178), (230, 159, 0), (217, 217, 217)} <= found  # two groups, and the missing


def test_points_outside_all_reason_are_left_out(tmp_path):
    coords = np.vstack([CORNERS, [[np.nan, 0.5], [0.5, np.inf]]])
    film = plot.animate(coords, np.array([0, 0, 0, 0, 1, 1]), to=tmp_path / "a.gif", palette=["red", "blue"], **PLAIN)
    assert not (decoded(film.path)[0] == [0, 0, 255]).all(axis=2).any()


def test_a_failed_write_leaves_what_was_there(tmp_path):
    to = tmp_path / "a.gif"
    to.write_text("old")

    def colors(k):
        if k == 2:
            raise RuntimeError("the third frame")
        return np.zeros(4)

    for ending in [*LOSSLESS, *VIDEOS]:
        target = to.with_suffix(video(ending))
        target.write_text("old")
        with pytest.raises(RuntimeError, match="the third frame"):
            plot.animate(CORNERS, colors, to=target, n_frames=4, **PLAIN)
        assert target.read_text() == "old"
    assert {path.stem for path in tmp_path.iterdir()} == {"a"}


def test_progress_is_shown_where_it_is_asked_for(tmp_path, capsys):
    plot.animate(CORNERS, np.eye(4), to=tmp_path / "a.gif", execution=Execution(progress=True), **PLAIN)
    assert "animate" in capsys.readouterr().err
    plot.animate(CORNERS, np.eye(4), to=tmp_path / "a.gif", **PLAIN)
    assert capsys.readouterr().err == ""


def test_memory_does_not_grow_with_frames(tmp_path):
    import tracemalloc

    rng = np.random.default_rng(0)
    history = np.lib.format.open_memmap(tmp_path / "h.npy", "w+", np.float32, (80, 20_000))
    history[:] = rng.random((80, 20_000), np.float32)
    coords, peaks = rng.normal(size=(20_000, 2)), []
    for frames in (10, 20, 80):
        tracemalloc.start()
        plot.animate(coords, history[:frames], to=tmp_path / "a.gif", size=(300, 300), execution=Execution(threads=1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1] + 1_000_000  # the first is that of a cold start


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "a.avi"}, r"to must end in \.gif, \.mp4, \.webm, \.html, \.png, got 'a\.avi'"),
        ({"to": "a"}, "to must end in"),
        ({"coords": np.zeros((4, 3))}, "coords must be n x 2 in each frame, got 4 x 3"),
        ({"coords": np.zeros(4)}, "coords must be n x 2, or frames x n x 2, got 4"),
        ({"coords": np.full((4, 2), np.nan)}, "at least one finite point"),
        ({"color": np.zeros((2, 5))}, "color must have one entry per point: 4, got 5"),
        ({"color": np.zeros((2, 2, 2, 2))}, "color must be n, or frames x n, got 2 x 2 x 2 x 2"),
        ({"color": np.zeros((0, 4))}, "at least one frame"),
        ({"color": [np.zeros(4), np.zeros(3)]}, "color of frame 1 must be 4, got 3"),
        ({"color": np.zeros((3, 4)), "coords": np.zeros((2, 4, 2))}, "the numbers of frames differ"),
        ({"color": np.zeros((3, 4)), "n_frames": 2}, "the numbers of frames differ"),
        ({"color": lambda k: np.zeros(4)}, "n_frames must be given"),
        ({"color": np.array([0, 1, 2, 3]), "names": ["a", "b"]}, "must be codes below 2, got 3"),
        ({"color": np.array([0.0, 1, 2, 3]), "names": ["a", "b"]}, "names has no effect on values"),
        ({"color": np.array([0, 1, 2, 10**6])}, "are too many"),
        ({"color": np.zeros(4, complex)}, "color must be numbers, texts or groups"),
        ({"color": np.full(4, np.nan), "rank": False}, "at least one finite value"),
        ({"size": (800, 10)}, r"size must be a width and a height in 32\.\.8192 pixels, got \(800, 10\)"),
        ({"size": 800}, "size must be "),
        ({"fps": 0}, "fps must be in"),
        ({"fps": 60}, r"fps must be in 0\.1\.\.50\.0, got 60"),
        ({"n_frames": 0}, "n_frames must be in"),
        ({"dot": 0}, "dot must be in"),
        ({"dot": 2.5}, r"dot must be a whole number .*got 2\.5"),
        ({"between": -1}, "between must be in"),
        ({"limits": (0, 1)}, "limits has no effect on ranks"),
        ({"limits": (1, 0), "rank": False}, "limits must be two ascending numbers"),
        ({"titles": ["a", "b"]}, "titles must be one per key frame: 1, got 2"),
        ({"palette": "no such map"}, "palette must be the name of a colour map"),
        ({"palette": ["red", "nonsense"]}, "palette must hold two colours or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path, settings, message):
    given = {"coords": CORNERS, "color": np.array([0.0, 1, 2, 3]), "to": "a.gif"} | settings
    to = tmp_path / given.pop("to")
    with pytest.raises(ParameterError, match=message):
        plot.animate(given.pop("coords"), given.pop("color"), to=to, **given)
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_are_refused_for_videos(tmp_path):
    pytest.importorskip("av")
    with pytest.raises(ParameterError, match=r"size must be even numbers for \.mp4, got 201 x 200"):
        plot.animate(CORNERS, np.zeros(4), to=tmp_path / "a.mp4", size=(201, 200))
    assert plot.animate(CORNERS, np.zeros(4), to=tmp_path / "a.gif", size=(201, 99)).size == (201, 99)


def test_a_missing_folder_file_or_encoder_is_told(tmp_path, monkeypatch):
    with pytest.raises(KithkinError, match="does not exist"):
        plot.animate(CORNERS, np.zeros(4), to=tmp_path / "none" / "a.gif")
    with pytest.raises(KithkinError, match="there is no file"):
        plot.animate(CORNERS, tmp_path / "none.npy", to=tmp_path / "a.gif")
    (tmp_path / "text.npy").write_text("not an array")
    with pytest.raises(FormatError, match=r"text\.npy is not an array"):
        plot.animate(CORNERS, tmp_path / "text.npy", to=tmp_path / "a.gif")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(KithkinError, match=r"an animation in \.mp4 needs av: pip install 'kithkin\[video\]'"):
        plot.animate(CORNERS, np.zeros(4), to=tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("ending", "start"),
    [(".gif", "<img"), (".png", "<img"), (".mp4", "<video"), (".webm", "<video"), (".html", "<iframe")],
)
def test_a_notebook_shows_it(tmp_path, ending, start):
    film = plot.animate(CORNERS, np.eye(4), to=tmp_path / f"a{video(ending)}", **PLAIN)
    html = film._repr_html_()
    assert html.startswith(start)
    assert "http" not in html.replace("http-equiv", "")
    with open(film, "rb") as file:  # it stands for its path
        assert file.read() == film.path.read_bytes()
    film.path.unlink()
    assert "no longer there" in film._repr_html_()


def test_a_title_runs_above_the_legend(tmp_path):
    settings = {"to": tmp_path / "a.png", "size": (160, 120), "titles": "a title as wide as the picture"}
    ends = []
    for legend in (True, False):
        film = plot.animate(CORNERS, np.array([0, 1, 2, 3]), legend=legend, **settings)
        with Image.open(film.path) as image:
            top = np.asarray(image.convert("L"))[:16]
        ends.append(int(np.flatnonzero((top < 255).any(axis=0))[-1]))
    assert ends[0] == ends[1] > 110


def colours(path):
    """Colours of the four corners in every frame."""
    return [[tuple(int(part) for part in frame[place]) for place in PLACES] for frame in decoded(path)]


def test_columns_of_one_set_are_values_in_every_form(tmp_path):
    frames = [np.array([[0.0], [1.0], [2.0], [3.0 + k]]) for k in range(3)]
    flat = np.array(frames)[:, :, 0]
    np.save(tmp_path / "frames.npy", np.array(frames))
    forms = {
        "list": frames,
        "array": np.array(frames),
        "file": tmp_path / "frames.npy",
        "function": lambda k: frames[k],
    }
    n_frames = {"function": 3}
    wanted = colours(plot.animate(CORNERS, flat, to=tmp_path / "flat.gif", rank=False, **PLAIN).path)
    for name, color in forms.items():
        film = plot.animate(
            CORNERS, color, to=tmp_path / f"{name}.gif", rank=False, n_frames=n_frames.get(name), **PLAIN
        )
        assert colours(film.path) == wanted, name
    still = plot.animate(CORNERS, frames[0], to=tmp_path / "still.gif", rank=False, **PLAIN)
    assert colours(still.path) == colours(
        plot.animate(CORNERS, flat[0], to=tmp_path / "one.gif", rank=False, **PLAIN).path
    )
    spread = plot.animate_propagation(CORNERS, frames, to=tmp_path / "spread.gif", rank=False, titles=None, **PLAIN)
    assert colours(spread.path) == wanted


def test_a_scale_of_each_frame(tmp_path):
    growing = np.array([[0.0, 1.0, 2.0, 4.0], [0.0, 10.0, 20.0, 40.0], [5.0, 5.0, 5.0, 5.0], [np.nan] * 4])
    film = plot.animate(CORNERS, growing, to=tmp_path / "own.gif", rank=False, limits="frame", **PLAIN)
    first, second, third, fourth = colours(film.path)
    assert first == second
    shades = colormaps["viridis"](np.linspace(0, 1, 224))[:, :3]
    levels = np.rint(np.array([0, 0.25, 0.5, 1]) * 223).astype(int)
    np.testing.assert_allclose(np.array(first) / 255, shades[levels], atol=0.01)
    assert len(set(third)) == len(set(fourth)) == 1
    shared = colours(plot.animate(CORNERS, growing, to=tmp_path / "all.gif", rank=False, **PLAIN).path)
    assert shared[0] != shared[1]
    with pytest.raises(ParameterError, match="limits has no effect on ranks"):
        plot.animate(CORNERS, growing, to=tmp_path / "no.gif", limits="frame", **PLAIN)
    with pytest.raises(ParameterError, match="limits must be "):
        plot.animate(CORNERS, growing, to=tmp_path / "no.gif", rank=False, limits="each", **PLAIN)
