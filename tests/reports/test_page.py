"""A page in a real browser: it draws, sends nothing, and what is picked there comes back to the dataset."""

import io
import os
import shlex
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import kithkin as kk
from kithkin.cli.main import main

from .test_build import HOSTILE

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="session")
def browser():
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium: install it, or name one with CHROMIUM=path")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=[*QUIET, *SOFTWARE])
        yield started
        started.close()


class Tab:
    """A page that is open, with all that it said and asked for."""

    def __init__(self, browser, path, **settings):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **settings})
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def rest(self):
        self.page.wait_for_selector("html[data-rest='1']", state="attached", timeout=60_000)
        return self

    @property
    def canvas(self):
        return self.page.locator("canvas").first

    def pixels(self):
        return np.asarray(Image.open(io.BytesIO(self.canvas.screenshot())).convert("RGB")).astype(int)

    def outside(self):
        return [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]

    def choose(self, name):
        self.page.locator("button.choose").first.click()
        self.page.get_by_role("combobox").last.fill(name)
        self.page.keyboard.press("Enter")

    def download(self, button):
        with self.page.expect_download() as found:
            button.click()
        return found.value


@pytest.fixture
def opened(browser):
    tabs = []

    def show(path, **settings):
        tabs.append(Tab(browser, path, **settings))
        return tabs[-1]

    yield show
    for tab in tabs:
        tab.context.close()


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    return kk.report(finished, tmp_path_factory.mktemp("page") / "report.html")


def box(tab):
    """Draw a box around all of the map."""
    tab.page.get_by_role("button", name="Select with a box").click()
    area = tab.canvas.bounding_box()
    tab.page.mouse.move(area["x"] + 2, area["y"] + 60)
    tab.page.mouse.down()
    tab.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=4)
    tab.page.mouse.move(area["x"] + area["width"] - 70, area["y"] + area["height"] - 4, steps=4)
    tab.page.mouse.up()


def test_the_map_is_drawn_and_nothing_is_sent(opened, report):
    tab = opened(report).rest()
    pixels = tab.pixels()
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, "not blank"
    assert tab.said == []
    assert tab.outside() == []


def test_the_policy_is_in_force(opened, report):
    tab = opened(report).rest()
    tried = """() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        const sent = fetch("https://127.0.0.1:9/").then(() => "sent", () => "refused");
        return sent.then((said) => [said, window.ran === true]);
    }"""
    assert tab.page.evaluate(tried) == ["refused", False]
    assert any("Content Security Policy" in line for line in tab.said)
    assert tab.outside() == []


def test_a_gene_colours_the_map_and_every_tab_opens(opened, report, finished):
    tab = opened(report).rest()
    before = tab.pixels()
    gene = str(finished.read("uns/rank_genes_groups")["names"][0][0])
    tab.choose(gene)
    tab.page.wait_for_timeout(300)
    tab.rest()
    assert np.abs(tab.pixels() - before).max() > 60
    tabs = tab.page.get_by_role("tab")
    names = tabs.all_inner_texts()
    assert {"Map", "Clusters", "Compare", "Quality", "History"} <= set(names)
    for name in names:
        tab.page.get_by_role("tab", name=name).click()
        tab.page.wait_for_timeout(200)
        assert tab.page.locator("[role=tabpanel]:visible").inner_text().strip()
        assert tab.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is too wide"
    assert tab.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_sees_no_more_than_its_width(opened, report, scheme):
    tab = opened(report, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True).rest()
    for name in tab.page.get_by_role("tab").all_inner_texts():
        tab.page.get_by_role("tab", name=name).click()
        tab.page.wait_for_timeout(150)
        assert tab.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is too wide"
    shade = tab.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, shade.strip("rgba()").split(",")[:3])) < 200) == (scheme == "dark")
    assert tab.said == []


def test_what_is_selected_comes_back_to_the_dataset(opened, finished, tmp_path, monkeypatch, capsys):
    shutil.copytree(finished.path, tmp_path / "out.zarr")
    ds = kk.open(tmp_path / "out.zarr")
    tab = opened(kk.report(ds, tmp_path / "report.html")).rest()
    box(tab)
    side = tab.page.get_by_role("region", name="Selection")
    line = side.locator("pre code").inner_text()
    got = tab.download(side.get_by_role("button", name="Save picked.csv"))
    assert got.suggested_filename == "picked.csv"
    got.save_as(tmp_path / "picked.csv")
    table = pd.read_csv(tmp_path / "picked.csv", dtype=str)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)[1:]) == 0
    mine = ds.read("obs/mine")
    assert set(mine.index[mine == "picked"]) == set(table.iloc[:, 0])
    assert 0.9 < len(table) / ds.n_obs <= 1
    tab.page.keyboard.press("Escape")
    assert side.get_by_text("Draw around").is_visible()


