"""The first thing anyone does: predict on a photograph, with the model that comes with the kit."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main


def test_predict_finds_the_face_of_a_public_domain_portrait():
    # Grace Hopper's portrait by the United States Navy, which Matplotlib installs, 512 x 600.
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        pytest.skip("needs Matplotlib's sample picture")
    photo = Path(found.origin).parent / "mpl-data/sample_data/grace_hopper.jpg"
    result = CliRunner().invoke(main, ["predict", str(photo), "--json"])
    assert result.exit_code == 0, result.output
    (face,) = json.loads(result.stdout)["faces"]
    assert face["confidence"] > 0.9
    assert np.abs(face["pose"]["yaw"]) < 8  # she looks into the camera
    points = np.array(face["landmarks"])
    # By eye: pupils at (221, 187) and (309, 187), the middle of the lips at (266, 276).
    np.testing.assert_allclose(points[36:42].mean(0), [221, 187], atol=8)
    np.testing.assert_allclose(points[42:48].mean(0), [309, 187], atol=8)
    np.testing.assert_allclose(points[[62, 66]].mean(0), [266, 275], atol=8)
