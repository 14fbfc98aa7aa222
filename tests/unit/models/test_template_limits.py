"""A chat template that loops, or takes all memory, is refused in a line."""

import signal
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from glow.config import Prompt
from glow.errors import UserError
from glow.models import template_limits
from glow.models.load import load_tokenizer
from glow.models.templates import render

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
GROWS = "{% set x = namespace(t='aaaaaaaa') %}{% for a in range(40) %}{% set x.t = x.t ~ x.t %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "said"), [(LOOPS, "does not end within 0.5 s"), (GROWS, "takes more than 1 GiB")]
)
def test_a_template_without_end_is_refused(
    tiny_model: Path, tmp_path: Path, template: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_limits, "CPU_SECONDS", 0.5 if template is LOOPS else 60)
    (tmp_path / "hostile.jinja").write_text(template)
    with pytest.raises(UserError, match=f"the chat template {said}.*; choose another") as refused:
        load_tokenizer(tiny_model, Prompt(chat_template=str(tmp_path / "hostile.jinja")))
    assert str(refused.value).startswith(f"{tiny_model}: ")


def test_one_that_loops_for_some_conversations_alone_ends_too(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_limits, "CPU_SECONDS", 0.5)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{% if messages[0].content == 'go' %}" + LOOPS + "{% endif %}done"
    before = signal.getsignal(signal.SIGPROF)
    assert render(tokenizer, [{"role": "user", "content": "stay"}]) == "done"
    with pytest.raises(UserError, match="does not end"):
        render(tokenizer, [{"role": "user", "content": "go"}])
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
