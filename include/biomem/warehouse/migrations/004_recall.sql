-- Recall: an index over the texts that triggers keep as memory.memories changes, and the function that asks it.
--
-- Postings are rows with plain equality on (agent_id, lexeme), not a GIN index over tsvector: @@ is not leakproof, so
-- under row-level security it would not be used, and one agent's words would lie among everybody's.

create table memory.recall_agents (
    agent_id text primary key,
    documents integer not null,
    total_length bigint not null,
    last_document integer not null
);

comment on table memory.recall_agents is 'Recall index: how much text each agent has';
comment on column memory.recall_agents.agent_id is 'Whose texts';
comment on column memory.recall_agents.documents is 'Memories that have words';
comment on column memory.recall_agents.total_length is 'Words in all of them';
comment on column memory.recall_agents.last_document is 'Greatest number given to a text so far';

create table memory.recall_documents (
    agent_id text not null,
    document integer not null,
    memory_id text not null unique,
    session_id text,
    speaker text,
    occurred_at timestamptz not null,
    length integer not null,
    is_question boolean not null,
    lexemes text[] not null,
    around integer[] not null,
    primary key (agent_id, document)
);
create index recall_documents_by_session on memory.recall_documents (agent_id, session_id, occurred_at, memory_id);
create index recall_documents_by_time on memory.recall_documents (agent_id, occurred_at);

comment on table memory.recall_documents is 'Recall index: a text as it is indexed, numbered per agent; an edit makes a new one';
comment on column memory.recall_documents.agent_id is 'Whose text';
comment on column memory.recall_documents.document is 'Its number';
comment on column memory.recall_documents.memory_id is 'The memory it is the content of';
comment on column memory.recall_documents.session_id is 'As in memory.memories';
comment on column memory.recall_documents.speaker is 'As in memory.memories';
comment on column memory.recall_documents.occurred_at is 'As in memory.memories';
comment on column memory.recall_documents.length is 'How many words it has';
comment on column memory.recall_documents.is_question is 'Whether it ends with a question mark: it asks, and tells nothing';
comment on column memory.recall_documents.lexemes is 'Its words, each once';
comment on column memory.recall_documents.around is 'The texts two before, one before, one after and two after it in its session; null where there is none';

create table memory.recall_postings (
    agent_id text not null,
    lexeme text not null,
    block integer not null,
    documents integer[] not null,
    frequencies smallint[] not null,
    lengths integer[] not null,
    primary key (agent_id, lexeme, block)
);

comment on table memory.recall_postings is 'Recall index: in which texts a word stands. A block holds 1,024 document numbers; the sum of their cardinalities is the document frequency';
comment on column memory.recall_postings.agent_id is 'Whose texts';
comment on column memory.recall_postings.lexeme is 'The word';
comment on column memory.recall_postings.block is 'Document number divided by 1,024';
comment on column memory.recall_postings.documents is 'Numbers of the texts';
comment on column memory.recall_postings.frequencies is 'How often the word stands in each of them';
comment on column memory.recall_postings.lengths is 'Length of each of them';

create table memory.recall_speakers (
    agent_id text not null,
    speaker text not null,
    cue text not null,
    lexemes text[] not null,
    documents integer not null,
    primary key (agent_id, speaker)
);

comment on table memory.recall_speakers is 'Recall index: who speaks in an agent''s memories, to tell whom a question names';
comment on column memory.recall_speakers.agent_id is 'Whose memories';
comment on column memory.recall_speakers.speaker is 'As in memory.memories';
comment on column memory.recall_speakers.cue is 'The first word of the name, in lower case: by it a question names the speaker';
comment on column memory.recall_speakers.lexemes is 'The same as the texts have it: what need not be looked for in them';
comment on column memory.recall_speakers.documents is 'Texts spoken';


