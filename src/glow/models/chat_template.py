"""The chat template of the tokenizers that are made here, and its special tokens.

It is Qwen's ChatML without a default system message: every turn ends with <|im_end|>, which is the end of
sequence; padding is <|endoftext|>. The generation markers produce no text; they tell trainers which
tokens are the model's. Downloaded models have their own template.
"""

PADDING, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

SPECIAL_TOKENS = (PADDING, TURN_START, TURN_END)
"""In the order of their ids, from 0."""

ROLES = ("system", "user", "assistant")

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{{- '\\n' -}}
{%- elif message['role'] in ['system', 'user'] -%}
{{- message['content'] + '<|im_end|>\\n' -}}
{%- else -%}
{{- raise_exception('unknown role ' + message['role']) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
