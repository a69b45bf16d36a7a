"""Losses, augmentations, start weights and input sizes, known without importing TensorFlow."""

from types import MappingProxyType

from asmnet_kit.base.errors import UsageError

LOSSES = MappingProxyType(
    {
        "asm": "squared errors to the truth and to the smoothed truth (ASM-LOSS)",
        "mse": "squared errors to the truth",
        "smooth_l1": "absolute errors to the truth in eye distances, rounded off around 0",
        "asm_smooth_l1": "the same to the truth and to the smoothed truth",
    }
)
LIKELIHOODS = MappingProxyType(
    {
        "laplace": "errors as a Laplace distribution has them: few large ones are forgiven",
        "gaussian": "errors as a normal distribution has them: large ones rule sigma",
    }
)
LIKELIHOOD_GRADIENTS = MappingProxyType(
    {
        "stop": "the likelihood teaches sigma alone; the landmarks follow their own loss",
        "bounded": "it moves the landmarks too, sure points no harder than one of sigma 0.01 sides",
        "full": "it moves the landmarks freely: a point counts 1 / sigma or more",
    }
)

ASM_LOSSES = frozenset({"asm", "asm_smooth_l1"})  # those with a term that alpha weighs

AUGMENTATIONS = MappingProxyType(
    {
        "full": "for photographs: pose, colour, blur, low resolution, noise, occluders",
        "strong": "the same, further and more often: for long trainings on few pictures",
        "light": "mirrors, small moves, colours: for data that varies by itself, as drawn faces do",
        "none": "every picture as it is",
    }
)

IMAGENET = "imagenet"  # as --init-from: no file, but the weights that Keras offers

# Strides multiply to 16 before the last stage, so a multiple of 16 makes every feature map up to
# there divide evenly; that allows 112 (7 x 16), the usual size of face networks. The last stride
# rounds up: 112 px ends in a 4 x 4 map, 128 px too.
SIZE_STEP = 16
SMALLEST_SIZE = 64
LARGEST_SIZE = 224


def check_input_size(size: int) -> None:
    """Refuse a side of the input that the architectures are not made for.

    Args:
        size: side of the square input, pixels.

    Raises:
        UsageError: not a multiple of 16 from 64 to 224.
    """
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE or size % SIZE_STEP:
        nearest = min(
            range(SMALLEST_SIZE, LARGEST_SIZE + 1, SIZE_STEP), key=lambda known: abs(known - size)
        )
        raise UsageError(
            f"expected an input size that is a multiple of {SIZE_STEP} from {SMALLEST_SIZE} to "
            f"{LARGEST_SIZE} pixels, got {size}; the nearest is {nearest}"
        )
