"""JupyterLab's server as the course wants it: a chapter that was only opened is unchanged, and trusted.

JupyterLab writes into a notebook which kernel runs it, with the version of this machine's Python. The chapters' files
keep nothing of one machine, so each chapter was marked as unsaved the moment it was open. Here these notes are put in
when a chapter is read, and taken out when it is saved. A chapter that the table of contents names is trusted: its
stored outputs came with the course, and whoever reads it runs its code anyway.
"""

from pathlib import Path
from typing import Any

import yaml
from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

KERNEL = "python3"
KEPT = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
    "language_info": {"name": "python"},
}
"""What a chapter's file says of its kernel: `course_lib.notebook.normalized` writes the same."""


class Chapters(AsyncLargeFileManager):
    """Files as Jupyter reads and writes them; what is said above is done to the chapters."""

    def _is_chapter(self, path: str) -> bool:
        contents = Path(self.root_dir) / "_toc.yml"
        if not contents.is_file():
            return False
        pages = yaml.safe_load(contents.read_text(encoding="utf-8")).get("chapters", [])
        return path.strip("/").removesuffix(".ipynb") in {page["file"] for page in pages}

    async def get(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        model = await super().get(path, *args, **kwargs)
        notebook = model.get("content") if model["type"] == "notebook" else None
        if notebook and self._is_chapter(path) and notebook["metadata"] == KEPT:
            notebook["metadata"] |= {
                "kernelspec": KEPT["kernelspec"] | {"display_name": self._display_name()},
                "language_info": dict(IPythonKernel.language_info),
            }
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        if model.get("type") == "notebook" and model.get("content") and self._is_chapter(path):
            metadata = model["content"]["metadata"]
            if metadata.get("kernelspec", {}).get("name") == KERNEL:
                model["content"]["metadata"] = {**metadata, **KEPT}
        return await super().save(model, path)

    def mark_trusted_cells(self, nb: Any, path: str = "") -> None:
        if self._is_chapter(path):
            self.notary.mark_cells(nb, True)
        else:
            super().mark_trusted_cells(nb, path)

    def _display_name(self) -> str:
        """What JupyterLab calls the kernel."""
        specs = getattr(self.parent, "kernel_spec_manager", None)
        return specs.get_kernel_spec(KERNEL).display_name if specs else "Python 3 (ipykernel)"


c = get_config()  # noqa: F821  (Jupyter brings it)
c.ServerApp.contents_manager_class = Chapters
