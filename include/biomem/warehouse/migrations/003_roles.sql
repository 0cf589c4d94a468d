-- Who may read whose memories. The roles themselves, their privileges and the policies on each table are the work of
-- biomem.warehouse.roles, which looks after every table there is, those of later migrations included.

create table memory.role_agents (
    role_name text not null check (role_name <> ''),
    agent_id text not null check (agent_id <> ''),
    primary key (role_name, agent_id)
);

comment on table memory.role_agents is 'Which agents'' memories a role and its members may read and log accesses to';
comment on column memory.role_agents.role_name is 'A role of this PostgreSQL server';
comment on column memory.role_agents.agent_id is 'An agent; * stands for all of them';

-- with the rights of whoever asks: a role finds its own rows in role_agents and nobody else's
create function memory.visible_agents() returns text[]
language sql stable parallel safe
as $$
    select coalesce(array_agg(distinct granted.agent_id), '{}')
    from memory.role_agents as granted
    join pg_catalog.pg_roles as roles on roles.rolname = granted.role_name
    where pg_catalog.pg_has_role(roles.oid, 'usage')
$$;

comment on function memory.visible_agents is 'The agents whose memories the current role may see; * among them: every agent''s';

alter table memory.role_agents enable row level security;

create policy own_roles on memory.role_agents for select
using (exists (
    select 1 from pg_catalog.pg_roles as roles
    where roles.rolname = role_name and pg_catalog.pg_has_role(roles.oid, 'usage')
));

-- who was given the table before agents were kept apart goes on seeing all of them, until it is revoked
insert into memory.role_agents (role_name, agent_id)
select distinct roles.rolname, '*'
from pg_catalog.pg_class as tables
cross join lateral pg_catalog.aclexplode(tables.relacl) as given
join pg_catalog.pg_roles as roles on roles.oid = given.grantee
where tables.oid = 'memory.memories'::regclass and given.privilege_type = 'SELECT' and given.grantee <> tables.relowner;
