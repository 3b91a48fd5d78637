"""What the chapters draw, measure and report with: needs ``normcore[book]``.  `normcore` itself never imports it."""
