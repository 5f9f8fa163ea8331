"""Tables as spreadsheets and people write them are read, or refused in one line that names the file."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawn import JSON, examples

from specmaskgit_cli.data.tables import find_column, parse_table, read_table
from specmaskgit_cli.errors import SmgError, UsageError

ROWS = [{"file": "a.wav", "caption": "a dog, loud"}, {"file": "b.wav", "caption": "café"}]


def cells(data, lines=False):
    return [row.cells for row in parse_table(data, "t", lines)]


def written(delimiter=",", ends="\n"):
    file = io.StringIO()
    writer = csv.DictWriter(file, ["file", "caption"], delimiter=delimiter, lineterminator=ends)
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_way_to_save_a_table(encoding, delimiter, ends):
    assert cells(written(delimiter, ends).encode(encoding)) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_lines(encoding):
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n"
    assert cells(text.encode(encoding), lines=True) == ROWS


def test_columns_are_found_however_they_are_written_and_blank_cells_left_out():
    assert cells(b" File ,Caption\na.wav,\n,\nb.wav, \n") == [{"file": "a.wav"}, {"file": "b.wav"}]
    assert cells(b'{"FILE-name": "a.wav", "caption": null}\n', lines=True) == [{"file_name": "a.wav"}]
    (row,) = parse_table(b"file,caption\n\nb.wav,x\n", "t.csv", False)
    assert (row.number, row.place) == (1, "t.csv: row 1 (line 3)")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"file,caption\na.wav,a dog, loud\n", "line 2 has 3 cells for 2 columns; put text that holds a ','"),
        ("file,caption\na.wav,café\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("file,caption\n".encode("utf-16-le"), "zero bytes"),
        ("file,caption\n".encode("utf-32"), "zero bytes"),
        (b"\xff\xfea", "begins as UTF-16"),
        (b'file,caption\na.wav,"open\n', "no CSV"),
        (b"file,file\na,b\n", "two columns 'file'"),
        (b",file\n0,b\n", "column 1 has no name"),
        (b"file\n" + b"x" * 200_000, "no CSV"),
    ],
)
def test_bad_csv_is_one_line(data, words):
    with pytest.raises(UsageError, match="^t:? ") as error:
        cells(data)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{oops", "line 1 is no JSON"),
        ('["a.wav"]', "line 1 is list"),
        ('"a.wav"', "line 1 is str"),
        ("[" * 100_000, "line 1 is no JSON"),
        ('{"a":' * 900 + "1" + "}" * 900 + "]", "line 1 is no JSON"),
        ('{"a": ' + "9" * 5000 + "}", "line 1 is no JSON"),
        ('{"a": "\\ud800"}', "line 1 is no JSON"),
        ('{"a": 1, "A": 2}', "gives a key twice"),
    ],
)
def test_bad_json_is_one_line(line, words):
    with pytest.raises(UsageError, match="^t: ") as error:
        cells(line.encode(), lines=True)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_not_there_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(SmgError, match=r"absent\.csv: no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(SmgError, match="cannot be read"):
        read_table(tmp_path)
    (tmp_path / "t.csv").write_text("file\na.wav\n")
    monkeypatch.setattr("specmaskgit_cli.data.tables.MAX_BYTES", 5)
    with pytest.raises(SmgError, match=r"t\.csv is larger"):
        read_table(tmp_path / "t.csv")


def test_a_missing_column_is_told_with_those_there_are():
    rows = parse_table(b"name,text\na,b\n", "t.csv", False)
    with pytest.raises(UsageError, match=r"t\.csv: no column `file` .* its columns are name, text"):
        find_column(rows, ["file", "filename"], "t.csv")
    assert find_column(rows, ["label", "text"], "t.csv") == "text"


@examples(300)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_rows_or_one_line(data, lines):
    try:
        for row in parse_table(data, "table", lines):
            assert row.cells and row.place.startswith("table: row ")
    except UsageError as error:
        assert str(error).startswith("table")


@examples(200)
@given(st.lists(st.dictionaries(st.sampled_from(["file", "caption", "n"]), JSON, min_size=1), max_size=4))
def test_any_objects_come_back(rows):
    text = "\n".join(json.dumps(row) for row in rows)
    try:
        found = cells(text.encode(), lines=True)
    except UsageError:
        assert "\\ud" in text  # halves of surrogate pairs alone cannot be written again
        return
    assert len(found) <= len(rows) and all(value is not None for row in found for value in row.values())
