"""Tests of what is said when XLA cannot compile a step."""

import re
import sysconfig

import keras
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine.executors import loops, xla_errors

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


class WithPythonInside(km.SumRegressor):
    def train_step(self, data):
        tf.py_function(lambda: None, [], [])
        return super().train_step(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use", "mode"),
    [
        ("fit", "fused"),
        ("train_on_batch", "xla"),
        pytest.param("fit", "xla", marks=pytest.mark.sweep),
        pytest.param("train_on_batch", "fused", marks=pytest.mark.sweep),
    ],
)
def test_the_operation_the_place_and_the_way_out_are_named(mode, use):
    model = WithPythonInside(units=())
    model.build((None, 3))
    model.compile("sgd", mode=mode)
    words = rf"mode='{mode}' must be given a step .*EagerPyFunc, made in train_step \({__file__}, "
    with pytest.raises(ValueError, match=words + ".*Use mode='graph'"):
        getattr(model, use)(X, Y, **({"verbose": 0} if use == "fit" else {}))
    assert int(model.optimizer.iterations.numpy()) == 0


def repeat_by_data(x):
    return tf.repeat(x, tf.cast(x[:, 0] > 0, tf.int32) + 1, axis=0)


def count_to_data(x):
    return tf.range(tf.cast(x[0, 0], tf.int32))


def split_unique(x):
    return tf.split(tf.unique(tf.reshape(x, [-1])).y, [1, -1])[1]


def slice_by_data(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        part = x[: tf.cast(x[0, 0] * 0 + 2, tf.int32)]
    return tape.gradient(part, x)


def call_python(x):
    return tf.py_function(lambda: 1.0, [], tf.float32)


def write_text(x):
    return tf.strings.length(tf.strings.as_string(x))


def resize_image(x):
    return tf.image.resize(x[tf.newaxis, ..., tf.newaxis], [2, 2], "bicubic")


def write_summary(x):
    return tf.summary.scalar("mean", tf.reduce_mean(x))


def multiply_sparse(x):
    sparse = tf.SparseTensor([[0, 1]], [1.0], [2, 3])
    return tf.sparse.sparse_dense_matmul(sparse, x[:3])


def print_sum(x):
    tf.print(tf.reduce_sum(x))
    return x


# What a step does that XLA cannot compile, and how that is called.
UNFIT = {
    repeat_by_data: "Range with a size that follows from the data",
    count_to_data: "Range with a size that follows from the data",
    split_unique: "SplitV op doesn't yet support dynamic split dimension",
    slice_by_data: "XLA's own passes refuse",
    call_python: "EagerPyFunc",
    write_text: "AsString",
    resize_image: "ResizeBicubic",
    write_summary: "WriteSummary",
    multiply_sparse: "SparseTensorDenseMatMul",
    print_sum: "StringFormat",
}


# One of each kind of message; the sweep has the others. A loop of steps finds the same in its step,
# and takes twice as long.
FIRST = (count_to_data, split_unique, slice_by_data, print_sum)
WAYS = [
    pytest.param(
        function, mode, marks=[] if mode == "xla" and function in FIRST else pytest.mark.sweep
    )
    for mode in ("xla", "fused")
    for function in UNFIT
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "mode"), WAYS, ids=lambda value: getattr(value, "__name__", value)
)
def test_what_xla_cannot_compile_is_named(function, mode, tmp_path):
    model, dense = km.Model(), keras.layers.Dense(3)
    dense.build((None, 3))
    # XLA could take the data alone for a constant, but not what a layer makes of them.
    model.train_step = lambda x: {"sum": tf.reduce_sum(tf.cast(function(dense(x)), tf.float32))}
    model.compile(mode=mode)
    writer = tf.summary.create_file_writer(str(tmp_path))
    words = f"mode='{mode}' .*Received: .*{UNFIT[function]}.*Use mode='graph'"
    with writer.as_default(step=0), pytest.raises(ValueError, match=words):
        model.fit(X, verbose=0)


@pytest.mark.slow
@pytest.mark.skipif(tf.__version__ < "2.21", reason="XLA of TensorFlow 2.20 compiles such a loop")
def test_a_model_quantized_to_int8_is_sent_from_fused_to_xla_where_it_runs():
    x, _ = km.data.sums(num_samples=4, num_features=8, seed=1)
    model = km.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    model.layers[0].quantize("int8")
    model.compile(mode="graph")
    expected = model.predict(x, batch_size=2, verbose=0)
    model.set_mode("fused")
    with pytest.raises(ValueError, match="mode='fused' must .*Invalid LLVM IR.*Use mode='xla'"):
        model.predict(x, batch_size=2, verbose=0)
    model.set_mode("xla")
    assert model.predict(x, batch_size=2, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("mode", "way_out"), [("fused", "xla"), ("xla", "graph")])
