"""Other packages' models: rebuilt weights, maps, and a run with the kit's own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.adapters.adapter import read_adapter
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.cli import main as kit
from asmnet_kit.training.studies.peers import command, packages
from asmnet_kit.training.studies.peers.face_api import network, read_weights


def published(count: int = 3) -> tuple[bytes, bytes, dict[str, np.ndarray]]:
    """A small network of three blocks as TensorFlow.js's manifest and weights, and its arrays."""
    rng = np.random.default_rng(0)
    entries, content, arrays = [], b"", {}

    def add(name: str, shape: tuple[int, ...]) -> None:
        nonlocal content
        levels = rng.integers(0, 256, shape, np.uint8)
        how = {"dtype": "uint8", "scale": 0.01, "min": -1.25}
        entries.append({"name": name, "shape": shape, "dtype": "float32", "quantization": how})
        content += levels.tobytes()
        arrays[name] = levels * 0.01 - 1.25

    given = 3
    for block, width in enumerate((32, 64, 128)):
        for index in range(count):
            name = f"dense{block}/conv{index}"
            if block == index == 0:
                add(f"{name}/filters", (3, 3, 3, width))
            else:
                add(f"{name}/depthwise_filter", (3, 3, given, 1))
                add(f"{name}/pointwise_filter", (1, 1, given, width))
            add(f"{name}/bias", (width,))
            given = width
    add("fc/weights", (128, 136))
    add("fc/bias", (136,))
    return json.dumps([{"weights": entries}]).encode(), content, arrays


def test_weights_of_uint8_are_levels_times_scale_plus_minimum() -> None:
    manifest, content, arrays = published()
    read = read_weights(manifest, content)
    assert set(read) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_allclose(read[name], values, atol=1e-6)
    with pytest.raises(DatasetError, match="expected 136 weights"):
        read_weights(manifest, content[:-1])
    with pytest.raises(DatasetError, match="bytes of weights"):
        read_weights(manifest, content + b"0")


def test_a_rebuilt_network_without_kernels_gives_what_its_biases_give() -> None:
    """With kernels of 0 every convolution is its bias. In a block of biases 1, 2, 3 the first is
    after a ReLU; their sum is 6 in each block, and the dense layer sums 128 of the last."""
    manifest, content, _ = published()
    weights = {
        name: np.zeros_like(values) for name, values in read_weights(manifest, content).items()
    }
    for block in range(3):
        for index in range(3):
            weights[f"dense{block}/conv{index}/bias"] += index + 1
    weights["fc/weights"] += 1
    weights["fc/bias"] += 0.5
    model = network(weights)
    found = model(np.zeros((1, 112, 112, 3), np.float32)).numpy()
    np.testing.assert_allclose(found, np.full((1, 136), 6 * 128 + 0.5))


def test_a_package_of_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / packages.FACE_API.archive).write_bytes(b"something else")
    with pytest.raises(DatasetError, match="expected sha256 0d77fffe"):
        packages.member(packages.FACE_API, "package/LICENSE", tmp_path)


def test_an_adapter_with_a_map_is_one_without_indices(tmp_path: Path) -> None:
    text = command.with_map("mediapipe", "mesh.npz")
    assert text.endswith('origin = "corner"\n\n[landmarks]\nmap = "mesh.npz"\n')
    points = np.random.default_rng(0).normal(0, 1, (5, 468, 2))
    landmarks = points[:, :68]
    linear = command.LinearMap.fit(points, landmarks, anchors=(33, 263), ridge=1.0)
    linear.save(tmp_path / "mesh.npz")
    (tmp_path / "mesh.toml").write_text(text)
    adapter = read_adapter(tmp_path / "mesh.toml")
    assert adapter.choice is None
    assert adapter.landmarks(points.astype(np.float32)).shape == (5, 68, 2)


def test_the_study_measures_times_and_writes_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    drawn = ("data", "synthesize", "--count", "24", "--size", "64", "--out", str(photos))
    assert CliRunner().invoke(kit, drawn).exit_code == 0
    own = command.ours()[:2]
    peer = replace(own[1], name="a peer", package="npm peer 1.0", terms="MIT")
    monkeypatch.setattr(command, "ours", lambda: own)
    monkeypatch.setattr(command, "mediapipe", lambda cache: [peer])
    monkeypatch.setattr(command, "face_api", lambda cache, out, training: [])
    monkeypatch.setattr(command, "TIMED_ROUNDS", 2)
    words = ["--photos", str(photos), "--photos-format", "synthetic", "--fit-split", "train"]
    words += ["--split", "val", "--out", str(out), "--page", str(tmp_path / "peers.md")]
    result = CliRunner().invoke(command.main, words)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "peers.json").read_text())
    assert [model["name"] for model in found["models"]] == ["asmnet_plus", "asmnet_nano", "a peer"]
    assert all(len(model["rounds_ms"]) == 2 for model in found["models"])
    nano, same = found["models"][1:]
    assert nano["as_it_is"] == same["as_it_is"]
    page = (tmp_path / "peers.md").read_text()
    assert f"| a peer | none | {same['as_it_is']['nme']:.2f} |" in page
    assert "npm peer 1.0 | MIT |" in page
    assert f"alone: {found['machine']['cpu']}, instruction sets: " in page


def test_maps_are_not_fitted_on_the_faces_that_are_measured(tmp_path: Path) -> None:
    words = ["--photos", str(tmp_path), "--photos-format", "synthetic", "--split", "train"]
    result = CliRunner().invoke(command.main, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "--fit-split" in result.output
