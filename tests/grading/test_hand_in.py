"""Exports: whose each file is, when it was handed in, and what cannot be read. One small export for each system."""

import io
import os
import re
import struct
import tarfile
import unicodedata
import zipfile

import nbformat
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grading import exports, hand_in, pick
from grading.records import Flag
from tests.grading import submissions as class_

NAME = class_.NAME
SOLVED = nbformat.writes(class_.solved()).encode()
UNTOUCHED = nbformat.writes(class_.untouched(None)).encode()


def zipped(path, files, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 12, 24, 1, 2, 3)), data, method)
    return path


def tarred(path, files):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


KINDS = {"export.zip": zipped, "export.tar": tarred, "export.tar.gz": tarred, "export": folder}


def collected(path, files, **more):
    """What is found in a zip of these files."""
    return hand_in.collect(zipped(path / "export.zip", files), NAME, **more)


def people(found):
    """{key: (name, files that may be notebooks)}"""
    return {key: (entry.name, sorted(entry.files)) for key, entry in found.items()}


EXPORTS = {
    "Moodle, folders": (
        {
            "Ada Lovelace_401_assignsubmission_file_/forward-pass.ipynb": SOLVED,
            "Ada Lovelace_401_assignsubmission_onlinetext_/onlinetext.html": b"<p>Hello",
            "Li Wei_201_assignsubmission_file/my work/forward-pass.ipynb": SOLVED,
            "Li Wei_202_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Group 7_33_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Default group_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "กิต_5_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "กัต_6_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Only Text_7_assignsubmission_onlinetext/onlinetext.html": b"<p>Hello",
        },
        {
            "401": ("Ada Lovelace", ["forward-pass.ipynb"]),
            "201": ("Li Wei", ["my work/forward-pass.ipynb"]),
            "202": ("Li Wei", ["forward-pass.ipynb"]),
            "33": ("Group 7", ["forward-pass.ipynb"]),
            hand_in.key_of("Default group"): ("Default group", ["forward-pass.ipynb"]),
            "5": ("กิต", ["forward-pass.ipynb"]),
            "6": ("กัต", ["forward-pass.ipynb"]),
            "7": ("Only Text", []),
        },
        [],
    ),
    "Moodle, flat": (
        {
            "Ada Lovelace_401_assignsubmission_file_forward-pass.ipynb": SOLVED,
            "Eve_402_assignsubmission_file_Ada Lovelace_401_assignsubmission_file_x.ipynb": SOLVED,
            "Eve_402_assignsubmission_onlinetext_onlinetext.html": b"",
        },
        {
            "401": ("Ada Lovelace", ["forward-pass.ipynb"]),
            "402": ("Eve", ["Ada Lovelace_401_assignsubmission_file_x.ipynb"]),
        },
        [],
    ),
    "Moodle, blind": (
        {f"Participant_{k}_assignsubmission_file/forward-pass.ipynb": SOLVED for k in (501, 502, 503)},
        {k: ("Participant", ["forward-pass.ipynb"]) for k in ("501", "502", "503")},
        [],
    ),
    "Moodle, a student's folders look like another's": (
        {
            "Ada Lovelace_401_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Eve_402_assignsubmission_file/Ada Lovelace_401_assignsubmission_file/forward-pass.ipynb": UNTOUCHED,
            "Eve_402_assignsubmission_file/forward-pass/timestamp.txt": b"2026-11-01 00:00:00",
        },
        {
            "401": ("Ada Lovelace", ["forward-pass.ipynb"]),
            "402": ("Eve", ["Ada Lovelace_401_assignsubmission_file/forward-pass.ipynb"]),
        },
        [],
    ),
    "Canvas": (
        {
            "boolegeorge_LATE_881_99021_forward-pass-2.ipynb": SOLVED,
            "smithjohn_882_99022_forward-pass.ipynb": SOLVED,
            "smithjohn_883_99023_forward-pass.ipynb": SOLVED,
            "van_der_berg_884_99024_hw_1_2_forward-pass.ipynb": SOLVED,
            "20261234_885_99025_forward-pass.ipynb": SOLVED,
            "_886_99026_forward-pass.ipynb": SOLVED,
            "anon_aB3xZ_99027_12_34_forward-pass.ipynb": SOLVED,
            "LATE_anon_cD4yW_99028_forward-pass.ipynb": SOLVED,
            "texter_887_text.html": b"",
            "लता_888_99029_forward-pass.ipynb": SOLVED,
        },
        {
            "881": ("boolegeorge", ["forward-pass-2.ipynb"]),
            "882": ("smithjohn", ["forward-pass.ipynb"]),
            "883": ("smithjohn", ["forward-pass.ipynb"]),
            "884": ("van_der_berg", ["hw_1_2_forward-pass.ipynb"]),
            "885": ("20261234", ["forward-pass.ipynb"]),
            "886": ("", ["forward-pass.ipynb"]),
            "anon_aB3xZ": ("", ["12_34_forward-pass.ipynb"]),
            "anon_cD4yW": ("", ["forward-pass.ipynb"]),
            "887": ("texter", []),
            "888": ("लता", ["forward-pass.ipynb"]),
        },
        [],
    ),
    "Blackboard": (
        {
            "HW_1_al123_attempt_2026-11-29-10-00-00_forward-pass.ipynb": UNTOUCHED,
            "HW_1_al123_attempt_2026-11-29-10-00-00.txt": b"Name: Ada Lovelace (al123)\r\nAssignment: HW 1\r\n",
            "HW_1_al123_attempt_2026-11-30-10-00-00_forward-pass_attempt_2026-12-24-01-00-00_x.ipynb": SOLVED,
            "HW_1_al123_attempt_2026-11-30-10-00-00.txt": b"Name: Ada Lovelace (al123)\r\nAssignment: HW 1\r\n",
            "HW_1_em_noether_attempt_2026-11-30-11-00-00_forward-pass.ipynb": SOLVED,
            "HW_1_em_noether_attempt_2026-11-30-11-00-00.txt": "Name: 埃米·诺特 (em_noether)\nAssignment:\n".encode(),
            "HW_1_nothing_attempt_2026-11-30-12-00-00.txt": b"Name: No Thing (nothing)\nAssignment: HW\n",
        },
        {
            "al123": ("Ada Lovelace", ["forward-pass_attempt_2026-12-24-01-00-00_x.ipynb"]),
            "em_noether": ("埃米·诺特", ["forward-pass.ipynb"]),
            "nothing": ("No Thing", []),
        },
        [],
    ),
    "Brightspace": (
        {
            "Lab 1/39786-640693 - Ada Lovelace - Oct 10, 2026 1022 AM/forward-pass.ipynb": UNTOUCHED,
            "Lab 1/39786-640693 - Ada Lovelace - Oct 10, 2026 115 PM/forward-pass.ipynb": SOLVED,
            "Lab 1/39787-640693 - Anna - Maria O'Neil - 25 September, 2026 1155 AM/forward-pass.ipynb": SOLVED,
            "Lab 1/index.html": b"<html>",
        },
        {
            "39786": ("Ada Lovelace", ["forward-pass.ipynb"]),
            "39787": ("Anna - Maria O'Neil", ["forward-pass.ipynb"]),
        },
        ["index.html"],
    ),
    "Gradescope": (
        {
            "assignment_9_export/submission_metadata.yml": b"""---
submission_11:
  :submitters:
  - :name: Ada Lovelace
    :sid: '00401'
    :email: ada@example.org
  :created_at: 2026-11-30 22:00:00.123456000 Z
  :results:
    output: |
      :submitters:
submission_12:
  :submitters:
  - :name: Pair One
    :sid:
    :email: one@example.org
  - :name: Pair Two
    :sid: '201'
    :email: two@example.org
""",
            "assignment_9_export/submission_11/forward-pass.ipynb": SOLVED,
            "assignment_9_export/submission_12/forward-pass.ipynb": SOLVED,
            "assignment_9_export/submission_13/forward-pass.ipynb": SOLVED,
        },
        {
            "00401": ("Ada Lovelace", ["forward-pass.ipynb"]),
            "one@example.org": ("Pair One", ["forward-pass.ipynb"]),
            "201": ("Pair Two", ["forward-pass.ipynb"]),
            "submission_13": ("", ["forward-pass.ipynb"]),
        },
        [],
    ),
    "Google Classroom": (
        {
            "Ada Lovelace - forward-pass.ipynb": SOLVED,
            "Ada Lovelace - forward-pass (1).ipynb": SOLVED,
            "Emmy Noether - assignment.ipynb": SOLVED,
            "forward-pass(2).ipynb": SOLVED,
            "grades.csv": b"",
        },
        {
            hand_in.key_of("Ada Lovelace - forward-pass"): (
                "Ada Lovelace",
                ["Ada Lovelace - forward-pass.ipynb"],
            ),
            hand_in.key_of("Ada Lovelace - forward-pass (1)"): (
                "Ada Lovelace",
                ["Ada Lovelace - forward-pass (1).ipynb"],
            ),
            hand_in.key_of("Emmy Noether - assignment"): ("Emmy Noether", ["Emmy Noether - assignment.ipynb"]),
            hand_in.key_of("forward-pass(2)"): ("", ["forward-pass(2).ipynb"]),
        },
        ["grades.csv"],
    ),
    "nbgrader": (
        {
            "submitted/ada/forward-pass/forward-pass.ipynb": SOLVED,
            "submitted/ada/forward-pass/timestamp.txt": b"2026-11-30 22:00:00.123456 UTC",
            "submitted/ada/backward-pass/backward-pass.ipynb": SOLVED,
            "submitted/emmy/forward-pass/old/forward-pass.ipynb": SOLVED,
            "submitted/other/backward-pass/backward-pass.ipynb": SOLVED,
        },
        {"ada": ("ada", ["forward-pass.ipynb"]), "emmy": ("emmy", ["old/forward-pass.ipynb"])},
        [],
    ),
    "nbgrader, one student": (
        {"ada/forward-pass/forward-pass.ipynb": SOLVED, "ada/forward-pass/forward-pass-old.ipynb": SOLVED},
        {"ada": ("ada", ["forward-pass-old.ipynb", "forward-pass.ipynb"])},
        [],
    ),
    "plain folders": (
        {
            "class/O'Neil/forward-pass.ipynb": SOLVED,
            "class/O Neil/forward-pass.ipynb": SOLVED,
            "class/अमित/forward-pass.ipynb": SOLVED,
            "class/अमीत/work/forward-pass.IPYNB": SOLVED,
            "class/\N{GRINNING FACE}/forward-pass.ipynb.txt": SOLVED,
            "class/\N{GRINNING CAT FACE WITH SMILING EYES}/work.zip": b"",
            "class/gauss/essay.pdf": b"%PDF",
            "class/readme.txt": b"",
            "class/__MACOSX/gauss/._essay.pdf": b"",
            "class/gauss/.ipynb_checkpoints/forward-pass.ipynb": SOLVED,
        },
        {
            hand_in.key_of(name): (name, files)
            for name, files in {
                "O'Neil": ["forward-pass.ipynb"],
                "O Neil": ["forward-pass.ipynb"],
                "अमित": ["forward-pass.ipynb"],
                "अमीत": ["work/forward-pass.IPYNB"],
                "\N{GRINNING FACE}": ["forward-pass.ipynb.txt"],
                "\N{GRINNING CAT FACE WITH SMILING EYES}": ["work.zip"],
                "gauss": [],
            }.items()
        },
        ["readme.txt"],
    ),
    "several exports of Moodle's in one folder": (
        {
            "Group A/Ada_1_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Group B/Bo_2_assignsubmission_file/forward-pass.ipynb": SOLVED,
            "Group B/Cy_3_assignsubmission_file_forward-pass.ipynb": SOLVED,
        },
        {k: (name, ["forward-pass.ipynb"]) for k, name in (("1", "Ada"), ("2", "Bo"), ("3", "Cy"))},
        [],
    ),
    "a student's folder looks like an export of Moodle's": (
        {
            "ada/forward-pass.ipynb": SOLVED,
            "eve/ada_1_assignsubmission_file/forward-pass.ipynb": UNTOUCHED,
        },
        {"ada": ("ada", ["forward-pass.ipynb"]), "eve": ("eve", ["ada_1_assignsubmission_file/forward-pass.ipynb"])},
        [],
    ),
    "the assignment, then the students": (
        {"submitted/forward-pass/ada/x.ipynb": SOLVED, "submitted/forward-pass/bo/x.ipynb": SOLVED},
        {"ada": ("ada", ["x.ipynb"]), "bo": ("bo", ["x.ipynb"])},
        [],
    ),
    "files that only look like Canvas's": (
        {"lab_03_2026_ada.ipynb": SOLVED, "lab_03_2026_bo.ipynb": SOLVED},
        {f"lab_03_2026_{who}": (f"lab_03_2026_{who}", [f"lab_03_2026_{who}.ipynb"]) for who in ("ada", "bo")},
        [],
    ),
    "files in one folder": (
        {"class/ada.ipynb": SOLVED, "class/emmy.ipynb": SOLVED},
        {
            hand_in.key_of("ada"): ("ada", ["ada.ipynb"]),
            hand_in.key_of("emmy"): ("emmy", ["emmy.ipynb"]),
        },
        [],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("system", EXPORTS)
def test_whose_each_file_is(tmp_path, system, kind):
    files, wanted, unknown = EXPORTS[system]
    found = hand_in.collect(
        KINDS[kind](tmp_path / kind, files), NAME, others=frozenset({"backward-pass", "small-batches"})
    )
    assert people(found) == wanted
    assert found.unknown == unknown
    assert all(
        read().startswith(b"{") for entry in found.values() for label, read in entry.files.items() if "ipynb" in label
    )


# -- keys ------------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name.strip(". ") and name not in exports.NOISE and name[0] != "."
)


@example([("Moodle", "", "0.ZIP")])
@given(st.lists(st.tuples(st.sampled_from(["Moodle", ""]), st.just("") | st.text(max_size=8), st.text(max_size=300))))
def test_keys_are_unique_safe_and_stable(people):
    people = list(dict.fromkeys(people))
    keys = hand_in.keys(people)
    assert len({key.casefold() for key in keys}) == len(people)
    assert all(hand_in.SAFE.fullmatch(key[:80]) and len(key) < 100 for key in keys)
    assert dict(zip(people, keys, strict=True)) == dict(zip(people[::-1], hand_in.keys(people[::-1]), strict=True))
    assert hand_in.keys(keys_of := [("", key, key) for key in keys]) == keys or not keys_of


@given(st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_every_name_is_a_student_of_its_own(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "names.zip"
    files = {f"{name}_{k}_assignsubmission_file/{NAME}.ipynb": b"{}" for k, name in enumerate(names)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    found = hand_in.collect(path, NAME)
    assert sorted(found) == sorted(map(str, range(len(names))))
    assert [found[str(k)].name for k in range(len(names))] == [hand_in.person(name) for name in names]


def test_accents_composed_or_not_are_one_name_with_one_key_and_two_rows_if_both_are_there(tmp_path):
    composed = unicodedata.normalize("NFC", "José Müller")
    apart = unicodedata.normalize("NFD", composed)
    assert hand_in.key_of(composed) == hand_in.key_of(apart)
    found = collected(tmp_path, {f"{composed}/x.ipynb": SOLVED, f"{apart}/x.ipynb": SOLVED})
    assert len(found) == 2
    assert all("same name" in {flag.kind for flag in entry.flags} for entry in found.values())


def test_who_shares_an_id_or_a_name_is_flagged_and_kept_apart(tmp_path):
    found = collected(
        tmp_path,
        {
            "Li Wei_201_assignsubmission_file/x.ipynb": SOLVED,
            "Li Wei_202_assignsubmission_file/x.ipynb": SOLVED,
            "Ada_7_assignsubmission_file/x.ipynb": SOLVED,
            "Eve_7_assignsubmission_file/x.ipynb": UNTOUCHED,
            "Honest_8_assignsubmission_file/x.ipynb": SOLVED,
        },
    )
    by_name = {}
    for entry in found.values():
        by_name.setdefault(entry.name, []).append(entry)
    assert [e.flags for e in by_name["Li Wei"]] == [[Flag("same name", "as 202")], [Flag("same name", "as 201")]]
    (ada,), (eve,) = by_name["Ada"], by_name["Eve"]
    assert (ada.id, eve.id) == ("7", "7") and ada.student != eve.student
    assert ada.flags == [Flag("same id", f"as {eve.student}")] and eve.flags == [Flag("same id", f"as {ada.student}")]
    assert by_name["Honest"][0].flags == []


def test_who_is_not_named_as_the_others_is_flagged(tmp_path):
    files = {f"S{k}_{k}_assignsubmission_file/x.ipynb": SOLVED for k in range(3)}
    found = collected(tmp_path, {**files, "solutions/x.ipynb": SOLVED, "rubric/rubric.pdf": b""})
    assert [str(flag) for flag in found["solutions"].flags] == ["not named as the others: solutions"]
    assert found.unknown == ["rubric/rubric.pdf"] and len(found) == 4 and found["1"].flags == []


def test_a_zip_that_does_not_say_it_is_utf8(tmp_path):
    """As the archiver of macOS writes it; zipfile alone would read code page 437."""
    name = "Zoë 李_5_assignsubmission_file/forward-pass.ipynb"
    data = zipped(tmp_path / "marked.zip", {name: SOLVED}).read_bytes()
    assert data.count(b"\x00\x08") > 1
    path = tmp_path / "unmarked.zip"
    path.write_bytes(data.replace(b"PK\x03\x04\x14\x00\x00\x08", b"PK\x03\x04\x14\x00\x00\x00").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x08", b"PK\x01\x02\x14\x03\x14\x00\x00\x00"))  # fmt: skip
    assert zipfile.ZipFile(path).namelist() != [name]
    assert people(hand_in.collect(path, NAME)) == {"5": ("Zoë 李", ["forward-pass.ipynb"])}


# -- files that cannot be read, and those that count -------------------------------------------------------------------


def broken_members(path):
    """A zip with an honest student and one for each way that a member can be broken."""
    files = {f"{who}_{k}_assignsubmission_file/{NAME}.ipynb": SOLVED for k, who in enumerate(BROKEN)}
    data = bytearray(zipped(path, files, zipfile.ZIP_DEFLATED).read_bytes())
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename.split("_")[0]: info for info in archive.infolist()}
    central = {who: data.index(info.filename.encode(), data.index(b"PK\x01\x02")) - 46 for who, info in infos.items()}

    def put(who, at, form, value):
        """In the local header and in the central directory, whose fields lie two bytes further."""
        struct.pack_into(form, data, infos[who].header_offset + at, value)
        struct.pack_into(form, data, central[who] + at + 2, value)

    put("encrypted", 6, "<H", 1)
    put("deflate64", 8, "<H", 9)
    put("crc", 14, "<I", 12345)
    put("date", 10, "<I", 0)
    struct.pack_into("<I", data, central["beyond"] + 42, len(data) + 1000)
    start = infos["garbled"].header_offset + 30 + len(infos["garbled"].filename)
    data[start : start + 200] = b"\xff" * 200
    struct.pack_into("<H", data, infos["renamed-inside"].header_offset + 26, 3)
    path.write_bytes(data)
    return path


BROKEN = {  # what the flag says; "" for what can be read
    "honest": "",
    "encrypted": "is encrypted",
    "deflate64": "method that is not read",
    "crc": "broken in the zip .BadZipFile.",
    "date": "",
    "beyond": "broken in the zip",
    "garbled": "broken in the zip .error.",
    "renamed-inside": "broken in the zip",
}


def test_no_member_of_a_zip_stops_the_class(tmp_path):
    found = hand_in.collect(broken_members(tmp_path / "export.zip"), NAME)
    assert [entry.name for entry in found.values()] == list(BROKEN)
    for entry, says in zip(found.values(), BROKEN.values(), strict=True):
        data, flags = hand_in.choose(entry, NAME)
        if not says:
            assert (data, flags) == (SOLVED, [])
        else:
            assert data is None and [flag.kind for flag in flags] == ["unreadable"]
            assert re.search(says, flags[0].detail), flags


@given(st.binary(min_size=1, max_size=40), st.floats(0, 1))
def test_any_bytes_in_a_zip_are_an_export_or_a_sentence(tmp_path_factory, junk, where):
    path = tmp_path_factory.getbasetemp() / "junk.zip"
    files = {f"Ada_{k}_assignsubmission_file/{NAME}.ipynb": b"{}" * 50 for k in range(3)}
    data = bytearray(zipped(path, files, zipfile.ZIP_DEFLATED).read_bytes())
    start = int(where * len(data))
    data[start : start + len(junk)] = junk
    path.write_bytes(data)
    try:
        found = hand_in.collect(path, NAME)
    except exports.ExportError as error:
        assert "export" in str(error) or "junk.zip" in str(error)
        return
    for entry in found.values():
        hand_in.choose(entry, NAME, pick.local(NAME))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.zip", b"", "is empty"),
        ("export.7z", b"7z\xbc\xaf\x27\x1c" + b"x" * 50, "7-Zip archive: unpack it"),
        ("export.zip", b"PK\x03\x04" + b"x" * 50, "neither a zip, nor a tar"),
        ("export.tar.gz", b"\x1f\x8b" + b"x" * 50, "neither a zip, nor a tar"),
        ("grades.csv", b"a,b", "neither a zip, nor a tar"),
    ],
)
def test_what_is_no_export_is_refused_with_a_sentence(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(exports.ExportError, match=says):
        hand_in.collect(tmp_path / name, NAME)


def test_a_single_notebook_is_an_export(tmp_path):
    path = tmp_path / "ada.ipynb"
    path.write_bytes(SOLVED)
    assert people(hand_in.collect(path, NAME)) == {hand_in.key_of("ada"): ("ada", ["ada.ipynb"])}


def test_a_folder_is_read_without_its_links_pipes_and_depths(tmp_path):
    base = folder(tmp_path / "submitted", {"ada/forward-pass/forward-pass.ipynb": SOLVED, "eve/x.txt": b""})
    os.symlink("/etc", base / "eve" / "etc")
    os.symlink(base / "ada/forward-pass/forward-pass.ipynb", base / "eve" / "forward-pass.ipynb")
    os.mkfifo(base / "eve" / "pipe.ipynb")
    deep = os.open(base / "eve", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=deep)
        deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    found = hand_in.collect(base, NAME)
    assert people(found) == {
        "ada": ("ada", ["forward-pass.ipynb"]),
        "eve": ("eve", ["forward-pass.ipynb", "pipe.ipynb"]),
    }
    data, flags = hand_in.choose(found["eve"], NAME)
    assert data is None and [flag.kind for flag in flags] == ["unreadable", "unreadable"]
    assert "forward-pass.ipynb is a link, a pipe or a device" in str(flags[0])
    assert [path.rpartition("/")[2] for path in found["eve"].others] == ["(folders)", "etc", "x.txt"]
    import subprocess

    subprocess.run(["rm", "-rf", base], check=True)  # shutil.rmtree goes as deep as Python's stack


def test_a_tar_is_read_without_its_links_and_devices(tmp_path):
    path = tarred(tmp_path / "export.tar.gz", {"ada_1_assignsubmission_file/forward-pass.ipynb": SOLVED})
    with tarfile.open(tmp_path / "links.tar", "w") as archive, tarfile.open(path) as first:
        archive.addfile(first.next(), io.BytesIO(SOLVED))
        for who, kind in (("eve_2", tarfile.SYMTYPE), ("eva_3", tarfile.FIFOTYPE), ("emmy_4", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(f"{who}_assignsubmission_file/forward-pass.ipynb")
            info.type, info.linkname = kind, "ada_1_assignsubmission_file/forward-pass.ipynb"
            archive.addfile(info)
    found = hand_in.collect(tmp_path / "links.tar", NAME)
    assert {key: hand_in.choose(entry, NAME)[0] for key, entry in found.items()} == {
        "1": SOLVED, "2": None, "3": None, "4": SOLVED,
    }  # fmt: skip


def test_two_files_of_the_same_name_in_one_zip_are_both_seen(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for data in (SOLVED, UNTOUCHED):
            archive.writestr("Ada_1_assignsubmission_file/forward-pass.ipynb", data)
    data, flags = hand_in.choose(hand_in.collect(path, NAME)["1"], NAME)
    assert data == SOLVED
    assert [str(flag) for flag in flags] == ["several notebooks: took forward-pass.ipynb, not forward-pass.ipynb [2]"]


def test_a_bomb_is_read_no_further_than_it_may_count(tmp_path):
    path = zipped(
        tmp_path / "export.zip", {"Eve_1_assignsubmission_file/x.ipynb": b"0" * 200_000_000}, zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 300_000
    data, _ = hand_in.choose(hand_in.collect(path, NAME)["1"], NAME)
    assert len(data) == exports.MOST_BYTES + 1


def in_memory(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


EXPORTED = in_memory({f"S{k}_{k}_assignsubmission_file/forward-pass.ipynb": SOLVED for k in range(2)})


def test_an_export_in_an_export_is_not_one_student(tmp_path):
    with pytest.raises(exports.ExportError, match=r"holds nothing but moodle\.zip: take that out"):
        collected(tmp_path, {"moodle.zip": EXPORTED})
    found = collected(tmp_path, {"group-a.zip": EXPORTED, "group-b.zip": EXPORTED})
    for entry in found.values():
        data, flags = hand_in.choose(entry, NAME)
        assert data is None and "it is an export, so give it alone" in str(flags[0])


def test_a_student_cannot_fill_the_graders_memory(tmp_path):
    large = b"0" * 15_000_000
    files = {f"Eve_1_assignsubmission_file/{k}.ipynb": large for k in range(20)}
    found = hand_in.collect(zipped(tmp_path / "export.zip", files, zipfile.ZIP_DEFLATED), NAME)
    seen = []
    hand_in.choose(found["1"], NAME, lambda files: seen.extend(files) or ("", None, []))
    assert sum(len(data) for _, data in seen) <= hand_in.MOST_ALL


CHOICES = {
    "the untouched template and the solved one": (
        {"forward-pass.ipynb": UNTOUCHED, "mine.ipynb": SOLVED},
        [Flag("several notebooks", "took mine.ipynb, not forward-pass.ipynb"), Flag("renamed", "mine.ipynb")],
    ),
    "two with the same work": (
        {"copy.ipynb": SOLVED, "forward-pass.ipynb": SOLVED},
        [Flag("several notebooks", "took forward-pass.ipynb, not copy.ipynb")],
    ),
    "a broken one beside it": (
        {"forward-pass.ipynb": b"{", "final.ipynb": SOLVED},
        [Flag("several notebooks", "took final.ipynb, not forward-pass.ipynb"), Flag("renamed", "final.ipynb")],
    ),
    "a text": ({"forward-pass.ipynb.txt": SOLVED}, [Flag("renamed", "forward-pass.ipynb.txt")]),
    "json": ({"forward-pass.ipynb.json": SOLVED}, [Flag("renamed", "forward-pass.ipynb.json")]),
    "capitals": ({"FORWARD-PASS.IPYNB": SOLVED}, [Flag("renamed", "FORWARD-PASS.IPYNB")]),
    "no ending": ({"notebook": SOLVED, "a.pdf": b"%PDF"}, [Flag("renamed", "notebook")]),
    "an archive": (
        {"work.zip": {"work/forward-pass.ipynb": SOLVED, "work/data.csv": b"", "__MACOSX/._forward-pass.ipynb": b""}},
        [Flag("also in the archive", "work/data.csv"), Flag("in an archive", "work.zip/work/forward-pass.ipynb")],
    ),
    "an archive in an archive": (
        {"a.zip": {"b.zip": {"forward-pass.ipynb": SOLVED}}},
        [Flag("in an archive", "a.zip/b.zip/forward-pass.ipynb")],
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_file_with_the_work_in_it_counts(tmp_path, choice):
    files, wanted = CHOICES[choice]

    def packed(data):
        if isinstance(data, bytes):
            return data
        inner = zipped(tmp_path / "inner.zip", {name: packed(more) for name, more in data.items()})
        return inner.read_bytes()

    found = collected(tmp_path, {f"Ada_1_assignsubmission_file/{name}": packed(data) for name, data in files.items()})
    assert hand_in.choose(found["1"], NAME) == (SOLVED, wanted)


@pytest.mark.parametrize(
    ("files", "flag"),
    [
        ({"essay.pdf": b"%PDF", "a.7z": b"7z"}, "no notebook: a.7z, essay.pdf"),
        ({"work.zip": b"no zip"}, "unreadable: work.zip is a broken archive"),
        ({"class.zip": EXPORTED}, "unreadable: class.zip holds the work of several students"),
        ({"work.zip": b""}, "unreadable: work.zip is a broken archive"),
        ({"x" * 300 + ".pdf": b""}, "no notebook: x"),
    ],
)
def test_what_there_was_instead_is_named(tmp_path, files, flag):
    found = collected(tmp_path, {f"Ada_1_assignsubmission_file/{name}": data for name, data in files.items()})
    data, flags = hand_in.choose(found["1"], NAME)
    assert data is None
    assert any(str(one).startswith(flag) for one in flags), flags
