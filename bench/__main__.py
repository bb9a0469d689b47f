"""`make bench`: prints every figure. Each part can be run alone: ``python -m bench cost``."""

import argparse
from collections.abc import Callable

from rich.console import Console

from bench import cost, sandbox_throughput, waiting


def main() -> None:
    """Measure and print."""
    parts: dict[str, Callable[[Console], None]] = {
        "cost": _cost,
        "waiting": _waiting,
        "million": _million,
        "sandbox": _sandbox,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(parts)}; by default all but million")
    chosen = parser.parse_args().part
    if unknown := sorted(set(chosen) - parts.keys()):
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(parts)}")
    console = Console()
    for name in chosen or [name for name in parts if name != "million"]:
        parts[name](console)


def _cost(console: Console) -> None:
    console.print(cost.table([cost.measure(size) for size in cost.CHUNK_SIZES]))


def _waiting(console: Console) -> None:
    console.print(waiting.table([waiting.measure(jobs) for jobs in waiting.WAITING]))


def _million(console: Console) -> None:
    """Take minutes, so only when asked for."""
    console.print(waiting.table([waiting.measure(1_000_000)]))


def _sandbox(_: Console) -> None:
    sandbox_throughput.report()


if __name__ == "__main__":
    main()
