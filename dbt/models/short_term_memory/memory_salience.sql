{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

{%- set all_memories %}
    select
        memories.*,
        clock.as_of
    from {{ ref('stg_memories') }} as memories
    inner join {{ ref('stg_clock') }} as clock
        on memories.agent_id = clock.agent_id
    where clock.stage = 'short_term_memory'
{% endset %}

with

{%- set changed %}
    select
        memories.memory_id,
        memories.agent_id,
        memories.session_id,
        memories.occurred_at,
        memories.importance,
        memories.content,
        {{ told_text('memories.content', "coalesce(memories.speaker, '')") }} as told,
        memories.is_live and memories.occurred_at <= memories.as_of as is_met
    from ({{ unread_memories() if is_incremental() else all_memories }}) as memories
{% endset %}

changed as{{ ' materialized' if is_incremental() }} (

    {{ taken_for_few(changed) if is_incremental() else changed }}

),

texts as (

    select
        memory_id,
        agent_id,
        session_id,
        occurred_at,
        importance,
        {{ telling_words('told') }} as words,
        {{ count_times('told') }} as times,
        {{ count_names('told') }} as names,
        {{ count_first_person('told') }} as first_person,
        coalesce({{ asks('left(content, 10000)') }}, false) as asks,
        {{ local_day('epoch_us(occurred_at)') }} as day
    from changed
    where is_met

),

word_uses as (

    select
        agent_id,
        unnest(words) as word,
        memory_id,
        occurred_at
    from texts

),

{%- if is_incremental() %}

stored as not materialized (

    select *
    from {{ this }}
    where is_current

),

-- What changed memories were before.
before as materialized (

    select stored.*
    from stored
    inner join changed
        on stored.memory_id = changed.memory_id

),

-- What stands as it did, as far as its own text goes.
kept as not materialized (

    select *
    from stored
    where memory_id not in (select changed.memory_id from changed)

),

-- Words whose first telling may be another now: those of the new texts, and those that changed memories were first with.
{%- set touched_words %}
    select
        agent_id,
        word
    from word_uses

    union

    select
        agent_id,
        unnest(first_words) as word
    from before
{% endset %}

touched_words as materialized (

    {{ taken_for_few(touched_words) }}

),

kept_firsts as materialized (

    select
        firsts.*
    from (
        select
            agent_id,
            unnest(first_words) as word,
            memory_id,
            occurred_at
        from kept
        where agent_id in (select touched_words.agent_id from touched_words)
    ) as firsts
    semi join touched_words
        on
            firsts.agent_id = touched_words.agent_id
            and firsts.word = touched_words.word

),

-- Whose first telling is gone is looked for in all that its agent still tells.
lost_words as (

    select
        agent_id,
        unnest(first_words) as word
    from before

),

kept_texts as (

    select
        kept.agent_id,
        kept.memory_id,
        kept.occurred_at,
        {{ telling_words(told_text('memories.content', "coalesce(memories.speaker, '')")) }} as words
    from kept
    inner join {{ ref('stg_memories') }} as memories
        on kept.memory_id = memories.memory_id
    where kept.agent_id in (select lost_words.agent_id from lost_words)

),

later_uses as (

    select uses.*
    from (
        select
            agent_id,
            unnest(words) as word,
            memory_id,
            occurred_at
        from kept_texts
    ) as uses
    semi join lost_words
        on
            uses.agent_id = lost_words.agent_id
            and uses.word = lost_words.word

),

all_uses as (

    select * from word_uses
    union all
    select * from kept_firsts
    union all
    select * from later_uses

),

{%- else %}

all_uses as (

    select * from word_uses

),

{%- endif %}

-- Of each word, the memory that was first to tell it.
winners as (

    select
        agent_id,
        word,
        arg_min(memory_id, (occurred_at, memory_id)) as memory_id
    from all_uses
    group by agent_id, word

),

{%- if is_incremental() %}

reopened_sessions as (

    select
        agent_id,
        session_id
    from changed

    union

    select
        agent_id,
        session_id
    from before

),

{%- set concerned %}
    select memory_id from winners

    union

    select memory_id from kept_firsts

    union

    select stored.memory_id
    from stored
    inner join reopened_sessions
        on
            stored.agent_id = reopened_sessions.agent_id
            and stored.session_id = reopened_sessions.session_id
{% endset %}

concerned as materialized (

    {{ taken_for_few(concerned) }}

),

-- All of a session that changed, and what has won or lost a word.
told as (

    select
        * exclude (words),
        len(words) as told_words,
        cast(null as ubigint[]) as stored_firsts,
        cast(null as boolean) as was_answer,
        cast(null as integer) as had_neighbours
    from texts

    union all

    select
        memory_id,
        agent_id,
        session_id,
        occurred_at,
        importance,
        times,
        names,
        first_person,
        asks,
        {{ local_day('epoch_us(occurred_at)') }} as day,
        told_words,
        first_words,
        is_answer,
        neighbours
    from kept
    where memory_id in (select concerned.memory_id from concerned)

),

firsts as (

    select
        agent_id,
        memory_id,
        list_sort(list(word)) as words
    from (
        select * from winners

        union all

        select untouched.*
        from (
            select
                agent_id,
                unnest(stored_firsts) as word,
                memory_id
            from told
        ) as untouched
        anti join touched_words
            on
                untouched.agent_id = touched_words.agent_id
                and untouched.word = touched_words.word
    )
    group by agent_id, memory_id

),

answers as (

    select
        *,
        case
            when (agent_id, session_id) in (select (agent_id, session_id) from reopened_sessions) or was_answer is null
                then session_id is not null and coalesce(lag(asks) over session_order, false)
            else was_answer
        end as is_answer,
        case
            when (agent_id, session_id) in (select (agent_id, session_id) from reopened_sessions) or was_answer is null
                then {{ count_neighbours() }}
            else had_neighbours
        end as neighbours
    from told
    window session_order as (partition by agent_id, session_id order by occurred_at, memory_id)

),

{%- else %}

firsts as (

    select
        memory_id,
        list_sort(list(word)) as words
    from winners
    group by memory_id

),

answers as (

    select
        * exclude (words),
        len(words) as told_words,
        session_id is not null and coalesce(lag(asks) over session_order, false) as is_answer,
        {{ count_neighbours() }} as neighbours
    from texts
    window session_order as (partition by agent_id, session_id order by occurred_at, memory_id)

),

{%- endif %}

judged as (

    select
        answers.*,
        coalesce(firsts.words, []) as first_words,
        {{ salience(
            'answers.importance', 'len(firsts.words)', 'answers.told_words', 'answers.times', 'answers.names',
            'answers.first_person', 'answers.is_answer') }} as salience
    from answers
    left join firsts
        on answers.memory_id = firsts.memory_id

),

final as (

    select
        memory_id,
        agent_id,
        session_id,
        occurred_at,
        importance,
        first_words,
        len(first_words) as new_words,
        told_words,
        times,
        names,
        first_person,
        asks,
        is_answer,
        neighbours,
        salience,
        {{ salience_grade('salience') }} as grade,
        true as is_current
    from judged
    {%- if is_incremental() %}
    where
        stored_firsts is null
        or stored_firsts <> first_words
        or was_answer <> is_answer
        or had_neighbours <> neighbours

    union all

    -- Deleted, or not seen yet.
    select
        stored.memory_id,
        stored.agent_id,
        stored.session_id,
        stored.occurred_at,
        stored.importance,
        stored.first_words,
        stored.new_words,
        stored.told_words,
        stored.times,
        stored.names,
        stored.first_person,
        stored.asks,
        stored.is_answer,
        stored.neighbours,
        stored.salience,
        stored.grade,
        false as is_current
    from before as stored
    inner join changed
        on stored.memory_id = changed.memory_id
    where not changed.is_met
    {%- endif %}

)

select
    memory_id,
    agent_id,
    session_id,
    occurred_at,
    importance,
    first_words,
    cast(new_words as integer) as new_words,
    cast(told_words as integer) as told_words,
    cast(times as integer) as times,
    cast(names as integer) as names,
    cast(first_person as integer) as first_person,
    asks,
    is_answer,
    cast(neighbours as integer) as neighbours,
    salience,
    grade,
    is_current,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from final
