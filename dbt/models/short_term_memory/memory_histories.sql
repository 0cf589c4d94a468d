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
    select
        memory_id,
        any_value(agent_id) as agent_id,
        bool_and(is_only_used) as is_only_used
    from (
        select memory_id, agent_id, is_only_used from ({{ changed_memories() }})
        union all by name
        select memory_id, false as is_only_used from ({{ changed_saliences() }})
    )
    group by memory_id
{% endset %}

changed as materialized (

    {{ taken_for_few(changed) }}

),

-- What befell since those to whom nothing else happened; memory_repeats has just written them, at the end of its table.
{%- set used %}
    select
        repeats.memory_id,
        repeats.agent_id,
        repeats.root_id,
        repeats.occurred_at,
        clock.batch_from
    from {{ ref('memory_repeats') }} as repeats
    inner join {{ ref('stg_clock') }} as clock
        on repeats.agent_id = clock.agent_id
    where
        clock.stage = 'short_term_memory'
        and clock.is_in_run
        and repeats.sequence > {{ least_sequence() }}
        and repeats.sequence > clock.completed_sequence
        and repeats.is_live
        and repeats.is_seen
        and {{ is_only_used('repeats') }}
{% endset %}

used as materialized (

    {{ taken_for_few(used) }}

),

later_events as (

    {{ later_events('select * from used', are_new=true) }}

),

later as (

    {{ event_lists('later_events') }}

),

{%- set stored %}
    select
        stored.memory_id,
        changed.agent_id,
        stored.grade,
        stored.arousal,
        stored.events
    from {{ this }} as stored
    inner join changed
        on stored.memory_id = changed.memory_id
    where changed.is_only_used
{% endset %}

stored as (

    {{ taken_for_few(stored) }}

),

-- Later events than all that is stored are put behind them. What a run that did not complete has taken up already is not later.
extended as materialized (

    select
        stored.* replace (list_concat(stored.events, coalesce(later.events, [])) as events)
    from stored
    left join later
        on stored.memory_id = later.memory_id
    where
        later.events is null
        or later.events[1] > stored.events[-1]

),

{%- set collected %}
    select changed.memory_id
    from changed
    anti join extended
        on changed.memory_id = extended.memory_id
{% endset %}

collected as materialized (

    {{ taken_for_few(collected) }}

),

{%- endif %}

events as (

    {{ events('collected' if is_incremental() else none) }}

),

histories as (

    {{ event_lists('events') }}

),

final as (

    select
        repeats.memory_id,
        repeats.agent_id,
        histories.grade,
        histories.arousal,
        coalesce(histories.events, []) as events
    from {{ ref('memory_repeats') }} as repeats
    left join histories
        on repeats.memory_id = histories.memory_id
    {%- if is_incremental() %}
    where repeats.memory_id in (select collected.memory_id from collected)

    union all

    select * from extended
    {%- endif %}

)

select
    *,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from final
