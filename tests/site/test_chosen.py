"""What a reader chooses on a page: sorting, views, what its address keeps, one record, a factor; in a real browser."""

import json
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from benchmark.analysis.stages import fell
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.site.build import LIBRARY, build
from tests.site.conftest import IN_A_BROWSER
from tests.site.test_build import contents
from tests.support.made_study import made_conditions, made_records, made_study, write_records

pytestmark = IN_A_BROWSER
METHODS = 12
STAGES = {"trained": 0.95, "silenced": 0.91, "reduced": 0.91}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site of a study with twelve methods and seeds enough for a verdict, and of one of conditions."""
    folder = tmp_path_factory.mktemp("chosen")
    paths = made_study(folder, methods=METHODS, points=12, seeds=5), made_conditions(folder)
    for path in paths:
        records = made_records(load_study(str(path)), bad=0.0)
        told = [r.model_copy(update={"stage_accuracy": STAGES}) if r.label == "m0" else r for r in records]
        write_records(told, folder / "results" / path.stem / "records.jsonl")
    (folder / "site").mkdir()
    build({p.stem: folder / "results" / p.stem for p in paths}, {p.stem: p.read_text() for p in paths}, folder / "site")
    return folder / "site"


def column(table, place):
    return table.locator(f"tbody tr > :nth-child({place})").all_text_contents()


def plain(title):
    return title.removesuffix(" (handicapped)")


def plot(page, path, name="pareto"):
    return page.evaluate(f"document.getElementById('plot-{name}').{path}")


def asked(page):
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_tables_sort_by_their_numbers_and_keep_what_is_missing_last(opened):
    page = opened(path="index.html")
    table = page.locator("#verdict ~ .verdict-table table")
    heads = table.locator("thead th").all_text_contents()
    place = heads.index("to scratch at 75 %") + 1
    assert set(column(table, place)) == {"–"}  # the study has no such method
    at = heads.index("accuracy at 75 %") + 1
    button = table.locator("thead th").nth(at - 1).get_by_role("button")
    for direction in ("descending", "ascending"):
        button.press("Enter")
        assert table.locator("thead th").nth(at - 1).get_attribute("aria-sort") == direction
        numbers = [float(text.split()[0]) for text in column(table, at)]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert len(numbers) == METHODS - 1
    by_name = table.locator("thead th").first
    by_name.get_by_role("button").click()
    assert [plain(name) for name in column(table, 1)] == [f"Method {i}" for i in range(METHODS - 1)]  # 10 after 9
    assert table.locator("thead th[aria-sort]").count() == 1


def test_the_verdict_on_the_page_is_that_of_the_file(opened, site):
    page = opened(path="index.html")
    table = page.locator("#verdict ~ .verdict-table table")
    found = pd.read_csv(site / "data/verdict.csv")
    heads = table.locator("thead th").all_text_contents()
    for title, name in {"accuracy at 75 %": "at 75 %", "to dense at 75 %": "at 75 %, to dense"}.items():
        shown = [float(text.split()[0]) for text in column(table, heads.index(title) + 1)]
        assert shown == pytest.approx(list(100 * found[f"{name} mean"]), abs=0.051)
    assert page.locator(".verdict li").count() == 3
    assert "Over 1 task: a share can be nothing but 0 or 100 %" in page.locator("#profiles ~ p").first.inner_text()
    figures = page.locator(".profiles").first.locator("figure")
    assert figures.count() == METHODS - 1
    assert page.locator("#pairs ~ details").first.locator("tbody tr").count() == METHODS - 1
    assert page.locator("img.thumb").count() == 2
    box = page.locator("img.thumb").first.bounding_box()
    assert box["height"] < 200


def test_more_than_eight_methods_start_with_a_panel_each(opened):
    page = opened()
    titles = [plain(a["text"].replace("<br>", " ")) for a in plot(page, "layout.annotations")]
    assert titles[: METHODS - 1] == [f"Method {i}" for i in range(METHODS - 1)]
    points = plot(page, "data.filter((t) => t.meta === 'trials').map((t) => t.xaxis || 'x')")
    assert len(set(points)) == METHODS - 1
    page.locator("#view").select_option("one")
    looks = plot(page, "data.filter((t) => t.meta === 'trials').map((t) => [t.marker.color, t.marker.symbol])")
    assert len(looks) == METHODS
    assert len({json.dumps(look) for look in looks}) == METHODS
    assert len({color for color, _ in looks[:10]}) == 10
    page.get_by_role("button", name="Only Method 3").click()
    page.locator("#view").select_option("panels")
    assert len(plot(page, "data.filter((t) => t.meta === 'trials')")) == 1


def test_what_is_chosen_stands_in_the_address_and_comes_back(opened, site):
    page = opened()
    assert asked(page) == {}
    page.locator("#x").select_option("mac_sparsity")
    page.locator("#view").select_option("one")
    page.locator('input[value="m1"]').uncheck()
    page.locator("#method").select_option("m2")
    assert asked(page) == {"x": "mac_sparsity", "view": "one", "hide": "m1", "method": "m2"}
    again = opened(query="?" + urlsplit(page.url).query + "#results")
    assert again.locator("#x").input_value() == "mac_sparsity"
    assert not again.locator('input[value="m1"]').is_checked()
    assert plot(again, "layout.xaxis.title.text") == "multiply-accumulates removed (%)"
    again.locator("#plot-epochs").scroll_into_view_if_needed()
    assert asked(again) == asked(page)
    foreign = opened(query="?x=height&view=sideways&hide=nobody&method=m99&record=zzzz")
    assert foreign.locator("#x").input_value() == "param_sparsity"
    assert len(plot(foreign, "data.filter((t) => t.meta === 'trials')")) == METHODS - 1
    assert not foreign.locator("#record").is_visible()


def test_a_record_says_at_which_stage_its_accuracy_fell(opened, site):
    study = load_study(str(site / "made" / "made.toml"))
    records = own_records(study, Store(site / "made").load())
    record = next(r for r in records if r.label == "m0" and r.seed == 2)
    (dense,) = (r for r in records if r.label == "dense" and r.seed == 2)
    assert fell(STAGES, dense.val_accuracy) == "silenced"
    page = opened(query=f"?record={record.key[:12]}")
    panel = page.locator("#record")
    assert f"Record {record.key[:12]}" in panel.inner_text()
    assert "Validation accuracy fell most in silencing." in panel.inner_text()
    cells = [row.split("\t") for row in panel.locator("tbody").inner_text().splitlines()]
    assert [cell[0] for cell in cells] == [
        "dense, same seed", "after training under its penalty", "after silencing", "after removal",
    ]  # fmt: skip
    assert cells[0][1] == f"{100 * dense.val_accuracy:.2f}"
    assert [cell[2] for cell in cells[2:]] == ["−4.00", "+0.00"]
    assert f"deadweight export made {record.key[:12]}" in panel.inner_text()
    panel.get_by_role("button", name="Close").click()
    assert not panel.is_visible()
    assert "record" not in asked(page)


@pytest.mark.parametrize("view", ["panels", "one"])
def test_a_record_is_opened_from_the_figure(opened, site, view):
    page = opened(query=f"?view={view}")
    page.locator("#plot-pareto").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    spoken = page.locator("#spoken").inner_text()
    page.keyboard.press("Enter")
    key = asked(page)["record"]
    assert f"record {key}" in spoken
    assert page.locator("#record h3").inner_text() == f"Record {key}"
    sizes = plot(page, "data.flatMap((t) => t.meta === 'trials' ? t.marker.size : [])")
    assert sorted(sizes)[-2:] == [7, 16]


def test_a_table_that_is_cut_says_so(opened):
    wide, phone = opened("light"), opened("phone")
    assert not wide.locator("#fairness ~ .cue").is_visible()
    cue = phone.locator("#results ~ .cue")
    cue.wait_for(state="visible")
    assert "goes on to the right" in cue.inner_text()
    heads = phone.locator("#results ~ .scroll thead th").all_text_contents()
    assert heads[:2] == ["method", "best accuracy"]
    assert heads[-4:] == ["seeds", "trials", "failed", "collapsed"]
    tall = "(all) => all.filter((one) => one.scrollHeight > one.clientHeight + 2).map((one) => one.innerText)"
    assert not any(wide.locator(".scroll").evaluate_all(tall))  # what is folded away has no text


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_conditions_are_drawn_by_factor_and_accessible(opened, look):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(look, "conditions/index.html")
    for name in ("heatmap", "norms", "epochs", "thresholds"):
        page.locator(f"#plot-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{name} .main-svg")
        width = page.locator(f"#plot-{name}").bounding_box()["width"]
        assert width > 0.85 * page.viewport_size["width"]
    assert plot(page, "data[0].z", "heatmap")[0][0] is not None
    assert page.locator("[data-factor]:visible").count() == 1
    page.locator("#factor").select_option("norm")
    assert asked(page) == {"factor": "norm"}
    named = plot(page, "data.filter((t) => t.name).map((t) => t.name)", "thresholds")
    assert named == ["batch", "none"]
    assert min(plot(page, "data[1].x", "thresholds")) < 1e-14
    assert page.locator("[data-factor]:visible").get_attribute("data-factor") == "norm"
    assert page.get_by_role("region", name="control", exact=True).is_visible()  # whatever the factor
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_pages_share_one_plotting_library_and_are_light_without_it(site):
    made = contents(site)
    assert len(made[LIBRARY]) > 10**6
    assert sum(b"plotly.js v" in content for content in made.values()) == 1
    for name in ("made/index.html", "conditions/index.html", "index.html"):
        assert len(made[name]) < 1.5e6


def test_a_page_without_the_library_shows_the_static_figures(browser, site, tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/index.html").write_bytes((site / "made/index.html").read_bytes())
    page = browser.new_context(offline=True).new_page()
    page.goto((tmp_path / "alone/index.html").as_uri())
    assert page.locator("img.static").first.is_visible()
    assert page.get_by_text("The charts need assets/plotly.min.js").is_visible()
    assert not page.locator("#plot-pareto").is_visible()
    page.context.close()