create function memory.lexemes(content text)
returns table (lexeme text, frequency integer)
language plpgsql immutable parallel safe
as $$
declare
    plain text := replace(left(content, 200000), '’', '''');
    unspaced constant text := '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+';
    picture constant text := '[\u2600-\u27bf\U0001f000-\U0001faff]';
begin
    if octet_length(plain) = length(plain) then
        return query
            select word.lexeme, cardinality(word.positions)
            from unnest(to_tsvector('pg_catalog.english', plain)) as word;
        return;
    end if;
    plain := lower(plain);
    return query
        with written as (
            select word.lexeme, cardinality(word.positions) as frequency
            -- what is neither letter nor digit separates words, whatever the server's locale makes of it
            from unnest(to_tsvector('pg_catalog.english',
                regexp_replace(regexp_replace(plain, unspaced, ' ', 'g'), '[^\w\u0001-\u007f]+', ' ', 'g'))) as word
        ),
        runs as (
            select run[1] as run from regexp_matches(plain, '(' || unspaced || ')', 'g') as run
        ),
        pieces as (
            select substr(run, place, 2) as piece
            from runs cross join generate_series(1, greatest(length(run) - 1, 1)) as place
            union all
            select picture_found[1] from regexp_matches(plain, '(' || picture || ')', 'g') as picture_found
        )
        select written.lexeme, written.frequency from written
        union all
        select piece, least(count(*), 256)::integer from pieces group by piece;
end
$$;

comment on function memory.lexemes is 'The words of a text as recall counts them: English stems, any other language''s words as they are, two by two characters where a script has no spaces, and emoji';


-- Upkeep. Whoever writes memory.memories writes the index in the same transaction.

create function memory.recall_arrange(agents text[], sessions text[], since timestamptz[]) returns void
language sql
as $$
    with changed as (
        select agent_id, session_id, min(since) as since
        from unnest(agents, sessions, since) as change (agent_id, session_id, since)
        where session_id is not null
        group by agent_id, session_id
    ),
    -- four before the first change: two may have new neighbours, and two more are the neighbours of those
    bounds as (
        select changed.agent_id, changed.session_id,
            coalesce(min(earlier.occurred_at), '-infinity') as since, count(earlier.occurred_at) < 4 as is_from_start
        from changed
        left join lateral (
            select documents.occurred_at from memory.recall_documents as documents
            where documents.agent_id = changed.agent_id and documents.session_id = changed.session_id
                and documents.occurred_at < changed.since
            order by documents.occurred_at desc, documents.memory_id desc
            limit 4
        ) as earlier on true
        group by changed.agent_id, changed.session_id
    ),
    placed as (
        select documents.agent_id, documents.document,
            array[lag(document, 2) over told, lag(document, 1) over told,
                lead(document, 1) over told, lead(document, 2) over told] as around,
            bounds.is_from_start or row_number() over told > 2 as is_known
        from bounds
        join memory.recall_documents as documents
            on documents.agent_id = bounds.agent_id and documents.session_id = bounds.session_id
            and documents.occurred_at >= bounds.since
        window told as (
            partition by documents.agent_id, documents.session_id order by documents.occurred_at, documents.memory_id
        )
    )
    update memory.recall_documents as documents
    set around = placed.around
    from placed
    where documents.agent_id = placed.agent_id and documents.document = placed.document
        and placed.is_known and documents.around is distinct from placed.around
$$;

comment on function memory.recall_arrange is 'Recall index: finds anew who stands beside whom in these sessions, from these instants on';

create function memory.recall_learn() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'UPDATE' then
        delete from memory.recall_documents as documents
        using old_rows, new_rows
        where documents.memory_id = old_rows.memory_id and new_rows.memory_id = old_rows.memory_id
            and (old_rows.agent_id, old_rows.session_id, old_rows.speaker, old_rows.occurred_at, old_rows.content)
                is distinct from
                (new_rows.agent_id, new_rows.session_id, new_rows.speaker, new_rows.occurred_at, new_rows.content);
    end if;
    with words as materialized (
        select new_rows.memory_id, new_rows.agent_id, word.lexeme, word.frequency
        from new_rows cross join lateral memory.lexemes(new_rows.content) as word
        where not exists (
            select from memory.recall_documents as known where known.memory_id = new_rows.memory_id
        )
    ),
    texts as (
        select memory_id, agent_id, sum(frequency) as length, array_agg(lexeme) as lexemes
        from words
        group by memory_id, agent_id
    ),
    counted as (
        insert into memory.recall_agents as agents (agent_id, documents, total_length, last_document)
        select agent_id, count(*), sum(length), count(*) from texts group by agent_id order by agent_id
        on conflict (agent_id) do update set
            documents = agents.documents + excluded.documents,
            total_length = agents.total_length + excluded.total_length,
            last_document = agents.last_document + excluded.last_document
        returning agent_id, last_document
    ),
    numbered as materialized (
        select texts.memory_id, texts.agent_id, texts.length::integer as length, texts.lexemes,
            new_rows.session_id, new_rows.speaker, new_rows.occurred_at,
            new_rows.content ~ '[?？]\W*$' as is_question,
            (counted.last_document + 1 - row_number() over (
                partition by texts.agent_id order by new_rows.occurred_at desc, texts.memory_id desc
            ))::integer as document
        from texts
        join new_rows on new_rows.memory_id = texts.memory_id
        join counted on counted.agent_id = texts.agent_id
    ),
    documents as (
        insert into memory.recall_documents
            (agent_id, document, memory_id, session_id, speaker, occurred_at, length, is_question, lexemes, around)
        select agent_id, document, memory_id, session_id, speaker, occurred_at, length, is_question, lexemes, '{}'
        from numbered
    ),
    speakers as (
        insert into memory.recall_speakers as known (agent_id, speaker, cue, lexemes, documents)
        select spoken.agent_id, spoken.speaker, spoken.cue,
            array(select word.lexeme from memory.lexemes(spoken.cue) as word), spoken.documents
        from (
            select agent_id, speaker, lower((regexp_match(speaker, '\w+'))[1]) as cue, count(*) as documents
            from numbered
            where speaker ~ '\w'
            group by agent_id, speaker
        ) as spoken
        order by spoken.agent_id, spoken.speaker
        on conflict (agent_id, speaker) do update set documents = known.documents + excluded.documents
    )
    insert into memory.recall_postings as postings (agent_id, lexeme, block, documents, frequencies, lengths)
    select words.agent_id, words.lexeme, numbered.document / 1024,
        array_agg(numbered.document order by numbered.document),
        array_agg(words.frequency::smallint order by numbered.document),
        array_agg(numbered.length order by numbered.document)
    from words
    join numbered on numbered.memory_id = words.memory_id
    group by 1, 2, 3
    order by 1, 2, 3
    on conflict (agent_id, lexeme, block) do update set
        documents = postings.documents || excluded.documents,
        frequencies = postings.frequencies || excluded.frequencies,
        lengths = postings.lengths || excluded.lengths;
    return null;
end
$$;

comment on function memory.recall_learn is 'Recall index: takes in new texts, and edited ones anew';

create function memory.recall_arrange_new() returns trigger
language plpgsql
as $$
begin
    perform memory.recall_arrange(array_agg(agent_id), array_agg(session_id), array_agg(occurred_at)) from new_rows;
    return null;
end
$$;

comment on function memory.recall_arrange_new is 'Recall index: puts new texts into their places in their sessions';

create function memory.recall_forget() returns trigger
language plpgsql
as $$
begin
    update memory.recall_agents as agents
    set documents = agents.documents - gone.documents, total_length = agents.total_length - gone.length
    from (select agent_id, count(*) as documents, sum(length) as length from old_rows group by agent_id) as gone
    where agents.agent_id = gone.agent_id;
    update memory.recall_speakers as speakers
    set documents = speakers.documents - gone.documents
    from (select agent_id, speaker, count(*) as documents from old_rows group by agent_id, speaker) as gone
    where (speakers.agent_id, speakers.speaker) = (gone.agent_id, gone.speaker);
    delete from memory.recall_speakers where documents = 0;
    with gone as materialized (
        select agent_id, word as lexeme, document / 1024 as block, array_agg(document) as documents
        from old_rows cross join unnest(lexemes) as word
        group by 1, 2, 3
    ),
    emptied as (
        delete from memory.recall_postings as postings using gone
        where (postings.agent_id, postings.lexeme, postings.block) = (gone.agent_id, gone.lexeme, gone.block)
            and postings.documents <@ gone.documents
    )
    update memory.recall_postings as postings
    set (documents, frequencies, lengths) = (
        select array_agg(one.document), array_agg(one.frequency), array_agg(one.length)
        from unnest(postings.documents, postings.frequencies, postings.lengths)
            as one (document, frequency, length)
        where one.document <> all (gone.documents)
    )
    from gone
    where (postings.agent_id, postings.lexeme, postings.block) = (gone.agent_id, gone.lexeme, gone.block)
        and not postings.documents <@ gone.documents;
    perform memory.recall_arrange(array_agg(agent_id), array_agg(session_id), array_agg(occurred_at)) from old_rows;
    return null;
end
$$;

comment on function memory.recall_forget is 'Recall index: takes out texts that are gone';

create function memory.recall_forget_memories() returns trigger
language plpgsql
as $$
begin
    delete from memory.recall_documents as documents using old_rows where documents.memory_id = old_rows.memory_id;
    return null;
end
$$;

comment on function memory.recall_forget_memories is 'Recall index: follows the deletion of memories';

create function memory.recall_forget_all() returns trigger
language plpgsql
as $$
begin
    truncate memory.recall_agents, memory.recall_documents, memory.recall_postings, memory.recall_speakers,
        memory.recall_vectors;
    return null;
end
$$;

comment on function memory.recall_forget_all is 'Recall index: follows a truncation';

create trigger recall_index_insert after insert on memory.memories
referencing new table as new_rows for each statement execute function memory.recall_learn();
create trigger recall_index_update after update on memory.memories
referencing old table as old_rows new table as new_rows for each statement execute function memory.recall_learn();
create trigger recall_index_delete after delete on memory.memories
referencing old table as old_rows for each statement execute function memory.recall_forget_memories();
create trigger recall_index_truncate after truncate on memory.memories
for each statement execute function memory.recall_forget_all();
create trigger recall_arrange_insert after insert on memory.recall_documents
referencing new table as new_rows for each statement execute function memory.recall_arrange_new();
create trigger recall_forget_delete after delete on memory.recall_documents
referencing old table as old_rows for each statement execute function memory.recall_forget();


-- Vectors, one model at a time in service. Any model may be filled beside it; a switch is one update.

create table memory.embedding_models (
    model text primary key,
    dimensions integer not null check (dimensions between 1 and 16000),
    is_serving boolean not null default false
);
create unique index embedding_models_serving on memory.embedding_models (is_serving) where is_serving;

comment on table memory.embedding_models is 'Models that texts were embedded with';
comment on column memory.embedding_models.model is 'Name of the model, and what was done with the text before';
comment on column memory.embedding_models.dimensions is 'Length of its vectors';
comment on column memory.embedding_models.is_serving is 'Whether recall compares a question with the vectors of this model';

create function memory.signature(embedding real[]) returns bit varying
language sql immutable parallel safe
as $$
    select string_agg(case when value > 0 then '1' else '0' end, '' order by place)::bit varying
    from unnest(embedding) with ordinality as one (value, place)
$$;

comment on function memory.signature is 'The signs of a vector: vectors that point the same way differ in few of them';

create table memory.recall_vectors (
    agent_id text not null,
    model text not null,
    document integer not null,
    signature bit varying generated always as (memory.signature(embedding)) stored,
    embedding real[] not null,
    primary key (agent_id, model, document),
    foreign key (agent_id, document) references memory.recall_documents on delete cascade
);

comment on table memory.recall_vectors is 'Recall index: the texts'' vectors, of length 1';
comment on column memory.recall_vectors.agent_id is 'Whose text';
comment on column memory.recall_vectors.model is 'Model that made the vector';
comment on column memory.recall_vectors.document is 'Number of the text';
comment on column memory.recall_vectors.signature is 'Its signs: what a question is compared with first';
comment on column memory.recall_vectors.embedding is 'The vector, of length 1';

create function memory.similarity(a real[], b real[]) returns double precision
language sql immutable parallel safe
as $$
    select coalesce(sum(x::double precision * y), 0) from unnest(a, b) as both_values (x, y)
$$;

comment on function memory.similarity is 'Cosine of two vectors of length 1. Plain arithmetic, or pgvector''s where that is installed';


create function memory.named_period(question text, as_of timestamptz, since timestamptz default null)
returns tstzmultirange
language plpgsql immutable parallel safe
as $$
declare
    asked text;
    months constant text := 'january|february|march|april|may|june|july|august|september|october|november|december';
    weekdays constant text := 'sunday|monday|tuesday|wednesday|thursday|friday|saturday';
    today constant timestamptz := date_trunc('day', as_of, 'UTC');
    this_year constant integer := extract(year from as_of at time zone 'UTC');
    first_year constant integer := greatest(extract(year from coalesce(since, as_of) at time zone 'UTC'), this_year - 400);
    period tstzmultirange := '{}';
    found text[];
    at timestamptz;
    step interval;
begin
    if question !~* '[12]\d{3}|yesterday|today|\m(last|this)\M|\mago\M|(sun|mon|tues|wednes|thurs|fri|satur)day|uary|march|april|\mmay\M|june|july|august|ember|october' then
        return null;
    end if;
    -- "may" and "march" are months with a capital or beside a number
    asked := lower(regexp_replace(question, '(^\s*May|(?<!\d )\m(may|march))\M(?! \d)', '', 'g'));
    -- 6 November 2023; November 6th; June 2022; in June (of any year)
    for found in select regexp_matches(asked,
        '\m(?:(\d{1,2})(?:st|nd|rd|th)?(?: of)? )?(' || months || ')\M(?: (\d{1,2})(?:st|nd|rd|th)?\M)?(?:,? (?:of )?([12]\d{3})\M)?', 'g')
    loop
        for year in coalesce(found[4]::integer, first_year) .. coalesce(found[4]::integer, this_year) loop
            at := make_timestamptz(year, array_position(string_to_array(months, '|'), found[2]), 1, 0, 0, 0, 'UTC');
            if coalesce(found[1], found[3]) is null then
                period := period + tstzmultirange(tstzrange(at, at + interval '1 month'));
            else
                -- what happened on a day is told then or in the week after it
                at := at + (least(coalesce(found[1], found[3])::integer, 31) - 1) * interval '24 hours';
                period := period + tstzmultirange(tstzrange(at - interval '24 hours', at + 8 * interval '24 hours'));
            end if;
        end loop;
    end loop;
    if period = '{}' then
        for found in select regexp_matches(asked, '\m([12]\d{3})(?:-(0?[1-9]|1[0-2])(?:-(0?[1-9]|[12]\d|3[01]))?)?\M', 'g') loop
            at := make_timestamptz(found[1]::integer, coalesce(found[2], '1')::integer, 1, 0, 0, 0, 'UTC');
            period := period + tstzmultirange(case
                when found[2] is null then tstzrange(at, at + interval '1 year')
                when found[3] is null then tstzrange(at, at + interval '1 month')
                else tstzrange(at + (found[3]::integer - 2) * interval '24 hours', at + (found[3]::integer + 7) * interval '24 hours')
            end);
        end loop;
    end if;
    if asked ~ '\m(yesterday|today)\M' then
        at := today - case when asked ~ '\myesterday\M' then interval '24 hours' else interval '0' end;
        period := period + tstzmultirange(tstzrange(at, at + interval '24 hours'));
    end if;
    found := regexp_match(asked, '\m(last|this) (week|month|year)\M');
    if found is not null then
        step := ('1 ' || found[2])::interval;
        at := date_trunc(found[2], as_of, 'UTC') - case found[1] when 'last' then step else interval '0' end;
        period := period + tstzmultirange(tstzrange(at, at + step));
    end if;
    found := regexp_match(asked, '\m(\d{1,3}|an?|one|two|three|four|five|six) (day|week|month|year)s? ago\M');
    if found is not null then
        step := ('1 ' || found[2])::interval;
        at := as_of - step * coalesce(array_position(array['one', 'two', 'three', 'four', 'five', 'six'], found[1]),
            case when found[1] like 'a%' then 1 else found[1]::integer end);
        period := period + tstzmultirange(tstzrange(at - step / 2, at + step / 2));
    end if;
    found := regexp_match(asked, '\m(' || weekdays || ')\M');
    if found is not null and period = '{}' then
        at := today - (1 + (6 + extract(dow from today at time zone 'UTC')::integer
            - (array_position(string_to_array(weekdays, '|'), found[1]) - 1)) % 7) * interval '24 hours';
        period := period + tstzmultirange(tstzrange(at, at + interval '24 hours'));
    end if;
    return nullif(period, '{}');
end
$$;

comment on function memory.named_period is 'When a question asks about, in UTC: dates, months, years, and "yesterday", "last week", "two months ago", "on Monday" as seen from as_of. A month without a year is taken of every year from since on; null when it names no time';


create function memory.unnamed(question text, agent_id text) returns text
language sql stable parallel safe
as $$
    select coalesce(nullif(btrim(regexp_replace(unnamed.question,
        '\m(' || coalesce(string_agg(distinct speakers.cue, '|'), '$ ') || ')(''s|’s)?\M', '', 'gi')), ''),
        unnamed.question)
    from memory.recall_speakers as speakers where speakers.agent_id = unnamed.agent_id
$$;

comment on function memory.unnamed is 'A question without the names of the agent''s speakers: what to make its vector of. Who is named is a cue of its own, and the name would draw all that they said';


create function memory.recall(
    query text,
    agent_id text,
    k integer,
    query_embedding real[] default null,
    as_of timestamptz default null,
    forgotten text default 'cued',
    log boolean default true
) returns table (memory_id text, content text, occurred_at timestamptz, score double precision, parts jsonb)
language plpgsql
-- planned once a session, not at each of its first five questions
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    question alias for query;
    asker alias for agent_id;
    way alias for forgotten;
    -- what each part weighs; words weigh 1. See docs/recall.md
    k1 constant double precision := 1.2;
    b constant double precision := 0.75;
    meaning_weight constant double precision := 0.5;
    around_weights constant double precision[] := array[0.2, 0.25, 0.25, 0.2];
    who_weight constant double precision := 0.15;
    when_weight constant double precision := 0.2;
    statement_weight constant double precision := 0.05;
    association_weight constant double precision := 0.05;
    retention_weight constant double precision := 0.025;
    -- how far it looks: postings read; texts nearest by their signs, whose vectors are compared; texts that lend a part
    -- of their match to those beside them, and to those associated; texts that are weighed in full
    postings_read constant integer := 20000;
    compared constant integer := 100 + 5 * least(k, 10000);
    hits constant integer := 20 + least(k, 10000);
    sources constant integer := 5;
    -- more where what is found may be left out again
    weighed constant integer := (30 + 2 * least(k, 10000)) * case forgotten when 'none' then 4 else 1 end;
    at constant timestamptz := coalesce(as_of, now());
    agent memory.recall_agents;
    serving text;
    signs bit varying;
    terms text[];
    named text[];
    names text[];
    period tstzmultirange;
    decay double precision;
    association_decay double precision;
    ceiling double precision;
    noise double precision;
    recalled text[] := '{}';
begin
    if way not in ('cued', 'all', 'none') then
        raise exception 'forgotten must be cued, all or none, got %', quote_literal(left(way, 50))
            using errcode = 'invalid_parameter_value';
    end if;
    if not isfinite(at) then
        raise exception 'as_of must be an instant, got %', at using errcode = 'invalid_parameter_value';
    end if;
    select * into agent from memory.recall_agents as agents where agents.agent_id = asker;
    if not found or coalesce(k, 0) < 1 or coalesce(question, '') = '' then
        return;
    end if;
    question := left(question, 20000);
    -- a speaker who is named is a cue of its own; what is left of the question is looked for in the texts
    select array_agg(s.speaker), array_agg(s.lexeme) into named, names
    from (
        select speakers.speaker, unnest(speakers.lexemes) as lexeme
        from memory.recall_speakers as speakers
        where speakers.agent_id = asker
            and speakers.cue = any (tsvector_to_array(to_tsvector('pg_catalog.simple', question)))
    ) as s;
    select coalesce(array_agg(word.lexeme) filter (where word.lexeme <> all (names)), array_agg(word.lexeme))
    into terms
    from memory.lexemes(question) as word;
    period := memory.named_period(question, at, (
        select documents.occurred_at from memory.recall_documents as documents
        where documents.agent_id = asker order by documents.occurred_at limit 1
    ));
    if query_embedding is not null then
        select models.model into serving from memory.embedding_models as models
        where models.is_serving and models.dimensions = cardinality(query_embedding);
        signs := memory.signature(query_embedding);
    end if;
    select coalesce(max((p.value ->> 20)::double precision) filter (where p.name = 'fsrs_weights'), 0.1542),
        coalesce(max(p.value::double precision) filter (where p.name = 'synaptic_decay_rate'), 0.001),
        coalesce(max(p.value::double precision) filter (where p.name = 'association_ceiling'), 1.45),
        coalesce(max(p.value::double precision) filter (where p.name = 'activation_noise'), 0.5)
    into decay, association_decay, ceiling, noise
    from memory.parameters as p
    where p.name in ('fsrs_weights', 'synaptic_decay_rate', 'association_ceiling', 'activation_noise');
    for recall.memory_id, recall.content, recall.occurred_at, recall.score, recall.parts in
    with postings as (
        select p.lexeme, p.block, p.documents, p.frequencies, p.lengths, cardinality(p.documents) as size,
            sum(cardinality(p.documents)) over (partition by p.lexeme)::double precision as frequency,
            row_number() over (partition by p.lexeme) = 1 as is_first
        from unnest(terms) as term (lexeme)
        join memory.recall_postings as p on p.agent_id = asker and p.lexeme = term.lexeme
    ),
    ranked as materialized (
        select documents, frequencies, lengths, is_first,
            ln(1 + (agent.documents - frequency + 0.5) / (frequency + 0.5)) as idf,
            -- rare words first; common ones only as far as there is time for them
            sum(size) over (order by frequency, lexeme, block desc) - size as read_before
        from postings
    ),
    asked as (
        -- a word that stands nowhere was asked for all the same
        select nullif(coalesce(sum(idf), 0) + (coalesce(cardinality(terms), 0) - count(*)) * ln(2 * agent.documents + 2), 0)
            as information
        from ranked where is_first
    ),
    worded as materialized (
        select one.document, sum(ranked.idf) / (select information from asked) as known,
            sum(ranked.idf * one.frequency
                / (one.frequency + k1 * (1 - b + b * one.length * agent.documents / agent.total_length)))
                / (select information from asked) as words
        from ranked
        cross join lateral unnest(ranked.documents, ranked.frequencies, ranked.lengths)
            as one (document, frequency, length)
        where ranked.read_before < postings_read
        group by one.document
    ),
    likely as (
        select v.document, greatest(memory.similarity(v.embedding, query_embedding), 0) as likeness
        from (
            (select document from worded order by words desc, document limit hits)
            union
            (select near.document from memory.recall_vectors as near
            where near.agent_id = asker and near.model = serving
            order by bit_count(near.signature # signs), near.document
            limit compared)
        ) as candidate
        join memory.recall_vectors as v
            on v.agent_id = asker and v.model = serving and v.document = candidate.document
        where serving is not null
    ),
    matched as materialized (
        select document, coalesce(worded.words, 0) as words, coalesce(meaning_weight * likely.likeness, 0) as meaning,
            greatest(worded.known, likely.likeness) as cue
        from worded full join likely using (document)
    ),
    strongest as materialized (
        select best.document, best.match, d.around, d.memory_id
        from (
            select document, words + meaning as match from matched order by words + meaning desc, document limit hits
        ) as best
        join memory.recall_documents as d on d.agent_id = asker and d.document = best.document
    ),
    associated as (
        select s.match * memory.association_strength(pair.trace, pair.last_coactive_at, at, association_decay)
                * greatest(1 - ln(count(*) over (partition by s.document)) / ceiling, 0) as lent,
            pair.other_id
        from (select * from strongest order by match desc, document limit sources) as s
        cross join lateral (
            select a.memory_b as other_id, a.trace, a.last_coactive_at
            from memory.associations as a
            where a.agent_id = asker and a.memory_a = s.memory_id and not a.is_pruned
            union all
            select a.memory_a, a.trace, a.last_coactive_at
            from memory.associations as a
            where a.agent_id = asker and a.memory_b = s.memory_id and not a.is_pruned
        ) as pair
    ),
    gathered as (
        select part.document, sum(part.words) as words, sum(part.meaning) as meaning, max(part.cue) as cue,
            sum(part.around) as around, sum(part.association) as association
        from (
            select document, words, meaning, cue, 0::double precision as around, 0::double precision as association
            from matched
            union all
            select beside.document, 0, 0, null, s.match * around_weights[beside.place], 0
            from strongest as s cross join lateral unnest(s.around) with ordinality as beside (document, place)
            where beside.document is not null
            union all
            select d.document, 0, 0, null, 0, association_weight * least(sum(lent), 1)
            from associated join memory.recall_documents as d on d.memory_id = other_id and d.agent_id = asker
            group by d.document
            union all
            (select d.document, 0, 0, null, 0, 0 from memory.recall_documents as d
            where d.agent_id = asker and d.occurred_at >= lower(period) and d.occurred_at < upper(period)
                and d.occurred_at <@ period
            order by d.occurred_at desc
            limit weighed)
            union all
            -- nothing else to go by
            (select d.document, 0, 0, null, 0, 0 from memory.recall_documents as d
            where d.agent_id = asker and d.speaker = any (named)
            order by d.document desc
            limit case when (select count(*) from matched) < k then weighed else 0 end)
        ) as part
        group by part.document
        order by sum(part.words) + sum(part.meaning) + sum(part.around) + sum(part.association) desc, part.document desc
        limit weighed
    ),
    weighed_up as (
        select m.memory_id, m.content, m.occurred_at, g.words, g.meaning, g.around, g.association, g.cue,
            case when d.speaker = any (named) then who_weight else 0 end as who,
            case when d.occurred_at <@ period then when_weight else 0 end as timely,
            case when d.is_question then 0 else statement_weight end as statement,
            case first.state when 'forgotten' then 'forgotten' else m.state end as state,
            coalesce(memory.retention(coalesce(first.stability_days, m.stability_days),
                coalesce(first.last_accessed_at, m.last_accessed_at), at, decay), 0) as retention
        from gathered as g
        join memory.recall_documents as d on d.agent_id = asker and d.document = g.document
        join memory.memories as m on m.memory_id = d.memory_id and m.agent_id = asker
        left join memory.memories as first on first.memory_id = m.repeat_of and first.agent_id = asker
        where m.occurred_at <= at
    ),
    found as (
        select w.memory_id, w.content, w.occurred_at, w.state, w.words, w.meaning, w.around, w.association, w.who,
            w.timely, w.statement, retention_weight * w.retention as held,
            w.words + w.meaning + w.around + w.association + w.who + w.timely + w.statement
                + retention_weight * w.retention as score
        from weighed_up as w
        where w.state <> 'forgotten' or way = 'all' or (coalesce(way, 'cued') = 'cued' and
            -- even odds: activation s * logit(R) plus what the match lends; the whole question always suffices
            ceiling * greatest(coalesce(w.cue, 0), w.words + w.meaning + w.around + w.association)
                >= least(ceiling, noise * ln(greatest(1 - w.retention, 1e-9) / greatest(w.retention, 1e-9))))
        order by score desc, w.memory_id
        limit least(k, 10000)
    )
    select f.memory_id, f.content, f.occurred_at, f.score, jsonb_build_object(
        'words', f.words, 'meaning', f.meaning, 'around', f.around, 'who', f.who, 'when', f.timely,
        'statement', f.statement, 'association', f.association, 'retention', f.held, 'state', f.state)
    from found as f
    order by f.score desc, f.memory_id
    loop
        recalled := recalled || recall.memory_id;
        return next;
    end loop;
    -- a look back leaves no trace, nor does a reader who may not write, or a transaction that cannot
    if log and at >= now() and recalled <> '{}' and current_setting('transaction_read_only') = 'off'
        and has_column_privilege('memory.access_log', 'memory_id', 'insert')
    then
        insert into memory.access_log (memory_id, agent_id, accessed_at, origin)
        select id, asker, at, 'recall' from unnest(recalled) as id;
    end if;
end
$$;

comment on function memory.recall is 'The k memories of an agent that a question brings back, best first. The score is the sum of the numbers in parts: words (BM25, as a share of what the question could match), meaning (vectors), around (what lies beside them in its session), who and when the question names, statement (it tells something), association, retention. forgotten: cued finds a demoted memory when the cue outweighs what it has lost, all finds every one, none finds none; parts.state tells which they are. Unless log is false, what is recalled is written to access_log and strengthened by the next window; a past as_of writes nothing';

-- what was published before there was an index
update memory.memories set memory_id = memory_id;
