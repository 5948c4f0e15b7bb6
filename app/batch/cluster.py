"""Ray: a local one for the run, or a cluster that exists; one worker on each node."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.

import logging
import os
import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray._private.node import Node
from ray.exceptions import RayError

from app.batch.scoring import Job, PartScorer
from app.cores import usable_cores
from app.errors import ConfigurationError

_LOOPBACK = "127.0.0.1"
_OBJECT_STORE_BYTES = 256 * 1024 * 1024  # the plan passes through it, no film


@contextmanager
def joined(address: str | None) -> Generator[int]:
    """Connect to a cluster, or start a local Ray on loopback; yields the number of nodes.

    Raises ConfigurationError.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            _keep_to_this_machine()
            ray.init(
                address="local",
                num_cpus=usable_cores(),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address=_LOOPBACK,  # otherwise Ray finds its address by a route to the internet
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except Exception as error:  # noqa: BLE001 - Ray raises this class itself
        where = "a local Ray cannot be started" if address is None else f"the Ray cluster {address} cannot be joined"
        raise ConfigurationError(f"{where}: {_first_line(error)}") from None
    try:
        yield sum(node["Alive"] for node in ray.nodes())
    finally:
        ray.shutdown()


def score(parts: Sequence[pa.Table], job: Job, workers: int) -> Iterator[dict[str, Any]]:
    """Score all parts; yields the numbers of films of each when it is written. Raises ConfigurationError.

    A worker that dies is started again: on its node, or on another one if the node is lost. It claims no resources of
    Ray, because a claim could wait for a node that never returns; it uses all cores or CUDA devices of its node.
    """
    context = ray.data.DataContext.get_current()
    context.scheduling_strategy = "SPREAD"  # the next worker goes to the next node
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    scored = ray.data.from_arrow(list(parts)).map_batches(
        PartScorer,
        fn_constructor_args=(job,),
        batch_format="pyarrow",
        batch_size=None,
        num_cpus=0,
        compute=ray.data.ActorPoolStrategy(
            size=workers,
            max_tasks_in_flight_per_actor=2,
            max_concurrent_calls_per_actor=2,  # the next part begins while the last films of a part are scored
            enable_true_multi_threading=True,
        ),
    )
    try:
        yield from scored.iter_rows()
    except RayError as error:
        raise ConfigurationError(f"Ray ended the run: {_last_line(error)}") from None


def _keep_to_this_machine() -> None:
    """Prepare this process for a local Ray that looks up no name, and writes nothing to the home folder.

    Ray's API server is not started: without a dashboard it has the reports of use alone, and asks the metadata services
    of the cloud providers where it runs, also if reports are off.
    """
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # otherwise Ray writes one to the home folder
    Node.start_api_server = _no_api_server  # pyright: ignore[reportAttributeAccessIssue] - the name of self differs


def _no_api_server(node: Node, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
    """Replaces ``Node.start_api_server`` of Ray 2.60."""
    del include_dashboard, raise_on_failure
    node._webui_url = None  # pyright: ignore[reportPrivateUsage]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _last_line(error: Exception) -> str:
    """The last line of Ray's text, which ends with the error of the worker."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
