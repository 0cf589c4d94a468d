-- How fresh is what each source gave.
create table memory.sources (
    source_name text primary key,
    complete_as_of timestamptz,
    watermark text not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null
);

comment on table memory.sources is 'Every table that is pulled; as_of of the last row in memory.runs less complete_as_of is how far it lags behind';
comment on column memory.sources.source_name is 'Its name in source.yml; schema.table without such a file';
comment on column memory.sources.complete_as_of is 'Instant of the last run whose pull of the source ended well; stands still while the source is down';
comment on column memory.sources.watermark is 'How far it was read, in the terms of its cursor';
comment on column memory.sources.run_id is 'Run that last changed the row';
comment on column memory.sources.params_hash is 'Hash of the parameters of that run';
comment on column memory.sources.as_of is 'Instant that that run computed';
