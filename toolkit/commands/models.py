"""``asmnet-kit models``: list, print."""

from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.commands.options import OnceCommand, json_option

if TYPE_CHECKING:
    from asmnet_kit.shipping.shipped import ShippedModel


@click.command(cls=OnceCommand)
@click.argument("name", required=False)
@json_option
def models(name: str | None, as_json: bool) -> None:
    """List the models that come with the kit, or print the card of the one called NAME.

    Example:  asmnet-kit models asmnet_nano_people

    A card says what the model was trained on, the licence of its weights, its measured accuracy and
    speed, and where it fails. Every command that takes a model's path also takes one of these
    names.
    """
    from asmnet_kit.base.console import counted, print_json
    from asmnet_kit.shipping.shipped import model_named, shipped_models

    if name is not None:
        model = model_named(name)
        if as_json:
            print_json(model.card)
        else:
            click.echo(model.text(), nl=False)
        click.echo(
            f"The file: {model.path}. Next: asmnet-kit predict photo.jpg --model {model.name} "
            f"--out drawn.png",
            err=True,
        )
        return
    shipped = shipped_models()
    if not shipped:
        raise UsageError("no model comes with this installation: install the kit again")
    if as_json:
        print_json({"schema_version": 1, "models": [model.summary() for model in shipped]})
    else:
        click.echo(_table(shipped))
    click.echo(
        f"{counted(len(shipped), 'model')}; * is what predict uses by default. "
        f"Next: asmnet-kit models {shipped[0].name}",
        err=True,
    )


def _table(shipped: "list[ShippedModel]") -> str:
    """Columns as wide as their longest cell; plain text, so that nothing heavy is imported."""
    rows = [("", "name", "points", "input", "size", "licence of the weights", "NME %")]
    for model in shipped:
        about = model.summary()
        figures = [f"{where} {nme:.2f}" for where, nme in about["nme_percent"].items()]
        rows.append(
            (
                "*" if model.is_default else "",
                model.name,
                str(about["landmarks"]),
                f"{about['input_size']} px",
                f"{about['size_bytes'] / 1000:.0f} KB",
                model.licence,
                ", ".join(figures),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
