"""The data formats by name: the kit's own, and those that other packages bring.

A format is a module (or any object) with

- ``read(root) -> Reading``: every face below a folder, and a problem for every file that cannot be
  used; it raises only where nothing at all can be read. Where the data has 68 and 98 landmarks,
  ``read(root, *, points=None)``. Where nothing in the files says what the points are,
  ``read(root, *, scheme=None)``: what the user says they are.
- where folders alone decide the split, so that the files need not be read to list the splits:
  ``split_of_folder(ancestors, parts)`` and ``SUFFIX``, that of the annotation files.

Nothing is imported here until a format is used: ``--help`` lists the names.
"""

from asmnet_kit.base.plugins import PluginTable

PEOPLE = "people"  # no folder: the built-in renderer, which --data names by the same word

FORMATS = PluginTable(
    kind="format",
    group="asmnet_kit.formats",
    own={
        "300w": "asmnet_kit.datasets.ibug300w",
        "wflw": "asmnet_kit.datasets.wflw",
        "aflw2000": "asmnet_kit.datasets.aflw2000",
        "300w_lp": "asmnet_kit.datasets.aflw2000",
        "merlrav": "asmnet_kit.datasets.merlrav",
        "csv": "asmnet_kit.datasets.keypoint_csv",
        "records": "asmnet_kit.datasets.read_shards",
        "synthetic": "asmnet_kit.datasets.synthetic",
        PEOPLE: "asmnet_kit.datasets.people",
    },
    needs=("read",),
)
