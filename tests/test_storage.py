"""Runs and stores at a URL: the same bytes as on the disk, gone on with elsewhere, whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from cli_cases import call
from shrinklm import Recipe, Run, open_run
from shrinklm.core.errors import MissingExtra, RecipeError, StoreError
from shrinklm.core.remote import is_url, lease, mirror, named, objects, open_objects, url_of
from shrinklm.core.results import RunFile, read_scores
from shrinklm.core.trust import trusted
from shrinklm.core.types import Generation, Sampling, Source
from shrinklm.models.locate import locate_model
from shrinklm.run.engines.base import Engine, Work
from shrinklm.run.lock import FolderLock
from shrinklm.run.mentor import mentor
from shrinklm.run.opening import run_folder
from shrinklm.run.storage import Storage
from shrinklm.students.open import StudentSpec, load_student, open_student
from shrinklm.tasks.sources import read_rows
from shrinklm.teachers import remote
from shrinklm.teachers.base import TeacherOptions
from shrinklm.teachers.batch.ledger import Ledger
from shrinklm.teachers.remote import open_store
from shrinklm.teachers.store import Store

BLOCKS: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 10, "dev": 4, "test": 4}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "student": "tiny",
    "train": {"examples": 16, "batch": 4, "micro_batch": 4, "learning_rate": 1e-3, "curve": 0, "checkpoints": 2},
    "evaluate": {"batch": 8, "max_tokens": 6, "zero_shot": False},
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with mirrors of its own."""
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "mirrors"))


def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "other"))


def recipe(root: Path, **changes: Any) -> Recipe:
    return Recipe.parse({**BLOCKS, "root": root, **changes})


def test_a_mirror_stands_for_its_url(tmp_path: Path) -> None:
    place = mirror("file:///shared//runs/r/")
    assert place == mirror("file:///shared/runs/r")
    assert place.is_relative_to(tmp_path / "mirrors")
    assert url_of(place / "cells" / "x") == "file:///shared/runs/r/cells/x"
    assert named(f"see {place}/report.html") == "see file:///shared/runs/r/report.html"
    assert url_of(tmp_path / "runs" / "r") is None
    there = recipe(tmp_path, runs="file:///shared/runs")
    assert there.run_folder == place
    assert recipe(tmp_path).run_folder == tmp_path.resolve() / "runs" / "r"
    assert not (tmp_path / "mirrors").exists(), "a path is asked for without making anything"
    assert [is_url(name) for name in ("s3://b/x", "runs", "C:\\runs", "a/b", "org/name")] == [True, *[False] * 4]


# The mirror of a folder


class Killed(BaseException):
    """In the place of a signal."""


class Counted:
    """Objects that let so many changes through, and then the process is killed, before or after the last."""

    def __init__(self, inner: objects.Objects, left: int) -> None:
        self._inner, self._left = inner, left

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return method if name not in ("put", "write", "create") else lambda *said: self._one(method, *said)

    def _one(self, method: Any, *said: Any) -> Any:
        if not self._left:
            raise Killed
        self._left -= 1
        return method(*said)

    def delete(self, names: Any) -> None:
        for name in names:
            self._one(self._inner.delete, [name])


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def lay(folder: Path, files: dict[str, str]) -> None:
    """The folder with these files and no others, each written after the one before."""
    for name in state(folder).keys() - files.keys():
        (folder / name).unlink()
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


BEFORE = {
    "started": "key",
    "checkpoints/checkpoint-2/trained.safetensors": "two",
    "checkpoints/checkpoint-2/state.json": "2",
    "train.jsonl": "1\n2\n",
}
WORK = [
    BEFORE,
    {
        "started": "key",
        "checkpoints/checkpoint-4/trained.safetensors": "four",
        "checkpoints/checkpoint-4/state.json": "4",
        "train.jsonl": "1\n2\n3\n4\n",
    },
    {"started": "another key", "train.jsonl": "1\n"},
    {"student/model": "w", "student/shrinklm.json": "n", "cell.json": "{}", "train.jsonl": "1\n2\n", "done/train": "k"},
    {
        "student/model": "w",
        "student/shrinklm.json": "n",
        "cell.json": "{}",
        "train.jsonl": "1\n2\n",
        "predictions.parquet": "p",
        "done/train": "k",
        "done/predict": "p",
    },
    {
        "student/model": "w",
        "student/shrinklm.json": "n",
        "cell.json": "{}",
        "train.jsonl": "1\n2\n",
        "predictions.parquet": "q",
        "done/train": "k",
        "done/predict": "q",
    },
]
"""What a cell holds after each piece of work."""


