"""A private part of another package that has moved ends in a message, not in an AttributeError."""

import numpy as np
import pytest

from asmnet_kit.base.errors import MissingDependency
from asmnet_kit.base.private_doors import PrivateDoor

DOOR = PrivateDoor("numpy", ("1.0", "1.1"))


def test_what_is_there_is_returned():
    assert DOOR.open("dict.get", lambda: {}.get) is not None


@pytest.mark.parametrize(
    "moved", [ImportError("x"), AttributeError("x"), KeyError("x"), TypeError("x")]
)
def test_what_has_moved_names_the_package_and_the_version_to_install(moved):
    def get():
        raise moved

    with pytest.raises(MissingDependency, match=r"numpy \d.*_private.*numpy==1\.1"):
        DOOR.open("numpy._private", get)


def test_what_breaks_without_an_error_needs_a_release_that_was_tried():
    installed = np.__version__
    minor = installed.rpartition(".")[0]
    PrivateDoor("numpy", ("1.0.0", f"{minor}.999")).refuse_untried()
    with pytest.raises(MissingDependency, match=r"needs numpy 1\.0\.x or 0\.9\.x, got "):
        PrivateDoor("numpy", ("1.0.0", "0.9.3")).refuse_untried()


@pytest.mark.parametrize("installed", ["2.3", "2.3.0rc1", "2.3.7", "2.3.1.post1", "2.3.0.dev1"])
def test_every_build_of_a_minor_release_is_of_it(monkeypatch, installed):
    monkeypatch.setattr(PrivateDoor, "installed", installed)
    PrivateDoor("acme", ("2.3.0",)).refuse_untried()
    with pytest.raises(MissingDependency, match=rf"needs acme 2\.4\.x, got {installed}"):
        PrivateDoor("acme", ("2.4.0", "2.4.1")).refuse_untried()


def test_other_errors_of_the_package_are_its_own():
    def get():
        raise ValueError("a bad model")

    with pytest.raises(ValueError, match="a bad model"):
        DOOR.open("numpy._private", get)
