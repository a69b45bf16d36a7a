"""Takes the phone app's pictures for docs/android.md from what its tests drew.

Usage: make android-test docs-android
"""

from pathlib import Path

import cv2

from asmnet_kit.base.files import write_bytes
from asmnet_kit.face.pictures import encode_jpeg, read_image

DOCS = Path(__file__).parent
DRAWN = DOCS.parent / "build" / "android" / "pictures"
PICTURES = {  # in docs/ -> as the tests of android_demo/app called it, and what is left out above
    "android-screen.jpg": ("docs-360x740.png", 0.0),
    "android-screen-land.jpg": ("docs-740x360-dark.png", 0.0),
    "android-compare.jpg": ("compare.png", 0.56),
    "android-models.jpg": ("picker.png", 0.0),
}
LONGEST = 1000  # pixels
JPEG_QUALITY = 80


def main() -> None:
    for name, (source, above) in PICTURES.items():
        image = read_image(DRAWN / source)
        image = image[round(above * image.shape[0]) :]
        share = min(1.0, LONGEST / max(image.shape[:2]))
        size = (round(share * image.shape[1]), round(share * image.shape[0]))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        write_bytes(DOCS / name, encode_jpeg(small, name=name, quality=JPEG_QUALITY))
        print(DOCS / name)


if __name__ == "__main__":
    main()
