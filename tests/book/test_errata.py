"""The list of what the first edition got wrong: each point has what is right, and leads somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_point_has_an_answer_and_a_place():
    text = (ROOT / "ERRATA.md").read_text("utf8")
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| ")]
    points = [row for row in rows if row[0].strip() != "What was said"]
    assert len(points) == 12 + 13 + 15
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in points)
    assert all(re.search(r"\]\(|`grading/", row[2]) for row in points)


def test_its_links_lead_somewhere():
    text = (ROOT / "ERRATA.md").read_text("utf8")
    links = set(re.findall(r"\]\(([^)]+)\)", text))
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).is_file()] == []
