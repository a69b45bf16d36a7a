"""Maps the project's folders onto one import package; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = {
    "asmnet_kit": "toolkit",
    "asmnet_kit.training": "training",
    "asmnet_kit.quantize": "quantize",
    "asmnet_kit.benchmarks": "benchmarks",
}

# Scripts that measure for the documents: they run from a checkout and are not installed.
STUDIES = ["studies", "studies.*"]

packages = []
for name, folder in FOLDERS.items():
    packages += [name, *(f"{name}.{sub}" for sub in find_packages(folder, exclude=STUDIES))]

setup(package_dir=FOLDERS, packages=packages)
