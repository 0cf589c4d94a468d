{#- Activation of a memory that would be recalled with probability `retention` without any cue, plus what cues spread to it. -#}
{%- macro accessibility(retention, spread) -%}
    {%- set held = clamp(retention, '1e-9', '(1e0 - 1e-9)') -%}
    ({{ parameter('recall_threshold') }}
    + {{ parameter('activation_noise') }} * ln({{ held }} / (1e0 - {{ held }})) + coalesce({{ spread }}, 0e0))
{%- endmacro -%}
