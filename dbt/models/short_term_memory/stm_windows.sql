{{
    config(
        unique_key = ['agent_id', 'window_start', 'memory_id'],
        incremental_strategy = 'merge'
    )
}}

-- depends_on: {{ ref('stg_memories') }}, {{ ref('memory_salience') }}, {{ ref('stg_events') }}, {{ source('raw', 'revisions') }}, {{ source('raw', 'access_log') }}

{%- set window_us = (var('short_term_memory_duration') * 1000000) | int %}
{%- set attention_us = (var('attention_window_s') * 1000000) | int %}
{%- set windows_attended = ((attention_us + window_us - 1) // window_us) | int %}

with clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

{%- if is_incremental() %}

changed as (

    {{ changed_memories() }}

),

changed_events as (

    {{ events('changed') }}

),

-- The windows that a changed memory was or is accessed in, or may be remembered in, from the change on.
reopened_starts as (

    select distinct
        events.agent_id,
        {{ grid_floor('epoch_us(events.occurred_at)', window_us) }} // {{ window_us }} + ahead.windows as window_no,
        ahead.windows = 0 as is_accessed
    from changed_events as events
    inner join changed
        on events.memory_id = changed.memory_id
    inner join clock
        on events.agent_id = clock.agent_id
    cross join (select unnest(range(0, {{ windows_attended + 1 }})) as windows) as ahead
    where
        events.occurred_at <= clock.as_of
        and events.occurred_at >= changed.changed_from

),

stored as (

    select
        agent_id,
        memory_id,
        window_start,
        epoch_us(window_start) // {{ window_us }} as window_no,
        is_accessed
    from {{ this }}
    where is_current

),

reopened as (

    select distinct
        agent_id,
        window_no
    from reopened_starts
    where is_accessed

    union

    select
        stored.agent_id,
        stored.window_no
    from stored
    inner join reopened_starts
        on
            stored.agent_id = reopened_starts.agent_id
            and stored.window_no = reopened_starts.window_no

    union

    select
        stored.agent_id,
        stored.window_no
    from stored
    inner join changed
        on stored.memory_id = changed.memory_id
    where stored.window_start + to_seconds({{ var('short_term_memory_duration') }}) > changed.changed_from

),

-- Whoever was accessed shortly enough before to be remembered in a reopened window.
considered as (

    select changed.memory_id
    from changed

    union

    select stored.memory_id
    from stored
    inner join (
        select distinct
            reopened.agent_id,
            reopened.window_no - behind.windows as window_no
        from reopened
        cross join (select unnest(range(0, {{ windows_attended + 1 }})) as windows) as behind
    ) as attended
        on
            stored.agent_id = attended.agent_id
            and stored.window_no = attended.window_no
    where stored.is_accessed

),

events as (

    {{ events('considered') }}

),

{%- else %}

events as (

    select * from {{ ref('stg_events') }}

),

{%- endif %}

agents as materialized (

    select
        agent_id,
        as_of,
        row_number() over () as agent_no
    from clock

),

-- Numbered in the order of ids, which decides between equally active memories. as_of stands beside the memory: joined to
-- the events as a table of its own, it would be matched by time first.
numbered as materialized (

    select
        repeats.memory_id,
        repeats.agent_id,
        row_number() over (order by repeats.memory_id) as memory_no,
        agents.agent_no,
        agents.as_of
    from {{ ref('memory_repeats') }} as repeats
    inner join agents
        on repeats.agent_id = agents.agent_id
    where
        repeats.repeat_of is null
        {%- if is_incremental() %}
        and repeats.memory_id in (select considered.memory_id from considered)
        {%- endif %}

),

accesses as (

    select
        numbered.agent_no,
        numbered.memory_no,
        epoch_us(events.occurred_at) as instant_us,
        {{ grid_floor('epoch_us(events.occurred_at)', window_us) }} // {{ window_us }} as window_no
    from events
    inner join numbered
        on events.memory_id = numbered.memory_id
    where events.occurred_at <= numbered.as_of

),

histories as (

    select
        *,
        row_number() over history as access_count,
        first_value(instant_us) over history as first_us,
        array_agg(instant_us) over (
            partition by memory_no order by instant_us rows between 9 preceding and current row
        ) as last_us
    from accesses
    window history as (partition by memory_no order by instant_us rows unbounded preceding)

),

-- One row per memory and window it was accessed in: its history as it stood when the window closed.
accessed as materialized (

    select
        agent_no,
        memory_no,
        window_no,
        count(*) as accesses,
        max(access_count) as access_count,
        min(first_us) as first_us,
        arg_max(last_us, access_count) as last_us,
        max(instant_us) as last_accessed_us
    from histories
    group by agent_no, memory_no, window_no

),

{%- if is_incremental() %}

windows as (

    select distinct
        agents.agent_no,
        reopened.window_no
    from reopened
    inner join agents
        on reopened.agent_id = agents.agent_id

),

{%- endif %}

-- The windows of an agent before each window that attention still reaches back to, the window itself included.
reached as (

    select
        agent_no,
        window_no,
        unnest(reached) as reached_no
    from (
        select
            agent_no,
            window_no,
            array_agg(window_no) over (
                partition by agent_no order by window_no
                range between {{ windows_attended }} preceding and current row
            ) as reached
        from (select distinct agent_no, window_no from accessed)
    )
    {%- if is_incremental() %}
    where (agent_no, window_no) in (select (windows.agent_no, windows.window_no) from windows)
    {%- endif %}

),

attended as (

    select
        reached.agent_no,
        reached.window_no,
        accessed.memory_no,
        max(accessed.window_no) as last_window_no
    from reached
    inner join accessed
        on
            reached.agent_no = accessed.agent_no
            and reached.reached_no = accessed.window_no
    where accessed.last_accessed_us >= (reached.window_no + 1) * {{ window_us }} - {{ attention_us }}
    group by reached.agent_no, reached.window_no, accessed.memory_no

),

activated as (

    select
        attended.agent_no,
        attended.window_no,
        attended.memory_no,
        attended.last_window_no = attended.window_no as is_accessed,
        case when attended.last_window_no = attended.window_no then accessed.accesses else 0 end as accesses,
        accessed.last_accessed_us,
        {{ base_level(
            'accessed.access_count',
            '(((attended.window_no + 1) * ' ~ window_us ~ ' - accessed.first_us) / 1e6)',
            'list_transform(accessed.last_us, lambda us: ((attended.window_no + 1) * ' ~ window_us ~ ' - us) / 1e6)'
        ) }} as activation
    from attended
    inner join accessed
        on
            attended.memory_no = accessed.memory_no
            and attended.last_window_no = accessed.window_no

),

recomputed as (

    select
        numbered.agent_id,
        make_timestamptz(ranked.window_no * {{ window_us }}) as window_start,
        make_timestamptz((ranked.window_no + 1) * {{ window_us }}) as window_end,
        numbered.memory_id,
        ranked.is_accessed,
        cast(ranked.accesses as integer) as accesses,
        make_timestamptz(ranked.last_accessed_us) as last_accessed_at,
        ranked.activation,
        ranked.is_in_working_memory,
        true as is_current
    from (
        select
            *,
            row_number() over (
                partition by agent_no, window_no order by activation desc, memory_no
            ) <= {{ working_memory_capacity() }} as is_in_working_memory
        from activated
    ) as ranked
    inner join numbered
        on ranked.memory_no = numbered.memory_no
    where
        ranked.is_accessed
        or ranked.is_in_working_memory

),

{%- if is_incremental() %}

-- A row that its reopened window no longer has stays, empty, so that readers see it go.
final as (

    select * from recomputed

    union all

    select
        old.agent_id,
        old.window_start,
        old.window_end,
        old.memory_id,
        false as is_accessed,
        0 as accesses,
        cast(null as timestamptz) as last_accessed_at,
        cast(null as double) as activation,
        false as is_in_working_memory,
        false as is_current
    from {{ this }} as old
    inner join reopened
        on
            old.agent_id = reopened.agent_id
            and old.window_start = make_timestamptz(reopened.window_no * {{ window_us }})
    left join recomputed
        on
            old.agent_id = recomputed.agent_id
            and old.window_start = recomputed.window_start
            and old.memory_id = recomputed.memory_id
    where
        old.is_current
        and recomputed.memory_id is null

)

{%- else %}

final as (

    select * from recomputed

)

{%- endif %}

select
    *,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from final
