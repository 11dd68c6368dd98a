"""Small widgets that a chapter uses to show one thing: a text in tokens, merges, windows, attention, a race, a sampler.

Each is a module of its own with its JavaScript beside it, and is imported by its name, such as
`course_lib.widgets.tokens`. What they and the lab share is here too: `page` (scripts, and a still picture for pages
without a kernel), `sliders`, `style`; and `boxes`, which the pictures of tokens have in common.
"""

try:
    import anywidget  # noqa: F401
    import ipywidgets  # noqa: F401
except ImportError as error:
    raise ImportError("The widgets need two packages that show sliders: pip install ipywidgets anywidget") from error
