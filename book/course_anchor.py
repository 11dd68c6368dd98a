"""One rule for the anchors of headings. It stands alone, so that the tests can ask it without Sphinx."""


def anchor(heading: str) -> str:
    """The anchor that JupyterLab gives a heading: ``Prove: momentum`` -> ``Prove:-momentum``.

    It is `createHeaderId` of JupyterLab's rendermime package: spaces become hyphens, and all else stays. MyST's own
    rule (GitHub's: lowercase, no punctuation) would need other links than those that work in JupyterLab.
    """
    return heading.replace(" ", "-")
