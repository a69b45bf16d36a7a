"""The names known without TensorFlow agree with what they stand for."""

from asmnet_kit.training.catalogue import ASM_LOSSES, AUGMENTATIONS
from asmnet_kit.training.data.augment import AUGMENTATIONS as AUGMENT_RANGES
from asmnet_kit.training.loss.losses import LOSSES


def test_alpha_is_allowed_for_the_losses_with_an_asm_term() -> None:
    assert {name for name, kind in LOSSES.items() if kind.asm} == ASM_LOSSES


def test_every_augmentation_has_its_ranges() -> None:
    assert list(AUGMENTATIONS) == list(AUGMENT_RANGES)
