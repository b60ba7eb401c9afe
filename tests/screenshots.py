"""Take the README's pictures of a running demo: ``python tests/screenshots.py http://127.0.0.1:3000 docs 2026-11-20``.

Needs Chromium. Not a test: what the pictures show is for a person to judge.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

PAGES = {
    "asset-graph.png": "/locations/__repository__@history_assets/asset-groups/shop_billing/lineage",
    "clone-partitions.png": "/assets/clones/salesforce?view=partitions&partition={date}",
}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,660",
    "--timeout=25000",
    "--virtual-time-budget=40000",
)


def dismiss_greeting(url: str) -> None:
    """Tell the webserver that its invitation to join a mailing list has been seen."""
    query = json.dumps({"query": "mutation { setNuxSeen }"}).encode()
    request = urllib.request.Request(f"{url}/graphql", query, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer) == {"data": {"setNuxSeen": True}}


def take(page: str, picture: Path) -> None:
    """Take a picture of a page, once it has loaded what it shows."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", f"--screenshot={picture.absolute()}", page],
            check=True,
            timeout=120,
            stderr=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    url, folder, date = sys.argv[1].rstrip("/"), Path(sys.argv[2]), sys.argv[3]
    dismiss_greeting(url)
    for name, path in PAGES.items():
        take(url + path.format(date=date), folder / name)
