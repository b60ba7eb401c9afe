"""Take the README's pictures of a running demo: ``python -m tests.screenshots http://127.0.0.1:3000 docs 2026-11-20``.

Needs Chromium. Not a test: what the pictures show is for a person to judge.
"""

import io
import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.ui.pages import Pages, opened

LANDED = "shop_billing"
CLONED, CHANGED = "clones/salesforce", "history/salesforce/opportunity"
COLOURS = 128
"""As many as a page of text and lines needs; a picture then is a third as large."""


def dismiss_greeting(url: str) -> None:
    """Tell the webserver that its invitation to join a mailing list has been seen."""
    query = json.dumps({"query": "mutation { setNuxSeen }"}).encode()
    request = urllib.request.Request(f"{url}/graphql", query, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer) == {"data": {"setNuxSeen": True}}


def save(pages: Pages, picture: Path) -> None:
    """Take a picture of a page that has loaded what it shows."""
    pages.page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(pages.page.screenshot(animations="disabled"))) as image:
        image.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def scroll(pages: Pages, pixels: int) -> None:
    """Go down a page by so much, with the pointer over what it is about."""
    pages.page.mouse.move(600, 600)
    pages.page.mouse.wheel(0, pixels)
    pages.page.wait_for_timeout(500)  # it glides


def pictures(date: str) -> dict[str, Callable[[Pages], object]]:
    """Return how to come to what each picture shows."""
    return {
        "asset-graph.png": lambda pages: pages.group(LANDED),
        "clone-partitions.png": lambda pages: pages.metadata(CLONED, date),
        "history-changes.png": lambda pages: pages.metadata(CHANGED, date),
        "history-plots.png": lambda pages: (pages.overview(CHANGED), pages.plots(), scroll(pages, 250)),
    }


if __name__ == "__main__":
    url, folder, date = sys.argv[1].rstrip("/"), Path(sys.argv[2]), sys.argv[3]
    dismiss_greeting(url)
    with opened(url, 1280, 900) as pages:
        for name, go in pictures(date).items():
            go(pages)
            save(pages, folder / name)
