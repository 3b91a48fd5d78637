"""Pictures of the book: pure functions from numbers to a described figure (needs Matplotlib)."""
