from search_spaces import TrialConfig
from tune_jobs.report.plots import for_plotly, new_figure
from tune_jobs.report.points import Point
from tune_jobs.results.columns import Column
from tune_jobs.results.row import Row


def row(number: int, state: str) -> Row:
    layer = {"kind": "hybrid", "lambda": 0.5, "k": 4}
    config = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer}, "training": {"lr": 0.001}})
    return Row(number, f"key{number}", state, None, None, 1, 0.5, {}, config)


def test_the_description_of_a_trial_leaves_out_missing_fields() -> None:
    columns = [Column("lambda", "lambda"), Column("r", "r"), Column("training.epochs", "epochs")]
    assert Point([row(3, "complete")], 0.5, "complete").about(columns) == "trial 3: lambda 0.5, epochs 150"


def test_an_axis_of_accuracies_is_in_percent() -> None:
    assert new_figure("val/accuracy", 300).layout.yaxis.tickformat == "~%"
    assert new_figure("val/loss", 300).layout.yaxis.maxallowed is None


def test_text_in_a_figure_is_escaped_for_plotly() -> None:
    link, safe = "<a href='javascript:x'>&amp;", "&lt;a href='javascript:x'&gt;&amp;amp;"
    figure = new_figure(link, 300)
    figure.add_scatter(x=[link], y=[1], text=[link], name=link, hovertemplate="%{text}<br>%{y}<extra></extra>")
    figure.add_parcoords(dimensions=[{"label": link, "values": [1], "tickvals": [1], "ticktext": [link]}])
    drawn = for_plotly(figure)
    line, parallel = drawn["data"]
    assert drawn["layout"]["yaxis"]["title"]["text"] == safe
    assert (line["x"], line["text"], line["name"]) == ([safe], [safe], safe)
    assert line["hovertemplate"] == "%{text}<br>%{y}<extra></extra>"
    (axis,) = parallel["dimensions"]
    assert (axis["label"], axis["ticktext"]) == (safe, [link])  # Plotly sets these as text
    assert "template" not in drawn["layout"]
