"""The pages of Dagster's UI in a headless Chromium: what a person reads and presses there, by its text and its role.

Belongs here: every selector. Does not belong here: what there should be to read.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence

from playwright.sync_api import Locator, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
SLOW = 180_000
"""Milliseconds until a run has begun and ended, on a machine that is busy."""

_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
_KINDS = {"Fivetran", "DuckDB", "dbt"}
_ROWS = "table => [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()))"


@contextlib.contextmanager
def opened(url: str, width: int = 1400, height: int = 1000) -> Iterator["Pages"]:
    """Open the UI at an address in a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield Pages(page, url)
        browser.close()


class Pages:
    """One tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url

    def group(self, name: str) -> list[tuple[str, list[str]]]:
        """Open the graph of a group; returns the name and the kinds of each asset in it, sorted."""
        self._open(f"/locations/__repository__@history_assets/asset-groups/{name}/lineage")
        self.page.get_by_text("Materialize all").wait_for()
        nodes = self.page.locator("foreignObject > *").filter(has_text="Latest event")
        nodes.first.wait_for()
        shown = [text.split("\n") for text in nodes.all_inner_texts()]
        return sorted((lines[0], sorted(_KINDS & set(lines))) for lines in shown)

    def overview(self, asset: str) -> None:
        """Open an asset's first page, and wait until it shows all."""
        self._open(f"/assets/{asset}")
        self.page.get_by_text("Code location").wait_for()

    def date(self, asset: str, date: str) -> None:
        """Open the page of an asset's partition."""
        self._open(f"/assets/{asset}?view=partitions&partition={date}")

    def partitions(self, asset: str, **counts: int) -> None:
        """Open the page of an asset's partitions and wait until so many are in each state."""
        self._open(f"/assets/{asset}?view=partitions")
        for state, count in counts.items():
            expect(self.page.get_by_text(f"{state.capitalize()} ({count})", exact=True)).to_be_visible(timeout=SLOW)

    def says(self, text: str) -> Locator:
        """Return where a text is to be read, once it is."""
        found = self.page.get_by_text(text).first
        expect(found).to_be_visible()
        return found

    def images(self) -> list[str]:
        """Return the addresses of the images that the page shows."""
        found: list[str] = self.page.locator("img").evaluate_all("images => images.map(image => image.src)")
        return found

    def table(self, has: str) -> list[list[str]]:
        """Return the cells of the first table that has a text, row by row, once it is there."""
        found = self._table(has)
        rows: list[list[str]] = found.evaluate(_ROWS)
        return rows

    def _table(self, has: str) -> Locator:
        found = self.page.locator("table").filter(has_text=has).first
        expect(found).to_be_visible()
        return found

    def metadata(self, asset: str, date: str) -> dict[str, str]:
        """Open an asset's partition and return its metadata, by key, once all of it is there: Markdown comes later."""
        self.date(asset, date)
        for value in self._table("cutoff").locator("td:nth-child(2)").all():
            expect(value).not_to_be_empty()
        return {key: value for key, value, *_ in self.table("cutoff")}

    def plots(self) -> list[str]:
        """Press "Plots", and return what is plotted."""
        self.page.get_by_role("button", name="Plots").click()
        self.page.locator("canvas").first.wait_for()
        return [name for name in ("closed", "dagster/row_count", "opened") if self.page.get_by_text(name, exact=True).count()]

    def plot_events(self) -> None:
        """Have every event of an asset plotted, what was only observed too, not the newest of each partition."""
        # The first is the name of another page.
        self.page.get_by_text("Events", exact=True).nth(1).click()

    def materialize(self, asset: str, dates: Sequence[str]) -> None:
        """Press "Materialize", add dates, and launch."""
        dialog = self._launcher(asset)
        save = self.page.get_by_role("button", name="Save")
        for date in dates:
            dialog.get_by_text("Add a partition").click()
            # The page behind has a filter by name.
            self.page.get_by_role("dialog").filter(has=save).get_by_placeholder(re.compile("name", re.IGNORECASE)).fill(date)
            save.click()
            expect(save).to_have_count(0)
            expect(dialog.get_by_text(date).first).to_be_visible()
        self._launch(dialog)

    def materialize_failed(self, asset: str, config: str) -> None:
        """Press "Materialize", choose the dates that failed, write a configuration, and launch."""
        dialog = self._launcher(asset)
        dialog.get_by_role("button", name="Failed", exact=True).click()
        dialog.get_by_text("Config", exact=True).click()
        dialog.get_by_role("button", name="Add config").click()
        editor = self.page.get_by_role("dialog").filter(has_text="Config Editor")
        editor.locator(".CodeMirror").click()
        self.page.keyboard.insert_text(config)
        editor.get_by_role("button", name="Save config").click()
        expect(dialog.get_by_text("Config saved")).to_be_visible()
        self._launch(dialog)

    def logs_of_failure(self, asset: str, date: str) -> None:
        """Open the logs of the run that failed at an asset's partition."""
        self.date(asset, date)
        self.page.get_by_role("button", name="View logs").click()

    def _launcher(self, asset: str) -> Locator:
        self._open(f"/assets/{asset}?view=partitions")
        # What is chosen before the page knows its dates is forgotten.
        expect(self.page.get_by_text("Partitions Selected")).to_be_visible()
        self.page.get_by_role("button", name="Materialize").first.click()
        dialog = self.page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
        expect(dialog.get_by_text(re.compile(r"^\d+ partitions?$"))).to_be_visible()
        return dialog

    def _launch(self, dialog: Locator) -> None:
        dialog.get_by_role("button", name=re.compile("^Launch")).click()
        expect(dialog).to_be_hidden()

    def _open(self, path: str) -> None:
        self.page.goto(self._url + path)
