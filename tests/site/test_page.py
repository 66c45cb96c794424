"""A published page in a real browser: Chromium, as installed by Debian, without a network."""

import os
import re
from pathlib import Path

import pytest

from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.site.build import build
from tests.site.conftest import IN_A_BROWSER, LOOKS
from tests.support.made_study import made_results

pytestmark = IN_A_BROWSER
SCREENSHOTS = "DEADWEIGHT_SCREENSHOTS"  # names a folder that keeps the screenshots


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    path, results = made_results(folder, tasks=2, methods=4)
    (folder / "site").mkdir()
    build({"made": results / "made"}, {"made": path.read_text()}, folder / "site")
    return folder / "site"


def traces(page, kind):
    wanted = "t.meta === 'trials'" if kind == "trials" else "t.line && t.line.shape === 'vh'"
    return page.evaluate(f"document.getElementById('plot-pareto').data.filter((t) => {wanted}).length")


def tooltip(page):
    page.wait_for_selector("#plot-pareto .hoverlayer .hovertext")
    return "\n".join(page.locator("#plot-pareto .hoverlayer .hovertext tspan").all_text_contents())


def agrees(text, records):
    """Whether a tooltip says what the record that it names says."""
    record = records[re.search(r"record (\w{12})", text)[1]]
    assert f"seed {record.seed}" in text
    assert f"test accuracy: {100 * record.test_accuracy:.2f} %" in text
    assert f"parameters removed: {100 * record.param_sparsity:.2f} %" in text
    for name, value in record.setting.hyperparameters.items():
        assert f"{name} {value if isinstance(value, str) else f'{value:g}'}" in text
    for layer, left in record.channels_left.items():
        assert f"{layer}: {left}" in text
    return True


def test_a_tooltip_says_what_the_record_says(opened, site):
    page = opened()
    study = load_study(str(site / "made" / "made.toml"))
    records = {r.key[:12]: r for r in own_records(study, Store(site / "made").load())}
    page.locator("#all").check()
    for place in (0, 7):
        point = page.locator("#plot-pareto .scatterlayer .points path").nth(place).bounding_box()
        page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
        assert agrees(tooltip(page), records)
        page.mouse.move(0, 0)
    page.locator("#plot-pareto").focus()
    page.keyboard.press("ArrowRight")
    assert agrees(page.locator("#spoken").inner_text(), records)


def test_methods_are_hidden_and_isolated(opened):
    page = opened()
    before = page.locator("#fronts tbody tr").count()
    assert (traces(page, "trials"), traces(page, "lines")) == (4, 3)
    page.locator('input[value="m1"]').uncheck()
    assert (traces(page, "trials"), traces(page, "lines")) == (3, 2)
    assert 0 < page.locator("#fronts tbody tr").count() < before
    page.get_by_role("button", name="Only Method 2").press("Enter")
    assert (traces(page, "trials"), traces(page, "lines")) == (1, 1)
    page.get_by_role("button", name="Only Method 2").press("Enter")
    assert traces(page, "trials") == 4


def test_axes_and_tasks_are_chosen(opened):
    page = opened()

    def state(path):
        return page.evaluate(f"document.getElementById('plot-pareto').{path}")

    page.locator("#x").select_option("mac_sparsity")
    assert state("layout.xaxis.title.text") == "multiply-accumulates removed (%)"
    first = state("data.filter((t) => t.meta === 'trials')[1].y")
    page.locator("#y").select_option("error")
    assert state("layout.yaxis.title.text") == "test error (%)"
    assert state("data.filter((t) => t.meta === 'trials')[1].y") == pytest.approx([100 - y for y in first])
    page.locator("#task").select_option("simulated-mlp-17-8")
    assert state("data.filter((t) => t.meta === 'trials')[1].y") != pytest.approx([100 - y for y in first])


def test_a_label_with_a_comma_is_hidden_by_its_address_and_no_other(opened):
    page = opened()
    page.evaluate("boxes[1].value = 'dense,m2'; boxes[1].checked = false; remember()")
    page.evaluate("boxes.forEach((box) => { box.checked = true; }); restore()")
    assert page.evaluate("boxes.map((box) => box.checked)") == [True, False, True, True]


def test_a_panel_shows_networks_that_grew(opened):
    page = opened(query="?view=panels")
    page.evaluate("found().trials.x[byId('x').value][0] = -30; draw()")
    assert page.evaluate("byId('plot-pareto').layout.xaxis.range") == [-32, 102]


def test_every_chart_is_drawn_when_it_comes_into_sight(opened):
    page = opened()
    for name in ("epochs", "layers", "norms", "stability"):
        page.locator(f"#plot-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{name} .main-svg")
    assert page.evaluate("document.getElementById('plot-epochs').data.length") == 8
    page.locator("#method").select_option("dense")
    assert page.evaluate("document.getElementById('plot-epochs').data.length") == 2


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_fits_and_is_accessible(opened, look, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    for path in ("index.html", "made/index.html"):
        page = opened(look, path)
        for summary in page.locator("summary").all():
            summary.click()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#provenance").scroll_into_view_if_needed()
    target = Path(os.environ.get(SCREENSHOTS, tmp_path)) / f"{look}.png"
    page.screenshot(path=target, full_page=True)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (look != "dark")
    ink = page.evaluate("document.getElementById('plot-pareto').layout.font.color")
    assert ink == ("#e8ebee" if look == "dark" else "#16191d")


def test_print_shows_the_static_figure(opened):
    page = opened()
    page.emulate_media(media="print")
    figure = page.locator("img.static").first
    figure.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('img.static').naturalWidth > 100")
    assert not page.locator("#plot-pareto").is_visible()


def test_without_scripts_the_figure_and_tables_are_there(browser, site):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "made/index.html").as_uri())
    assert page.locator("img.static").first.is_visible()
    assert (
        page.get_by_role("cell", name="Method 0").or_(page.get_by_role("rowheader", name="Method 0")).first.is_visible()
    )
    context.close()
