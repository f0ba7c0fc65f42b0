import { describe, expect, it } from 'vitest'
import { judgeCredential, judgeGrant, judgeSession, type World } from '../../src/core/judge.ts'
import { NEW_LOCKABLE, type Person, raised } from '../../src/core/model.ts'
import { agentValue, credential, entry, grant, NOW, session, toolValue, world } from './world.ts'

const lock = { id: 'lck_1', until: null }
const base = world()
const nobodyLocked = new Map<string, Person>()

const deadWorlds: [string, Partial<World>, string][] = [
  ['the store was never initialised', { installation: null }, 'not_initialized'],
  ['everything is locked', { installation: { ...base.installation!, locks: [lock] } }, 'agent_locked'],
  ['the agent is unknown', { agent: null, identity: null }, 'unknown_agent'],
  ['the agent left the manifests', { identity: null }, 'unknown_agent'],
  ['the agent is locked', { agent: { ...base.agent!, locks: [lock] } }, 'agent_locked'],
  [
    'the agent is being decommissioned',
    { agent: { ...base.agent!, state: 'decommissioning' } },
    'agent_decommissioned',
  ],
  ['the agent is decommissioned', { agent: { ...base.agent!, state: 'decommissioned' } }, 'agent_decommissioned'],
  [
    'the manifest says decommissioned',
    { identity: { ...agentValue, state: 'decommissioned' } },
    'agent_decommissioned',
  ],
]
const deadOnTool: [string, Partial<World>, string][] = [
  ['the tool is gone', { toolValue: null }, 'unknown_tool'],
  ['the tool is locked', { tool: { ...base.tool!, locks: [lock] } }, 'tool_locked'],
  ['the review is overdue', { identity: { ...agentValue, reviewBy: '2026-11-23' } }, 'review_overdue'],
]

describe('judgeSession', () => {
  it('an open session of a known key lives', () => expect(judgeSession(base, session())).toBeNull())

  it.each(deadWorlds)('is refused when %s (S11, S12)', (_, over, code) => {
    expect(judgeSession(world(over), session())?.code).toBe(code)
  })

  it.each([
    ['it was revoked', session({ state: 'revoked' }), 'session_revoked'],
    ['its key left the manifest', session({ key: 'old' }), 'session_revoked'],
    ['it expired', session({ expiresAt: NOW }), 'unauthenticated'],
  ])('is refused when %s (S11)', (_, dead, code) => expect(judgeSession(base, dead)?.code).toBe(code))

  it('dies for good when its agent or everything was locked, also after the lock was lifted (S12)', () => {
    expect(judgeSession(world({ agent: raised(base.agent!, NOW, false) }), session())?.code).toBe('session_revoked')
    expect(judgeSession(world({ installation: raised(base.installation!, NOW, false) }), session())?.code).toBe(
      'session_revoked',
    )
  })
})

describe('judgeGrant', () => {
  it('a covered grant lives to the end of what was approved', () => {
    expect(judgeGrant(base, grant(), nobodyLocked)).toMatchObject({
      ok: true,
      value: {
        endsAt: Math.min(grant().createdAt + 28_800_000, grant().expiresAt),
      },
    })
  })

  it.each([...deadWorlds, ...deadOnTool])('is refused when %s', (_, over, code) => {
    expect(judgeGrant(world(over), grant(), nobodyLocked)).toMatchObject({ ok: false, error: { code } })
  })

  it.each([
    ['it was revoked', grant({ state: 'revoked' })],
    ['it was superseded', grant({ state: 'superseded' })],
    ['no scope of it is left', grant({ scopes: ['ticket:close'] })],
    ['it reaches further than the details in force', grant({ details: {} })],
    ['it was given with less approval than is asked now', grant({ approval: 'none', approvers: [] })],
    ['its delivery is wider than what is in force', grant({ delivery: 'inline' })],
  ])('is refused when %s (S9)', (_, dead) => {
    expect(judgeGrant(base, dead, nobodyLocked)).toMatchObject({ ok: false, error: { code: 'grant_revoked' } })
  })

  it('is dead when it was born before a decommission or --revoke-grants, and not by a mere lock that was lifted (S12)', () => {
    expect(judgeGrant(world({ agent: raised(base.agent!, NOW, true) }), grant(), nobodyLocked).ok).toBe(false)
    expect(judgeGrant(world({ tool: raised(base.tool!, NOW, true) }), grant(), nobodyLocked).ok).toBe(false)
    expect(judgeGrant(world({ installation: raised(base.installation!, NOW, true) }), grant(), nobodyLocked).ok).toBe(
      false,
    )
    expect(judgeGrant(world({ agent: raised(base.agent!, NOW, false) }), grant(), nobodyLocked).ok).toBe(true)
  })

  it('is suspended while the person who approved it is locked (S12)', () => {
    const locked = new Map([['lead@example.com', { ...NEW_LOCKABLE, id: 'lead@example.com', locks: [lock] }]])
    expect(judgeGrant(base, grant(), locked)).toMatchObject({ ok: false, error: { code: 'approval_required' } })
  })

  it('two entitlements that only together cover it do not keep it alive (S9)', () => {
    const split = [entry({ scopes: ['ticket:read'] }), entry({ scopes: ['ticket:comment'] })]
    expect(judgeGrant(world({}, split), grant({ scopes: ['ticket:comment', 'ticket:read'] }), nobodyLocked).ok).toBe(
      false,
    )
  })

  it('ends sooner when grantFor is shortened or a review comes first (S11)', () => {
    const shorter = judgeGrant(world({}, [entry({ grantForSeconds: 600 })]), grant(), nobodyLocked)
    expect(shorter).toMatchObject({ ok: true, value: { endsAt: grant().createdAt + 600_000 } })
    const reviewed = judgeGrant(
      world({ identity: { ...agentValue, reviewBy: '2026-11-24' } }),
      grant({ expiresAt: NOW + 1e9, createdAt: NOW }),
      nobodyLocked,
    )
    expect(reviewed).toMatchObject({ ok: true, value: { endsAt: NOW + 28_800_000 } })
    expect(
      judgeGrant(
        world({ identity: { ...agentValue, reviewBy: '2026-11-24' }, now: NOW + 43_200_000 }),
        grant({ expiresAt: NOW + 1e9 }),
        nobodyLocked,
      ),
    ).toMatchObject({ ok: false, error: { code: 'review_overdue' } })
  })

  it('a scope that its tool made stricter no longer stands on a weaker approval (S8)', () => {
    const strict = {
      ...toolValue,
      scopes: {
        ...toolValue.scopes,
        'ticket:read': { ...toolValue.scopes['ticket:read']!, approval: 'owner' as const },
      },
    }
    const open = world({ toolValue: strict }, [entry({ approval: 'none' })])
    expect(judgeGrant(open, grant({ approval: 'none', approvers: [] }), nobodyLocked).ok).toBe(false)
  })

  it('an entry that uses a details key its tool no longer declares grants nothing (S1)', () => {
    expect(judgeGrant(world({ toolValue: { ...toolValue, details: {} } }), grant(), nobodyLocked).ok).toBe(false)
  })
})

