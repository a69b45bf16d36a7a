"""Looking again at a face in a detector's box."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.face.crop import landmark_box
from asmnet_kit.face.looks import look_again, look_once, looks_at
from asmnet_kit.face.predictor import InScheme, Prediction, predict_and_mirrored
from asmnet_kit.face.schemes import SCHEME_68, Scheme, mirrored, scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.predict import picture
from asmnet_kit.predict.detector import Detection
from asmnet_kit.predict.picture import predict_image

SIZE = 64
TRUTH = np.float32(generic_reference(68) * 90 + [150, 130])  # pixels of the picture
TRUTH_BOX = landmark_box(TRUTH)
WRONG_BOX = TRUTH_BOX + np.float32([-12, 6, 8, 20])


def picture_of_places():
    """A picture whose pixels say where they are: red is x, green is y."""
    y, x = np.mgrid[:256, :256]
    return np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)


class Half:
    """Sees half of how far the crop lies off the face, as networks do; knows it by its pixels.

    Attributes:
        crops: how many it has seen.
    """

    name, scheme, input_size, crop_scale = "half.tflite", SCHEME_68, SIZE, 1.2

    def __init__(self, scheme=SCHEME_68, seen=0.5):
        self.scheme, self.seen, self.crops = scheme, seen, 0

    def predict(self, crops):
        self.crops += len(crops)
        answers = [self._of(crop) for crop in crops]
        count = len(crops)
        return Prediction(
            np.stack(answers)[:, : self.scheme.points],
            pose=np.tile(np.float32([10, 20, 30]), (count, 1)),
            sigma=np.full((count, self.scheme.points), 0.02, np.float32),
            visible=np.tile(np.linspace(0, 1, self.scheme.points, dtype=np.float32), (count, 1)),
            confidence=np.full(count, 0.5, np.float32),
        )

    def _of(self, crop):
        centre = crop[SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1, :2].mean((0, 1))
        across = SIZE * (crop[1:-1, -2, 0].mean() - crop[1:-1, 1, 0].mean()) / (SIZE - 3)
        usual = landmark_box(TRUTH)
        there = (TRUTH - (usual[:2] + usual[2:]) / 2) / (1.2 * np.ptp(usual.reshape(2, 2), 0).max())
        truth = (TRUTH - centre) / abs(across)
        if across < 0:  # a mirror image
            truth = mirrored(truth, 1.0, SCHEME_68)
        return np.float32(self.seen * truth + (1 - self.seen) * there)


def error_of(crop, prediction):
    return np.abs(crop.to_picture(prediction.landmarks[0]) - TRUTH).mean()


def test_the_crop_around_what_the_first_look_saw_counts_both_ways_round():
    image = picture_of_places()
    crop, first = look_once(Half(), image, WRONG_BOX, name="face")
    seen = landmark_box(crop.to_picture(first.landmarks[0]))
    closer, second = look_once(Half(), image, seen, name="face")
    model = Half()
    at, both = look_again(model, image, WRONG_BOX, name="face")
    assert model.crops == 3 == looks_at(model, detected=True)
    assert at == closer
    # The mirror image shows this symmetric face nearly where the crop does.
    np.testing.assert_allclose(both.landmarks, second.landmarks, atol=0.02)
    assert error_of(at, both) < 0.7 * error_of(crop, first)
    assert error_of(at, both) < 1.02 * error_of(closer, second)


def test_a_mirror_image_is_turned_back_before_the_mean():
    """Yaw and roll change sides, what can be seen does with its point, and so do sigmas."""
    _, both = look_again(Half(), picture_of_places(), WRONG_BOX, name="face")
    np.testing.assert_allclose(both.pose, [[0, 20, 0]], atol=1e-5)
    seen = np.linspace(0, 1, 68)
    np.testing.assert_allclose(both.visible[0], (seen + seen[SCHEME_68.mirror]) / 2, atol=1e-6)
    lopsided = Prediction(np.float32([[[0.1, 0.2]] * 68]), None, sigma=np.float32([np.arange(68)]))
    back = lopsided.mirrored(SCHEME_68)
    np.testing.assert_allclose(back.landmarks[0], [[-0.1, 0.2]] * 68)
    np.testing.assert_array_equal(back.sigma[0], SCHEME_68.mirror)


def test_there_is_one_look_where_the_first_one_loses_the_box():
    lost = Half(seen=1.0)
    image = picture_of_places()
    far = TRUTH_BOX - np.float32([60, 60, 60, 60])
    crop, prediction = look_again(lost, image, far, name="face")
    assert lost.crops == 1
    assert error_of(crop, prediction) < 1.5  # what it saw, wherever that is


def test_there_is_one_look_where_the_landmarks_outline_no_face():
    five = Half(scheme_of(5))
    look_again(five, picture_of_places(), WRONG_BOX, name="face")
    assert five.crops == 1


def faces_of(file):
    one = Face(name="one", landmarks=TRUTH, picture=PictureFile(file))
    return Dataset(name="places", format="csv", scheme=SCHEME_68, faces=(one,))


def test_an_adapter_that_looks_again_itself_is_asked_once():
    adapted = Half()
    adapted.passes = 3
    look_again(adapted, picture_of_places(), WRONG_BOX, name="face")
    assert adapted.crops == 1
    assert looks_at(adapted, detected=True) == looks_at(adapted, detected=False) == 3


def test_a_scheme_without_mirror_pairs_is_looked_at_one_way_round():
    """``mirror`` is optional in a scheme: a left point would be taken for a right one."""
    lopsided = replace(SCHEME_68, name="own", mirror=np.arange(68), chosen=None)
    assert lopsided.outlines_face and not lopsided.has_mirror_image
    assert SCHEME_68.has_mirror_image and scheme_of(98).has_mirror_image
    model = Half(lopsided)
    crop, seen = look_again(model, picture_of_places(), WRONG_BOX, name="face")
    assert model.crops == 2 == looks_at(model, detected=True)
    assert error_of(crop, seen) < 5


def test_a_scheme_of_one_side_is_labelled_without_mirror_images():
    """A jaw is not asked for here: five points are seen both ways round."""
    half = Scheme.from_json(
        {"name": "half", "mirror": [], "normaliser": "box",
         "from": {"scheme": "68", "points": [36, 39, 30, 48, 8]}},
        where="half.toml",
    )  # fmt: skip
    assert half.is_one_sided and not scheme_of(5).is_one_sided
    crop = picture_of_places()[:SIZE, :SIZE]
    for scheme, views in ((half, 1), (scheme_of(5), 2)):
        assert predict_and_mirrored(Half(scheme), crop, name="face").shape == (views, 5, 2)


def test_landmarks_of_another_scheme_follow_from_looks_with_the_models_own():
    image = picture_of_places()
    crop, own = look_again(Half(), image, WRONG_BOX, name="face")
    model = Half()
    _, five = look_again(InScheme(model, scheme_of(5)), image, WRONG_BOX, name="face")
    assert model.crops == 3  # though five points outline no face
    wanted = SCHEME_68.mapped(crop.to_picture(own.landmarks), scheme_of(5))
    np.testing.assert_allclose(crop.to_picture(five.landmarks), wanted, atol=1e-3)


def test_the_looks_of_a_batch_are_three_calls_and_a_box_of_the_data_gets_one(tmp_path):
    """A target behind a cable starts a program for each call."""
    image = picture_of_places()
    file = tmp_path / "places.png"
    cv2.imwrite(str(file), image[:, :, ::-1])
    (face,) = faces_of(file).faces
    boxes = {"found": None, "again": None, "given": TRUTH_BOX}
    faces = tuple(replace(face, name=name, detector_box=box) for name, box in boxes.items())
    model = Half()
    calls = []
    predict = model.predict
    model.predict = lambda crops: calls.append(len(crops)) or predict(crops)
    dataset = replace(faces_of(file), faces=faces)
    evaluate(model, dataset, boxes="detector", find_boxes=lambda _: [WRONG_BOX])
    assert calls == [3, 2, 2]
    calls.clear()
    given = evaluate(model, replace(dataset, faces=faces[2:]), boxes="detector")
    assert calls == [1]
    assert given.looks == 1  # as predict --box


def test_a_picture_that_is_gone_at_the_second_look_is_left_out(tmp_path):
    image = picture_of_places()
    file = tmp_path / "places.png"
    cv2.imwrite(str(file), image[:, :, ::-1])
    gone = tmp_path / "gone.png"
    cv2.imwrite(str(gone), image[:, :, ::-1])
    faces = tuple(
        replace(face, name=path.name) for path in (file, gone) for face in faces_of(path).faces
    )
    model = Half()
    predict = model.predict

    def first_then_remove(crops):
        gone.unlink(missing_ok=True)
        return predict(crops)

    model.predict = first_then_remove
    dataset = replace(faces_of(file), faces=faces)
    with pytest.raises(DatasetError, match=r"gone\.png"):
        # One of two is too large a share.
        evaluate(model, dataset, boxes="detector", find_boxes=lambda _: [WRONG_BOX])


def test_predict_and_evaluate_look_again_in_a_detectors_box_and_once_in_a_given_one(
    tmp_path, monkeypatch
):
    image = picture_of_places()
    file = tmp_path / "places.png"
    cv2.imwrite(str(file), image[:, :, ::-1])
    monkeypatch.setattr(picture, "detect_faces", lambda *_, **__: [Detection(WRONG_BOX, 0.9)])
    model = Half()
    (found,) = predict_image(image, model)
    assert model.crops == 3
    np.testing.assert_array_equal(found.box, WRONG_BOX)  # what the detector gave
    (given,) = predict_image(image, model, boxes=[WRONG_BOX])
    assert model.crops == 4
    errors = [np.abs(face.landmarks - TRUTH).mean() for face in (found, given)]
    assert errors[0] < 0.8 * errors[1]

    measured = evaluate(Half(), faces_of(file), boxes="detector", find_boxes=lambda _: [WRONG_BOX])
    eyes = np.linalg.norm(TRUTH[45] - TRUTH[36])
    wanted = 100 * np.linalg.norm(found.landmarks - TRUTH, axis=-1).mean() / eyes
    assert measured.scores.nme_percent == pytest.approx(wanted, rel=1e-4)
    around_labels = evaluate(Half(), faces_of(file))
    assert around_labels.scores.nme_percent < measured.scores.nme_percent
