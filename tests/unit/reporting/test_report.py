import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fabricated import World, document, write_config
from test_examples import Procedural

from glow import cli
from glow.errors import UserError
from glow.experiment import load, read
from glow.files.manifest import Manifest
from glow.reporting.captions import figure_names
from glow.reporting.report import FIRST, SECTIONS, write_report
from glow.reporting.results import Run
from glow.reporting.tables import write_tables

REPORTED = str(Path(__file__).parents[3] / "config/reported.yaml")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


def draw(world: World) -> None:
    """Stands in for the figures stage, which takes seconds."""
    results = world.results
    results.figures.mkdir(exist_ok=True)
    for name in figure_names(results.experiment):
        (results.figures / f"{name}.svg").write_text(SVG)
    Manifest("figures").write(results.figures, results.settings, results.inputs("figures"))


def report(world: World) -> str:
    write_tables(world.results.experiment, world.root)
    draw(world)
    write_report(world.results.experiment, world.root)
    return world.results.report.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what a browser would load, the ids, and whether tags balance."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.loaded.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(World(tmp_path_factory.mktemp("report"), document(reported=REPORTED)).write())


def test_page_is_sound_and_loads_nothing(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    links = [target for target in parsed.loaded if target.startswith("#")]
    assert {link[1:] for link in links} <= set(parsed.ids)
    assert all(target.startswith(("#", "data:")) for target in parsed.loaded)
    assert "@import" not in page
    assert "url(" not in page
    assert "<script" not in page


def test_page_holds_every_figure_and_table(page: str) -> None:
    assert page.count("data:image/svg+xml;base64,") == 10
    for name in (
        "gates", "main", "comparisons", "chance", "variance", "published", "published_cells", "grpo",
        "samples", "steps", "entropy", "entropy_positions", "losses", "epochs", "weights", "gains", "suites",
        "data", "contamination",
    ):  # fmt: skip
        assert f'id="table-{name}"' in page
    assert "55.0 ± 63.5" in page
    marked = re.findall(r'<td class="marked" data-label="(.*?)">(.*?)</td>', page)
    # what GRPO added, averaged over all it starts from
    assert marked == [("ID change", "+22.5 [+11.9, +33.1]*")]
    assert '<td data-label="ID change">+70.0 [+35.4, +104.6]</td>' in page
    assert "5.51 %" in page
    assert "Seeds: 0, 1.\n" in page
    assert "GRPO measurably raised in-domain accuracy on average over 6 starting models" in page
    assert "pretrained from scratch" in page
    assert "alpha = 1, beta = 10, clamped to [0.5, 5]" in page


def test_what_differs_after_correction_is_marked(tmp_path: Path) -> None:
    page = report(World(tmp_path, document(seeds=list(range(8)))).write())
    assert '<td class="marked" data-label="ID change">+70.0 [+35.4, +104.6]*</td>' in page


def test_gates_and_data_come_first_then_examples_then_findings(page: str) -> None:
    ids = [name for name in Page(page).ids if not name.startswith(("table-", "figure-"))]
    wanted = ["gates", "data", "arms", "examples", "findings", "scale", "accuracy", "tests"]
    present = [name for name in wanted if name in ids]
    assert ids[: len(present)] == present
    assert set(wanted) - set(present) <= {"gates"}
    assert next(iter(SECTIONS)) == FIRST[0] == "gates"
    links = [target[1:] for target in Page(page).loaded if target.startswith("#")]
    assert links == ids  # the contents have the same order


def test_a_caption_is_short_and_the_rest_is_folded(page: str) -> None:
    shown = re.findall(r'<p class="caption">(.*?)</p>', page)
    assert len(shown) > 20
    assert max(map(len, map(unescape, shown))) <= 280
    folded = re.findall(r'<details class="how">.*?</details>', page, re.DOTALL)
    assert any("The row chance level is the accuracy of the best constant answer" in part for part in folded)
    assert not any("The row chance level" in part for part in shown)


def test_what_is_folded_is_printed(page: str) -> None:
    printed = page[page.index("@media print") : page.index("</style>")]
    assert "details::details-content { content-visibility: visible" in printed


def test_tables_that_fit_on_a_page_are_not_broken_and_the_configuration_has_two_columns(page: str) -> None:
    style = page[: page.index("</style>")]
    printed = style[style.index("@media print") :]
    assert re.search(r"table\.short \{ break-inside: avoid; \}", printed)
    assert "pre.configuration { columns: 2;" in printed
    gates = page[page.index('id="table-gates"') :]
    assert gates[gates.index("<table") :].startswith('<table class="stack short">')


def test_figures_say_that_they_scroll_on_a_narrow_screen(page: str) -> None:
    narrow = page[page.index("@media screen and (max-width: 40rem)") : page.index("@media print")]
    assert 'figure::before { content: "Wider than the screen: scroll sideways' in narrow


def test_published_figures_stand_apart(page: str) -> None:
    start, cells, end = (
        page.index(f'id="{name}"') for name in ("table-published", "table-published_cells", "grpo")
    )
    table, arms = page[start:cells], page[cells:end]
    assert "Published by the paper's authors; not measured here" in table
    cells = re.findall(r'<td class="([^"]*)" data-label="([^"]*)"', table)
    assert {label for kinds, label in cells if "theirs" in kinds} == {
        "Published: what", "Published value", "Published setting and source",
    }  # fmt: skip
    # arm by arm, a row of ours comes before one of theirs
    rows = [
        re.findall(r'<td class="([^"]*)"', row) for row in re.findall(r"<tr>(.*?)</tr>", arms, re.DOTALL)[1:]
    ]
    shaded = [sum("theirs" in kinds for kinds in row) for row in rows]
    assert len(shaded) == 2 * 6
    assert set(shaded[::2]) == {0}
    assert set(shaded[1::2]) == {4}  # all but the name of the arm
    assert "theirs" not in page[: page.index('id="table-published"')].split("</style>")[1]


def test_a_badge_names_the_contrast_that_it_is_of(page: str) -> None:
    badges = re.findall(r'<span class="badge ([\w-]+)">([^<]+)</span>\s*([^<]+?)\s*</p>', page)
    assert ("undecided", "undecided", "glow against positive, OOD mean") in badges
    assert (
        "as-published", "as published",
        "slopes of negatives and positives in nats and in percent, chains of equal lengths, arm all",
    ) in badges  # fmt: skip
    assert {standing for _, standing, _ in badges} <= {"as published", "not as published", "undecided"}


def test_examples_are_escaped_folded_and_marked(tmp_path: Path) -> None:
    class Wild(World):
        def response(self, run: Run, question: int) -> str:
            return "<script>alert(1)</script>" * (50 if run.name == "glow" else 1) + " We try. \\boxed{1}"

    text = report(Wild(tmp_path, document(grpo=None)).write())
    assert Page(text).open == []
    assert "<script" not in text
    assert '<div class="said">&lt;script&gt;alert(1)&lt;/script&gt; We try. \\boxed{1}</div>' in text
    assert text.count("<summary>The response (1,268 characters)</summary>") == 2  # ID and OOD


def test_a_slip_is_marked_in_its_place(tmp_path: Path) -> None:
    text = report(Procedural(tmp_path, document(grpo=None)).write())
    assert "p:23-2=21, <mark>q:21+9=31</mark>, r:31-6=25. Hence \\boxed{25}</div>" in text
    assert "wrong, chain; first wrong step: a result that does not follow" in text


def test_the_lede_says_what_the_study_is(page: str, tmp_path: Path) -> None:
    text = " ".join(page.split())
    assert "goes through supervised fine-tuning (SFT) on" in text
    assert "(in-domain, ID)" in text
    assert "It re-enacts at a tiny scale the study of Tian et al." in text
    (tmp_path / "config.json").write_text("{}")
    student = {"path": str(tmp_path)}
    world = World(tmp_path / "given", document(student=student, seeds=[0], grpo=None))
    given = " ".join(report(world.write()).split())
    assert "It reproduces the study of Tian et al." in given
    assert "the student before fine-tuning" in given
    assert "untrained" not in given + page
    assert "<summary>Settings</summary>" not in given


def test_settings_of_grpo_are_folded_in_its_section(page: str) -> None:
    section = page[page.index('<h2 id="grpo">') : page.index('<h3 id="table-grpo">')]
    assert '<details class="how"><summary>Settings</summary>' in section
    assert "20 steps of 8 prompts x 8 rollouts" in section


def test_dashed_lines_are_mentioned_where_there_are_any(page: str, tmp_path: Path) -> None:
    class Bare(World):
        """A right trajectory that is trained on is a bare answer."""

        def trajectories(self, domain: str) -> list[dict]:
            rows = super().trajectories(domain)
            bare = {"response": "\\boxed{1}", "extracted": "1"}
            return [row | (bare if row["trajectory_id"] == "t-0" else {}) for row in rows]

    said = "Dashed lines are the means of chains of thought alone."
    assert said not in page
    assert said in report(Bare(tmp_path, document(seeds=[0], grpo=None)).write())


def test_page_states_times_and_environment(page: str) -> None:
    assert "c0ffee" in page
    assert "torch 2.13.0" in page
    assert re.search(r"<td class=text>evaluate</td>\s*<td>24</td>\s*<td>4 min 0 s</td>", page)


def test_page_is_the_same_but_for_times_and_environment(world: World) -> None:
    first = report(world)
    world.benchmark("sft/x.tsv", 12.0, 900)
    second = report(world)
    assert first != second
    cut = '<section id="provenance">'
    assert first.split(cut)[0] == second.split(cut)[0]


def test_configuration_is_complete_and_escaped(tmp_path: Path) -> None:
    content = document(prompt={"system": "<b>&</b>", "instruction": "Think."})
    content["suites"]["lists"]["group"] = "other"
    content["grpo"] |= {"initialisations": ["glow", "base"], "seeds": [1]}
    text = report(World(tmp_path, content).write())
    assert "<b>&</b>" not in text
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in text
    shown = (
        re.search(r'<pre class="configuration">(.*?)</pre>', text, re.S)[1]
        .replace("&lt;", "<")
        .replace("&gt;", ">")
    )
    shown = shown.replace("&amp;", "&").replace("&#39;", "'").replace("&#34;", '"')
    again = read(_written(tmp_path / "again.yaml", shown))
    assert again == load(content, "test")
    assert (again.suites["arithmetic"].domain, again.suites["lists"].group) == ("arithmetic", "other")
    assert (again.initialisations, again.grpo_seeds) == (["base", "glow"], [1])
    assert "Seeds: 0, 1 (GRPO: 1).\n" in text


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_one_seed_without_grpo(tmp_path: Path) -> None:
    text = report(World(tmp_path, document(seeds=[0], grpo=None)).write())
    assert "There is one seed" in text
    assert 'id="grpo"' not in text
    assert Page(text).open == []


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("tables/manifest.json", "tables"),
        ("tables/tables.json", "tables"),
        ("tables/examples.json", "tables"),
        ("tables/questions.parquet", "tables"),
        ("tables/trajectories.parquet", "tables"),
        ("figures/manifest.json", "figures"),
        ("figures/main.svg", "figures"),
    ],
)
def test_a_missing_part_ends_in_exit_code_2(
    world: World, capsys: pytest.CaptureFixture[str], missing: str, stage: str
) -> None:
    path = write_config(world.root / "own.yaml", world.document)
    report(world)
    (world.root / missing).unlink()
    assert cli.main(["report", str(path), "--results", str(world.root)]) == 2
    said = capsys.readouterr().err
    assert f"{world.root / missing}: no such file; run" in said
    assert missing.endswith(".parquet") or f"run `glow {stage}`" in said


