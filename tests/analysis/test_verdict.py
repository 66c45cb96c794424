"""The verdict's numbers, against others computed in plain loops, and the properties that they must have."""

import itertools
import math
from statistics import fmean, median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis import advice, profiles, verdict
from benchmark.analysis.intervals import wilson
from tests.support.frames import frame, rows

NAN = float("nan")
AT = verdict.ACCURACY[0.75]
SCORES = st.one_of(st.integers(88, 98).map(lambda percent: percent / 100), st.just(NAN))


def scores(values, task="t"):
    """Scores of methods by label, a value per seed."""
    made = [
        {"task": task, "label": label, "method": label.title(), "seed": seed, AT: value}
        for label, own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(made)


@st.composite
def many_scores(draw):
    seeds = draw(st.integers(1, 6))
    column = st.lists(SCORES, min_size=seeds, max_size=seeds)
    labels = draw(st.lists(st.sampled_from("abcd"), min_size=2, max_size=4, unique=True))
    return pd.concat([scores({label: draw(column) for label in labels}, task) for task in ("t", "u")])


def study(seeds=6, shift=0.0):
    """A study of one task with dense, scratch and two methods, of which `weak` removes too little at every seed."""
    parts = []
    for seed in range(seeds):
        noise = 0.001 * ((7 * seed) % 5)
        parts += rows("dense", [(NAN, 0.97, 0.96 + noise, 0.0)], seed)
        parts += rows("scratch", [(1, 0.96, 0.95 + noise, 0.8), (2, 0.93, 0.92, 0.92)], seed)
        parts += rows("strong", [(1, 0.97, 0.955 + 2 * noise + shift, 0.77), (2, 0.9, 0.91 + noise, 0.95)], seed)
        parts += rows("weak", [(1, 0.97, 0.96 - noise, 0.3), (2, 0.96, 0.94, 0.78 if seed else 0.7)], seed)
    return frame(parts)


def gathered(**studies):
    return verdict.gather(studies, {(name, "t"): f"place of {name}" for name in studies})


def test_scores_are_what_a_seed_s_own_points_say():
    found = verdict.seed_scores(gathered(one=study())).set_index(["label", "seed"])
    assert found.loc[("strong", 2), AT] == pytest.approx(0.955 + 2 * 0.004)
    assert found.loc[("strong", 2), verdict.ACCURACY[0.9]] == pytest.approx(0.91 + 0.004)
    assert found.loc[("weak", 0), [AT, verdict.ACCURACY[0.9]]].isna().all()
    assert found.loc[("weak", 1), AT] == 0.94
    assert found.loc[("scratch", 0), verdict.WITHIN] == 0.8  # the other point validates 4 points below dense
    assert found.loc[("strong", 3), "dense"] == pytest.approx(0.961)
    dense = fmean(0.96 + 0.001 * ((7 * seed) % 5) for seed in range(6))
    area = 0.8 * (0.951 - (dense - 0.02)) / (1 - (dense - 0.02))  # scratch's second point lies below the floor
    assert found.loc[("scratch", 3), verdict.VOLUME] == pytest.approx(area)


def test_gaps_are_paired_and_a_method_has_none_to_itself():
    made = verdict.summarise(verdict.seed_scores(gathered(one=study()))).set_index("label")
    noise = [0.001 * ((7 * seed) % 5) for seed in range(6)]
    gap = [0.005 + own for own in noise]
    row = made.loc["strong"]
    half = stats.t.ppf(0.975, 5) * np.std(gap, ddof=1) / math.sqrt(6)
    to_scratch = row[f"{AT}, to scratch"]
    assert (to_scratch.mean, to_scratch.high - to_scratch.mean, to_scratch.n) == pytest.approx((fmean(gap), half, 6))
    assert row[f"{AT}, to dense"].mean == pytest.approx(fmean(own - 0.005 for own in noise))
    assert made.loc["scratch", f"{AT}, to scratch"].n == 0
    assert (made.loc["weak", AT].n, made.loc["weak", "seeds"]) == (5, 6)


def test_places_are_told_apart_and_never_averaged():
    made = verdict.summarise(verdict.seed_scores(gathered(one=study(), two=study(3, shift=0.01))))
    strong = made[made.label == "strong"].set_index("task")
    assert list(strong.index) == ["place of one", "place of two"]
    assert list(strong.seeds) == [6, 3]
    assert strong.loc["place of two", AT].mean > strong.loc["place of one", AT].mean
    alone = verdict.summarise(verdict.seed_scores(gathered(one=study())))
    assert made[made.task == "place of one"][AT].tolist() == alone[AT].tolist()


def test_without_a_dense_control_what_needs_one_is_unknown():
    records = study()
    found = verdict.seed_scores(gathered(one=records[records.label != "dense"]))
    assert found[[verdict.WITHIN, verdict.VOLUME, "dense"]].isna().all(axis=None)
    assert found[AT].notna().any()
    assert verdict.summarise(found)[f"{AT}, to dense"].map(lambda interval: interval.n).eq(0).all()


def plain_profile(made, tau):
    """Dolan and Moré's profile in plain loops."""
    near = {}
    for _, place in made.groupby("task"):
        worst = {label: own[AT].fillna(-math.inf) for label, own in place.groupby("label")}
        medians = {label: median(own) for label, own in worst.items()}
        best = max(medians.values())
        for label, own in medians.items():
            near.setdefault(label, []).append(own > -math.inf and best - own <= tau / 100 + 1e-9)
    return {label: fmean(own) for label, own in near.items()}


@settings(max_examples=30, deadline=None)
@given(many_scores())
def test_profiles_are_shares_that_rise_with_tau_and_lie_where_plain_loops_say(made):
    found = profiles.profiles(made, AT)
    for tau in (0.0, 1.0, 2.5):
        at = found[np.isclose(found.tau, tau)].set_index("label").share
        assert at.to_dict() == pytest.approx(plain_profile(made, tau))
    for _, own in found.groupby("label"):
        for column in ("share", "low", "high"):
            assert own[column].between(0, 1).all()
            assert own[column].is_monotonic_increasing
        assert (own.low <= own.high).all()
        assert (own.tasks == 2).all()


@settings(max_examples=30, deadline=None)
@given(many_scores(), st.permutations("abcd"))
def test_profiles_and_improvements_know_neither_the_order_of_rows_nor_the_level(made, order):
    shuffled = made.sort_values("label", key=lambda labels: labels.map(order.index), kind="stable")
    shuffled = shuffled.assign(**{AT: shuffled[AT] - 0.25})
    for make in (profiles.profiles, profiles.improvements):
        one, two = make(made, AT), make(shuffled, AT)
        index = [c for c in ("label", "against", "tau") if c in one]
        one, two = (table.set_index(index).sort_index() for table in (one, two))
        columns = ["share"] if "share" in one else ["probability", "low", "high", "n"]
        pd.testing.assert_frame_equal(one[columns], two[columns])


@settings(max_examples=30, deadline=None)
@given(many_scores())
def test_improvements_are_what_counting_pairs_gives_and_two_sides_make_one(made):
    found = profiles.improvements(made, AT).set_index(["label", "against"])
    values = made.set_index(["label", "task", "seed"])[AT]
    labels = list(dict.fromkeys(made.label))
    assert len(found) == len(labels) * (len(labels) - 1)
    for one, other in itertools.permutations(labels, 2):
        won = []
        for place in values[one].index:
            left, right = (-1 if np.isnan(values[label][place]) else values[label][place] for label in (one, other))
            if max(left, right) >= 0:
                won.append(1 if left > right else 0.5 if left == right else 0)
        row = found.loc[(one, other)]
        assert row.n == len(won)
        if won:
            assert row.probability == pytest.approx(fmean(won))
            assert row.probability + found.loc[(other, one)].probability == pytest.approx(1)
            assert 0 <= row.low <= row.probability <= row.high <= 1


def test_a_method_that_was_not_run_on_a_task_is_not_judged_there():
    made = pd.concat([scores({"a": [0.9], "b": [0.8]}), scores({"b": [0.7], "c": [0.6]}, task="u")])
    found = profiles.profiles(made, AT)
    at_once = found[found.tau == 0].set_index("label")
    assert at_once.share.to_dict() == {"a": 1, "b": 0.5, "c": 0}
    assert at_once.tasks.to_dict() == {"a": 1, "b": 2, "c": 1}
    pairs = profiles.improvements(made, AT).set_index(["label", "against"])
    assert (pairs.loc[("a", "b")].n, pairs.loc[("a", "c")].n) == (1, 0)
    assert np.isnan(pairs.loc[("a", "c")].probability)


@given(st.integers(0, 60), st.integers(1, 30))
def test_wilsons_interval_is_scipys_and_never_without_width(halves, n):
    successes = min(halves / 2, n)
    found = wilson(successes, n)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 0.05
    if successes == int(successes):
        expected = stats.binomtest(int(successes), n).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_leaders_are_found_by_paired_tests_and_need_seeds():
    noise = [0.001 * ((7 * seed) % 5) for seed in range(8)]
    values = {
        "scratch": [0.95 + own for own in noise],
        "same": [0.951 + own + 0.002 * (-1) ** seed for seed, own in enumerate(noise)],
        "worse": [0.9 + own for own in noise],
        "short": [0.99] * 7 + [NAN],
    }
    found = verdict.leaders(scores(values), AT)
    assert (found.best, found.even, found.worse, found.short) == ("Same", ["Scratch"], ["Worse"], ["Short"])
    assert found.gap.mean == pytest.approx(0.001)
    p = [stats.ttest_rel(values["same"], values[label]).pvalue for label in ("scratch", "worse")]
    assert p[1] * 2 < 0.05 < p[0]
    few = {label: own[:4] for label, own in values.items()}
    assert verdict.leaders(scores(few), AT) is None
    assert verdict.leaders(scores({"short": values["short"]}), AT) is None


def test_sentences_say_who_leads_where_and_who_is_not_shown_to_be_worse():
    found = verdict.seed_scores(gathered(one=study()))
    first, second, third = advice.sentences(found)
    assert first.startswith(
        "To remove 75 % of the parameters: on place of one, Strong leads with 95.8 ± 0.3 % test accuracy (n = 6)"
    )
    assert "+0.67 ± 0.17 points against from scratch" in first
    assert "not there with every seed: Weak" in first
    assert second.startswith("To remove 90 % of the parameters: on place of one, Scratch leads with ")
    assert "Strong" in third
    both = advice.sentences(verdict.seed_scores(gathered(one=study(), two=study(7), few=study(3))))[0]
    assert "on place of one, Strong leads" in both
    assert "on place of two, Strong leads" in both
    assert "place of few" not in both
    assert "Not shown to be worse than the leader on any of the 2 tasks: Strong" in both
    none = advice.sentences(verdict.seed_scores(gathered(few=study(3))))
    assert all("nothing is said" in sentence for sentence in none)


def test_a_label_that_two_studies_call_otherwise_is_two_methods_but_for_controls():
    other = study().assign(title=study().title.replace({"Strong": "Something else", "Scratch": "Small"}))
    found = verdict.seed_scores(gathered(one=study(), two=other, three=other))
    assert set(found.label) == {"scratch", "strong", "strong: Something else", "weak"}
    made = profiles.profiles(found, AT)
    tasks = dict(zip(made.method, made.tasks, strict=True))
    assert tasks == {"Small": 3, "Strong": 1, "Weak": 3, "Something else": 2}
    pairs = profiles.improvements(found, AT).set_index(["label", "against"])
    assert (pairs.loc[("strong", "weak")].n, pairs.loc[("strong", "strong: Something else")].n) == (6, 0)


def test_a_method_that_is_handicapped_on_some_places_alone_is_still_one():
    low = study()
    low.loc[(low.label == "strong") & (low.val_accuracy == 0.97), "val_accuracy"] = 0.95
    found = verdict.seed_scores(gathered(one=study(), two=low))
    assert set(found.method[found.label == "strong"]) == {"Strong", "Strong (handicapped)"}
    assert set(profiles.profiles(found, AT).method) == {"Scratch", "Strong", "Weak"}
    assert "on any of the 2 tasks: Strong;" in advice.sentences(found)[0]
    alone = verdict.seed_scores(gathered(two=low))
    assert "Strong (handicapped)" in set(profiles.profiles(alone, AT).method)
