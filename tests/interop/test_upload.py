"""course upload: what goes to the Hub, that it can be used there, and what is said where it does not get there."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from hf_models import same_logits
from safetensors.torch import load_file
from small_runs import FORMS, build, keep
from transformers import GPT2LMHeadModel

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import AGIFormerConfig, DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.errors import CourseError
from course_lib.interop import upload
from course_lib.models import GPT, AGIFormer
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
TOKEN = "hf_SecretSecretSecret"
TEXT = "Hello world, we'll go 12 times; they're done.\n"


class FakeApi:
    """Takes what HfApi would send, and keeps it in a folder."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token

    hub: Path
    calls: list[tuple[str, dict]]
    failure: BaseException | None

    def whoami(self) -> dict:
        return {"name": "somebody"}

    def create_repo(self, repo: str, **words: object) -> None:
        self.calls.append(("create_repo", {"repo": repo, **words}))

    def upload_folder(self, folder_path: Path, **words: object) -> None:
        self.calls.append(("upload_folder", words))
        if self.failure is not None:
            raise self.failure
        shutil.copytree(folder_path, self.hub)


@pytest.fixture
def api(project: Path, monkeypatch) -> type[FakeApi]:
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    FakeApi.hub, FakeApi.calls, FakeApi.failure = project / "hub", [], None
    return FakeApi