def test_a_page_of_other_results_is_refused(world: World) -> None:
    report(world)
    selection = world.results.selection_file("arithmetic", 1, "all")
    selection.write_text('{"problem_id": "p"}\n')
    with pytest.raises(UserError, match=rf"tables: made before {selection} changed; run `glow tables` on"):
        write_report(world.results.experiment, world.root)
    write_tables(world.results.experiment, world.root)
    write_report(world.results.experiment, world.root)  # no figure shows a selection's size


def test_figures_of_other_results_are_refused(world: World) -> None:
    report(world)
    log = world.results.training(Run("sft", "arithmetic", "glow", 0)) / "log.jsonl"
    log.write_text('{"step": 1, "loss": 1, "sample_loss": 1}\n')
    write_tables(world.results.experiment, world.root)
    with pytest.raises(UserError, match=rf"figures: made before {log} changed; run `glow figures` on"):
        write_report(world.results.experiment, world.root)


def test_tables_of_another_configuration_are_refused(world: World) -> None:
    report(world)
    other = load(world.document | {"contamination": {"threshold": 0.5}}, "test")
    with pytest.raises(UserError, match="tables: made with another configuration or version of glow"):
        write_report(other, world.root)


def test_tables_of_another_version_are_refused(world: World) -> None:
    report(world)
    world.results.tables_file.write_text('[{"name": "main"}]')
    with pytest.raises(UserError, match=r"tables\.json: not the tables of this version of glow"):
        write_report(world.results.experiment, world.root)


def test_the_page_shows_the_tables_that_were_written(world: World) -> None:
    report(world)
    text = world.results.tables_file.read_text()
    assert ">55.0 ± 63.5</td>" in world.results.report.read_text(encoding="utf-8")
    world.results.tables_file.write_text(text.replace("55.0 ± 63.5", "55.1 ± 63.5"))
    write_report(world.results.experiment, world.root)
    assert ">55.1 ± 63.5</td>" in world.results.report.read_text(encoding="utf-8")