def sound(files: dict[str, bytes]) -> None:
    """Nothing says that something is there which is not, and no checkpoint stands beside another training's key."""
    text = {name: content.decode() for name, content in files.items()}
    if "done/train" in text:
        assert {"student/model", "student/shrinklm.json", "cell.json"} <= text.keys()
    if "done/predict" in text:
        assert text["predictions.parquet"] == text["done/predict"]
    for step, content in (("2", "two"), ("4", "four")):
        if f"checkpoints/checkpoint-{step}/state.json" in text:
            assert text[f"checkpoints/checkpoint-{step}/trained.safetensors"] == content
    if text.get("started") == "another key":
        assert not any(name.startswith("checkpoints") for name in text)


@pytest.mark.parametrize("step", range(1, len(WORK)))
def test_a_push_that_is_killed_at_any_point_leaves_an_interrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    def fresh(number: int) -> tuple[Path, Storage]:
        url = f"file://{tmp_path}/there/{number}/r"
        cell = mirror(url) / "cells" / "x"
        storage = Storage(mirror(url))
        storage.pull()
        lay(cell, WORK[step - 1])
        storage.push(cell)
        lay(cell, WORK[step])
        return cell, storage

    seen = set()
    for left in range(40):
        cell, storage = fresh(left)
        there = tmp_path / "there" / str(left) / "r" / "cells" / "x"
        opened = storage._mirror("cells/x")
        opened.objects = Counted(opened.objects, left)  # type: ignore[assignment]
        try:
            opened.push()
        except Killed:
            sound(state(there))
            seen.add(str(state(there)))
            with monkeypatch.context() as other:
                other.setenv("SHRINKLM_MIRROR", str(tmp_path / "other"))
                elsewhere = Storage(recipe(tmp_path, runs=f"file://{tmp_path}/there/{left}").run_folder)
                told: list[str] = []
                elsewhere._tick = lambda *said, told=told: told.append(said[-1])  # type: ignore[misc]
                elsewhere.pull()
                assert state(elsewhere.folder / "cells" / "x") == state(there)
                assert not told, "nothing of an interrupted push counts as damaged"
            storage.pull()  # the same machine goes on with what it had not sent
            storage.push(cell)
            assert state(there) == state(cell) == {name: text.encode() for name, text in WORK[step].items()}
        else:
            assert state(there) == {name: text.encode() for name, text in WORK[step].items()}
            break
    assert len(seen) > 1


CLOCK = re.compile(
    r'"(seconds|train_seconds|started|answer_seconds|explain_seconds|tokens_per_second|latency_ms|root)": [^,}\n]*'
)
"""What two runs of one recipe do not share."""


def bytes_of(folder: Path) -> dict[str, Any]:
    """The files of a run, without times, and where it stands."""
    return {
        name: CLOCK.sub("", content.decode()) if name.endswith((".json", ".jsonl")) else content
        for name, content in state(folder).items()
        if name != "recipe.yaml"
    }


