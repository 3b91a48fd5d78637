"""Graded assignments: built from their sources, handed out, collected, graded in a sandbox, reported.

    python -m grading build       student notebooks, checked; nbgrader's gradebook
    python -m grading grade NAME  a class's submissions: marks, flags, feedback
    python -m grading leaks       a search for secrets in what is published

Imports go one way: records, course and source know nothing of the rest; what runs a student's code knows no gradebook.
"""
