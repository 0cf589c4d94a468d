{#- How much an experience stands out, 0 to 1: its importance, else what its arousal adds to average. -#}
{%- macro salience(importance, arousal) -%}
    coalesce(
        {{ clamp(importance) }},
        {{ parameter('default_salience') }}
        + (1e0 - {{ parameter('default_salience') }}) * coalesce({{ clamp(arousal) }}, 0e0)
    )
{%- endmacro -%}
