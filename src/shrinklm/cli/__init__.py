"""The command line: parse, call the API, print.

Everything heavy is imported inside the commands, so that --help is quick.
"""

from . import runs  # isort: split

from . import (
    app,
    backup,
    cascade,
    compare,
    create,
    export_model,
    export_task,
    plan,
    predict,
    push,
    register,
    serve,
    serve_student,
    store,
    study,
    teacher,
)

__all__ = [
    "app",
    "backup",
    "cascade",
    "compare",
    "create",
    "export_model",
    "export_task",
    "main",
    "plan",
    "predict",
    "push",
    "register",
    "runs",
    "serve",
    "serve_student",
    "store",
    "study",
    "teacher",
]


def main(arguments: list[str] | None = None) -> None:
    """The command `shrinklm`."""
    app.app(arguments, prog_name="shrinklm")
