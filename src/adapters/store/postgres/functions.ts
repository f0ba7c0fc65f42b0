// What the database does by itself, in PL/pgSQL: a whole group in one round trip, settling what is in doubt, and the
// tree. Each function first locks the one head row; what follows are fresh statements, which see what was committed
// before the lock was had (READ COMMITTED). Members fail by data: no statement here can fail for one member's sake.

/**
 * Members of a group share no row that one of them writes (the queue sees to that), so versions and single-use values
 * are judged for all of them at once; only the clock and the indexes are counted one by one.
 * Gives `{"differs": size}` where the log is not the caller's, else `size` and one outcome a member: its
 * first index, `[first, last]` of its earlier commit (nulls: settled as never), or `{why, keys}` by position.
 */
export const COMMIT = `
create function hallpass_commit(
  p_channel text, p_known bigint, p_tail bytea, p_now bigint, p_skew bigint, p_group jsonb, p_bytes bytea, p_leaves bytea
) returns text language plpgsql volatile as $body$
declare
  v_asked timestamptz := clock_timestamp();
  v_now bigint := p_now;
  v_size bigint;
  v_time bigint;
  v_before bigint;
  v_known jsonb;
  v_stale jsonb;
  v_used jsonb;
  v_firsts bigint[] := '{}';
  v_times bigint[] := '{}';
  v_outcomes jsonb[] := '{}';
  v_n text;
  m record;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a commit needs the isolation level read committed';
  end if;
  select size, time into v_size, v_time from head where id = 1 for update skip locked;
  if not found then
    select size, time into strict v_size, v_time from head where id = 1 for update;
    v_now := p_now + ceil(extract(epoch from clock_timestamp() - v_asked) * 1000);
  end if;
  v_before := v_size;
  if v_size < p_known or (p_known > 0 and p_tail is distinct from (select leaf from record where idx = p_known - 1)) then
    return jsonb_build_object('differs', v_size)::text;
  end if;

  select coalesce(jsonb_object_agg(x.n, jsonb_build_array(o.first, o.last)), '{}') into v_known
    from jsonb_to_recordset(p_group->'members') as x(n int, id text) join commit_outcome o on o.id = x.id;
  select coalesce(jsonb_object_agg(s.n, s.keys), '{}') into v_stale from (
    select e.n, jsonb_agg(e.i order by e.i) as keys
      from jsonb_to_recordset(p_group->'expect') as e(n int, i int, kind text, id text, version bigint)
      left join entity r on r.kind = e.kind and r.id = e.id
      where coalesce(r.version, 0) <> e.version group by e.n) s;
  select coalesce(jsonb_object_agg(s.n, s.keys), '{}') into v_used from (
    select u.n, jsonb_agg(u.i order by u.i) as keys
      from jsonb_to_recordset(p_group->'once') as u(n int, i int, space text, value text, again boolean, at bigint)
      left join single_use o on o.space = u.space and o.value = u.value
      where u.again or o.until >= least(v_now, u.at) group by u.n) s;

  for m in
    select x.n, x.at, x.not_after, x.sets_time, x.count
      from jsonb_to_recordset(p_group->'members') as x(n int, at bigint, not_after bigint, sets_time boolean, count int)
      order by x.n
  loop
    v_n := m.n;
    v_firsts := v_firsts || null::bigint;
    if v_known ? v_n then
      v_outcomes := v_outcomes || (v_known->v_n);
    elsif not m.sets_time and m.at < v_time - p_skew then
      v_outcomes := v_outcomes || jsonb_build_object('why', 'clock', 'keys', '[]'::jsonb);
    elsif m.not_after is not null and greatest(v_now, v_time, m.at) > m.not_after then
      v_outcomes := v_outcomes || jsonb_build_object('why', 'late', 'keys', '[]'::jsonb);
    elsif v_stale ? v_n then
      v_outcomes := v_outcomes || jsonb_build_object('why', 'stale', 'keys', v_stale->v_n);
    elsif v_used ? v_n then
      v_outcomes := v_outcomes || jsonb_build_object('why', 'used', 'keys', v_used->v_n);
    else
      v_firsts[m.n + 1] := v_size;
      v_outcomes := v_outcomes || to_jsonb(v_size);
      v_size := v_size + m.count;
      v_time := case when m.sets_time then m.at else greatest(v_time, m.at) end;
    end if;
    v_times := v_times || v_time;
  end loop;

  if v_size > v_before then
    insert into record (idx, bytes, leaf, at, kind, agent, tool, owner, jti)
      select v_firsts[r.n + 1] + r.k, substring(p_bytes from r.start for r.length),
          substring(p_leaves from r.i * 32 + 1 for 32), r.at, r.kind, r.agent, r.tool, r.owner, r.jti
        from jsonb_to_recordset(p_group->'records') as r(n int, k int, i int, start int, length int, at bigint,
          kind text, agent text, tool text, owner text, jti text)
        where v_firsts[r.n + 1] is not null;
    insert into opened (idx, hash, opening, owner)
      select v_firsts[o.n + 1] + o.k, o.hash, o.opening, o.owner
        from jsonb_to_recordset(p_group->'opened') as o(n int, k int, hash text, opening text, owner text)
        where v_firsts[o.n + 1] is not null;
    insert into entity (kind, id, version, body, agent, tool, session, "grant", owner, revocation, state, hash, slice,
        revision, expires)
      select r.kind, r.id, v_firsts[r.n + 1] + r.count, r.body, r.agent, r.tool, r.session, r."grant", r.owner,
          r.revocation, r.state, r.hash, r.slice, r.revision, r.expires
        from jsonb_to_recordset(p_group->'put') as r(n int, count int, kind text, id text, body text, agent text,
          tool text, session text, "grant" text, owner text, revocation text, state text, hash text, slice text,
          revision text, expires double precision)
        where v_firsts[r.n + 1] is not null
      on conflict (kind, id) do update set version = excluded.version, body = excluded.body, agent = excluded.agent,
        tool = excluded.tool, session = excluded.session, "grant" = excluded."grant", owner = excluded.owner,
        revocation = excluded.revocation, state = excluded.state, hash = excluded.hash, slice = excluded.slice,
        revision = excluded.revision, expires = excluded.expires;
    insert into single_use (space, value, until)
      select u.space, u.value, u.until
        from jsonb_to_recordset(p_group->'once') as u(n int, space text, value text, until bigint)
        where v_firsts[u.n + 1] is not null
      on conflict (space, value) do update set until = excluded.until;
    insert into commit_outcome (id, first, last, at)
      select x.id, v_firsts[x.n + 1], v_firsts[x.n + 1] + x.count - 1, x.at
        from jsonb_to_recordset(p_group->'members') as x(n int, id text, count int, at bigint)
        where v_firsts[x.n + 1] is not null;
    insert into change (last, first, at, time, kinds, ids)
      select v_firsts[x.n + 1] + x.count - 1, v_firsts[x.n + 1], x.at, v_times[x.n + 1], x.kinds, x.ids
        from jsonb_to_recordset(p_group->'members') as x(n int, count int, at bigint, kinds text[], ids text[])
        where v_firsts[x.n + 1] is not null;
    update head set size = v_size, time = v_time where id = 1;
    perform pg_notify(p_channel, '');
  end if;
  return jsonb_build_object('size', v_size, 'outcomes', to_jsonb(v_outcomes))::text;
end $body$`

