"""The pool that works on runs side by side: any joblib backend, a Dask cluster among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import joblib

from brainreel.errors import ConfigError, require_extra


@contextmanager
def workers(n_jobs: int | None, backend: str | None) -> Iterator[joblib.Parallel]:
    """Yield joblib's pool, which gives results as they are done where the backend can.

    Parameters
    ----------
    n_jobs, backend
        As joblib takes them; None leaves it to `joblib.parallel_config`. `"dask"` uses the
        client at hand, or one for the scheduler that Dask's configuration names
        (`DASK_SCHEDULER_ADDRESS`), or a local cluster of `n_jobs` processes.

    Raises
    ------
    ConfigError
        If `n_jobs` is 0, or joblib does not know the backend.
    """
    if n_jobs == 0:
        raise ConfigError("n_jobs cannot be 0. Give 1 or more, or -1 for all cores.")
    with ExitStack() as stack:
        try:
            if backend == "dask":
                _enter_client(stack, n_jobs)
            if backend is not None:
                stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=n_jobs))
            pool = joblib.Parallel(
                n_jobs=n_jobs,
                batch_size=1,
                return_as="list" if backend == "multiprocessing" else "generator_unordered",
            )
        except ValueError as problem:
            raise ConfigError(f"joblib has no backend '{backend}' ({problem}).") from None
        yield pool


def _enter_client(stack: ExitStack, n_jobs: int | None) -> None:
    distributed = require_extra("distributed", "dask")
    try:
        distributed.get_client()
    except ValueError:
        size = {"n_workers": n_jobs if n_jobs and n_jobs > 0 else None, "threads_per_worker": 1}
        named = require_extra("dask", "dask").config.get("scheduler-address", None)
        stack.enter_context(distributed.Client() if named else distributed.Client(**size))
