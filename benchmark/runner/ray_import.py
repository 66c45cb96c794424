"""Ray and Ray Tune, set to be quiet; the runner's Ray files import them from here."""

from __future__ import annotations

import os

os.environ.update(  # read when Ray is imported, and by its processes
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
)
import ray
from ray import tune

__all__ = ["ray", "tune"]
