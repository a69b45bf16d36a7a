"""The report: one self-contained HTML page, or Markdown, from any number of results."""
