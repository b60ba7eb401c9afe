"""A few of the days that ``python -m tests.stories.simulation`` lets pass by the dozen."""

from pathlib import Path

from tests.stories.simulation import simulated


def test_days_with_faults_leave_every_night_exact_once_and_told(tmp_path: Path) -> None:
    with simulated(tmp_path / "home", days=4, count=3, seed=1) as simulation:
        simulation.run()

        assert {outage.what for outage in simulation.outages} != set()
        assert list(simulation.problems()) == []
