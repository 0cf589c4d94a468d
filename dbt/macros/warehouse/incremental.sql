{#
    dbt-duckdb's own materialization of an incremental model, and a short way for the model that a window builds 2,880 times
    a day: where the stage's last run was published whole from the same project and parameters, the table stands with the
    columns of its contract, and neither has to be asked again (a third of what dbt takes for such a model). Only tasks
    take it, by BIOMEM_SHORT_WAY: they know that the project is the one that the run was begun with.
#}
{% materialization incremental, adapter='duckdb', supported_languages=['sql'] -%}
    {%- if not stands_as_built() -%}
        {{ return(dbt.materialization_incremental_duckdb()) }}
    {%- endif -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set columns = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do columns.append(api.Column.create(column.name, column.data_type)) -%}
    {%- endfor -%}
    {%- set changes = make_temp_relation(target) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- call statement('changes') -%}
        create temporary table {{ changes }} as (
            {{ compiled_code }}
        )
    {%- endcall -%}
    {%- set write = adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy')) -%}
    {%- call statement('main') -%}
        {{ write({
            'target_relation': target,
            'temp_relation': changes,
            'unique_key': config.get('unique_key'),
            'dest_columns': columns,
            'incremental_predicates': none,
        }) }}
    {%- endcall -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}


{# Whether the last published run of the model's stage built its table from the project and the parameters of this run. #}
{% macro stands_as_built() -%}
    {%- if not env_var('BIOMEM_SHORT_WAY', '') or not is_incremental() or load_relation(source('raw', 'stage_builds')) is none -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set found = run_query(
        "select count(*) from " ~ source('raw', 'run_context') ~ " join " ~ source('raw', 'stage_builds')
        ~ " using (stage, project_hash, params_hash) where list_contains(" ~ model.tags ~ ", stage)"
    ) -%}
    {{ return(found.rows[0][0] == 1) }}
{%- endmacro %}
