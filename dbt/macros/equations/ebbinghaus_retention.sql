{#- Share of relearning saved after elapsed_s, verbatim material (fitted to Ebbinghaus 1885). -#}
{%- macro ebbinghaus_retention(elapsed_s) -%}
    pow(
        1e0 + {{ parameter('ebbinghaus_scale_per_s') }} * {{ at_least(elapsed_s) }},
        -{{ parameter('ebbinghaus_exponent') }}
    )
{%- endmacro -%}
