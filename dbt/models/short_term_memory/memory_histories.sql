{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

-- depends_on: {{ ref('stg_clock') }}, {{ source('raw', 'revisions') }}, {{ source('raw', 'access_log') }}

with

{%- if is_incremental() %}

{%- set changed %}
    select memory_id
    from ({{ changed_memories() }})

    union

    -- first stabilities that a late memory has changed
    select salience.memory_id
    from {{ ref('memory_salience') }} as salience
    inner join {{ ref('stg_clock') }} as clock
        on salience.agent_id = clock.agent_id
    where
        clock.stage = 'short_term_memory'
        and clock.is_in_run
        and salience.sequence > clock.completed_sequence
        and salience.sequence > {{ least_sequence() }}
{% endset %}

changed as materialized (

    {{ taken_for_few(changed) }}

),

{%- endif %}

events as (

    {{ events('changed' if is_incremental() else none) }}

),

histories as (

    select
        memory_id,
        max(grade) filter (where kind = 'encode') as grade,
        max(arousal) filter (where kind = 'encode') as arousal,
        list_sort(list({{ event_code(
            'epoch_us(occurred_at)', kind_rank('kind'), "cast(case when kind = 'encode' then 1 else grade end as bigint)"
        ) }})) as events
    from events
    where occurred_at < timestamptz '10000-01-01 00:00:00+00'
    group by memory_id

)

select
    repeats.memory_id,
    repeats.agent_id,
    histories.grade,
    histories.arousal,
    coalesce(histories.events, []) as events,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from {{ ref('memory_repeats') }} as repeats
left join histories
    on repeats.memory_id = histories.memory_id
{%- if is_incremental() %}
where repeats.memory_id in (select changed.memory_id from changed)
{%- endif %}
