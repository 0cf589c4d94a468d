-- With which parameters a stage's models were built, and whether its present run builds them anew.
alter table raw.run_context add column is_whole boolean;
alter table raw.run_context add column built_params_hash varchar;

comment on column raw.run_context.is_whole is 'Whether the run builds every model of the stage anew, for all agents';
comment on column raw.run_context.built_params_hash is 'Parameters of the last completed run over all agents; null where none is known';
