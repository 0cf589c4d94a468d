{#-
    Probability of recall after elapsed_days, .9 at one stability (FSRS-6). NULL unless the stability is positive.
    known: elapsed_days is not negative and the stability positive (or NULL), so neither is asked.
-#}
{%- macro retention(elapsed_days, stability_days, known=false) -%}
    {%- set probability = "pow(1e0 + {0} * {1} / ({2}), -{3})".format(
        retention_factor(), '(' ~ elapsed_days ~ ')' if known else at_least(elapsed_days), stability_days, fsrs_weight(20)) -%}
    {{ probability if known else "(case when (" ~ stability_days ~ ") > 0 then " ~ probability ~ " end)" }}
{%- endmacro -%}
