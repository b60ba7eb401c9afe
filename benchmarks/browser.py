"""Pages of the Dagster UI until a headless Chromium shows them: run by ``benchmarks.location --browser PYTHON``.

A script of its own, since only this needs Playwright: ``PYTHON benchmarks/browser.py URL DATES`` prints, as JSON, the seconds
of each page, for as many DATES, to a browser that comes for the first time, and for one that has seen the UI before.
"""

import json
import shutil
import sys
import time

from playwright.sync_api import Error, sync_playwright

GROUP = "/locations/__repository__@history_assets/asset-groups/s00"
PAGES = {
    "the UI itself": ("/deployment", "Code locations"),
    "asset graph": ("/asset-groups", r"^s\d\d$"),
    "a schema's graph": (f"{GROUP}/lineage", "Latest event"),
    "a schema's list": (f"{GROUP}/list", r"history.*t\d\d"),
    "partitions of an asset": ("/assets/history/s00/t00?view=partitions", r"^Materialized \({dates}\)$"),
}


def main() -> None:
    """Open every page twice."""
    url, dates = sys.argv[1:3]
    seconds: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (path, text) in PAGES.items():
            context = browser.new_context()
            seconds[name] = []
            for _ in range(2):
                page = context.new_page()
                began = time.perf_counter()
                page.goto(url + path, wait_until="commit")
                shown = f"text=/{text.replace('{dates}', dates)}/ >> visible=true"
                try:
                    page.locator(shown).first.wait_for(timeout=60_000)
                except Error as error:
                    raise SystemExit(f"found {name} not showing {shown} within a minute: {error}") from error
                seconds[name].append(time.perf_counter() - began)
                page.wait_for_timeout(3000)  # what it keeps for later is written behind the scenes
                page.close()
            context.close()
        browser.close()
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
