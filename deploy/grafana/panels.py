"""The few kinds of panels that the dashboard is made of, and how each looks. What they show is the rows' business."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

NONE = "-"
"""Shown where there is no figure."""

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = "green", "yellow", "orange", "red", "blue", "purple", "#8e8e8e"

STATUSES = {
    "Succeeded": GREEN,
    "Failed": RED,
    "Skipped": BLUE,
    "Waiting": GREY,
    "Ready": YELLOW,
    "Processing": PURPLE,
}
"""The colour of each status, wherever it is shown."""

OUTCOMES = {
    "won": GREEN,
    "done": GREEN,
    "claimed": ORANGE,
    "worker_lost": RED,
    "lost": YELLOW,
    "paused": YELLOW,
    "standby": BLUE,
    "error": RED,
}
"""The colour of each outcome, of a tick, a claim or a rescue."""

Colours = Mapping[str, str]
"""Colours by the first word of a series' name; what is not in it takes the palette's."""

Steps = Mapping[float, str]
"""From which value on which colour holds; the first holds below its value too."""

NO_COLOURS: Colours = {}
NO_STEPS: Steps = {0: GREEN}

AnyPanel = Builder[model.Panel]

# These share the methods used below, though the SDK names no common base.
PanelType = TypeVar("PanelType", timeseries.Panel, stat.Panel, bargauge.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and what its answers are called in the legend."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class Heading:
    """What every panel has: a title, a sentence or two for the reader, a unit, and a width on the grid of 24."""

    title: str
    description: str
    unit: str
    width: int


def figure(heading: Heading, *queries: Query, steps: Steps = NO_STEPS, nothing: str = NONE) -> stat.Panel:
    """A figure of this moment, coloured by its thresholds; several queries stand side by side."""
    panel = (
        stat.Panel()
        .height(4)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.BACKGROUND_SOLID if len(steps) > 1 else looks.BigValueColorMode.NONE)
        .text_mode(looks.BigValueTextMode.VALUE_AND_NAME if len(queries) > 1 else looks.BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps))
        .no_value(nothing)
        .targets(_now(queries))
    )
    return _headed(panel, heading)


def figures(heading: Heading, query: Query, colours: Colours) -> stat.Panel:
    """Figures of this moment, one a label, each in the colour of its status."""
    panel = (
        stat.Panel()
        .height(4)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.VALUE)
        .text_mode(looks.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value(NONE)
        .targets(_now((query,)))
    )
    return _coloured(_headed(panel, heading), colours)


def bars(heading: Heading, query: Query, colours: Colours) -> bargauge.Panel:
    """Totals over the time shown, one bar a label, the longest first."""
    panel = (
        bargauge.Panel()
        .height(8)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .display_mode(looks.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
        .decimals(0)
        .no_value("nothing")
        .targets(_now((query,)))
    )
    return _coloured(_headed(panel, heading), colours)


def lines(
    heading: Heading, *queries: Query, steps: Steps = NO_STEPS, colours: Colours = NO_COLOURS
) -> timeseries.Panel:
    """Lines over time; thresholds are drawn as dashed lines."""
    panel = _over_time(heading, queries).fill_opacity(8)
    if len(steps) > 1:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(style)
    return _coloured(panel, colours)


def stack(heading: Heading, *queries: Query, colours: Colours = NO_COLOURS) -> timeseries.Panel:
    """Shares of a whole over time, one on top of the other."""
    stacking = common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A")
    return _coloured(_over_time(heading, queries).fill_opacity(40).stacking(stacking), colours)


def spread(heading: Heading, query: Query) -> heatmap.Panel:
    """A histogram over time: the darker a cell, the more fell into it. The unit is that of the axis."""
    colours = heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return (
        heatmap.Panel()
        .title(heading.title)
        .description(heading.description)
        .unit("short")
        .height(8)
        .span(heading.width)
        .datasource(DATASOURCE)
        .calculate(False)
        .color(colours.exponent(0.5).fill("dark-orange"))
        .y_axis(heatmap.YAxisConfig().unit(heading.unit).axis_placement(looks.AxisPlacement.LEFT))
        .cell_gap(1)
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .mode(looks.TooltipDisplayMode.SINGLE)
        .show_color_scale(True)
        .with_target(_target(query, 0).format(PromQueryFormat.HEATMAP).range())
    )


def listing(heading: Heading, query: Query, columns: Mapping[str, str]) -> table.Panel:
    """The labels of what a query finds as a table.

    Args:
        heading: Its heading.
        query: The query; its values are left out.
        columns: The labels to show, in order, each with the head of its column.
    """
    order = {label: place for place, label in enumerate(columns)}
    keep = model.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(columns)}})
    name = model.DataTransformerConfig(id_val="organize", options={"indexByName": order, "renameByName": dict(columns)})
    return (
        table.Panel()
        .title(heading.title)
        .description(heading.description)
        .unit(heading.unit)
        .height(8)
        .span(heading.width)
        .datasource(DATASOURCE)
        .no_value("none")
        .with_target(_target(query, 0).format(PromQueryFormat.TABLE).instant())
        .with_transformation(keep)
        .with_transformation(name)
    )


def named(values: Mapping[int, tuple[str, str]]) -> list[model.ValueMapping]:
    """Show values as words, each in a colour.

    Args:
        values: The word and the colour of each value.
    """
    words = {
        str(value): model.ValueMappingResult(text=word, color=colour, index=place)
        for place, (value, (word, colour)) in enumerate(values.items())
    }
    return [model.ValueMap(options=words)]


def _over_time(heading: Heading, queries: Sequence[Query]) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    panel = (
        timeseries.Panel()
        .height(8)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .show_points(looks.VisibilityMode.NEVER)
        .line_width(1)
        .axis_soft_min(0)
        .min(0)
        .targets([_target(query, place).range() for place, query in enumerate(queries)])
    )
    return _headed(panel, heading)


def _headed(panel: PanelType, heading: Heading) -> PanelType:
    panel.title(heading.title).description(heading.description).unit(heading.unit)
    panel.span(heading.width).datasource(DATASOURCE)
    return panel


def _now(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [_target(query, place).instant() for place, query in enumerate(queries)]


def _target(query: Query, place: int) -> prometheus.Dataquery:
    letter = chr(ord("A") + place)
    return prometheus.Dataquery().datasource(DATASOURCE).ref_id(letter).expr(query.expr).legend_format(query.legend)


def _coloured(panel: PanelType, colours: Colours) -> PanelType:
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    for name, colour in colours.items():
        fixed = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        panel.override_by_regexp(f"/^{name}( .*)?$/", [fixed])
    return panel


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Put thresholds as Grafana wants them: rising, and the first without a value, so that it holds from the bottom."""
    values = list(steps)
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError(f"thresholds must rise: {values}")
    thresholds = [model.Threshold(value=value, color=colour) for value, colour in steps.items()]
    thresholds[0].value = None
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)
