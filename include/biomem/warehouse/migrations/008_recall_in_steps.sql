-- Recall in fewer and cheaper steps; what it finds is what it found.
--
-- Words, vectors and what the question names are looked up by statements of their own, only where the question calls
-- for them: a plan's nodes cost their start even when they are not run. Texts are fetched by a list of numbers, in one
-- walk through the index, and not one by one.

-- extract() reckons in numeric, date_part() in double precision
create or replace function memory.retention(
    stability_days double precision,
    last_accessed_at timestamptz,
    at timestamptz,
    decay double precision default coalesce((memory.parameter('fsrs_weights') ->> 20)::double precision, 0.1542)
) returns double precision
language sql immutable parallel safe
as $$
    select power(
        1 + (power(0.9::double precision, -1 / decay) - 1)
            * greatest(date_part('epoch', at - last_accessed_at) / 86400, 0) / stability_days,
        -decay
    )
$$;

create or replace function memory.association_strength(
    trace double precision,
    last_coactive_at timestamptz,
    at timestamptz,
    decay_rate double precision default coalesce(memory.parameter('synaptic_decay_rate')::double precision, 0.001)
) returns double precision
language sql immutable parallel safe
as $$
    select 1 - exp(-trace * exp(-decay_rate * greatest(date_part('epoch', at - last_coactive_at) / 3600, 0)))
$$;

-- the guard that memory.named_period begins with, to be asked before its start is looked up
create function memory.names_a_time(question text) returns boolean
language sql immutable parallel safe
as $$
    select question ~* '[12]\d{3}|yesterday|today|\m(last|this)\M|\mago\M|(sun|mon|tues|wednes|thurs|fri|satur)day|uary|march|april|\mmay\M|june|july|august|ember|october'
$$;

comment on function memory.names_a_time is 'Whether it is worth asking memory.named_period what time a question names';


