"""Which pictures an epoch shows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.datasets.base import Face, PictureFile
from asmnet_kit.training.data.sampling import Sampling, sampling_of, showings
from asmnet_kit.training.subset_options import OTHERS, subset_conventions, subset_values


def face(name: str, *subsets: str) -> Face:
    return Face(name, PictureFile(Path(name)), np.zeros((68, 2), np.float32), subsets)


FACES = [face(f"a/{i}.jpg", "a") for i in range(4)] + [face(f"b/{i}.jpg", "b") for i in range(4)]


def drawn(sampling, epoch: int) -> Counter[int]:
    return Counter(sampling.draw(np.random.default_rng(epoch)).tolist())


def test_without_weights_an_epoch_shows_each_picture_once() -> None:
    sampling = sampling_of(FACES, weights={}, clips=())
    assert sampling.epoch_size == 8
    assert drawn(sampling, 0) == Counter(range(8))


def test_the_order_depends_on_the_generator_alone() -> None:
    sampling = sampling_of(FACES, weights={}, clips=())
    first, again, other = (
        sampling.draw(np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_weight_says_how_often_a_picture_is_shown() -> None:
    """a: 1.5 x 4 = 6 showings, each picture once or twice; b: 0.25 x 4 = 1. In all 7."""
    sampling = sampling_of(FACES, weights={"a": 1.5, "b": 0.25}, clips=())
    assert sampling.epoch_size == 7
    total: Counter[int] = Counter()
    for epoch in range(400):
        times = drawn(sampling, epoch)
        assert sum(times.values()) == 7
        assert all(0 <= times[i] <= 2 for i in range(4))
        total += times
    # Each mean has a standard deviation below sqrt(0.25 / 400) = 0.025: 0.1 is four of them.
    assert all(abs(total[i] / 400 - 1.5) < 0.1 for i in range(4))
    assert all(abs(total[i] / 400 - 0.25) < 0.1 for i in range(4, 8))


class Lowest:
    """A generator whose uniform numbers are all 0, the least that there is."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.permutation, self.choice = generator.permutation, generator.choice

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize("seed", range(40))
def test_an_epoch_has_its_size_for_any_weights_and_any_draw(seed: int) -> None:
    """Sums of decimals end an ulp low: ten weights of 0.1 make 0.9999999999999999."""
    random = np.random.default_rng(seed)
    steps = int(random.choice([3, 7, 10, 100]))
    weights = random.integers(0, 3 * steps, int(random.integers(10, 60))) / steps
    weights[-3:] = 0
    if seed == 0:
        weights = np.full(10, 0.1)
    groups = tuple(np.array([index]) for index in range(len(weights)))
    sampling = Sampling(weights, groups)
    for draw in range(20):
        for generator in (Lowest(draw), np.random.default_rng(draw)):
            shown = sampling.draw(generator)
            assert len(shown) == sampling.epoch_size
            times = np.bincount(shown, minlength=len(weights))
            assert (times <= np.ceil(weights)).all()


def test_showings_number_each_face_s_appearances() -> None:
    assert showings(np.array([4, 2, 4, 4, 2, 7])).tolist() == [0, 0, 1, 2, 1, 0]


def test_a_weight_of_zero_leaves_a_subset_out() -> None:
    assert set(drawn(sampling_of(FACES, weights={"b": 0}, clips=()), 0)) == {0, 1, 2, 3}


def test_a_picture_in_several_subsets_follows_the_named_ones() -> None:
    both = [face("x.jpg", "full", "common"), face("y.jpg", "full")]
    assert drawn(sampling_of(both, weights={"common": 0}, clips=()), 0) == Counter([1])


def test_an_epoch_shows_one_frame_of_each_clip_and_not_always_the_same() -> None:
    names = ["v/Ann_10.jpg", "v/Ann_11.jpg", "v/Ann_12.jpg", "v/Ann_20.jpg", "v/Bob_10.jpg"]
    sampling = sampling_of([face(n, "v") for n in names], weights={}, clips=("v",))
    assert sampling.epoch_size == 3  # Ann_1, Ann_2, Bob_1
    seen = set()
    for epoch in range(30):
        times = drawn(sampling, epoch)
        assert times[3] == times[4] == 1
        (frame,) = set(times) - {3, 4}
        seen.add(frame)
    assert seen == {0, 1, 2}  # one of three is missing in 30 epochs once in 64,000


