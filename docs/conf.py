"""Sphinx's configuration: `make docs` builds the pages as one site. The folder of sources is the project.

docs/site.md says how it is built and served.
"""

project = "Silo Sessions"
html_title = project
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "client/README.md",
    "embedded_postgres/README.md",
    "freecad/README.md",
    "docs/**",
]
extensions = ["myst_parser"]
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
# Links to folders of the project lead nowhere in the site. tests/unit/test_documentation.py looks at all links.
suppress_warnings = ["myst.xref_missing"]
html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
