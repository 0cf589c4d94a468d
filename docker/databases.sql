-- airflow        owns Airflow's own database and sees no other
-- biomem_agent   what your agents log in as: owns the table of memories, reads what the pipeline made of them
-- biomem_reader  the pipeline's eyes: SELECT on the source tables
-- biomem_writer  the pipeline's hand: owns schema memory, nothing else
-- memory_reader, memory_access_writer   what biomem_agent may do in schema memory: read, log accesses

-- the server's log must not quote a password, not even when a statement fails
set log_statement = 'none';
set log_min_error_statement = 'panic';
set log_min_duration_statement = -1;

select format('create role %I login', name)
from unnest(array['airflow', 'biomem_agent', 'biomem_reader', 'biomem_writer']) as wanted (name)
where not exists (select from pg_roles where rolname = name) \gexec

select format('create role %I nologin', name)
from unnest(array['memory_reader', 'memory_access_writer']) as wanted (name)
where not exists (select from pg_roles where rolname = name) \gexec
grant memory_reader, memory_access_writer to biomem_agent;

\set airflow_password `cat /run/secrets/airflow_db_password`
\set agent_password `cat /run/secrets/agent_password`
\set source_password `cat /run/secrets/source_password`
\set target_password `cat /run/secrets/target_password`
alter role airflow password :'airflow_password';
alter role biomem_agent password :'agent_password';
alter role biomem_reader password :'source_password';
alter role biomem_writer password :'target_password';

select 'create database airflow owner airflow'
where not exists (select from pg_database where datname = 'airflow') \gexec
select 'create database biomem'
where not exists (select from pg_database where datname = 'biomem') \gexec

revoke all on database airflow, biomem from public;
grant connect on database biomem to biomem_agent, biomem_reader, biomem_writer;
-- rows reach their table through a temporary one, here and in `biomem load`
grant temporary on database biomem to biomem_agent, biomem_writer;

\connect biomem
create extension if not exists vector;

revoke all on schema public from public;
grant usage, create on schema public to biomem_agent;
grant usage on schema public to biomem_reader, biomem_writer;
grant select on all tables in schema public to biomem_reader;
alter default privileges for role biomem_agent in schema public grant select on tables to biomem_reader;

create schema if not exists memory authorization biomem_writer;
grant usage on schema memory to biomem_agent;
grant select on all tables in schema memory to biomem_agent;
alter default privileges for role biomem_writer in schema memory grant select on tables to biomem_agent;
