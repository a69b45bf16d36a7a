"""Sphinx's settings; build_site.py copies this file beside the pages that it stages."""

project = "asmnet-kit"
author = "the asmnet-kit authors"
copyright = "the asmnet-kit authors, Apache-2.0"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "asmnet-kit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
smartquotes = False  # it would make one dash of the two of an option
# <img>, which has a width on GitHub, too: without this Sphinx would not copy the picture.
myst_enable_extensions = ["html_image"]
# GitHub's own slugs for the anchors of headings, so that a link works in both places.
myst_heading_anchors = 6
# Plain GitHub Markdown: none of MyST's own marks, which GitHub would show as they are.
myst_disable_syntax = ["myst_role", "myst_line_comment", "myst_block_break", "myst_target"]
suppress_warnings = [
    "myst.header",  # cards and generated pages skip a level of headings
    "misc.highlighting_failure",  # code with an ellipsis in it
]
