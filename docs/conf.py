"""Configuration of the documentation site: `make docs` builds it, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import kithkin

sys.path.insert(0, str(Path(__file__).parent / "_ext"))  # the extensions of this site

project, author, project_copyright = "kithkin", "the authors of kithkin", "the authors of kithkin"
version = release = kithkin.__version__
html_title = f"kithkin {version}"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "api_pages",
    "drawings",
    "example_report",
    "mathml",
    "plain_docstrings",
]
exclude_patterns = ["_build", "_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
language = "en"

# Markdown: anchors as GitHub makes them, so that the same links work on both
myst_heading_anchors = 4

# Docstrings: types come from the signatures, and stand beside the parameters
autosummary_generate = False  # api_pages writes a page for every public name
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_member_order = "groupwise"
napoleon_google_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# A single backtick is code, and a link where it names something of kithkin; a reference that leads nowhere is an error,
# but for what other packages define, whose documentation is not at hand without a network.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!kithkin\.).*")]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "friendly", "github-dark"
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True
copybutton_copy_empty_lines = False

linkcheck_anchors = False
linkcheck_timeout, linkcheck_retries, linkcheck_workers = 20, 2, 4
