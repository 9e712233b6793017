"""Which losses and metrics add up over shards of a batch: known of Keras's own alone."""

from typing import Any

import keras

from kerasmodes.engine import compiled_loss, keras_private

# Functions of Keras whose values are each of one example, if they have no other `axis` than -1.
BY_EXAMPLE = frozenset(
    [
        "accuracy",
        "binary_accuracy",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_accuracy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_generalized_cross_entropy",
        "categorical_hinge",
        "concordance_correlation",
        "cosine_similarity",
        "hinge",
        "huber",
        "kl_divergence",
        "log_cosh",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "mean_squared_logarithmic_error",
        "pearson_correlation",
        "poisson",
        "sparse_categorical_accuracy",
        "sparse_categorical_crossentropy",
        "sparse_top_k_categorical_accuracy",
        "squared_hinge",
        "top_k_categorical_accuracy",
    ]
)

# Metrics of Keras whose states are sums over the examples.
ADDING = frozenset(
    [
        "AUC",
        "BinaryIoU",
        "F1Score",
        "FBetaScore",
        "FalseNegatives",
        "FalsePositives",
        "IoU",
        "Mean",
        "MeanIoU",
        "OneHotIoU",
        "OneHotMeanIoU",
        "Precision",
        "PrecisionAtRecall",
        "R2Score",
        "Recall",
        "RecallAtPrecision",
        "RootMeanSquaredError",
        "SensitivityAtSpecificity",
        "SpecificityAtSensitivity",
        "Sum",
        "TrueNegatives",
        "TruePositives",
    ]
)


def has_example_values(wrapper: Any) -> bool:
    """Returns whether a loss or metric wraps a function of Keras with one value an example."""
    function, arguments = keras_private.find_wrapped_function(wrapper)
    is_keras = all(
        (getattr(one, "__module__", None) or "").startswith("keras.") for one in (wrapper, function)
    )
    is_listed = getattr(function, "__name__", None) in BY_EXAMPLE
    return is_keras and is_listed and arguments.get("axis", -1) == -1


def adds_up(metric: keras.metrics.Metric) -> bool:
    """Returns whether a metric's states, of several shards of the data, may be added up."""
    if isinstance(metric, compiled_loss.MeanOfLoss):
        return True
    is_keras = type(metric).__module__.startswith("keras.")
    return is_keras and (type(metric).__name__ in ADDING or has_example_values(metric))
