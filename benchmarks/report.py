"""Pages: size, building, first picture, frames while moving, recolouring and lasso in a browser that draws in software.

usage: python benchmarks/report.py SIM100K.zarr|none [FOLDER]

SIM100K.zarr is a finished run of 100,000 simulated cells (kithkin run); `none` leaves it out. The dataset of a million
cells is made here: a map of 30 clusters, seven columns, and 120 genes that 12 % of the cells have. Needs Chromium and
playwright.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright
from scipy import sparse

import kithkin as kk

BUILD = """
import json, sys, time
from pathlib import Path
import kithkin as kk
settings = json.loads(sys.argv[3])
began = time.process_time()
path = kk.report(kk.open(sys.argv[1]), sys.argv[2], **settings)
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1e3
print(json.dumps({"cpu": time.process_time() - began, "peak": peak, "size": path.stat().st_size / 1e6}))
"""
SOFTWARE = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
REST = "html[data-rest='1']"
COUNT_FRAMES = """() => { window.frames_seen = 0; const step = () => { window.frames_seen += 1;
    window.going = requestAnimationFrame(step); }; step(); }"""
WATCH_REST = """() => { addEventListener("keydown", () => { window.begun = performance.now(); }, true);
    new MutationObserver(() => { if (document.documentElement.dataset.rest) window.rested = performance.now(); })
        .observe(document.documentElement, { attributes: true, attributeFilter: ["data-rest"] }); }"""
WATCH = """() => { addEventListener("pointerup", () => { window.begun = performance.now(); }, true);
    new MutationObserver(() => { window.ended = performance.now(); })
        .observe(document.getElementById("live"), { childList: true, characterData: true, subtree: true }); }"""


def build(dataset: Path, page: Path, **settings: Any) -> dict[str, float]:
    """Write a page in a process of its own."""
    command = [sys.executable, "-c", BUILD, str(dataset), str(page), json.dumps(settings)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def make_million(folder: Path) -> Path:
    """Make a dataset of a million cells with a map, five columns and 120 genes."""
    rng, n, p, k = np.random.default_rng(0), 1_000_000, 120, 30
    kinds = rng.integers(k, size=n)
    counts = sparse.random(n, p, density=0.12, format="csr", dtype=np.float32, random_state=0)
    counts.data = np.ceil(counts.data * 6)
    names = pd.Index([f"CELL{i:07d}-1" for i in range(n)])
    obs = pd.DataFrame({"sample": pd.Categorical(rng.choice(["a", "b", "c", "d"], n))}, index=names)
    import anndata

    cells = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"GENE{i}" for i in range(p)]))
    ds = kk.read(cells, to=folder / "million.zarr", kind="counts")
    centers = rng.normal(size=(k, 2)) * 8
    ds["obsm/X_umap"] = (centers[kinds] + rng.normal(size=(n, 2)) * 1.2).astype(np.float32)
    ds["obs/leiden"] = pd.Categorical(kinds.astype(str), categories=[str(i) for i in range(k)])
    kk.markers(ds, "obs/leiden")
    return ds.path


def look(page: Page, path: Path, other: str) -> dict[str, float]:
    """Open a page, move, recolour and select, and measure."""
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector(REST, state="attached", timeout=60_000)
    out = {"all drawn (s)": time.perf_counter() - began}
    out["first picture (s)"] = page.evaluate("() => performance.getEntriesByName('drawn')[0].startTime") / 1000
    area = page.locator("canvas").first.bounding_box()
    assert area is not None
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.evaluate(COUNT_FRAMES)
    page.mouse.move(x, y)
    page.mouse.down()
    began, moves = time.perf_counter(), 0
    while time.perf_counter() - began < 3:
        moves += 1
        page.mouse.move(x + 80 * np.sin(moves / 6), y + 60 * np.cos(moves / 6))
    seconds = time.perf_counter() - began
    out["frames per second while moving"] = page.evaluate("() => window.frames_seen") / seconds
    began = time.perf_counter()
    page.mouse.up()
    page.wait_for_selector(REST, state="attached", timeout=60_000)
    out["all drawn after rest (s)"] = time.perf_counter() - began
    page.evaluate("() => cancelAnimationFrame(window.going)")
    page.locator("button.choose").first.click()
    page.get_by_role("combobox").last.fill(other)
    page.evaluate(WATCH_REST)
    page.keyboard.press("Enter")
    page.wait_for_timeout(4000)
    out["recolouring (s)"] = page.evaluate("() => window.rested - window.begun") / 1000
    page.get_by_role("button", name="Select with a lasso").click()
    page.evaluate(WATCH)
    page.mouse.move(x + 200, y)
    page.mouse.down()
    for turn in np.linspace(0, 2 * np.pi, 80):
        page.mouse.move(x + 200 * np.cos(turn), y + 200 * np.sin(turn))
    page.mouse.up()
    page.wait_for_timeout(1500)
    out["lasso (ms)"] = page.evaluate("() => window.ended - window.begun")
    out["requests that leave"] = len([url for url in asked if not url.startswith(("file:", "data:", "blob:"))])
    out["lines on the console"] = len(said)
    return out


def main() -> None:
    """Build and open both pages."""
    given = sys.argv[1] if len(sys.argv) > 1 else "none"
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    pages = {}
    if given != "none":
        pages["100,000 cells"] = Path(given), folder / "hundred.html", "n_counts"
    million = folder / "million.zarr"
    pages["a million cells"] = (million if million.exists() else make_million(folder)), folder / "million.html", "GENE"
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=SOFTWARE)
        for name, (dataset, page, other) in pages.items():
            built = build(dataset, page)
            print(
                f"{name}: {built['size']:.1f} MB, built in {built['cpu']:.1f} CPU s, peak {built['peak']:.0f} MB",
                flush=True,
            )
            context = browser.new_context(viewport={"width": 1280, "height": 720})
            for what, value in look(context.new_page(), page, other).items():
                print(f"  {what:<34}{value:8.2f}", flush=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
