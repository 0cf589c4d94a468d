{#- Priority of a replay, in [0, 2]: what is fading and needed goes first, the emotional before the rest. -#}
{%- macro replay_priority(retention, need, arousal) -%}
    ((1e0 - {{ clamp(retention) }}) * {{ clamp(need) }} * (1e0 + coalesce({{ clamp(arousal) }}, 0e0)))
{%- endmacro -%}
