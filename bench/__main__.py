"""`make bench`: prints every figure. Each part can be run alone: ``python -m bench cost``."""

import argparse

from rich.console import Console

from bench import cost, sandbox_throughput, waiting


def main() -> None:
    """Measure and print."""
    parts = {"cost": _cost, "waiting": _waiting, "sandbox": _sandbox}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], *parts], help="what to measure; everything by default")
    console = Console()
    for name in parser.parse_args().part or parts:
        parts[name](console)


def _cost(console: Console) -> None:
    console.print(cost.table([cost.measure(size) for size in cost.CHUNK_SIZES]))


def _waiting(console: Console) -> None:
    console.print(waiting.table([waiting.measure(jobs) for jobs in waiting.WAITING]))


def _sandbox(_: Console) -> None:
    sandbox_throughput.report()


if __name__ == "__main__":
    main()
