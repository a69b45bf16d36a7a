"""Options about rendered people: what is left out, and what users bring of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.commands.options import Command, InputPath, NumberRange, is_given

if TYPE_CHECKING:
    from asmnet_kit.people.own import OwnData

# What can be left out: the keys of asmnet_kit.people.render.REALISM, which takes long to import.
REALISM = ("hair", "things", "light", "texture", "backdrop", "film")
# What users bring, what that is, and in which share of the pictures it is by default.
OWN = {
    "skins": ("skin textures, square, in MakeHuman's layout (data skin-template)", 0.5),
    "occluders": ("objects to put in front of faces, PNGs with transparency", 0.25),
    "backgrounds": ("background photographs", 0.5),
}


def people_options(command: Command) -> Command:
    """``--without``, ``--skins``, ``--occluders``, ``--backgrounds`` with shares, ``--camera``."""
    command = click.option(
        "--camera",
        type=InputPath("a camera as TOML"),
        help="people: TOML file with ranges of distance, lens, blur, noise, exposure ...",
    )(command)
    for kind, (what, share) in reversed(OWN.items()):
        command = click.option(
            f"--{kind}-share",
            type=NumberRange(0, 1),
            default=share,
            show_default=True,
            help=f"people: share of the pictures with one of --{kind}.",
        )(command)
        command = click.option(
            f"--{kind}",
            type=InputPath(f"a folder of {kind}"),
            help=f"people: folder of your own {what}.",
        )(command)
    return click.option(
        "--without",
        type=click.Choice(REALISM),
        multiple=True,
        help=(
            "people: leave out a part of the realism; may be given several times. The labels "
            "stay the same."
        ),
    )(command)


def refuse_people_options(kind: str) -> None:
    """Refuse the options of ``people_options`` for another kind of faces.

    Raises:
        UsageError: one of them was given.
    """
    shares = [f"{own}_share" for own in OWN]
    for name in ("without", *OWN, *shares, "camera"):
        if is_given(name):
            raise UsageError(
                f"--{name.replace('_', '-')}: only for --kind people, got --kind {kind}"
            )


def own_data(options: dict[str, Any]) -> "OwnData":
    """What the user brings, every file of it read once.

    Args:
        options: values of ``people_options``, by parameter.

    Raises:
        UsageError: a share without its folder, or a camera that cannot be used.
        DatasetError: a picture that cannot be used, or a folder without any.
    """
    from asmnet_kit.people.camera_settings import DEFAULT_CAMERA, read_camera
    from asmnet_kit.people.own import OwnData, Pictures

    pictures: dict[str, Pictures] = {}
    for kind in OWN:
        folder: Path | None = options[kind]
        if folder is not None:
            pictures[kind] = Pictures.below(folder, kind, options[f"{kind}_share"])
        elif is_given(f"{kind}_share"):
            raise UsageError(f"--{kind}-share: needs --{kind}, the folder")
    camera = options["camera"]
    return OwnData(**pictures, camera=read_camera(camera) if camera else DEFAULT_CAMERA)