def work(run: Run) -> Run:
    """All that a run does but for its report, which takes the most time of it."""
    run.generate()
    run.train()
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the run on the disk."""
    return work(Run(recipe(tmp_path_factory.mktemp("local")))).folder


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on a server of this machine."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in (("ACCESS_KEY_ID", "me"), ("SECRET_ACCESS_KEY", "mine"), ("DEFAULT_REGION", "us-east-1")):
            patch.setenv(f"AWS_{name}", value)
        s3().mkdir("bucket")
        yield "s3://bucket"
    server.stop()


def s3() -> Any:
    return fsspec.filesystem("s3", use_listings_cache=False)


def there(url: str) -> dict[str, bytes]:
    """What stands at a URL, by names as `state` has them."""
    objects = open_objects(url)
    names = [name for name in objects.list() if not any(part.startswith(".") for part in name.split("/"))]
    return {name: objects.read(name) or b"" for name in sorted(names)}


class Refusing:
    """A storage whose keys have no rights."""

    def __getattr__(self, name: str) -> Any:
        raise PermissionError("Access Denied")


def ticks(into: list[tuple[Any, ...]]) -> Any:
    return lambda *said: into.append(said)


def test_a_run_at_a_url_is_the_run_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Path, bucket: str
) -> None:
    place = {"runs": f"{bucket}/runs", "store": f"{bucket}/texts/generations.db"}
    run = work(Run(recipe(tmp_path / "root", **place)))
    assert there(f"{bucket}/runs/r") == state(run.folder)
    assert bytes_of(run.folder) == bytes_of(local)
    assert not [name for name in s3().find("bucket") if ".lock" in name or "checkpoint-" in name]
    assert list(s3().find("bucket/texts")) == ["bucket/texts/generations.db"]
    another_machine(tmp_path, monkeypatch)
    opened = open_run(f"{bucket}/runs/r")
    weights = "cells/multitask--tiny--s0/student/model.safetensors"
    assert state(run.folder).keys() - state(opened.folder).keys() == {weights}, "brought when they are opened"
    assert all(cell.trained for cell in opened.cells)
    asked = "Where do fish swim?", ["in the sea", "in the sky"]
    assert opened.predict(*asked).probabilities == open_run(local).predict(*asked).probabilities
    assert state(opened.folder) == state(run.folder)
    said: list[tuple[Any, ...]] = []
    again = Run(recipe(tmp_path / "root", **place), tick=ticks(said))
    assert again.generate().total.asked == 0, "no text is paid for twice"
    again.train()
    assert not [what for what, *_ in said if what.startswith("train")], "what is done is done on every machine"


class Elsewhere(Engine):
    """Does every work in the mirror of another machine, as a worker of a cluster does."""

    elsewhere = True

    def __init__(self, mirrors: Path) -> None:
        self.mirrors = mirrors

    def do(self, works: Iterable[Work], tick: Any, at_once: int = 1) -> dict[str, Any]:
        results = {}
        for work in works:
            content = pickle.dumps(work)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SHRINKLM_MIRROR", str(self.mirrors))
                there: Work = pickle.loads(content)
                assert there.folder.is_relative_to(self.mirrors)
                storage = Storage(there.folder, tick)
                storage.pull(there.folder)
                results[work.name] = there.do(tick)
                storage.push(there.folder)
        return results


def test_cells_are_done_on_machines_with_mirrors_of_their_own(tmp_path: Path, local: Path) -> None:
    url = f"file://{tmp_path}/there/runs"
    run = work(Run(recipe(tmp_path / "root", runs=url), engine=Elsewhere(tmp_path / "workers")))
    assert bytes_of(run.folder) == {
        name: content for name, content in bytes_of(local).items() if not name.endswith("model.safetensors")
    }, "weights stay where they were made until they are opened"
    assert bytes_of(tmp_path / "there" / "runs" / "r") == bytes_of(local)
    assert run.predict("Where do fish swim?", ["in the sea", "in the sky"]).probabilities


def test_a_training_that_was_killed_goes_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Path, bucket: str
) -> None:
    place = {"runs": f"{bucket}/killed", "store": f"{bucket}/killed.db"}
    pid = os.fork()
    if not pid:  # killed when its first checkpoint was sent
        try:
            send = Storage.send
            monkeypatch.setattr(Storage, "send", lambda *said: (send(*said), os.kill(os.getpid(), signal.SIGKILL)))
            run = Run(recipe(tmp_path / "root", **place))
            run.generate()
            run.train()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    left = there(f"{bucket}/killed/r")
    assert any(name.endswith("checkpoint-2/state.json") for name in left)
    another_machine(tmp_path, monkeypatch)
    monkeypatch.setattr(lease, "LASTS", 0.3)
    monkeypatch.setattr(lease, "_LOOK", 0.05)
    said: list[tuple[Any, ...]] = []
    run = work(Run(recipe(tmp_path / "root", **place), tick=ticks(said)))
    notes = [note for what, _, _, note in said if what == "storage"]
    assert len(notes) == 1
    assert f"was in use by process {pid} on " in notes[0]
    steps = [done for what, done, _, _ in said if what.startswith("train ") and done]
    assert steps == [3, 4], "steps that another machine took are not taken again"
    assert there(f"{bucket}/killed/r") == state(run.folder)
    assert bytes_of(run.folder) == bytes_of(local) | {
        # The texts were there.
        "generations.json": CLOCK.sub("", (run.folder / "generations.json").read_text())
    }


def test_work_goes_on_while_the_network_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Path) -> None:
    there = tmp_path / "there" / "runs" / "r"
    blocks = {"runs": f"file://{there.parent}", "store": str(local.parent.parent / ".shrinklm" / "generations.db")}

    def refuse(self: object, name: str, source: Path) -> None:
        raise StoreError(f"{name} cannot be reached")

    said: list[tuple[Any, ...]] = []
    with monkeypatch.context() as away:
        away.setattr(objects._Files, "put", refuse)
        with pytest.raises(StoreError, match="cannot be reached"):
            Run(recipe(tmp_path, **blocks), tick=ticks(said)).train()
    assert [done for what, done, *_ in said if what.startswith("train ") and done] == [1, 2, 3, 4]
    assert not state(there)
    said.clear()
    run = Run(recipe(tmp_path, **blocks), tick=ticks(said))
    run.train()
    assert not [what for what, *_ in said if what.startswith("train ")], "nothing is done twice"
    assert state(there) == state(run.folder)
    assert "cells/multitask--tiny--s0/done/train" in state(there)


def test_one_machine_at_a_time_writes_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    monkeypatch.setattr(lease, "_LOOK", 0.05)
    url = f"{bucket}/held/r"
    with FolderLock(mirror(url)):
        taken = open_objects(url).read(".lock")
        with monkeypatch.context() as other:
            other.setenv("SHRINKLM_MIRROR", str(tmp_path / "other"))
            with pytest.raises(StoreError, match=rf"^{url} is in use by process {os.getpid()} on .*last heard of"):
                Run(recipe(tmp_path, runs=f"{bucket}/held")).train()
            assert not list(mirror(url).glob("*")), "nothing was written"
        assert taken is not None
        assert json.loads(taken)["id"] == json.loads(open_objects(url).read(".lock") or b"{}")["id"]
    assert open_objects(url).read(".lock") is None
    monkeypatch.undo()  # no renewal in what follows
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "mirrors"))
    another = b'{"id": "another", "pid": 7, "host": "h", "since": "s", "command": "c", "at": 1}'

    def cut_off() -> None:
        with FolderLock(mirror(url)) as late:
            # Another has taken the place of this machine, which finds that out and sends nothing more.
            open_objects(url).write(".lock", another)
            (late.folder / "data.json").write_text("{}")

    with pytest.raises(StoreError, match="is in use by process 7 on h"):
        cut_off()
    assert there(url) == {}
    assert open_objects(url).read(".lock") == another, "it is not that machine's to give back"


def test_what_vanished_or_is_damaged_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Path, bucket: str
) -> None:
    url, cell = f"{bucket}/damaged/r", "cells/multitask--tiny--s0"
    blocks = {"runs": f"{bucket}/damaged", "store": str(local.parent.parent / ".shrinklm" / "generations.db")}
    shutil.copytree(local, mirror(url))
    Storage(mirror(url)).push()
    objects, whole = open_objects(url), there(url)
    assert whole == state(local)
    weights = bytearray(whole[f"{cell}/student/model.safetensors"])
    weights[-5] ^= 1  # one bit, of which the length of the file tells nothing
    objects.write(f"{cell}/student/model.safetensors", bytes(weights))
    objects.delete([f"{cell}/scores.parquet"])
    another_machine(tmp_path, monkeypatch)
    said: list[tuple[Any, ...]] = []
    run = Run(recipe(local.parent.parent, **blocks), tick=ticks(said))
    with pytest.raises(StoreError, match=rf"^{url}/{cell}/student/model.safetensors is damaged.*shrinklm train RECIPE"):
        run.predict("Where do fish swim?", ["in the sea", "in the sky"])
    run.train()
    run.evaluate()
    assert any("its weights are missing or damaged, and are trained again" in note for *_, note in said)
    assert {name: content for name, content in bytes_of(run.folder).items() if name.startswith("cells")} == {
        name: content for name, content in bytes_of(local).items() if name.startswith("cells")
    }
    assert there(url) == state(run.folder)


def test_errors_of_storage_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    for place, message in {
        "ftp://host/runs": "names no storage that is known. Known: s3://, gs://, file://",
        "s3://key:secret@bucket/runs": "Keys come from the environment",
        "s3://secret@bucket/runs": "Keys come from the environment",
        "s3://bucket/runs?key=secret@": "Keys come from the environment",
        "file://runs": "file:///runs",
        "s3:/bucket/runs": "lacks a slash. Write: s3://bucket/runs",
        "GS:/secret@bucket/runs": "lacks a slash. Write: gs://",
        "file:/shared/runs": "lacks a slash. Write: file:///shared/runs",
        "s3://bucket/../runs": "goes up in it",
    }.items():
        with pytest.raises(RecipeError, match=re.escape(message)) as found:
            recipe(tmp_path, runs=place)
        assert "secret@" not in str(found.value)
    with pytest.raises(StoreError, match=r"is not there .*bucket does not exist"):
        Run(recipe(tmp_path, runs="s3://none/runs")).train()
    with pytest.raises(StoreError, match="s3://bucket/none is not a run folder"):
        open_run("s3://bucket/none")
    if importlib.util.find_spec("gcsfs") is None:
        with pytest.raises(MissingExtra, match=r'pip install "shrinklm\[storage\]"'):
            Run(recipe(tmp_path, runs="gs://bucket/runs")).train()
    s3_objects = open_objects("s3://bucket/x")
    monkeypatch.setattr(s3_objects, "_system", Refusing())
    with pytest.raises(StoreError, match=r"s3://bucket/x may not be used .*AWS_ACCESS_KEY_ID"):
        s3_objects.list()
    with pytest.raises(StoreError, match="answers later keeps its orders beside the store"):
        Ledger(mirror("s3://bucket/generations.db"), "server")


def test_tables_and_weights_are_read_from_a_url(tmp_path: Path, local: Path, bucket: str) -> None:
    table = "id,question,a,b,answer\n" + "".join(f"{n},What is {n}?,x{n},y{n},x{n}\n" for n in range(12))
    home = open_objects(f"{bucket}/data")
    home.write("questions.csv", table.encode())
    rows = list(read_rows(f"{bucket}/data/questions.csv", "train").read(["id", "answer"]))
    assert [values for _, values in rows][:2] == [("0", "x0"), ("1", "x1")]
    weights = local / "cells" / "multitask--tiny--s0" / "student"
    for path in weights.iterdir():
        home.put(f"student/{path.name}", path)
    here, there = locate_model(str(weights)), locate_model(f"{bucket}/data/student")
    assert (there.name, there.revision, there.tokenizer) == (here.name, here.revision, here.tokenizer)
    student = open_student(StudentSpec(f"causal:{bucket}/data/student", None, 1, 64, False))
    assert student.parameters_total == load_student(weights).parameters_total
    with pytest.raises(StoreError, match="Nothing stands at s3://bucket/data/none"):
        locate_model(f"{bucket}/data/none")


def test_a_run_at_a_url_teaches_and_is_studied(tmp_path: Path, local: Path, bucket: str) -> None:
    url = f"{bucket}/mentors/r"
    shutil.copytree(local, mirror(url))
    Storage(mirror(url)).push()
    shutil.rmtree(mirror(url))
    assert mentor(f"{url}#multitask", TeacherOptions(root=tmp_path)).name == "r#multitask--tiny--s0"
    shutil.rmtree(mirror(url))
    assert run_folder(url) == mirror(url)
    assert state(mirror(url)).keys() == {name for name in state(local) if not name.endswith(".safetensors")}


def test_commands_take_urls_and_name_them(tmp_path: Path, local: Path) -> None:
    url = f"file://{tmp_path}/there/runs/r"
    shutil.copytree(local, tmp_path / "there" / "runs" / "r")
    result = call("score", url, "--metrics", "hedges")
    assert result.exit_code == 0, result.output
    assert f"Next: shrinklm report {url}" in result.stdout
    scores = read_scores(tmp_path / "there" / "runs" / "r" / "cells" / "multitask--tiny--s0" / "scores.parquet")
    assert "hedges" in {score.metric for score in scores}, "it is sent"
    result = call("judge", url.replace("/r", "/none"))
    assert f"{url.replace('/r', '/none')} is not a run folder" in " ".join(result.stderr.split())
    assert str(tmp_path / "mirrors") not in result.stderr
    result = call("export", f"file://{tmp_path}/there/none.db", tmp_path / "out.jsonl")
    assert f"No store at file://{tmp_path}/there/none.db" in " ".join(result.stderr.split())


def test_code_that_a_run_at_a_url_names_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert trusted(tmp_path / "runs" / "r" / "recipe.yaml")
    assert not trusted(mirror("s3://bucket/runs/r") / "recipe.yaml"), "though its mirror lies in the project"


def test_questions_that_two_servers_pass_on_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"file://{tmp_path}/bucket/r"
    here, place = Storage(mirror(url)), mirror(url) / RunFile.ESCALATED
    lay(here.folder, {"recipe.yaml": "a", RunFile.ESCALATED: "1\n"})
    here.push()
    another_machine(tmp_path, monkeypatch)
    other, its = Storage(mirror(url)), mirror(url) / RunFile.ESCALATED
    other.pull()
    lay(other.folder, {"recipe.yaml": "b", RunFile.ESCALATED: "1\n2\n"})
    other.push()
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "mirrors"))
    # A server adds lines at any time: the lock is not held, and the other machine has written there since.
    place.write_text("1\n3\n")
    here.pull()
    assert (here.folder / "recipe.yaml").read_text() == "b", "the URL is right"
    assert place.read_text() == "1\n2\n3\n"
    here.push()
    another_machine(tmp_path, monkeypatch)
    other.pull()
    assert its.read_text() == "1\n2\n3\n"
    # The other file was changed there alone, and one with lines is here alone.
    lay(other.folder, {"recipe.yaml": "c"})
    other.push()
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "mirrors"))
    place.write_text("1\n2\n3\n4\n")
    here.pull()
    assert place.read_text() == "1\n2\n3\n4\n"
    here.push()
    assert there(url)[RunFile.ESCALATED] == b"1\n2\n3\n4\n"


def test_no_object_is_brought_to_another_place(tmp_path: Path) -> None:
    url = "memory://bucket/runs/r"
    objects = open_objects(url)
    for name in (
        "data.json",
        "../../../out.json",
        "cells/../../out.json",
        "cells/x/../../../out.json",
        ".lock",
        "a//b.json",
    ):
        objects.write(name, b"{}")
    Storage(mirror(url)).pull()
    assert [path.name for path in tmp_path.rglob("*.json") if not path.name.startswith(".")] == ["data.json"]


# Stores


def text(key: str, said: str = "because", refusal: str | None = None) -> Generation:
    source = Source("t", "1", Sampling(), 0, "", 1, 1, "0")
    return Generation("e", "explanation", "a", said, "[]", (), source, key, refusal)


def at(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store at the URL as the machine of this name sees it."""
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / name))
    return mirror(f"file://{tmp_path}/there/generations.db")


