"""The judgement of shapes: what it sees, what it must not see, what a calibration makes of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import DatasetError, ModelError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.plausibility import Plausibility, Ranking, auroc, own_plausibility
from asmnet_kit.face.schemes import SCHEME_98
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.file import load_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator


@pytest.fixture(scope="module", params=[True, False], ids=["aligned", "upright"])
def judge(request: pytest.FixtureRequest) -> Plausibility:
    """Of the generic face made wider and narrower, higher and lower."""
    accumulator = ShapeAccumulator(68, aligned=request.param)
    rng = np.random.default_rng(0)
    accumulator.update(generic_reference(68) * (1 + 0.05 * rng.standard_normal((50, 1, 2))))
    return Plausibility(accumulator.fit(0.999))


def turned(shape: np.ndarray, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return shape @ np.array([[c, s], [-s, c]])


def test_a_shape_of_the_model_has_no_residual_wherever_and_however_large_it_is(judge) -> None:
    face = generic_reference(68).astype(np.float64) * [1.05, 1]
    shapes = np.stack([face, 300 * face + [40, -7], turned(face, 40) * 50])
    signals = judge.signals(shapes)
    assert np.all(signals["residual"] < 2e-3)
    assert np.allclose(signals["mahalanobis"], signals["mahalanobis"][0], rtol=0.02)


def test_the_residual_is_in_eye_distances(judge) -> None:
    """Each point is moved by 3 units in x and y at random. Of the 136 coordinates the model follows
    two and the alignment four, so about sqrt(1 - 6 / 136) = 0.98 of the distance is left."""
    face = 100 * generic_reference(68).astype(np.float64)
    moved = face + np.random.default_rng(1).choice([-3.0, 3.0], (68, 2))
    eyes = np.linalg.norm(moved[36] - moved[45])
    (residual,) = judge.signals(moved[None])["residual"]
    assert residual == pytest.approx(3 * np.sqrt(2) / eyes, rel=0.06)


def test_a_worse_shape_is_judged_worse(judge) -> None:
    face = generic_reference(68)
    noise = np.random.default_rng(2).standard_normal((68, 2)).astype(np.float32)
    shapes = np.stack([face + scale * noise for scale in (0, 0.01, 0.03, 0.1)])
    calibrated = Plausibility(judge.shape_model, LogisticFit(-4, 2, 8, 100, 10))
    for plausibility in (judge, calibrated):
        judgement = plausibility.judge(shapes)
        assert judgement.dtype == np.float32
        assert (np.diff(judgement) < 0).all() and judgement[-1] >= 0 and judgement[0] <= 1


def test_missing_points_are_left_out_and_no_shape_is_not_plausible(judge) -> None:
    face = generic_reference(68).copy()
    part = face.copy()
    part[:8] = np.nan
    nothing, point = np.full((68, 2), np.nan), np.zeros((68, 2))
    calibrated = Plausibility(judge.shape_model, LogisticFit(-4, 2, 8, 100, 10))
    judgement = calibrated.judge(np.stack([face, part, nothing, point]))
    assert judgement[1] == pytest.approx(judgement[0], abs=0.02)
    assert judgement[2:].tolist() == [0, 0]


def test_a_calibration_finds_the_probabilities_that_made_the_faces() -> None:
    """20,000 faces fail with p = 1 / (1 + exp(intercept - slope ln residual))."""
    rng = np.random.default_rng(3)
    residual = np.exp(rng.normal(-4, 0.5, 20_000))
    truth = LogisticFit(-6.0, 2.0, 8.0, 0, 0).probability(residual)
    nme = np.where(rng.random(len(residual)) < truth, 4.0, 12.0)
    fitted = LogisticFit.fit(residual, nme)
    # The standard error of the slope is 1 / sqrt(sum p (1 - p) (x - mean)^2): about 0.04.
    assert fitted.slope == pytest.approx(2.0, abs=0.15)
    assert np.abs(fitted.probability(residual) - truth).max() < 0.03
    assert (fitted.faces, fitted.failures) == (20_000, int((nme > 8).sum()))


def test_a_signal_that_ranks_the_wrong_way_gives_the_share_of_good_faces() -> None:
    """Never a probability that rises with the residual."""
    residual = np.linspace(0.01, 0.1, 100)
    nme = np.where(np.arange(100) < 25, 9.0, 3.0)
    fitted = LogisticFit.fit(residual, nme)
    assert fitted.slope == 0
    assert fitted.probability(np.array([0.01, 0.1])) == pytest.approx(75 / 100, abs=0.01)


def test_a_calibration_needs_both_kinds_of_faces() -> None:
    with pytest.raises(DatasetError, match="got 0 of 3 above: add harder ones"):
        LogisticFit.fit(np.ones(4), np.array([1, 2, 3, np.nan]))
    with pytest.raises(DatasetError, match="got 1 of 1 above: add easier ones"):
        LogisticFit.fit(np.ones(1), np.array([9.0]))


def test_saved_and_loaded_it_judges_the_same_and_is_a_shape_model_too(judge, tmp_path) -> None:
    calibrated = Plausibility(judge.shape_model, LogisticFit(-4, 2, 8, 100, 10))
    calibrated.save(tmp_path / "m.npz")
    loaded = Plausibility.load(tmp_path / "m.npz")
    assert loaded.calibration == calibrated.calibration
    shapes = generic_reference(68)[None] * 1.1
    assert loaded.judge(shapes) == calibrated.judge(shapes)
    assert load_shape_model(tmp_path / "m.npz").points == 68
    judge.save(tmp_path / "plain.npz")
    assert Plausibility.load(tmp_path / "plain.npz").calibration is None


def test_a_damaged_calibration_is_refused(judge, tmp_path) -> None:
    Plausibility(judge.shape_model, LogisticFit(-4, 2, 8, 100, 10)).save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as stored:
        arrays = dict(stored)
    for change in ({"calibration_slope": np.float64(-1)}, {"calibration_slope": np.zeros(2)}):
        np.savez(tmp_path / "bad.npz", **{**arrays, **change})
        with pytest.raises(ModelError, match=r"bad\.npz: its calibration is damaged"):
            Plausibility.load(tmp_path / "bad.npz")
    del arrays["calibration_slope"]
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ModelError, match="slope"):
        Plausibility.load(tmp_path / "bad.npz")


def test_a_run_folder_and_a_file_bring_their_shape_model(judge, tmp_path, make_tflite) -> None:
    model = make_tflite()
    assert own_plausibility(model) is None
    judge.save(model.with_suffix(".npz"))
    judge.save(tmp_path / "run" / "shape_model.npz")
    for path in (model, tmp_path / "run"):
        found = own_plausibility(path)
        assert found is not None and found.shape_model.points == 68


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    """Positives 3, 2; negatives 1, 2: of 4 pairs 3 in order and one tie: 3.5 / 4."""
    values, positive = np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])
    assert auroc(values, positive) == 0.875
    assert auroc(-values, positive) == 0.125
    assert auroc(values, np.ones(4, np.bool_)) is None
    assert auroc(np.array([np.nan, 1.0]), np.array([True, False])) == 1


def test_a_ranking_compares_with_somebody_who_knows_the_share_alone() -> None:
    """Two of four fail; judged 0.9, 0.8 (good), 0.2, 0.6 (failed):
    Brier = (0.01 + 0.04 + 0.04 + 0.36) / 4; of the constant 0.5: 0.25."""
    nme = np.array([3.0, 4.0, 9.0, 10.0, np.nan])
    judgement = np.array([0.9, 0.8, 0.2, 0.6, 0.1])
    ranking = Ranking.of({"residual": 1 - judgement}, judgement, nme, calibrated=True)
    assert ranking is not None
    assert ranking.to_json() == {
        "faces": 4,
        "failures": 2,
        "auroc": {"residual": 1.0},
        "mean_judgement": pytest.approx(0.625),
        "brier": pytest.approx(0.1125),
        "brier_constant": 0.25,
    }
    assert Ranking.of({}, judgement[4:], nme[4:], calibrated=True) is None


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    write_faces(folder, DRAWN, count=40, seed=0, size=80, val_share=0.5, test_share=0.25)
    return folder


def evaluate(data: Path, *arguments: object):
    words = ["evaluate", "asmnet_nano_synthetic", "--data", data, "--format", "synthetic"]
    return CliRunner().invoke(main, [str(word) for word in (*words, *arguments)])


def test_evaluate_measures_the_ranking_over_all_faces_and_by_subset(drawn) -> None:
    result = evaluate(drawn, "--split", "val", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["plausibility"]["faces"] == found["faces"] == 20
    assert set(found["plausibility"]["auroc"]) == {"residual", "mahalanobis", "unexplained"}
    assert sum(part["plausibility"]["faces"] for part in found["per_subset"].values()) == 20


def test_evaluate_without_a_shape_model_says_null(drawn, make_tflite) -> None:
    arguments = [make_tflite(), "--data", drawn, "--format", "synthetic", "--json"]
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert json.loads(result.stdout)["plausibility"] is None


def test_calibrate_writes_what_predict_takes(drawn, tmp_path) -> None:
    """Of these faces, the same on every machine, the kit's model fails on some."""
    out = tmp_path / "calibrated.npz"
    result = evaluate(drawn, "--split", "val", "--calibrate", out, "--json")
    assert result.exit_code == 0, result.output
    calibration = Plausibility.load(out).calibration
    found = json.loads(result.stdout)["plausibility"]
    assert calibration is not None
    assert (calibration.faces, calibration.failures) == (20, found["failures"])
    judged = json.loads(evaluate(drawn, "--split", "test", "--shape-model", out, "--json").stdout)
    assert judged["plausibility"]["brier"] is not None


def test_calibrate_refuses_the_test_split_and_missing_shape_models(
    drawn, tmp_path, make_tflite
) -> None:
    out = tmp_path / "out.npz"
    for arguments, message in (
        (("--split", "test"), "cannot be judged"),
        ((), "cannot be judged"),  # the test split is what evaluate takes unless told
        (("--split", "val", "--calibrate", tmp_path / "out.json"), ".npz"),
    ):
        result = evaluate(drawn, "--calibrate", out, *arguments)
        assert result.exit_code == 2 and message in result.stderr, result.output
    words = ["evaluate", make_tflite(), "--data", drawn, "--format", "synthetic"]
    result = CliRunner().invoke(main, [*map(str, words), "--split", "val", "--calibrate", str(out)])
    assert result.exit_code == 2 and "--shape-model" in result.stderr
    assert not out.exists()


def test_another_number_of_points_is_refused(judge) -> None:
    with pytest.raises(UsageError, match=r"shape model of 98 landmarks.*68"):
        judge.for_scheme(SCHEME_98)