create or replace function memory.recall(
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
    texts integer;
    mean_length double precision;
    asked_words text[];
    named text[];
    names text[];
    terms text[];
    period tstzmultirange;
    decay double precision;
    association_decay double precision;
    ceiling double precision;
    noise double precision;
    -- an association lends nothing from so many on
    crowd integer;
    serving text;
    signs bit varying;
    -- the texts that match, and how: element by element
    matching integer[];
    by_words double precision[];
    by_meaning double precision[];
    by_either double precision[];
    -- texts that are weighed though they do not match
    others integer[];
    recalled text[] := '{}';
begin
    if way not in ('cued', 'all', 'none') then
        raise exception 'forgotten must be cued, all or none, got %', quote_literal(left(way, 50))
            using errcode = 'invalid_parameter_value';
    end if;
    if not isfinite(at) then
        raise exception 'as_of must be an instant, got %', at using errcode = 'invalid_parameter_value';
    end if;
    if coalesce(k, 0) < 1 or coalesce(question, '') = '' then
        return;
    end if;
    question := left(question, 20000);
    asked_words := tsvector_to_array(to_tsvector('pg_catalog.simple', question));
    select agents.documents, agents.total_length::double precision / agents.documents, speaking.named, speaking.names,
        parameters.decay, parameters.association_decay, parameters.ceiling, parameters.noise
    into texts, mean_length, named, names, decay, association_decay, ceiling, noise
    from memory.recall_agents as agents
    cross join (
        select array_agg(speakers.speaker) as named, array_agg(one.lexeme) filter (where one.lexeme is not null) as names
        from memory.recall_speakers as speakers left join lateral unnest(speakers.lexemes) as one (lexeme) on true
        where speakers.agent_id = asker and speakers.cue = any (asked_words)
    ) as speaking
    cross join (
        select coalesce(max((p.value ->> 20)::double precision) filter (where p.name = 'fsrs_weights'), 0.1542) as decay,
            coalesce(max(p.value::double precision) filter (where p.name = 'synaptic_decay_rate'), 0.001)
                as association_decay,
            coalesce(max(p.value::double precision) filter (where p.name = 'association_ceiling'), 1.45) as ceiling,
            coalesce(max(p.value::double precision) filter (where p.name = 'activation_noise'), 0.5) as noise
        from memory.parameters as p
        where p.name in ('fsrs_weights', 'synaptic_decay_rate', 'association_ceiling', 'activation_noise')
    ) as parameters
    where agents.agent_id = asker and agents.documents > 0;
    if not found then
        return;
    end if;
    crowd := ceil(exp(least(ceiling, 10)));
    -- a speaker who is named is a cue of its own; what is left of the question is looked for in the texts
    if octet_length(question) = length(question) then
        -- what memory.lexemes makes of such a text, without the frequencies
        terms := tsvector_to_array(to_tsvector('pg_catalog.english', question));
    else
        terms := array(select word.lexeme from memory.lexemes(question) as word);
    end if;
    if names is not null then
        terms := coalesce(nullif(array(select term from unnest(terms) as term where term <> all (names)), '{}'), terms);
    end if;
    if memory.names_a_time(question) then
        period := memory.named_period(question, at, (
            select d.occurred_at from memory.recall_documents as d
            where d.agent_id = asker order by d.occurred_at limit 1
        ));
    end if;
    with postings as (
        select p.lexeme, p.block, p.documents, p.frequencies, p.lengths, cardinality(p.documents) as size,
            sum(cardinality(p.documents)) over (partition by p.lexeme)::double precision as frequency,
            row_number() over (partition by p.lexeme) = 1 as is_first
        from memory.recall_postings as p
        where p.agent_id = asker and p.lexeme = any (terms)
    ),
    ranked as materialized (
        select documents, frequencies, lengths, is_first,
            ln(1 + (texts - frequency + 0.5) / (frequency + 0.5)) as idf,
            -- rare words first; common ones only as far as there is time for them
            sum(size) over (order by frequency, lexeme, block desc) - size as read_before
        from postings
    ),
    asked as (
        -- a word that stands nowhere was asked for all the same
        select nullif(coalesce(sum(idf), 0) + (coalesce(cardinality(terms), 0) - count(*)) * ln(2 * texts + 2), 0)
            as information
        from ranked where is_first
    ),
    worded as (
        select one.document, sum(one.idf) as known,
            sum(one.idf * one.frequency / (one.frequency + k1 * (1 - b + b * one.length / mean_length))) as words
        from (
            select idf, unnest(documents) as document, unnest(frequencies) as frequency, unnest(lengths) as length
            from ranked
            where read_before < postings_read
        ) as one
        group by one.document
    )
    select array_agg(document), array_agg(words / information), array_agg(known / information)
    into matching, by_words, by_either
    from worded cross join asked;
    if query_embedding is not null then
        select models.model into serving from memory.embedding_models as models
        where models.is_serving and models.dimensions = cardinality(query_embedding);
    end if;
    if serving is not null then
        signs := memory.signature(query_embedding);
        with worded as materialized (
            select matching[i] as document, by_words[i] as words, by_either[i] as known
            from generate_series(1, cardinality(matching)) as i
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
        )
        select array_agg(document), array_agg(coalesce(worded.words, 0)),
            array_agg(coalesce(meaning_weight * likely.likeness, 0)), array_agg(greatest(worded.known, likely.likeness))
        into matching, by_words, by_meaning, by_either
        from worded full join likely using (document);
    end if;
    if period is not null then
        others := array(
            select d.document from memory.recall_documents as d
            where d.agent_id = asker and d.occurred_at >= lower(period) and d.occurred_at < upper(period)
                and d.occurred_at <@ period
            order by d.occurred_at desc
            limit weighed
        );
    end if;
    -- nothing else to go by
    if named is not null and coalesce(cardinality(matching), 0) < k then
        others := others || array(
            select d.document from memory.recall_documents as d
            where d.agent_id = asker and d.speaker = any (named)
            order by d.document desc
            limit weighed
        );
    end if;
    for recall.memory_id, recall.content, recall.occurred_at, recall.score, recall.parts in
    with matched as materialized (
        select matching[i] as document, by_words[i] as words, coalesce(by_meaning[i], 0) as meaning, by_either[i] as cue
        from generate_series(1, cardinality(matching)) as i
    ),
    best as materialized (
        select document, words + meaning as match from matched order by words + meaning desc, document limit hits
    ),
    strongest as materialized (
        select best.document, best.match, d.around, d.memory_id
        from best
        join (
            select document, around, memory_id from memory.recall_documents
            where agent_id = asker and document = any (array(select document from best))
            offset 0
        ) as d using (document)
    ),
    associated as (
        select s.match * memory.association_strength(pair.trace, pair.last_coactive_at, at, association_decay)
                * greatest(1 - ln(count(*) over (partition by s.document)) / ceiling, 0) as lent,
            pair.other_id
        from (select * from strongest order by match desc, document limit sources) as s
        cross join lateral (
            (select a.memory_b as other_id, a.trace, a.last_coactive_at
            from memory.associations as a
            where a.agent_id = asker and a.memory_a = s.memory_id and not a.is_pruned
            limit crowd)
            union all
            (select a.memory_a, a.trace, a.last_coactive_at
            from memory.associations as a
            where a.agent_id = asker and a.memory_b = s.memory_id and not a.is_pruned
            limit crowd)
        ) as pair
    ),
    lent as (
        select part.document, sum(part.around) as around,
            association_weight * least(sum(part.association), 1) as association
        from (
            select beside.document, beside.around, 0::double precision as association
            from (
                select unnest(s.around) as document, s.match * unnest(around_weights) as around from strongest as s
            ) as beside
            where beside.document is not null
            union all
            select d.document, 0, lent
            from associated join memory.recall_documents as d on d.memory_id = other_id and d.agent_id = asker
            where lent > 0
            union all
            select other, 0, 0 from unnest(others) as other
        ) as part
        group by part.document
    ),
    gathered as materialized (
        select document, coalesce(matched.words, 0) as words, coalesce(matched.meaning, 0) as meaning, matched.cue,
            coalesce(lent.around, 0) as around, coalesce(lent.association, 0) as association
        from matched full join lent using (document)
        order by coalesce(matched.words, 0) + coalesce(matched.meaning, 0) + coalesce(lent.around, 0)
            + coalesce(lent.association, 0) desc, document desc
        limit weighed
    ),
    weighed_up as materialized (
        select m.memory_id, m.content, m.occurred_at, g.words, g.meaning, g.around, g.association, g.cue,
            case when d.speaker = any (named) then who_weight else 0 end as who,
            case when d.occurred_at <@ period then when_weight else 0 end as timely,
            case when d.is_question then 0 else statement_weight end as statement,
            case first.state when 'forgotten' then 'forgotten' else m.state end as state,
            coalesce(memory.retention(coalesce(first.stability_days, m.stability_days),
                coalesce(first.last_accessed_at, m.last_accessed_at), at, decay), 0) as retention
        from gathered as g
        join (
            select document, memory_id, speaker, occurred_at, is_question from memory.recall_documents
            where agent_id = asker and document = any (array(select document from gathered))
            offset 0
        ) as d using (document)
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
