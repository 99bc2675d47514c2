import json

import pytest

import kithkin as kk
from kithkin.core.errors import FormatError
from kithkin.core.records import BEGIN, is_page, records_of, records_on


@pytest.fixture
def page(dataset, tmp_path):
    kk.pca(dataset, 4, genes=None)
    return kk.report(dataset, tmp_path / "page.html")


def test_a_page_holds_the_records_of_its_dataset(dataset, page):
    here, there = records_of(dataset), records_on(page)
    assert is_page(page)
    assert not is_page(dataset.path)
    assert there.name == here.name
    assert there.source is None
    steps = [[(one.entry.verb, one.entry.parameters, one.entry.outputs, one.current) for one in both.steps]
             for both in (here, there)]  # fmt: skip
    assert steps[0] == steps[1]
    assert there.contents.items() <= here.contents.items()
    assert "obsm/X_pca" in there.contents
    assert set(here.contents) - set(there.contents) == {"X"}


def change(page, edit):
    begin, mark, rest = page.read_bytes().partition(BEGIN)
    text, end, last = rest.partition(b"</script>")
    contents = json.loads(text)
    edit(contents)
    page.write_bytes(begin + mark + json.dumps(contents).encode() + end + last)


@pytest.mark.parametrize(
    "edit",
    [
        lambda told: told["history"].clear(),
        lambda told: told["history"][0].pop("record"),
        lambda told: told["history"][0]["record"].update(parameters=[1]),
        lambda told: told["history"][0].update(outputs=[{}]),
        lambda told: told["history"][0]["record"].update(revision="x"),
        lambda told: told.update(history=5),
        lambda told: told.pop("results"),
    ],
)
def test_records_that_are_no_records_are_refused(page, edit):
    change(page, edit)
    with pytest.raises(FormatError, match=r"page\.html"):
        records_on(page)


def test_other_pages_hold_none(tmp_path):
    for text in (
        "<!doctype html><p>",
        f"<!doctype html>{BEGIN.decode()}[1",
        f"<!doctype html>{BEGIN.decode()}7</script>",
    ):
        (tmp_path / "a.html").write_text(text)
        with pytest.raises(FormatError, match="records of steps"):
            records_on(tmp_path / "a.html")