describe('judgeCredential', () => {
  const judge = (over: Partial<World> = {}, of = credential(), ses = session(), grt = grant(), people = nobodyLocked) =>
    judgeCredential(world(over), of, ses, grt, people)

  it('lives while everything above it does', () =>
    expect(judge()).toMatchObject({ ok: true, value: { endsAt: NOW + 290_000 } }))

  it.each([...deadWorlds, ...deadOnTool])('is refused when %s', (_, over, code) => {
    expect(judge(over)).toMatchObject({ ok: false, error: { code } })
  })

  it('is refused with its session, its grant, itself revoked, or after its end (S11)', () => {
    expect(judge({}, credential(), session({ state: 'revoked' })).ok).toBe(false)
    expect(judge({}, credential(), session(), grant({ state: 'revoked' })).ok).toBe(false)
    expect(judge({}, credential({ state: 'revoked' })).ok).toBe(false)
    expect(judge({}, credential({ expiresAt: NOW })).ok).toBe(false)
    expect(judge({}, credential({ resource: 'https://old.example.com' })).ok).toBe(false)
  })

  it('dies for good by a lock on its agent, tool, everything or approver, also once that is lifted (S12)', () => {
    expect(
      judge({ agent: raised(base.agent!, NOW, false) }, credential(), session({ born: { agent: 2, installation: 1 } }))
        .ok,
    ).toBe(false)
    expect(judge({ tool: raised(base.tool!, NOW, false) }).ok).toBe(false)
    expect(
      judge(
        { installation: raised(base.installation!, NOW, false) },
        credential(),
        session({ born: { agent: 1, installation: 2 } }),
      ).ok,
    ).toBe(false)
    const lifted = new Map([['lead@example.com', raised({ ...NEW_LOCKABLE, id: 'lead@example.com' }, NOW, false)]])
    expect(judge({}, credential(), session(), grant(), lifted).ok).toBe(false)
  })

  it('ends when the shortest of session, tokenTtl, maxTtl and grant does, also when that was shortened later (S11)', () => {
    const at = credential().issuedAt
    expect(judge({ access: { ...base.access!, entitlements: [entry({ tokenTtlSeconds: 60 })] } })).toMatchObject({
      ok: true,
      value: { endsAt: at + 60_000 },
    })
    expect(judge({ toolValue: { ...toolValue, token: { ...toolValue.token, maxTtlSeconds: 30 } } })).toMatchObject({
      ok: true,
      value: { endsAt: at + 30_000 },
    })
    expect(judge({}, credential(), session({ expiresAt: NOW + 5_000 }))).toMatchObject({
      ok: true,
      value: { endsAt: NOW + 5_000 },
    })
    expect(judge({}, credential(), session(), grant({ expiresAt: NOW + 7_000 }))).toMatchObject({
      ok: true,
      value: { endsAt: NOW + 7_000 },
    })
  })
})
