"""Networks beside asmnet_nano: offered by an entry point, built, and told in a table."""

import subprocess
import sys

import numpy as np
import pytest

from asmnet_kit.training.studies.head_study import TRIED, Outcome, offered, table


def test_the_networks_are_offered_as_another_package_would_offer_them(tmp_path):
    command = (
        "from asmnet_kit.training.networks.architectures import ARCHITECTURES as known; "
        "print(*known.names()); print(known.package('nano_pip'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=offered(tmp_path / "package"),
        capture_output=True,
        text=True,
        check=True,
    )
    names, package = done.stdout.splitlines()
    assert set(TRIED) <= set(names.split())
    assert package == "heads-tried"


@pytest.mark.parametrize("name", TRIED)
def test_a_network_says_landmarks_pose_and_what_else_is_asked_for(name):
    import tf_keras

    from asmnet_kit.training.studies import heads_tried

    image = tf_keras.Input((64, 64, 3))
    outputs = getattr(heads_tried, name)(image, points=68, extra=("uncertainty",))
    shapes = {key: tuple(value.shape) for key, value in outputs.items()}
    assert shapes == {"landmarks": (None, 136), "pose": (None, 3), "uncertainty": (None, 68)}
    said = tf_keras.Model(image, outputs)(np.zeros((1, 64, 64, 3), np.float32))
    # Nothing is learnt: the scores are equal, and the cells' middles and biases average to 0.
    np.testing.assert_allclose(said["landmarks"], 0, atol=0.01)


def test_a_point_is_the_mean_of_all_that_is_said_of_it():
    from asmnet_kit.training.studies.heads_tried import _mean_by_point

    # Point 0 is spoken of by columns 0 and 3, point 1 by 1, point 2 by 2.
    mix = _mean_by_point(np.array([0, 1, 2, 0]), 3)
    np.testing.assert_allclose(mix @ [1.0, 5.0, 7.0, 3.0], [2, 5, 7])


def test_the_table_has_a_row_for_each_network_and_a_figure_for_each_seed():
    runs = [
        Outcome("asmnet_nano", seed, nme, 380_000, 19.1, {"aflw": nme})
        for seed, nme in enumerate((4.5, 4.62))
    ]
    runs.append(Outcome("nano_pip", 0, 4.25, 250_000, 19.4, {"aflw": 4.0}))
    rows = table(runs).splitlines()
    assert rows[2].endswith("| 380,000 | 19.1 | 4.50 4.62 | 4.50 4.62 |")
    assert rows[3].endswith("| 250,000 | 19.4 | 4.25 | 4.00 |")