def test_second_faces_of_a_clips_frames_are_a_clip_of_their_own() -> None:
    names = ["Ann_10.jpg", "Ann_10.jpg#2", "Ann_11.jpg", "Ann_11.jpg#2", "Ann_12"]
    sampling = sampling_of([face(n, "v") for n in names], weights={}, clips=("v",))
    assert [list(group) for group in sampling.groups] == [[0, 2], [1, 3], [4]]


def test_faces_that_a_reader_numbered_are_told_apart_in_clips() -> None:
    """Readers number every face of a picture that has several."""
    names = ["Ann_10.jpg#1", "Ann_10.jpg#2", "Ann_11.jpg#1", "Ann_11.jpg#2", "Ann_12.jpg"]
    sampling = sampling_of([face(n, "v") for n in names], weights={}, clips=("v",))
    assert [list(group) for group in sampling.groups] == [[0, 2, 4], [1, 3]]


def test_a_folder_or_file_with_a_hash_in_its_name_is_a_clip_like_any_other() -> None:
    names = ["take #1/Ann_10.jpg", "take #1/Ann_11.jpg#1", "take #1/Ann_11.jpg#2", "x#1_20.jpg"]
    sampling = sampling_of([face(n, "v") for n in names], weights={}, clips=("v",))
    assert [list(group) for group in sampling.groups] == [[0, 1], [2], [3]]


def test_a_photograph_called_like_a_clip_is_not_part_of_it() -> None:
    faces = [face("Ann_10.jpg", "v"), face("Ann_1.jpg", "p"), face("Ann_11.jpg", "v")]
    sampling = sampling_of(faces, weights={"p": 2}, clips=("v",))
    assert [list(group) for group in sampling.groups] == [[0, 2], [1]]
    assert sampling.weights.tolist() == [1, 2]


def test_an_unknown_subset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"--sampling: expected subsets .*\(a, b\); got c, d"):
        sampling_of(FACES, weights={"c": 1, "a": 1, "d": 1}, clips=())
    with pytest.raises(UsageError, match=r"--clips: expected subsets .*\(a, b\); got d"):
        sampling_of(FACES, weights={}, clips=("a", "d"))


def test_nothing_to_show_is_refused() -> None:
    with pytest.raises(UsageError, match="all zeros"):
        sampling_of(FACES, weights={"a": 0, "b": 0}, clips=())


def test_subset_values_are_read() -> None:
    assert subset_values("ytf=0.5, aflw=2", option="--sampling") == {"ytf": 0.5, "aflw": 2.0}
    assert subset_values("", option="--sampling") == {}
    assert subset_values("0.5,aflw=2", option="--sampling") == {OTHERS: 0.5, "aflw": 2.0}


def test_a_number_alone_is_of_all_faces_that_are_in_no_named_subset() -> None:
    faces = [face("x.jpg", "a"), face("y.jpg", "b"), face("z.jpg")]
    weights = sampling_of(faces, weights={OTHERS: 3.0, "b": 2.0}, clips=()).weights
    assert weights.tolist() == [3, 2, 3]


@pytest.mark.parametrize(
    "text", ["ytf", "ytf=", "ytf=x", "ytf=-1", "ytf=nan", "ytf=inf", "=1", "a=1,a=2", "1,2", "-1"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected --sampling as SUBSET=NUMBER"):
        subset_values(text, option="--sampling")


def test_shares_are_at_most_1() -> None:
    assert subset_values("ytf=1", option="--teacher-share", at_most=1) == {"ytf": 1.0}
    with pytest.raises(UsageError, match="numbers from 0 to 1, each subset once; got 'ytf=5'"):
        subset_values("ytf=5", option="--teacher-share", at_most=1)


def test_conventions_are_read() -> None:
    assert subset_conventions("aflw, mtfl=aflw") == {"aflw": "aflw", "mtfl": "aflw"}
    assert subset_conventions("") == {}


@pytest.mark.parametrize("text", ["=aflw", "mtfl=", "aflw,aflw=ytf"])
def test_conventions_without_a_name_or_twice_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="each subset once"):
        subset_conventions(text)
