"""Some parts, or all, one after the other at the sizes that they are made for: ``python -m benchmarks [PART …]``."""

import argparse
import subprocess
import sys
import time

PARTS = {
    "nights": [["benchmarks.nights"]],
    "location": [["benchmarks.location"]],
    "clones": [["benchmarks.clones"]],
    "backfill": [["benchmarks.backfill"]],
    "memory": [["benchmarks.memory"]],
    "storage": [["benchmarks.storage"]],
    "folding": [["benchmarks.folding", part] for part in ("tables", "rows", "statements")],
    "exactness": [["benchmarks.exactness"]],
    "reading": [["benchmarks.reading", part] for part in ("as-of", "point-in-time")],
}


def main() -> None:
    """Run parts, each in a process of its own, and end with 1 if any did."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"found {', '.join(unknown)}, expected parts of: {', '.join(PARTS)}")
    failed = []
    for part in parts:
        for module, *words in PARTS[part]:
            began = time.perf_counter()
            print(f"== {part}{''.join(f' {word}' for word in words)}", flush=True)
            if subprocess.run([sys.executable, "-m", module, *words], check=False).returncode:
                failed.append(part)
            print(f"   ({time.perf_counter() - began:,.0f} s)\n", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