def test_a_new_name_comes_back_to_the_dataset(opened, finished, tmp_path, monkeypatch, capsys):
    shutil.copytree(finished.path, tmp_path / "out.zarr")
    ds = kk.open(tmp_path / "out.zarr")
    tab = opened(kk.report(ds, tmp_path / "report.html")).rest()
    name = 'it\'s "T" & <b>'
    tab.page.locator("aside button.pencil").first.click(force=True)
    tab.page.locator("input.rename").fill(name)
    tab.page.keyboard.press("Enter")
    renaming = tab.page.locator(".renaming")
    line = renaming.locator("pre code").inner_text()
    buttons = renaming.get_by_role("button", name="Save")
    if buttons.count():
        got = tab.download(buttons.first)
        got.save_as(tmp_path / got.suggested_filename)
    monkeypatch.chdir(tmp_path)
    before = ds.read("obs/leiden").astype(str)
    assert main(shlex.split(line)[1:]) == 0
    written = [key for key in ds.obs if name in set(ds.read(f"obs/{key}").astype(str))]
    assert len(written) == 1
    named = ds.read(f"obs/{written[0]}").astype(str) == name
    assert (named == (before == before[named].iloc[0])).all()
    assert tab.said == []


def test_hostile_names_do_no_harm(opened, tmp_path):
    rng = np.random.default_rng(0)
    n = 12_000
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=["</script>", "<img src=x>", "c"])
    ds = kk.read(table, to=tmp_path / "a.zarr")
    names = [text.encode("utf-8", "replace").decode() for text in HOSTILE]
    ds["obs/hostile"] = [names[k % len(names)] for k in range(n)]
    ds["obs/many"] = pd.Categorical([f"group {k % 10_000}" for k in range(n)])
    ds["obs/leiden"] = pd.Categorical((np.arange(n) % 4).astype(str))
    ds["obsm/X_umap"] = rng.normal(size=(n, 2))
    path = kk.report(ds, tmp_path / "r.html", by="obs/hostile", title="</title><script>alert(1)</script>")
    tab = opened(path).rest()
    tab.choose("many")
    tab.page.wait_for_timeout(500)
    for name in tab.page.get_by_role("tab").all_inner_texts():
        tab.page.get_by_role("tab", name=name).click()
        tab.page.wait_for_timeout(400)
        assert tab.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is too wide"
    assert tab.said == []
    assert tab.outside() == []
    assert tab.page.evaluate("() => document.querySelectorAll('script:not([type])').length") == 1


def test_a_dataset_without_a_map_has_a_page_that_works(opened, tmp_path):
    ds = kk.read(np.random.default_rng(0).normal(size=(40, 3)), to=tmp_path / "a.zarr", kind="values")
    tab = opened(kk.report(ds, tmp_path / "r.html"))
    tab.page.wait_for_selector("html[data-drawn='1']", state="attached", timeout=30_000)
    for name in tab.page.get_by_role("tab").all_inner_texts():
        tab.page.get_by_role("tab", name=name).click()
    assert tab.said == []


def test_pictures_of_names_with_control_characters_are_well_formed(opened, finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "out.zarr")
    ds = kk.open(tmp_path / "out.zarr")
    names = ("T <&> \x01" + ds.read("obs/leiden").astype(str)).to_numpy()
    kk.annotate(ds, "obs/odd", names)
    tab = opened(kk.report(ds, tmp_path / "report.html", by="obs/odd")).rest()
    got = tab.download(tab.page.get_by_role("button", name="SVG", exact=True).first)
    got.save_as(tmp_path / "map.svg")
    texts = "".join(ElementTree.parse(tmp_path / "map.svg").getroot().itertext())
    assert texts.count("T <&>") >= 2 * len(set(names)), "in the legend and on the map"
    got = tab.download(tab.page.get_by_role("button", name="PNG", exact=True).first)
    got.save_as(tmp_path / "map.png")
    assert len(np.unique(np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).reshape(-1, 3), axis=0)) > 20
    assert tab.said == []


def test_what_is_out_of_date_is_marked_and_no_line_of_the_script(opened, finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "out.zarr")
    ds = kk.open(tmp_path / "out.zarr")
    kk.pca(ds, 5)
    tab = opened(kk.report(ds, tmp_path / "report.html")).rest()
    assert tab.page.get_by_role("region", name="Legend").get_by_text("out of date").is_visible()
    tab.page.get_by_role("tab", name="History").click()
    tab.download(tab.page.get_by_role("button", name="Shell script")).save_as(tmp_path / "again.sh")
    lines = (tmp_path / "again.sh").read_text(encoding="utf-8").splitlines()
    live = [line.split()[1] for line in lines if line.startswith("kithkin ")]
    stale = [line for line in lines if line.startswith("# out of date: kithkin leiden")]
    assert "pca" in live
    assert "leiden" not in live
    assert len(stale) == 1
    subprocess.run(["sh", "-n", tmp_path / "again.sh"], check=True)
