"""What the documents say of the code and the results, compared with them."""

import re
import tomllib
from pathlib import Path

import pytest

from benchmark.analysis.claims import judge, to_markdown
from benchmark.analysis.tuning import resolved
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.method.registry import PACKAGES, card, registry

ROOT = Path(__file__).parent.parent
NAMES = (
    "README.md", "results/README.md", "benchmark/README.md", "benchmark/runner/README.md", "baselines/README.md",
    "benchmark/studies/README.md",
    ".github/CONTRIBUTING.md",
)  # fmt: skip
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    targets = re.findall(r"\]\(([^)]+)\)", DOCUMENTS[name])
    assert targets
    for target in targets:
        assert target.startswith("https://") or ((ROOT / name).parent / target).exists(), target


def test_tables_are_the_results():
    tables = re.findall(r"<!-- table: (\S+) -->\n(.*?)\n<!-- end -->", DOCUMENTS["results/README.md"], re.DOTALL)
    assert tables
    for path, text in tables:
        assert text.strip() == (ROOT / "results" / path).read_text(encoding="utf-8").strip()


def test_claims_are_what_the_records_say():
    blocks = re.findall(r"<!-- claims: ([\w ]+) -->\n(.*?)\n<!-- end -->", DOCUMENTS["results/README.md"], re.DOTALL)
    assert blocks
    for names, text in blocks:
        assert text.strip() == to_markdown(judge(list(map(published, names.split())))).strip()


def published(name):
    """A study as it is evaluated, with its own records."""
    plan, every = load_study(name), Store(ROOT / "results" / name).load()
    study = resolved(plan, every)
    return study, own_records(study, every)


def test_every_study_with_records_is_listed_with_its_results():
    listed = re.findall(r"^\| `(\w+)` \|", DOCUMENTS["results/README.md"], re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in ROOT.glob("results/*/records.jsonl"))


def test_code_in_the_readme_is_the_method_s_own():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENTS["README.md"], re.DOTALL)
    assert blocks
    assert all(block in (ROOT / "baselines/magnitude_filter.py").read_text(encoding="utf-8") for block in blocks)


def test_the_map_lists_every_room_from_the_ground_up():
    listed = re.findall(r"^\| \[`(\w+)/`\]", DOCUMENTS["benchmark/README.md"], re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "benchmark").glob("*/__init__.py"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")
    floors = {room: floor for floor, layer in enumerate(reversed(layers)) for room in layer.split(" | ")}
    assert [floors[room] for room in listed] == sorted(floors[room] for room in listed)


def test_the_index_has_every_method_once_as_its_file_says():
    own = {name: m for name, m in registry().methods.items() if m.__module__.split(".")[0] in PACKAGES}
    rows = [row for row in DOCUMENTS["baselines/README.md"].splitlines() if row.startswith("| [")]
    expected = {index_row(name, method) for name, method in own.items()}
    missing, surplus = sorted(expected - set(rows)), sorted(set(rows) - expected)
    assert not missing, "baselines/README.md lacks\n" + "\n".join(missing)
    assert not surplus, "baselines/README.md has what no file says\n" + "\n".join(surplus)
    assert len(rows) == len(expected)


def index_row(name, method):
    folder = "" if method.__module__.startswith("baselines.") else "../methods/"
    rule = card(method).splitlines()[0]
    return f"| [{name}]({folder}{name}.py) | {method.title} | {rule} | {method.knob or '–'} | {method.reference} |"
