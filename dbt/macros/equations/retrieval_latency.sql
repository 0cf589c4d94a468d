{#- Seconds until a memory of this activation is recalled: I + F * exp(-A) (Anderson 1974). -#}
{%- macro retrieval_latency(activation) -%}
    ({{ parameter('latency_intercept_s') }}
    + {{ parameter('latency_factor_s') }} * exp({{ clamp('-(' ~ activation ~ ')', '-700e0', '700e0') }}))
{%- endmacro -%}
