"""Portraits as training data: what is carried along, and what the map from the mesh does."""

from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.adapters.linear_map import LinearMap
from asmnet_kit.face.pictures import read_image
from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.people.render import draw
from asmnet_kit.training.studies.portraits import face_mesh, turned, turning
from asmnet_kit.training.studies.portraits.face_mesh import OUTER_EYES, POINTS
from asmnet_kit.training.studies.portraits.mesh_map import MeshMap

CORNERS = (*face_mesh.OUTER_EYES, face_mesh.FOREHEAD, face_mesh.CHIN)


def a_mesh(seed: int) -> np.ndarray:
    """Vertices on half an ellipsoid in the middle of a 176-pixel picture."""
    rng = np.random.default_rng(7)  # the same places on each
    places = rng.uniform(-1, 1, (POINTS, 2)) * 0.7
    places[list(CORNERS)] = [(-0.6, -0.3), (0.6, -0.3), (0, -0.9), (0, 0.9)]
    depth = -np.sqrt(np.maximum(1 - (places**2).sum(axis=1), 0))
    shape = np.c_[places * [45, 60], depth * 40]
    shape *= 1 + 0.05 * np.random.default_rng(seed).standard_normal(3)
    return np.asarray(shape + np.array([88, 88, 0]))


def a_portrait(seed: int) -> turned.Portrait:
    person = draw(3, seed, turned.SIZE)
    mesh = a_mesh(seed)
    return turned.Portrait(person.image, mesh, mesh[: 68 + 98, :2].copy())


def test_a_spline_carries_its_handles_to_their_targets() -> None:
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 176, (40, 2))
    target = source + rng.normal(0, 3, (40, 2))
    carried = turned._spline(source, target)(source)
    assert np.abs(carried - target).mean() < 0.3  # it is smoothed a little


def test_a_portrait_given_its_own_mesh_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turned, "BLEND_SHARE", 0)
    monkeypatch.setattr(turned, "POOR_SHARE", 0)
    portrait = a_portrait(1)
    proportions = turned.Proportions([a_mesh(seed) for seed in range(6)])
    image, landmarks = turned.varied(
        portrait, a_portrait(2), portrait.mesh, proportions, np.random.default_rng(0)
    )
    assert np.abs(landmarks - portrait.landmarks).max() < 0.3
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(image[inner].astype(int) - portrait.image[inner]).mean() < 4


def test_a_turned_head_moves_its_nose_more_than_its_temples() -> None:
    meshes = [a_mesh(seed) for seed in range(6)]
    proportions = turned.Proportions(meshes)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mesh = proportions.varied(0, 0, rng)  # its own shape: but for its proportions, a rotation
        moved = mesh[:, :2] - meshes[0][:, :2]
        depth = meshes[0][:, 2]
        front, back = depth < np.quantile(depth, 0.2), depth > np.quantile(depth, 0.8)
        difference = moved[front].mean(axis=0) - moved[back].mean(axis=0)
        assert np.abs(difference).max() < 28  # sin(28 deg) of the depth between them
        assert np.linalg.norm(mesh.mean(axis=0) - meshes[0].mean(axis=0)) < 1e-6


def test_the_chin_of_a_turned_portrait_is_marked_as_annotators_mark_turned_heads() -> None:
    proportions = turned.Proportions([a_mesh(seed) for seed in range(6)])
    mesh = a_mesh(0)
    straight = proportions.moves(mesh)
    moves = {}
    for yaw in (-25, 25):
        moves[yaw] = proportions.moves(mesh @ rotation_matrix(yaw, 0, 0).T) - straight
    chin = 8
    assert moves[25][chin, 0] > 0.5 > -0.5 > moves[-25][chin, 0]  # pixels, the way the nose turns
    np.testing.assert_allclose(moves[25][chin, 0], moves[25][68 + 16, 0], atol=1e-6)  # the 98's


def test_of_vertices_that_a_turn_folds_together_the_front_one_leads() -> None:
    mesh = np.array([[10.0, 10, 5], [10.5, 10, -5], [20, 10, 0]])
    assert set(turned._front(mesh)) == {1, 2}


def test_the_map_gives_the_same_landmarks_whatever_the_pictures_place_size_and_turn() -> None:
    rng = np.random.default_rng(0)
    to_landmarks = MeshMap(
        LinearMap(
            OUTER_EYES,
            np.zeros(2 * POINTS),
            rng.normal(0, 0.3, 332),
            rng.normal(0, 0.001, (2 * POINTS, 332)),
        )
    )
    mesh = a_mesh(0)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = mesh.copy()
    moved[:, :2] = 1.7 * mesh[:, :2] @ turn.T + [30, -12]
    for points, landmarks in to_landmarks.landmarks(mesh).items():
        expected = 1.7 * landmarks @ turn.T + [30, -12]
        np.testing.assert_allclose(to_landmarks.landmarks(moved)[points], expected, atol=1e-6)


def test_a_mirrored_mesh_that_gives_the_mirrored_landmarks_agrees() -> None:
    """A map to constant, symmetric landmarks sees no difference between a face and its mirror."""
    flat = []
    for points in (68, 98):
        half = np.random.default_rng(points).normal(0, 0.4, (points, 2))
        flat.append(((half + half[scheme_of(points).mirror] * [-1, 1]) / 2).ravel())
    to_landmarks = MeshMap(
        LinearMap(OUTER_EYES, np.zeros(936), np.concatenate(flat), np.zeros((936, 332)))
    )
    mesh = a_mesh(0)
    left, right = face_mesh.OUTER_EYES
    mirrored = mesh.copy()
    mirrored[[left, right]] = mesh[[right, left]]  # what the network sees at the left is vertex 33
    both, apart = to_landmarks.of_both(mesh, mirrored)
    assert apart < 1e-6
    np.testing.assert_allclose(both[68], to_landmarks.landmarks(mesh)[68])


def test_turned_pictures_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    labelled = []
    for seed in range(3):
        portrait, file = a_portrait(seed), tmp_path / f"{seed}.jpg"
        turning.write_picture(file, portrait.image)
        landmarks = {68: portrait.landmarks[:68], 98: portrait.landmarks[68:]}
        labelled.append(turning.Labelled(file, portrait.mesh, landmarks))
    made = {}
    for workers in (1, 2):
        (folder := tmp_path / str(workers)).mkdir()
        count = turning.AT_ONCE + 1  # the second process gets the last
        made[workers] = turning.turned_pictures(labelled, folder, count, seed=4, workers=workers)
    assert len(made[1]) > turning.AT_ONCE / 2
    assert [name for name, _ in made[1]] == [name for name, _ in made[2]]
    for (name, one), (_, two) in zip(made[1], made[2], strict=True):
        np.testing.assert_allclose(one[98], two[98], atol=1e-6)  # BLAS with other threads
        pictures = [read_image(tmp_path / str(workers) / name) for workers in (1, 2)]
        assert pictures[0].shape == (turned.SIZE, turned.SIZE, 3)
        assert np.abs(np.subtract(*pictures, dtype=int)).mean() < 1