/**
 * Writes something and takes it away again; and of each commit in doubt fixes what became of it: what is not there by
 * now never will be, even where its statement still flies.
 */
export const SETTLE = `
create function hallpass_settle(p_ids text[], p_now bigint) returns void language plpgsql volatile as $body$
begin
  perform 1 from head where id = 1 for update;
  insert into commit_outcome (id, first, last, at)
    select id, null, null, p_now from unnest(p_ids) as given(id) on conflict (id) do nothing;
  insert into probe (filler) values (convert_to(repeat('x', 65536), 'UTF8'));
  delete from probe;
  update head set size = size where id = 1;
end $body$`

/**
 * Stores the subtrees of the next whole chunk of 256 leaves and those that it completes (RFC 9162 section 2.1); true
 * where there may be more. Any number of times, by any number of instances.
 */
export const INTEGRATE = `
create function hallpass_integrate(p_size bigint) returns boolean language plpgsql volatile as $body$
declare
  v_chunk bigint;
  v_level int := 1;
  v_index bigint;
begin
  select coalesce(max(idx) + 1, 0) into v_chunk from node where level = 8;
  if p_size < (v_chunk + 1) * 256 then
    return false;
  end if;
  insert into node (level, idx, hash)
    select 1, l.idx / 2, sha256('\\x01'::bytea || l.leaf || r.leaf)
      from record l join record r on r.idx = l.idx + 1
      where l.idx >= v_chunk * 256 and l.idx < (v_chunk + 1) * 256 and l.idx % 2 = 0
    on conflict do nothing;
  while v_level < 8 loop
    insert into node (level, idx, hash)
      select v_level + 1, l.idx / 2, sha256('\\x01'::bytea || l.hash || r.hash)
        from node l join node r on r.level = v_level and r.idx = l.idx + 1
        where l.level = v_level and l.idx >= (v_chunk * 256) >> v_level and l.idx < ((v_chunk + 1) * 256) >> v_level
          and l.idx % 2 = 0
      on conflict do nothing;
    v_level := v_level + 1;
  end loop;
  v_index := v_chunk;
  while v_index % 2 = 1 loop
    insert into node (level, idx, hash)
      select v_level + 1, l.idx / 2, sha256('\\x01'::bytea || l.hash || r.hash)
        from node l join node r on r.level = l.level and r.idx = l.idx + 1
        where l.level = v_level and l.idx = v_index - 1
      on conflict do nothing;
    v_index := v_index / 2;
    v_level := v_level + 1;
  end loop;
  return p_size >= (v_chunk + 2) * 256;
end $body$`
