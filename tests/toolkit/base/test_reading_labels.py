"""XML and large JSON are read within bounds."""

from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from asmnet_kit.base import reading
from asmnet_kit.base.reading import read_json, read_xml


def records(path: Path, content: str) -> list[Element]:
    path.write_text(content, encoding="utf-8")
    found: list[Element] = []
    read_xml(path, "image", found.append)
    return found


def test_records_of_xml_come_one_by_one(tmp_path: Path) -> None:
    content = "<a><images><image n='1'><p>x</p></image><other/><image n='2'/></images></a>"
    found = records(tmp_path / "a.xml", content)
    assert [(one.get("n"), [child.text for child in one]) for one in found] == [
        ("1", ["x"]), ("2", [])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<a><b></a>", "expected XML: mismatched tag"),
        ("", "expected XML: no element found"),
        ("<a>" * 40 + "</a>" * 40, "expected elements nested at most 32 deep"),
        ("<a><image>&x;</image></a>", "expected XML: undefined entity"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", "expected XML: unknown encoding"),
        ("<!DOCTYPE html><a/>", "expected XML without a document type, got <!DOCTYPE html>"),
    ],
)
def test_xml_that_is_none_or_more_than_that_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        records(tmp_path / "a.xml", content)


def test_an_image_of_too_many_elements_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_XML_ELEMENTS", 10)
    assert len(records(tmp_path / "a.xml", "<a><image>" + "<p/>" * 9 + "</image></a>")) == 1
    with pytest.raises(ValueError, match="expected at most 10 elements in one image"):
        records(tmp_path / "a.xml", "<a><image>" + "<p/>" * 10 + "</image></a>")


def test_json_that_would_take_too_much_memory_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_PARSED_BYTES", 64 * 101)
    path = tmp_path / "a.json"
    path.write_text("[" + ",".join(["1"] * 100) + "]")
    assert len(read_json(path)) == 100
    path.write_text("[" + ",".join(["1"] * 103) + "]")
    with pytest.raises(ValueError, match="too many entries"):
        read_json(path)
