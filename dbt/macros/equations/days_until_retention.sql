{#-
    Days after an access until retention has fallen to a value in (0, 1]: the inverse of retention. NULL outside its domain.
    known: the arguments lie in it, or are NULL; a retention of 0 is never reached (infinity).
-#}
{%- macro days_until_retention(stability_days, retention, known=false) -%}
    {%- set days = "(({0}) / {1} * (pow(({2})::double, {3}) - 1e0))".format(
        stability_days, retention_factor(), retention, double_literal(-1 / var('fsrs_weights')[20])) -%}
    {%- set is_in_domain = "({0}) > 0 and ({1}) > 0 and ({1}) <= 1".format(stability_days, retention) -%}
    {{ days if known else "(case when " ~ is_in_domain ~ " then " ~ days ~ " end)" }}
{%- endmacro -%}
