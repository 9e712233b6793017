"""What must happen before TensorFlow starts, and what several test files share."""

import ctypes
import functools
import gc
import os
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As of TensorFlow, below.

import hypothesis
import pytest

# Python searches for garbage less often: imports and tracing make many objects that are none. What
# a file leaves behind is searched for at its end.
gc.set_threshold(200_000, 20, 1_000)

# The memory allocator of Linux keeps what is freed, unless it is asked: 0.2 GB a compiled GAN.
trim_memory = getattr(ctypes.CDLL(None), "malloc_trim", None)

# The files that take longest, in falling order: processes that take them first end together.
LONGEST = (
    "test_workers.py",
    "test_worker_processes.py",
    "test_resume.py",
    "test_tuners.py",
    "test_contract.py",
    "test_replication.py",
    "test_nan_guard.py",
    "test_verification.py",
    "test_readme.py",
    "test_msg_gan.py",
    "test_exactness_fit.py",
    "test_exactness_data.py",
    "test_auto.py",
    "test_model.py",
    "test_exactness.py",
    "test_main.py",
    "test_loops.py",
    "test_replica_process.py",
)


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        help="run the sweeps too: what is otherwise tested in pairs, or is rare and dear",
    )


def pytest_configure(config):
    """Starts TensorFlow; tries fewer examples of a property, unless the sweeps run."""
    if config.getoption("dist", "no") == "no":  # The process that hands out tests runs none.
        start_tensorflow()
    hypothesis.settings.register_profile("few", max_examples=40)
    hypothesis.settings.register_profile("sweep", max_examples=100)
    hypothesis.settings.load_profile("sweep" if config.getoption("--all") else "few")


def start_tensorflow():
    """Gives TensorFlow two devices, and a thread.

    Three processes test on two cores: threads that wait for work would take turns.
    """
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    tf.config.threading.set_intra_op_parallelism_threads(1)


def pytest_collection_modifyitems(config, items):
    """Leaves out the sweeps; puts the longest files first, so that none is left to the end."""
    if not config.getoption("--all"):
        sweeps = [item for item in items if item.get_closest_marker("sweep")]
        config.hook.pytest_deselected(items=sweeps)
        items[:] = [item for item in items if not item.get_closest_marker("sweep")]
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(autouse=True)
def _seeded():
    """The same initial weights in every run, whichever tests ran before."""
    from seeds import set_seed

    set_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _released(request):
    """Frees what the file before left behind: its cached models, and memory that nobody uses.

    What stays is not searched for garbage again. Of that, a million objects are what was imported:
    with all of them in each search, a tenth of the time went there.
    """
    gc.collect()
    gc.freeze()
    if trim_memory is not None:
        trim_memory(0)
    yield
    for value in vars(request.module).values():
        if isinstance(value, functools._lru_cache_wrapper):
            value.cache_clear()


@pytest.fixture(scope="session")
def two_replicas():
    """A strategy with one replica on each of two logical CPU devices."""
    import kerasmodes as km

    return km.get_strategy("cpu:2")


@pytest.fixture
def file_store(monkeypatch):
    """Lets MLflow keep runs in a folder: a database takes 3 s to make."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")


@pytest.fixture
def closed_address():
    """The address of a server that does not run."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # Nobody else's, and it does not listen.
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
