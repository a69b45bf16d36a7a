"""Options of commands in a message become arguments of Python."""

import pytest

from asmnet_kit.base.arguments import in_python

TAKES = {"adapter", "boxes", "data", "device", "format", "model", "options", "scheme", "split"}


@pytest.mark.parametrize(
    ("said", "python"),
    [
        ("name it with --scheme FILE (docs)", "name it with scheme=FILE (docs)"),
        ("try --scheme '/a b/x.toml', which", "try scheme= '/a b/x.toml', which"),
        ("choose another with --split; its", "choose another with split=; its"),
        ("measure with --boxes detector", 'measure with boxes="detector"'),
        ("--device chooses one of several", "device= chooses one of several"),
        ("expected --device user@host, got x", "expected device=user@host, got x"),
        ("--format people: expected --data people", 'format="people": expected data="people"'),
        ("--gpu-precision is for the gpu", 'options["gpu_precision"] is for the gpu'),
        ("--option nope: no target has it", "options nope: no target has it"),
        (
            "first: asmnet-kit quantize m.h5 --data DIR --out models, or --model",
            "first: asmnet-kit quantize m.h5 --data DIR --out models, or model=",
        ),
        ("--profile, a--scheme and -- stay", "--profile, a--scheme and -- stay"),
    ],
)
def test_a_message_names_what_a_program_can_give(said: str, python: str) -> None:
    assert in_python(said, TAKES, {"gpu_precision"}) == python
