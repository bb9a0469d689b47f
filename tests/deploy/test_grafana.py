"""The dashboard: as its code makes it, complete for its reader, laid out without gaps; and how it is provisioned."""

import re
from itertools import pairwise
from typing import Any

import pytest
import yaml

from deploy.grafana.build import OVERVIEW, overview_json
from tests.deploy.questions import DEPLOY, panels

PROVISIONING = DEPLOY / "grafana" / "provisioning"
GRID = 24

EACH_PANEL = pytest.mark.parametrize("panel", [pytest.param(panel, id=panel["title"]) for panel in panels()])


def test_the_committed_dashboard_is_what_its_code_makes() -> None:
    assert OVERVIEW.read_text(encoding="utf-8") == overview_json(), "run: python -m deploy.grafana.build"


@EACH_PANEL
def test_every_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "?"))
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@EACH_PANEL
def test_every_series_has_a_name_where_there_are_several(panel: dict[str, Any]) -> None:
    legends = [target.get("legendFormat", "") for target in panel["targets"]]
    assert len(set(legends)) == len(legends)
    assert panel["type"] in ("stat", "table", "heatmap") or all(legend != "__auto" for legend in legends)


@EACH_PANEL
def test_legends_name_only_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        kept = set(re.findall(r"\w+", " ".join(re.findall(r" by \(([^)]*)\)", target["expr"]))))
        assert set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) <= kept


def test_titles_and_ids_are_unique() -> None:
    titles = [panel["title"] for panel in panels()]
    ids = [panel["id"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    assert len(set(ids)) == len(ids)


def test_every_line_of_panels_fills_the_grid_without_gap_or_overlap() -> None:
    for line in lines_of_panels():
        left_to_right = sorted((panel["gridPos"] for panel in line), key=lambda position: position["x"])
        assert left_to_right[0]["x"] == 0
        assert all(left["x"] + left["w"] == right["x"] for left, right in pairwise(left_to_right))
        assert left_to_right[-1]["x"] + left_to_right[-1]["w"] == GRID
        assert len({position["h"] for position in left_to_right}) == 1


def test_lines_of_panels_follow_one_another_without_gap() -> None:
    row_height = 1
    for above, below in pairwise(lines_of_panels()):
        end = above[0]["gridPos"]["y"] + above[0]["gridPos"]["h"]
        assert below[0]["gridPos"]["y"] in (end, end + row_height)


def lines_of_panels() -> list[list[dict[str, Any]]]:
    lines: dict[int, list[dict[str, Any]]] = {}
    for panel in panels():
        lines.setdefault(panel["gridPos"]["y"], []).append(panel)
    return list(lines.values())


def test_the_data_source_is_the_prometheus_of_the_compose_file_with_its_scrape_interval() -> None:
    (source,) = read(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"]
    configuration = read(DEPLOY / "prometheus" / "prometheus.yml")
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]


def test_dashboards_are_loaded_from_where_the_compose_file_mounts_them() -> None:
    (provider,) = read(PROVISIONING / "dashboards" / "jobworker.yaml")["providers"]
    grafana = read(DEPLOY / "compose" / "compose.yaml")["services"]["grafana"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    assert "../grafana/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]


def read(path: Any) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
