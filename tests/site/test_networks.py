"""Networks that were kept are on the page to download, each its record's; a site with them verifies."""

import re

import pytest

import deadweight as suite
from benchmark.experiment.store import Store
from benchmark.networks.measure import parameters
from benchmark.site import networks as networks_module
from tests.cli.test_keeping import ONE, kept
from tests.site.conftest import IN_A_BROWSER
from tests.site.test_build import contents, embedded

pytestmark = pytest.mark.usefixtures("sketched")


@pytest.fixture
def published(deadweight, tiny, tmp_path):
    tiny.write_text(ONE)
    assert deadweight("run", tiny, "--in-process", "--keep")[0] == 0
    assert deadweight("publish", tiny)[0] == 0
    return tmp_path / "site"


def links(site):
    html = (site / "tiny/index.html").read_text()
    return re.findall(r'href="(kept/[0-9a-f]{64}\.safetensors)" download>([\d.]+)<', html)


def test_every_kept_network_is_there_with_record_and_proof(published, tmp_path):
    records = {r.key: r for r in Store(tmp_path / "results/tiny").load()}
    named = {path[5:-12]: float(size) for path, size in links(published)}
    assert named.keys() == kept(tmp_path)
    html = (published / "tiny/index.html").read_text()
    for key, size in named.items():
        file, record = published / f"tiny/kept/{key}.safetensors", records[key]
        assert file.read_bytes() == (tmp_path / f"results/tiny/kept/{key}.safetensors").read_bytes()
        assert size == round(file.stat().st_size / 1000, 1)
        assert parameters(suite.load(file)) == record.params
        row = next(row for row in html.split("<tr>") if f"kept/{key}" in row)
        shown = (f"<td>{record.removal_error:.1e}</td>", f"<td>{sum(record.removal_tried.values())}</td>")
        assert all(cell in row for cell in shown)
        assert f"record={key[:12]}#pareto" in row
        assert f"<td>{record.params}</td>" in row
    assert embedded(published, "tiny")["kept"] == {k[:12]: f"kept/{k}.safetensors" for k in named}


def test_a_site_with_networks_verifies_until_one_is_changed(published, deadweight):
    code, out, _ = deadweight("verify", published)
    assert code == 0, out
    path = published / "tiny" / links(published)[0][0]
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    code, out, _ = deadweight("verify", published)
    assert (code, f"{path.relative_to(published)} was changed after it was published" in out) == (1, True)


def test_a_changed_one_is_left_out_with_a_line_and_another_study_has_no_section(published, deadweight, tiny, tmp_path):
    path = tmp_path / "results/tiny" / links(published)[0][0]
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    code, out, _ = deadweight("publish", tiny)
    line = f"the kept network results/tiny/kept/{path.name} is not used: it was changed"
    assert (code, line in out, f"kept/{path.name}" in contents(published)) == (0, True, False)
    assert deadweight("verify", published)[0] == 0
    for file in path.parent.iterdir():
        file.unlink()
    assert deadweight("publish", tiny)[0] == 0
    assert not (published / "tiny/kept").exists()
    assert "to download" not in (published / "tiny/index.html").read_text()


def test_a_site_holds_so_many_bytes_of_networks_and_still_verifies(published, deadweight, tiny, tmp_path, monkeypatch):
    sizes = sorted(path.stat().st_size for path in (tmp_path / "results/tiny/kept").iterdir())
    monkeypatch.setattr(networks_module, "LIMIT", sum(sizes[:2]))
    assert deadweight("publish", tiny)[0] == 0
    assert len(links(published)) == 2
    monkeypatch.setattr(networks_module, "MOST", 1)
    assert deadweight("publish", tiny)[0] == 0
    assert len(links(published)) == 1
    assert deadweight("verify", published)[0] == 0


class TestInABrowser:
    pytestmark = IN_A_BROWSER

    @pytest.fixture
    def site(self, published):
        return published

    def test_a_record_offers_its_network_and_a_network_opens_its_record(self, published, opened):
        page = opened(path="tiny/index.html")
        row = page.locator("tr", has=page.locator("a[href^='kept/']")).first
        file = row.locator("a[href^='kept/']").get_attribute("href")
        row.locator("a[href*='record=']").click()
        panel = page.locator("#record")
        assert file[5:17] in panel.locator("h3").inner_text()
        assert panel.locator("a[download]").get_attribute("href") == file
