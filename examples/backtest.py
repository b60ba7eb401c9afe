# %% [markdown]
# # Does a model trained on what was known beat one that leaks?
#
# Which of the open deals will be won? Everybody has trained such a model on the table as it stands
# today: old deals, their outcomes, and what their rows say *now*. But rows go on changing. Whoever
# wins a deal hands it over to an account manager, grants a discount and tidies up the next step, so
# that today's row tells how the deal ended, not how it stood when someone would have liked to know.
#
# Here the same model is trained twice, on the same deals, nights, labels and columns. Only the day
# as of which the columns are read differs. Then both are deployed, on later nights, where nobody
# knows more than that night did.
#
# Run it cell by cell, in VS Code or in Jupyter with jupytext, or as a script. `examples/README.md`
# says how to make the nights.

# %%
from datetime import date

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from history_assets import History

DEALS = "salesforce.opportunity"
OPEN = ["Prospecting", "Qualification", "Proposal", "Negotiation"]
WON, LOST = "Closed Won", "Closed Lost"

WARM_UP, DEPLOYED, TO_END = 12, 3, 7  # nights before the first training, of each deployment, and left for its deals to end

history = History.from_env()
nights = history.dates(DEALS)
if len(nights) < WARM_UP + DEPLOYED + TO_END:
    raise SystemExit(f"found {len(nights)} nights, expected {WARM_UP + DEPLOYED + TO_END} or more: see examples/README.md")

# %% [markdown]
# ## The spine
#
# A row for each deal on each night on which it was open: the moments at which the model would have
# been asked.

# %%
spine = pd.concat(
    history.as_of(DEALS, night, columns=["id"], where={"stage_name": OPEN}).to_pandas().sort_values("id").assign(night=night)
    for night in nights
)


# %% [markdown]
# ## Labels
#
# An outcome, too, is only known from some night on: a model that is trained on the 17th learns from
# the deals that were over by the 17th.


# %%
def outcomes(by: date) -> pd.DataFrame:
    """Return the deals that were over by a night, and which of them were won."""
    over = history.as_of(DEALS, by, columns=["id", "stage_name"], where={"stage_name": [WON, LOST]}).to_pandas()
    return pd.DataFrame({"id": over["id"], "won": over["stage_name"] == WON})


# %% [markdown]
# ## Features, and the one line that decides
#
# `stage_name` and `probability` say the outcome outright once a deal is over, so a careful person
# leaves them out. It does not help: the owner and the amount say it, too, and the next step says
# nothing any more. `seen` is all that differs between the two models: each row's own night, or
# today for all of them.

# %%
TEXTS, NUMBERS = ["owner_id", "next_step"], ["amount", "days_to_close"]


def features(rows: pd.DataFrame, seen: "pd.Series[date] | date") -> pd.DataFrame:
    """Return what was known of each row's deal at the cutoff of ``seen``."""
    asked = rows[["id", "night"]].assign(seen=seen)
    columns = {DEALS: ["owner_id", "next_step", "amount", "close_date"]}
    # As of today the nights of one deal are copies of each other, which would be refused as a mistake.
    known = history.point_in_time(asked, {DEALS: "id"}, time="seen", columns=columns, repeated=True).to_pandas()
    known["days_to_close"] = (pd.to_datetime(known["close_date"]) - pd.to_datetime(known["night"])).dt.days
    known["amount"] = known["amount"].astype(float)
    return known[TEXTS + NUMBERS]


model = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), TEXTS),
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
    ),
    LogisticRegression(max_iter=1_000),
)

# %% [markdown]
# ## Walking forward
#
# Every three nights both models are trained on all that is over, and rate the deals that are open
# on that night and the next two. What each promises comes from its own validation, on deals that it
# was not fitted on; what it keeps is seen once these deals have ended. *AUC* is the chance that a
# deal that is won was rated above one that is lost: 0.5 is a coin. *Brier* is the squared error of
# the probabilities, beside that of telling the same, the share of deals won so far, of every deal.

# %%
results = {}
for position in range(WARM_UP, len(nights) - DEPLOYED - TO_END + 1, DEPLOYED):
    today, until = nights[position], nights[position + DEPLOYED - 1]
    past = spine[spine["night"] < today].merge(outcomes(today), on="id")
    later = spine[spine["night"].between(today, until)].merge(outcomes(nights[-1]), on="id")
    seen_in_production = features(later, later["night"])
    for name, seen in {"as of today": today, "as known then": past["night"]}.items():
        seen_in_training = features(past, seen)
        by_deal = GroupKFold(5).split(seen_in_training, groups=past["id"])
        promised = cross_val_predict(model, seen_in_training, past["won"], cv=by_deal, method="predict_proba")[:, 1]
        rated = model.fit(seen_in_training, past["won"]).predict_proba(seen_in_production)[:, 1]
        results[name, "AUC promised", today] = roc_auc_score(past["won"], promised)
        results[name, "AUC kept", today] = roc_auc_score(later["won"], rated)
        results[name, "Brier kept", today] = brier_score_loss(later["won"], rated)
    results["same for all", "Brier kept", today] = brier_score_loss(later["won"], [past["won"].mean()] * len(later))

table = pd.Series(results).unstack([0, 1])
table.loc["mean"] = table.mean()
print(f"{len(spine):,} rows of {spine['id'].nunique():,} deals on {len(nights)} nights, {nights[0]} to {nights[-1]}\n")
print(table.to_string(float_format="%.2f"))

# %% [markdown]
# ## What comes of it
#
# The model that was trained on today's rows promises near perfection, and keeps little of it: it
# has learnt that account managers own won deals, and no open deal has one; who sold them is gone
# from their rows. Its probabilities are no better than telling the same of every deal. The other
# keeps what it promises.

# %%
figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
trained = [str(night) for night in table.index[:-1]]
for name, colour in {"as of today": "tab:red", "as known then": "tab:blue"}.items():
    axes.plot(trained, table[name, "AUC promised"][:-1], color=colour, linestyle="--", marker="o", fillstyle="none")
    axes.plot(trained, table[name, "AUC kept"][:-1], color=colour, marker="o", label=f"columns {name}")
axes.plot([], [], color="grey", linestyle="--", label="what its own validation promised")
axes.axhline(0.5, color="lightgrey", linewidth=1)
axes.set(ylim=(0.45, 1.02), xlabel="trained on", ylabel="AUC", title="Will the deal be won?")
axes.legend(loc="lower left", frameon=False, fontsize="small", ncols=3)
figure.savefig("backtest.png", dpi=90)
