"""The image holds what requirements.lock names and no more: the processes must start without anything else."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.tools import ROOT

LOCK = ROOT / "requirements.lock"

START = """
import importlib.abc, json, sys

class Absent(importlib.abc.MetaPathFinder):
    names = set(json.loads(sys.argv[1]))

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"the image has no module {fullname}", name=fullname)

sys.meta_path.insert(0, Absent())
import worker.cli.main, worker.poll, worker.work
import celery.concurrency.prefork, kombu.transport.redis
"""
"""Imports all that a poller or a worker loads, what Celery loads by name included, where only the locked is there."""


def test_the_processes_start_with_nothing_but_what_the_lock_names(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START, json.dumps(sorted(modules_that_the_image_lacks()))],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def modules_that_the_image_lacks() -> set[str]:
    """Name the top-level modules that only distributions outside the lock bring."""
    locked = set(re.findall(r"^([a-z0-9.-]+)==", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)) | {"jobworker"}
    bringing = packages_distributions()
    return {module for module, names in bringing.items() if not locked & {normalised(name) for name in names}}


def normalised(name: str) -> str:
    """Write a distribution's name as locks do."""
    return re.sub(r"[-_.]+", "-", name).lower()