def test_what_is_wrong_in_loops_only_has_a_way_out_without_ours(mode, way_out):
    place = "RET_CHECK failure (external/xla/xla/service/cpu/cpu_compiler.cc:1169)"
    error = tf.errors.InternalError(None, None, f"{place} Invalid LLVM IR before optimizations:")
    words = f"Use mode='{way_out}' for"
    with pytest.raises(ValueError, match=words), xla_errors.explain_xla_error(mode):
        raise error


def test_an_operation_is_named_where_the_programs_of_two_replicas_fail_at_a_time():
    message = (
        "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  Detected unsupported operations when "
        "trying to compile graph __inference_run[] on XLA_CPU_JIT: EagerPyFunc (No registered"
    )
    words = "Received: EagerPyFunc. Use mode='graph'"
    with pytest.raises(ValueError, match=words), xla_errors.explain_xla_error("xla"):
        raise tf.errors.InvalidArgumentError(None, None, message)


def message_about(*frames):
    """Returns how TensorFlow names an operation, with this stack: `(path, function)`."""
    stack = [f'File "{path}", line {line}, in {name}' for line, (path, name) in enumerate(frames)]
    head = "Input 1 to node `while/Range` with op Range must be a compile-time constant.\n\n"
    stack = ["Stack trace for op definition: ", *stack, "", "\t [[{{node Range}}]]"]
    return head + "\n".join(stack) + "\n\ttf2xla conversion failed while converting step[]."


PURELIB = sysconfig.get_path("purelib")
ENGINE = (loops.__file__, "one_step")
LIBRARY = (f"{PURELIB}/anything/layers.py", "call")
TENSORFLOW = (tf.__file__.replace("__init__.py", "python/framework/ops.py"), "from_node_def")


def place_named(*frames):
    error = tf.errors.InvalidArgumentError(None, None, message_about(*frames))
    with pytest.raises(ValueError) as raised, xla_errors.explain_xla_error("fused"):
        raise error
    return re.search(r"made in (\S+) \((.+?), line", str(raised.value)).groups()


def test_the_place_is_the_last_frame_outside_of_installed_packages():
    step = (__file__, "train_step")
    frames = (__file__, "<module>"), ENGINE, step, LIBRARY, TENSORFLOW
    assert place_named(*frames) == ("train_step", __file__)


def test_a_step_without_a_line_of_the_users_is_placed_in_its_last_package():
    assert place_named((__file__, "<module>"), ENGINE, LIBRARY, TENSORFLOW) == LIBRARY[::-1]


def test_paths_are_whole_where_tensorflow_leaves_out_what_they_share():
    step = (__file__, "train_step")
    shown = [(path.lstrip("/"), name) for path, name in (ENGINE, step, TENSORFLOW)]
    assert place_named(*shown) == step[::-1]
    assert place_named(shown[1]) == step[::-1]
    # A loop's gradient is named with two stacks, of which one has whole paths.
    assert place_named(ENGINE, step, TENSORFLOW, *shown) == step[::-1]


def test_a_package_that_the_user_works_on_is_the_users(tmp_path):
    path = tmp_path / "src" / "package" / "steps.py"
    path.parent.mkdir(parents=True)
    path.touch()
    assert place_named(ENGINE, (path, "step"), LIBRARY) == ("step", str(path))


def test_text_is_named_as_an_input():
    model = km.Model()
    model.train_step = lambda data: {"length": tf.strings.length(data[0])[0, 0]}
    model.compile(mode="xla")
    data = tf.data.Dataset.from_tensors((tf.constant([["word"]]), tf.ones((1, 1))))
    with pytest.raises(ValueError, match="mode='xla'.*an input of dtype=string"):
        model.fit(data, shuffle=False, verbose=0)


@pytest.mark.parametrize(("mode", "as_arrays"), [("xla", False), ("xla", True), ("fused", True)])
def test_text_is_named_as_an_output(mode, as_arrays):
    model = km.Model()
    model.train_step = lambda data: {"name": tf.constant("word")}
    model.compile(mode=mode)
    ones = tf.ones((2, 1))
    data = (ones,) if as_arrays else (tf.data.Dataset.from_tensors((ones, ones)),)
    with pytest.raises(
        ValueError, match=f"mode='{mode}'.*Received: an output of dtype=string. Use"
    ):
        model.fit(*data, shuffle=False, verbose=0)


@pytest.mark.parametrize("mode", ["graph", "fused"])
@pytest.mark.parametrize("kind", [tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError])
def test_other_errors_pass_as_they_are(kind, mode):
    with pytest.raises(kind, match="own"), xla_errors.explain_xla_error(mode):
        raise kind(None, None, "own words")
