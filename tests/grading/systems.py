"""The learning systems' ends, written anew from their sources: how each reads grades and feedback that come back."""

from __future__ import annotations

import csv
import io
import re
import zipfile


def canvas_gradebook(people, column, possible="20.00", grades=None, separator=","):
    """A gradebook as Canvas exports it: people are {id: name}."""
    out = io.StringIO()
    write = csv.writer(out, delimiter=separator, lineterminator="\n")
    write.writerow(
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Quiz 1 (4400)", column, "All Current Score",
         "Current Score", "Final Grade"]
    )  # fmt: skip
    write.writerow(["", "", "", "", "", "", "Manual Posting", "", "", ""])
    write.writerow(
        ["    Points Possible", "", "", "", "", "10.00", possible, "(read only)", "(read only)", "(read only)"]
    )
    for own, name in people.items():
        write.writerow(
            [name, own, f"s{own}", f"login{own}", "Section A", "7.00", (grades or {}).get(own, ""), "", "", ""]
        )
    write.writerow(["Student, Test", "999999", "", "", "Section A", "", "", "", "", ""])
    return out.getvalue()


def canvas_import(text):
    """What lib/gradebook_importer.rb would change: {column: {id: grade}}; a header that it refuses raises."""
    first = [len(next(csv.reader([line], delimiter=";"))) for line in text.splitlines()[:3]]
    semicolons = len(set(first)) == 1 and first[0] > len(next(csv.reader([text.splitlines()[0]])))
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=";" if semicolons else ",") if any(row)]
    header = rows[0]
    if not (len(header) > 3 and "Student" in header[0] and "ID" in header[1]):
        raise ValueError("Invalid header row")
    columns = 3
    if re.search(r"SIS\s+Login\s+ID", header[2]):
        columns += 1
    elif re.search(r"SIS\s+User\s+ID", header[2]) and re.search(r"SIS\s+Login\s+ID", header[3]):
        columns += 2
    if "Section" not in header[columns - 1]:
        raise ValueError("Invalid header row")
    computed = re.compile("(Current|Final|Override) (Score|Points|Grade|Status)")
    asked = {i: title for i, title in enumerate(header) if i >= columns and not computed.search(title)}
    found = {title: {} for title in asked.values()}
    for row in rows[1:]:
        if "Points Possible" in row[0] or all(re.fullmatch(r"\s*(Muted|Manual Posting.*)?\s*", c) for c in row if c):
            continue
        for i, title in asked.items():
            grade = row[i].strip()
            if re.fullmatch(r"-?[0-9.,]+%?", grade):
                *parts, last = re.split("[,.]", grade)
                grade = "".join(parts) + "." + last if parts else last
            found[title][int(row[1])] = grade
    return found


def moodle_worksheet(people, maximum="20.00", grades=None, locked=(), comments=None, header=None):
    """A grading worksheet as Moodle exports it: people are {id: name}."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(header or [
        "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade", "Grade can be changed",
        "Last modified (submission)", "Last modified (grade)", "Feedback comments",
    ])  # fmt: skip
    for own, name in people.items():
        write.writerow([
            f"Participant {own}", name, f"{own}@example.org", "Submitted", (grades or {}).get(own, ""), maximum,
            "No" if own in locked else "Yes", "Tuesday, 1 December 2026, 5:46 PM", "-", (comments or {}).get(own, ""),
        ])  # fmt: skip
    return out.getvalue()


def moodle_import(text, maximum=20.0, decimal="."):
    """What mod/assign/feedback/offline would change: {id: grade}, and the columns of feedback it would overwrite."""
    header, *rows = csv.reader(io.StringIO(text))
    own, grade = header.index("Identifier"), header.index("Grade")
    header.index("Last modified (grade)")
    found = {}
    for row in rows:
        said = row[grade].strip()
        if said:
            value = float(said.replace(decimal, "."))
            if 0 <= value <= maximum:
                found[int(row[own][len("Participant ") :])] = value
    return found, "Feedback comments" in header


def moodle_feedback(path, participants):
    """Whose each file of a zip is by assignfeedback_file_zip_importer: {id: (file, content)}."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            parts = name.split("/")
            if parts[-1].startswith((".", "~")):
                continue
            while parts:
                info = parts.pop(0).split("_", 4)
                if len(info) < 4 or not info[1].isdecimal() or int(info[1]) not in participants:
                    continue
                if info[2:4] != ["assignsubmission", "file"]:
                    continue
                found[int(info[1])] = ("/".join([*info[4:], *parts]), archive.read(name).decode())
                break
    return found


def canvas_feedback(path, attachments):
    """Whose each file of a zip is by infer_comment_context_from_filename: {user: content}."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            parts = name.split("/")[-1].split("_")
            numbers = [part for part in parts if re.fullmatch(r"\d+", part)][:2]
            if (
                len(numbers) == 2
                and not parts[-1].startswith("link")
                and attachments.get(int(numbers[1])) == int(numbers[0])
            ):
                found[int(numbers[0])] = archive.read(name).decode()
    return found
