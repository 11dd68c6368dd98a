"""What the book needs beyond Jupyter Book: JupyterLab's anchors, IPython's lines, diagrams.

`_config.yml` loads this file as a Sphinx extension. Nothing of the library uses it.
"""

import html
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

STATIC = Path(__file__).parent / "static"
DIAGRAM = "diagram"
MERMAID = "https://cdn.jsdelivr.net/npm/mermaid@11.12.1/dist/mermaid.min.js"


class Mermaid(SphinxDirective):
    """A fenced ``mermaid`` block: its text goes into the page, and mermaid.js draws it there."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">\n{text}\n</pre>', format="html", classes=[DIAGRAM])]


def _is_diagram(node: nodes.Node) -> bool:
    return isinstance(node, nodes.raw) and DIAGRAM in node["classes"]


def add_static_files(app: Sphinx, config: Config) -> None:
    config.html_static_path.append(str(STATIC))


def color_ipython_lines(app: Sphinx, doctree: nodes.document) -> None:
    """Cells may hold lines such as ``!course export``, on which the lexer of plain Python gives up."""
    for cell in doctree.findall(nodes.literal_block):
        if cell.get("language") == "python":
            cell["language"] = "ipython3"


def load_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Mermaid draws diagrams; only pages that have one load it. Where there is no network, a diagram shows as its text.

    Jupyter Book's own loader of live kernels goes: nothing here uses it, and the browser finds an error in it.
    """
    scripts = context["script_files"]
    scripts[:] = [file for file in scripts if "thebe" not in f"{file.filename} {file.attributes.get('body')}"]
    if doctree is not None and any(doctree.findall(_is_diagram)):
        app.add_js_file(MERMAID, loading_method="defer")
        app.add_js_file("diagrams.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("mermaid", Mermaid)
    app.add_css_file("course.css")
    app.connect("config-inited", add_static_files)
    app.connect("doctree-read", color_ipython_lines)
    app.connect("html-page-context", load_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
