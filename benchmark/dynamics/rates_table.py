"""The table of rates, as data and as Markdown with how to read it."""

from __future__ import annotations

import pandas as pd

from benchmark.dynamics.rates import Rate


def table(rates: list[Rate]) -> tuple[pd.DataFrame, str]:
    """The rows as a data frame, and as Markdown with how to read them."""
    rows = [
        {
            "optimiser": r.optimizer,
            "quantity": r.quantity,
            "setting": r.setting,
            "measured": r.measured,
            "closed form": r.closed_form,
            "relative error": r.relative_error,
            "formula": r.formula,
            "remark": r.remark,
        }
        for r in rates
    ]
    frame = pd.DataFrame(rows)
    shown = frame.assign(
        **{name: frame[name].map("{:.6g}".format) for name in ("measured", "closed form")},
        **{"relative error": frame["relative error"].map("{:+.1e}".format)},
    )
    text = shown.map(lambda value: str(value).replace("|", "\\|"))
    lines = [" | ".join(text.columns), " | ".join(["---"] * len(text.columns))]
    lines += [" | ".join(row) for row in text.itertuples(index=False)]
    return frame, "".join(f"| {line} |\n" for line in lines) + "\n" + NOTE + "\n"


NOTE = """\
Measured on torch's optimisers in float64; ε 1e-8, β₁ 0.9, β₂ 0.999, μ 0.9, ρ 0.99 unless a row says otherwise; g = λw
plus noise of standard deviation σ. Closed forms are derived in benchmark/dynamics/closed_forms.py. Where
the theory as usually stated is off:

- **αλ/(1 − μ)** is momentum's rate to first order; the heavy ball's largest root is exact. Momentum does oscillate once
  αλ > (1 − √μ)².
- **\\|w₀\\|/α steps to zero** holds whatever λ is, but as an order of magnitude: only the first step is exactly α. As w
  falls, √v remembers larger gradients for 1/(1 − β₂) steps, which slows the last stretch.
- **The boundary αλ/ε = 2(1 + β₁)/(1 − β₁)** is exact for √v ≪ ε, for every β₂. v's memory delays it: √v falls by √β₂ a
  step, and until it is below αλ/38 − ε Adam is stable whatever ε is. Meanwhile w shrinks by √β₁ a step, so far that
  a noise-free weight comes near the smallest number of its type before it may grow again.
- **The limit cycle** is an exact orbit w ← −w for β₁ = 0 and RMSprop. For Adam's β₁ = 0.9 that orbit is unstable too:
  w bursts, is tiny in between, and only its root mean square is near the orbit's.
- **Gradient noise** raises √v and with it stability: Adam's floor under noise is then the one that the table gives,
  and can be higher than SGD's."""