@pytest.fixture
def nothing(project: Path, monkeypatch) -> None:
    """No network, no token, and not even the package."""
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(project / "hf home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


def make_run(project: Path, form: str) -> Path:
    torch.manual_seed(0)
    pairs = BPETokenizer.train(TEXT * 5, 280)
    model, tokenizer = {
        "gpt2, bpe": lambda: (build(**FORMS["gpt2"] | dict(vocab_size=280)), pairs),
        "gpt2, char": lambda: (build(**FORMS["gpt2"]), CharTokenizer("abcdefghijklmnopqrstuvw")),
        "modern": lambda: (build(**FORMS["modern"] | dict(vocab_size=280)), pairs),
        "n-grams": lambda: (build(**FORMS["gpt2"] | dict(vocab_size=280, ngrams=(2, 3), ngram_rows=300)), pairs),
        "agiformer": lambda: (AGIFormer(AGIFormerConfig(n_layer=1, n_head=2, n_embd=16)), ByteTokenizer()),
    }[form]()
    return keep(project / "runs" / "mine", model, tokenizer).path


FORM_NAMES = ("gpt2, bpe", "gpt2, char", "modern", "n-grams", "agiformer")


def snippets(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


# What goes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["modern", "n-grams", "agiformer"])
def test_what_arrives_builds_the_model_from_its_own_source(project: Path, api, capsys, form: str) -> None:
    run = make_run(project, form)
    assert course(["upload", "mine", "--repo", "somebody/tiny"]) == 0
    assert capsys.readouterr().out.startswith("https://huggingface.co/somebody/tiny\n")
    assert api.calls[0] == ("create_repo", dict(repo="somebody/tiny", repo_type="model", private=False, exist_ok=True))
    assert [name for name, _ in api.calls] == ["create_repo", "upload_folder"]
    assert api.calls[1][1]["repo_id"] == "somebody/tiny"
    kept = load_file(checkpoint.find_save(run) / "model.safetensors")
    sent = load_file(api.hub / "model.safetensors")
    assert kept.keys() == sent.keys()
    assert all(torch.equal(tensor, sent[name]) for name, tensor in kept.items())
    assert "MIT License" in (api.hub / "source" / "LICENSE").read_text()
    card = (api.hub / "README.md").read_text()
    assert ("transformers has no class for it" in card, "library_name" in card) == (True, False)
    assert f" {sum(p.numel() for p in checkpoint.load(run).model.parameters()):,} weights. " in card
    [code] = snippets(card)
    program = f"""{code}
from safetensors.torch import load_file
assert all((model.state_dict()[n] == t).all() for n, t in load_file("model.safetensors").items())
files = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "course_lib"]
assert all("source/course_lib" in file for file in files), files
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=api.hub, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("form", ["gpt2, bpe", "gpt2, char"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers")
def test_what_arrives_is_opened_by_transformers_as_the_card_says(
    project: Path, api, capsys, monkeypatch, form: str
) -> None:  # fmt: skip
    run = make_run(project, form)
    upload("mine", "somebody/tiny")
    same_logits(GPT2LMHeadModel.from_pretrained(api.hub).eval(), checkpoint.load(run).model)
    monkeypatch.chdir(api.hub)
    monkeypatch.setattr(sys, "path", [*sys.path])
    program = "\n".join(snippets((api.hub / "README.md").read_text())).replace("somebody/tiny", ".")
    exec(program, {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("form", FORM_NAMES)
def test_a_dry_run_lists_the_same_and_needs_nothing(project: Path, nothing, capsys, form: str) -> None:
    make_run(project, form)
    before = sorted(project.rglob("*"))
    assert course(["upload", "mine", "--repo", "tiny", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {line.split()[0]: int(line.split()[1].replace(",", "")) for line in lines[:-1]}
    wanted = {"README.md", "model.safetensors", "course_config.json", "course_tokenizer.json", "source/LICENSE"}
    assert wanted <= listed.keys()
    assert ("config.json" in listed) == form.startswith("gpt2")
    assert ("merges.txt" in listed) == (form == "gpt2, bpe")
    assert lines[-1].startswith(f"{len(listed)} files, {sum(listed.values()):,} bytes, would go to tiny (public")
    assert lines[-1].endswith("Nothing was sent.")
    assert ("source/course_lib/models/ngrams.py" in listed) == (form != "agiformer")
    assert not {"source/course_lib/row_adam.py", "source/course_lib/optim.py"} & listed.keys()  # for training alone
    assert sorted(project.rglob("*")) == before


def test_a_bare_name_belongs_to_the_tokens_owner(project: Path, api) -> None:
    make_run(project, "gpt2, bpe")
    sent = upload("mine", "tiny", private=True)
    assert (sent.repo, sent.url) == ("somebody/tiny", "https://huggingface.co/somebody/tiny")
    assert api.calls[0][1]["private"] is True
    assert 'from_pretrained("somebody/tiny")' in (api.hub / "README.md").read_text()
    assert set(sent.files) == {p.relative_to(api.hub).as_posix() for p in api.hub.rglob("*") if p.is_file()}


def test_files_of_another_form_are_removed_in_the_same_commit(project: Path, api) -> None:
    make_run(project, "modern")
    upload("mine", "tiny")
    gone = api.calls[1][1]["delete_patterns"]
    assert gone == ["config.json", "merges.txt", "source/*", "tokenizer_config.json", "vocab.json"]


def test_the_card_is_the_runs_record(project: Path, api) -> None:
    (project / "a place").mkdir()
    (project / "a place" / "notes.txt").write_text(TEXT * 9)
    tokenizer = CharTokenizer.train(TEXT)
    ids = tokenizer.encode(TEXT * 9)
    torch.manual_seed(0)
    model = GPT(GPTConfig(16, tokenizer.vocab_size, 1, 2, 16))
    config = TrainConfig(max_steps=6, eval_every=3, device="cpu", precision="fp32", batch_size=2)
    batches, val = Batcher(ids, 2, 16), Batcher(ids[:99], 2, 16)
    data = DataConfig(dataset=f"text:{project}/a place/notes.txt", tokenizer="char", sha256="ab" * 32, start="we")
    rows = list(Trainer(model, batches, config, None, val, tokenizer, "runs/mine", "my_recipe", data))
    upload("mine", "somebody/tiny", which="last")
    card = (api.hub / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["gpt-2", "trained-from-scratch", "course_lib"],
    }
    n_weights = f"{sum(p.numel() for p in model.parameters()):,} weights"
    for words in (
        n_weights, "| recipe | my_recipe |", "| steps | 6 of 6 |", "`text:notes.txt`; 10% of it", f"`{'ab' * 32}`",
        f"| validation loss of this save | {rows[-1].val_loss:.4f} nats per token |", "encode('we')", "# tiny\n",
        f"| training loss of its last step | {rows[-1].train_loss:.4f} nats per token |", '"max_lr": 0.001',
        f"| tokens seen | {6 * 2 * 16} |", f"(char) has {tokenizer.vocab_size} tokens",
    ):  # fmt: skip
        assert words in card, words
    for path in api.hub.rglob("*"):
        assert path.is_dir() or str(project).encode() not in path.read_bytes(), path


def make_tuned(project: Path, form: str, init_from: str) -> None:
    """A run that went on from other weights, with names of Weights & Biases."""
    run = make_run(project, form)
    path, names = run / "config.json", {"wandb_project": "secret-project", "wandb_run_name": "secret-name"}
    config = RunConfig.from_json(path.read_text())
    train = config.train.replace(init_from=init_from, **names)
    data = config.data.replace(dataset=f"bins:{project}/secret home/ids")
    path.write_text(replace(config, train=train, data=data).to_json())


@pytest.mark.parametrize("form", ["gpt2, bpe", "modern"])
@pytest.mark.parametrize("init_from", ["gpt2:{}/secret home/alice/gp/", "{}/secret home/gp", r"gpt2:C:\secret home\gp"])
def test_no_folder_of_this_machine_and_no_name_of_a_board_goes_along(project: Path, api, form: str, init_from: str):
    make_tuned(project, form, init_from.format(project))
    shared = "gpt2:gp" if init_from.startswith("gpt2:") else "gp"
    upload("mine", "somebody/tiny")
    train = RunConfig.from_json((api.hub / "course_config.json").read_text()).train
    assert (train.init_from, train.wandb_project, train.wandb_run_name) == (shared, "course", None)
    assert f"It went on from `{shared}`" in (api.hub / "README.md").read_text()
    for path in api.hub.rglob("*"):
        content = b"" if path.is_dir() else path.read_bytes()
        for private in (str(project), "secret home", "secret-", "alice"):
            assert private.encode() not in content, (path, private)


@pytest.mark.parametrize(
    ("init_from", "base"),
    [("scratch", None), ("gpt2-medium", "openai-community/gpt2-medium"), ("gpt2:mine", None), ("older run", None)],
)
def test_the_card_says_what_the_weights_were_before(project: Path, api, init_from: str, base: str | None) -> None:
    make_tuned(project, "gpt2, bpe", init_from)
    upload("mine", "somebody/tiny")
    card = (api.hub / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    drawn = init_from == "scratch"
    assert head.get("base_model") == base
    assert head["tags"] == ["gpt-2", *(["trained-from-scratch"] if drawn else []), "course_lib"]
    assert (f"It went on from `{init_from}`" in card, "knows nothing beside that" in card) == (not drawn, drawn)


# What goes wrong -------------------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status} Client Error for Bearer {TOKEN}\nand a page of HTML")
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ConnectionError(f"cut off, Bearer {TOKEN}"), r"broke off \(cut off, Bearer \(the token\)\)\. All files come"),
        (ConnectionError("another one's, hf_AnotherSecretToken"), r"broke off \(another one's, \(the token\)\)"),
        (Refused(500), r"broke off \(500 Client Error.*Run the same command again"),
        (Refused(403), r"refuses to write somebody/tiny \(403.*has the token the right to write\?"),
        (Refused(401), r"refuses to write somebody/tiny \(401"),
    ],
    ids=["cut off", "another token", "500", "403", "401"],
)
def test_an_upload_that_breaks_off_says_what_to_do_and_no_token(
    project: Path, api, capsys, failure: Exception, words: str
) -> None:  # fmt: skip
    make_run(project, "gpt2, bpe")
    api.failure = failure
    assert course(["upload", "mine", "--repo", "somebody/tiny"]) == 2
    said = capsys.readouterr()
    assert re.search(words, said.err), said.err
    assert TOKEN not in said.out + said.err
    assert "AnotherSecret" not in said.out + said.err
    assert "HTML" not in said.err
    assert not api.hub.exists()


def test_ctrl_c_says_how_to_go_on(project: Path, api, capsys) -> None:
    make_run(project, "gpt2, bpe")
    api.failure = KeyboardInterrupt()
    assert course(["upload", "mine", "--repo", "somebody/tiny"]) == 130
    assert "The upload was stopped. All files come in one commit" in capsys.readouterr().err


def test_without_token_package_or_leave_nothing_is_sent(project: Path, api, monkeypatch) -> None:
    make_run(project, "gpt2, bpe")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(CourseError, match=r"No token of the Hub is found.*hf auth login once, or .* HF_TOKEN"):
        upload("mine", "tiny")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CourseError, match=r"takes the package huggingface_hub: pip install"):
        upload("mine", "tiny")
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(CourseError, match="COURSE_OFFLINE=1 forbids an upload"):
        upload("mine", "tiny")
    assert api.calls == []


@pytest.mark.parametrize("name", ["", "a/b/c", "/tiny", "a b", "tiny.git", "tiny/", "a--b", "x" * 97, "tiny\n", "../x"])
def test_a_name_that_the_hub_does_not_take(project: Path, api, name: str) -> None:
    make_run(project, "gpt2, bpe")
    with pytest.raises(CourseError, match="--repo should be NAME or OWNER/NAME"):
        upload("mine", name)
    assert api.calls == []


def test_another_kind_of_model_is_refused(project: Path, api) -> None:
    class Own(torch.nn.Linear):
        pass

    model = Own(2, 2)
    checkpoint.create_run("runs/mine", RunConfig("x", None, checkpoint.settings_of(model), TrainConfig()), None)
    checkpoint.save("runs/mine", 1, model)
    with pytest.raises(CourseError, match="cannot build"):
        upload("mine", "tiny", dry_run=True)
    there = make_run(project / "again", "modern")
    with pytest.raises(CourseError, match="has no save 9"):
        upload(there, "tiny", which=9)
