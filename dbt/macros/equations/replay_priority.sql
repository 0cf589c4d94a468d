{#-
    Priority of a replay, in [0, 2]: what is fading and needed goes first, the emotional before the rest.
    known: all three lie in [0, 1] (arousal may be NULL) and need not be held there.
-#}
{%- macro replay_priority(retention, need, arousal, known=false) -%}
    {%- if known -%}
    ((1e0 - {{ retention }}) * {{ need }} * (1e0 + coalesce({{ arousal }}, 0e0)))
    {%- else -%}
    {{ replay_priority(clamp(retention), clamp(need), clamp(arousal), known=true) }}
    {%- endif -%}
{%- endmacro -%}
