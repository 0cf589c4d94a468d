{#- Days after an access until retention has fallen to a value in (0, 1]: the inverse of retention. NULL outside its domain. -#}
{%- macro days_until_retention(stability_days, retention) -%}
    (case when ({{ stability_days }}) > 0 and ({{ retention }}) > 0 and ({{ retention }}) <= 1 then
        ({{ stability_days }}) / {{ retention_factor() }}
        * (pow(({{ retention }})::double, {{ double_literal(-1 / var('fsrs_weights')[20]) }}) - 1e0)
    end)
{%- endmacro -%}
