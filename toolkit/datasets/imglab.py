"""dlib's imglab XML: images, boxes and parts, as in 300-W's ``labels_ibug_300W_train.xml``.

    <dataset><images>
      <image file='helen/trainset/1.jpg' width='640' height='480'>
        <box top='90' left='194' width='37' height='38'>
          <label>face</label>
          <part name='00' x='201' y='107'/> ...

Each box with parts is a face, and the box the one that came with it: ``left`` to ``left + width -
1`` are its first and last pixel (dlib/data_io/image_dataset_metadata.cpp). Pixels count from 0, as
in all of dlib; ``width`` and ``height`` of an image say which picture they are of, as in COCO.
Parts are matched by number (``00`` ...) or by a scheme's names; one that is missing has no label.
imglab knows of a box whether it is occluded, of its parts not: their visibility is unknown.

The split is a word of the file's name (``labels_ibug_300W_test.xml``; dlib's own example is
``training_with_face_landmarks.xml``), else a folder's name. The subsets are 300-W's where the
picture's path says (``helen/testset``: common, full).

Left out: boxes that are to be ignored, boxes without parts, and the mirrored copies that dlib's
archive of 300-W holds (``NAME_mirror.jpg``), as in the format ``300w``.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import Listing, Reading, split_named, stem_and_suffix
from asmnet_kit.datasets.ibug300w import is_mirrored, split_and_subsets
from asmnet_kit.datasets.named_points import LabelledFace, records_of
from asmnet_kit.datasets.records import (
    LabelFiles,
    PicturesBelow,
    add_faces,
    merged,
    number_in,
    sides_in,
    split_and_rest,
    usable_box,
)
from asmnet_kit.face.schemes import Scheme

SUFFIX = ".xml"


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the XML files at or below ``root``; a face that several files have is one.

    Args:
        scheme: one that the points may be of, beside those that are built in.

    Raises:
        DatasetError: no such file, or its parts are of no scheme.
    """
    reading = Reading(points=0)
    files = LabelFiles(root, SUFFIX, reading.problems)
    pictures = PicturesBelow(files.root)
    faces: list[LabelledFace] = []

    def take(listing: Listing, file: str, image: Element) -> None:
        written = image.get("file", "")
        if is_mirrored(stem_and_suffix(written)[0]):
            return
        for number, box in enumerate(image.iter("box"), start=1):
            where = f"{listing.name_of(file)}: {written}" + (
                f", box {number}" if number > 1 else ""
            )
            try:
                face = _face(box, image, where, listing, file, files.ancestors, pictures)
            except DatasetError as error:
                reading.problems.append(Problem(where, str(error)))
                continue
            if face is not None:
                faces.append(face)

    files.xml("image", take)
    if not faces and not reading.problems:
        raise files.nothing("an .xml of dlib's imglab with boxes and parts")
    add_faces(reading, merged(records_of(faces, reading, scheme), reading.problems), scheme)
    return reading


def _face(
    box: Element,
    image: Element,
    where: str,
    listing: Listing,
    file: str,
    ancestors: tuple[str, ...],
    pictures: PicturesBelow,
) -> LabelledFace | None:
    """The face of a box; None for one that is to be ignored or has no parts."""
    parts = box.findall("part")
    if not parts or box.get("ignore", "0") not in ("0", ""):
        return None
    name, picture = pictures.find(listing.parts, image.get("file", ""))
    shown = sides_in(image)
    left, top, width, height = (number_in(box, key) for key in ("left", "top", "width", "height"))
    folders = tuple(name.split("/")[:-1])
    public, subsets = split_and_subsets((), folders)
    face = LabelledFace(
        where,
        name,
        picture,
        split=split_and_rest(stem_and_suffix(file)[0])[0]
        or public
        or split_named((*ancestors, *listing.parts)),
        subsets=subsets,
        box=usable_box((left, top, left + width - 1, top + height - 1)),
        shown=shown,
        turns=False,
    )
    for part in parts:
        face.add(part.get("name", ""), number_in(part, "x"), number_in(part, "y"))
    return face