def keys(path: Path) -> list[str]:
    with Store(path) as store:
        return sorted(generation.key for generation in store)


def test_two_machines_add_to_one_store_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there" / "generations.db"
    first = open_store(at(tmp_path, "first", monkeypatch))
    first.put([text("a"), text("b", "", "failed: no server")])
    second = open_store(at(tmp_path, "second", monkeypatch))
    assert len(second) == 0, "nothing was sent yet"
    second.put([text("c"), text("b")])
    first.close()
    assert not there.exists(), "texts that came since stand in a file of their own"
    assert [keys(part) for part in there.with_name("generations.db.new").iterdir()] == [["a", "b"]]
    second.close()
    remote.send_stores(whole=True)
    assert keys(there) == ["a", "b", "c"]
    assert list((tmp_path / "there").iterdir()) == [there]
    with open_store(at(tmp_path, "third", monkeypatch)) as third:
        assert sorted(generation.key for generation in third) == ["a", "b", "c"]
        assert third.get(["b"])["b"].text == "because", "what a server had failed at is replaced"


def test_what_a_killed_process_had_not_sent_is_sent_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there" / "generations.db"
    here = at(tmp_path, "here", monkeypatch)
    pid = os.fork()
    if not pid:
        try:
            open_store(here).put([text("paid")])
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    assert not there.parent.exists()
    with open_store(here) as store:
        assert store.known(["paid"])
    assert keys(there) == ["paid"]


def test_texts_are_sent_while_others_are_still_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "EVERY", 0.02)
    new = tmp_path / "there" / "generations.db.new"
    with open_store(at(tmp_path, "here", monkeypatch)) as store:
        for key in ("a", "b"):
            store.put([text(key)])
            for _ in range(200):
                if new.is_dir() and any(key in keys(part) for part in new.iterdir()):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError(f"{key} was not sent")


def test_a_damaged_store_is_told_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there" / "generations.db"
    with open_store(at(tmp_path, "here", monkeypatch)) as store:
        store.put([text(str(number), "word " * 50) for number in range(200)])
    remote.send_stores(whole=True)
    whole = there.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no store at all" * 100):
        there.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"generations\.db cannot be used.*Put back a copy that is whole"):
            open_store(at(tmp_path, str(len(damaged)), monkeypatch))
        assert there.read_bytes() == damaged
