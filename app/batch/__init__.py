"""Archives of radiographs scored on a Ray cluster, into a Parquet data set. Needs the extra ``batch``."""

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # otherwise Ray reports its use to its makers
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # otherwise `uv run` uploads the working directory to every node
