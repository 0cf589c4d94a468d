-- What each stage's last published run was built from, so that a later one leaves out what would come out the same.
alter table raw.run_context add column project_hash varchar;
alter table raw.run_context add column is_tested boolean;

create table raw.stage_builds (
    stage varchar not null primary key,
    run_id varchar not null,
    project_hash varchar not null,
    params_hash varchar not null,
    tested_as_of timestamptz
);

comment on table raw.stage_builds is 'The last run of each stage that was published, and what it was built from';
comment on column raw.stage_builds.project_hash is 'Hash of the dbt project and the version of schema raw';
comment on column raw.stage_builds.tested_as_of is 'as_of of the last run whose data tests passed; null before there was one';
comment on column raw.run_context.project_hash is 'Hash of the dbt project that the run is built from; null for a run outside the published rhythm';
comment on column raw.run_context.is_tested is 'Whether the run includes the data tests';
