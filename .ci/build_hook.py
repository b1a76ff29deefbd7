"""Writes the commit into what is built, so that an installed package can say it (`studies/package_version.py`)."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_GIT = ("git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*")


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Of a checkout. What is built from an sdist has the file already."""

    PLUGIN_NAME = "commit"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a target is built; an editable install asks git itself."""
        if version == "editable" or not (Path(self.root) / ".git").exists():
            return
        done = subprocess.run(_GIT, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            self._folder = tempfile.TemporaryDirectory()
            file = Path(self._folder.name) / "commit.txt"
            file.write_text(done.stdout, encoding="utf-8")
            build_data["force_include"][str(file)] = "g2g_opt/_commit.txt"
