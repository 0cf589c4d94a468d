{{
    config(
        unique_key = ['agent_id', 'window_start', 'memory_id'],
        incremental_strategy = 'merge'
    )
}}

-- depends_on: {{ ref('memory_repeats') }}

{%- set window_us = (var('short_term_memory_duration') * 1000000) | int %}
{%- set attention_us = (var('attention_window_s') * 1000000) | int %}
{%- set windows_attended = ((attention_us + window_us - 1) // window_us) | int %}

with clock as (

    select
        *,
        row_number() over () as agent_no
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

{%- if is_incremental() %}

changed as materialized (

    {{ taken_for_few(changed_memories()) }}

),

-- The windows that a changed memory was or is accessed in, or may be remembered in, from the change on.
reopened_starts as (

    select distinct
        accessed.agent_id,
        {{ window_no(event_instant_us('accessed.code')) }} + ahead.windows as window_no,
        ahead.windows = 0 as is_accessed
    from (
        select
            histories.agent_id,
            unnest(list_filter(
                {{ events_until('histories.events', 'epoch_us(clock.as_of)') }},
                lambda code: {{ event_instant_us('code') }} >= epoch_us(changed.changed_from)
            )) as code
        from {{ ref('memory_histories') }} as histories
        inner join changed
            on histories.memory_id = changed.memory_id
        inner join clock
            on histories.agent_id = clock.agent_id
        -- all of them were just written, at the end of the table
        where histories.sequence > {{ least_sequence() }}
    ) as accessed
    cross join (select unnest(range(0, {{ windows_attended + 1 }})) as windows) as ahead

),

-- No earlier window can be reopened, nor attention reach a reopened one from an earlier one. Taken out of all windows once:
-- there are so many that no join may begin with them.
stored as materialized (

    select
        agent_id,
        memory_id,
        window_start,
        epoch_us(window_start) // {{ window_us }} as window_no,
        is_accessed
    from {{ this }}
    where
        is_current
        and window_start >= (
            select min(changed.changed_from) - to_microseconds({{ (windows_attended + 2) * window_us }})
            from changed
        )

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
{%- set considered %}
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
{% endset %}

considered as (

    {{ taken_for_few(considered) }}

),

{%- endif %}

histories as (

    select
        histories.memory_id,
        histories.agent_id,
        clock.agent_no,
        {{ events_until('histories.events', 'epoch_us(clock.as_of)') }} as events
    from {{ ref('memory_histories') }} as histories
    inner join clock
        on histories.agent_id = clock.agent_id
    {%- if is_incremental() %}
    where histories.memory_id in (select considered.memory_id from considered)
    {%- endif %}

),

-- One row per memory and window it was accessed in: its history as it stood when the window closed.
accessed as not materialized (

    select
        agent_no,
        agent_id,
        memory_id,
        window_no,
        next_window_no,
        access_count,
        {{ event_instant_us('events[1]') }} as first_us,
        {{ event_instant_us('code') }} as last_accessed_us,
        list_transform(events[greatest(access_count - 9, 1):access_count], lambda code: {{ event_instant_us('code') }}) as last_us,
        case
            when access_count = 1 or {{ window_no(event_instant_us('events[access_count - 1]')) }} < window_no then 1
            else len(list_filter(events, lambda other: {{ window_no(event_instant_us('other')) }} = window_no))
        end as accesses
    from (
        select
            *,
            {{ window_no(event_instant_us('code')) }} as window_no,
            {{ window_no(event_instant_us('events[access_count + 1]')) }} as next_window_no
        from (
            select
                *,
                unnest(events) as code,
                generate_subscripts(events, 1) as access_count
            from histories
        )
    )
    where next_window_no is distinct from window_no

),

-- An agent's windows, and whether more may be attended in them than there is room for: more memories were accessed in them
-- and in those before that attention spans. Of a window's accesses the last tells, and the one by so many before it.
agent_windows as (

    select
        agent_no,
        window_no,
        {{ grid_number('window_no', windows_attended) }} as block,
        coalesce(no_room_since >= window_no - {{ windows_attended }}, false) as is_crowded
    from (
        select
            agent_no,
            window_no,
            lag(window_no, {{ working_memory_capacity() }}) over accesses as no_room_since,
            lead(window_no) over accesses as following_no
        from accessed
        window accesses as (partition by agent_no order by window_no)
    )
    where following_no is distinct from window_no

),

{%- if is_incremental() %}

windows as (

    select distinct
        clock.agent_no,
        reopened.window_no
    from reopened
    inner join clock
        on reopened.agent_id = clock.agent_id

),

{%- endif %}

-- A memory is attended in the windows after an access until it is accessed again, or attention has left it: these lie in
-- the block of the access or in the one after it, by which they are met.
attended as (

    select
        attended.agent_no,
        attended.agent_id,
        attended.memory_id,
        reached.window_no,
        reached.window_no = attended.window_no as is_accessed,
        case when reached.window_no = attended.window_no then attended.accesses else 0 end as accesses,
        attended.access_count,
        attended.first_us,
        attended.last_accessed_us,
        -- as ages_of, of known instants: clamped while they are whole numbers
        list_transform(
            attended.last_us, lambda us: greatest((reached.window_no + 1) * {{ window_us }} - us, 50000) / 1e6
        ) as ages_s,
        reached.is_crowded
    from (
        select
            *,
            unnest(case when last_block > first_block then [first_block, last_block] else [first_block] end) as block
        from (
            select
                *,
                {{ grid_number('window_no', windows_attended) }} as first_block,
                {{ grid_number('last_window_no', windows_attended) }} as last_block
            from (
                select
                    *,
                    least(next_window_no - 1, {{ window_no('last_accessed_us + ' ~ attention_us) }} - 1) as last_window_no
                from accessed
            )
        )
    ) as attended
    inner join agent_windows as reached
        on
            attended.agent_no = reached.agent_no
            and attended.block = reached.block
            and reached.window_no between attended.window_no and attended.last_window_no
    {%- if is_incremental() %}
    semi join windows
        on
            attended.agent_no = windows.agent_no
            and reached.window_no = windows.window_no
    {%- endif %}

),

activated as materialized (

    select
        * exclude (access_count, first_us, ages_s),
        {{ base_level_of(
            'access_count', '(((window_no + 1) * ' ~ window_us ~ ' - first_us) / 1e6)', 'ages_s') }} as activation
    from attended

),

-- Where all that is attended has room, nothing is ranked; those are most windows.
ranked as (

    select
        *,
        true as is_in_working_memory
    from activated
    where not is_crowded

    union all

    select
        *,
        row_number() over (
            partition by agent_no, window_no order by activation desc, memory_id
        ) <= {{ working_memory_capacity() }} as is_in_working_memory
    from activated
    where is_crowded

),

recomputed as (

    select
        agent_id,
        make_timestamptz(window_no * {{ window_us }}) as window_start,
        make_timestamptz((window_no + 1) * {{ window_us }}) as window_end,
        memory_id,
        is_accessed,
        cast(accesses as integer) as accesses,
        make_timestamptz(last_accessed_us) as last_accessed_at,
        activation,
        is_in_working_memory,
        true as is_current
    from ranked
    where
        is_accessed
        or is_in_working_memory

),

{%- if is_incremental() %}

-- A row that its reopened window no longer has stays, empty, so that readers see it go.
final as (

    select * from recomputed

    union all

    select
        old.agent_id,
        old.window_start,
        old.window_start + to_microseconds({{ window_us }}) as window_end,
        old.memory_id,
        false as is_accessed,
        0 as accesses,
        cast(null as timestamptz) as last_accessed_at,
        cast(null as double) as activation,
        false as is_in_working_memory,
        false as is_current
    from stored as old
    inner join reopened
        on
            old.agent_id = reopened.agent_id
            and old.window_no = reopened.window_no
    left join recomputed
        on
            old.agent_id = recomputed.agent_id
            and old.window_start = recomputed.window_start
            and old.memory_id = recomputed.memory_id
    where recomputed.memory_id is null

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
