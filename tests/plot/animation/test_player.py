"""The page with the player: self-contained, and safe for any title."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np

from kithkin import plot
from kithkin.plot.animation import player

TITLE = "</title></script><script>alert('{{settings}} {{frames}}')</script> & \"x\""


class Parts(HTMLParser):
    """Tags of a page, and the text of its title."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.title, self._inside = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "title"

    def handle_data(self, data):
        if self._inside:
            self.title += data

    def handle_endtag(self, _tag):
        self._inside = False


def test_titles_are_text(tmp_path):
    film = plot.animate(np.eye(3)[:, :2], np.eye(3), to=tmp_path / "a.html", label=TITLE, size=(100, 80))
    parts = Parts(film.path.read_text(encoding="utf-8"))
    assert parts.title == TITLE
    assert [tag for tag, _ in parts.tags].count("script") == 3
    canvas = next(found for tag, found in parts.tags if tag == "canvas")
    assert (canvas["width"], canvas["height"], canvas["aria-label"]) == ("100", "80", TITLE)


def test_nothing_is_fetched(tmp_path):
    film = plot.animate(np.eye(3)[:, :2], np.eye(3), to=tmp_path / "a.html", size=(100, 80))
    text = film.path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|\bsrc=|\bhref=|\bimport\b|fetch\(|@import|url\(", text)
    assert "default-src 'none'" in text


def test_controls_are_there():
    head, tail = player.page("", (10, 10), {})
    for name in ("play", "frame", "speed", "loop", "number"):
        assert f'id="{name}"' in head
        assert f'by("{name}")' in tail


def test_a_notebook_takes_no_huge_file(tmp_path, monkeypatch):
    monkeypatch.setattr(player, "MOST_SHOWN", 10)
    film = plot.animate(np.eye(3)[:, :2], np.eye(3), to=tmp_path / "<a>.gif", size=(100, 80))
    assert film._repr_html_().endswith("&lt;a&gt;.gif is too large to show here</p>")
