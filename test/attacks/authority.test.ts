// Mallory may write the manifests' repository and approve nothing. Whatever she writes, in one revision or in several, and
// whoever she is signed in as, nobody has more than before until those in force said yes (S1–S5). The real parser reads it.

import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { setLock } from '../../src/actions/lock.ts'
import type { Context } from '../../src/actions/ports.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import { knownNames } from '../../src/actions/standing.ts'
import { newKeyPair } from '../../src/commands/new-key-pair.ts'
import type { Fault, ManifestSet } from '../../src/core/manifest.ts'
import { parseManifests } from '../../src/core/manifest-parse.ts'
import type { Widening } from '../../src/core/model.ts'
import type { SliceValue } from '../../src/core/slice.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { unwrap } from '../support/store-on-disk.ts'

type Files = Readonly<Record<string, string>>

const MALLORY = 'mallory@example.com'
const hers = newKeyPair()
const BASE: Files = {
  'keys/bot.pub.pem': newKeyPair().publicPem,
  'keys/mallory.pub.pem': hers.publicPem,
  'agents/bot.yaml': `apiVersion: hallpass/v1
kind: Agent
metadata: { name: bot }
spec:
  purpose: To be attacked
  owners: [alice@example.com, team/platform]
  identity: [{ publicKeyFile: ../keys/bot.pub.pem }]
  roles: [triage]
  access:
    - { tool: metrics, scopes: [metrics:read], approval: owner, grantFor: 1h, tokenTtl: 2m }
  reviewBy: "2027-01-01"
`,
  'roles/triage.yaml': `apiVersion: hallpass/v1
kind: Role
metadata: { name: triage }
spec:
  access:
    - { tool: tickets, scopes: [ticket:read], details: { queue: [incidents] } }
`,
  'teams/platform.yaml': `apiVersion: hallpass/v1
kind: Team
metadata: { name: platform }
spec: { members: [ana@example.com] }
`,
  'tools/tickets.yaml': `apiVersion: hallpass/v1
kind: Tool
metadata: { name: tickets }
spec:
  owners: [tina@example.com]
  category: ticketing
  resource: https://tickets.example.com
  scopes:
    ticket:read: { description: Read, risk: low }
    ticket:comment: { description: Comment, risk: medium }
    ticket:close: { description: Close, risk: high, approval: owner }
  details: { queue: { description: Queue, enforcedBy: tool } }
  token: { alg: ES256, maxTtl: 10m, verifiedBy: guard }
`,
  'tools/metrics.yaml': `apiVersion: hallpass/v1
kind: Tool
metadata: { name: metrics }
spec:
  owners: [mia@example.com]
  category: observability
  resource: https://metrics.example.com
  scopes:
    metrics:read: { description: Read, risk: low }
    metrics:admin: { description: Everything, risk: high }
  token: { alg: ES256, maxTtl: 5m, verifiedBy: asks }
`,
}

/** BASE with files replaced; null takes one away. */
const files = (edit: Readonly<Record<string, string | null>>, base: Files = BASE): Files =>
  Object.fromEntries(
    Object.entries({ ...base, ...edit }).flatMap(([path, text]) => (text === null ? [] : [[path, text]])),
  )
const swap = (path: string, ...pairs: readonly (readonly [string, string])[]) => ({
  [path]: pairs.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`${from} is not in ${path}`)
    return text.replace(from, to)
  }, BASE[path]!),
})
const BOT = 'agents/bot.yaml'
const TICKETS = 'tools/tickets.yaml'
const ROLE = 'roles/triage.yaml'
const TEAM = 'teams/platform.yaml'

let h: Harness
let attacks = 0
beforeEach(async () => {
  h = await createHarness()
  await h.start(await setFrom(BASE))
})
afterEach(() => h.close())
afterAll(() => console.log(`authority: ${attacks} attacks, none gained anything`))

const parsed = async (from: Files) =>
  parseManifests(new Map(Object.entries(from).map(([path, text]) => [path, Buffer.from(text)])), {
    issuerOrigin: 'https://hallpass.example.com',
    secretsFolder: '/etc/hallpass/secrets',
    known: await knownNames(h.deps),
  })
async function setFrom(from: Files): Promise<ManifestSet> {
  const read = await parsed(from)
  if (!read.ok) throw new Error(read.faults.map(({ message }) => message).join('\n'))
  return read.set
}
const push = async (from: Files) =>
  unwrap(await applyManifests(h.deps, as.watcher, { set: await setFrom(from), base: null }))
const waiting = async (): Promise<readonly Widening[]> =>
  (await h.deps.store.list({ kind: 'widening', where: { state: 'waiting' }, limit: 500 })).rows
const settle = (by: Context, id: string, decision: 'accept' | 'decline' = 'accept') =>
  settleRevision(h.deps, by, { id, decision, reason: null })

/** Everybody who is not in force for it, the agent itself and those who only take away among them. */
const nobodies = async (): Promise<readonly Context[]> => {
  const session = await h.session('bot', (await botKey()) ?? 'none').catch(() => null)
  const bot: Context[] =
    session === null ? [] : [{ caller: { role: 'agent', agent: 'bot', session: session.id }, requestId: 'req_bot' }]
  return [as.owner(MALLORY), as.owner('bot'), as.publisher, as.auditor, ...bot]
}
const botKey = async () => {
  const value = (await h.row('slice', 'agent/bot'))?.value
  return value?.of === 'agent' ? value.keys[0]?.kid : undefined
}

/** What somebody could do by what is in force, in words: more words, more power. */
async function powers(): Promise<ReadonlySet<string>> {
  const slices = await h.rows('slice')
  const values = new Map<string, SliceValue | null>(slices.map(({ id, value }) => [id, value]))
  const people = (owners: readonly string[]) =>
    owners.flatMap((owner) => {
      const team = values.get(owner)
      return team?.of === 'team' ? team.members : owner.startsWith('team/') ? [] : [owner]
    })
  const found: string[] = []
  for (const value of values.values()) {
    if (value === null) continue
    if (value.of === 'agent') {
      for (const person of people(value.owners)) found.push(`${person} decides for ${value.name}`)
      for (const { kid } of value.keys) found.push(`${kid} is ${value.name}`)
      if (value.state === 'active') found.push(`${value.name} acts`)
      found.push(`${value.name} goes on after ${value.reviewBy ?? 'all time'}`)
    } else if (value.of === 'tool') {
      for (const person of people(value.owners)) found.push(`${person} decides for tool ${value.name}`)
      const { alg, verifiedBy, leewaySeconds, maxTtlSeconds } = value.token
      found.push(`${value.name} is ${value.resource} ${alg} ${verifiedBy} ${leewaySeconds} ${maxTtlSeconds}`)
      for (const [scope, { risk, approval }] of Object.entries(value.scopes))
        found.push(`${value.name} has ${scope}`, `${scope} of ${value.name} is ${risk} and ${approval}`)
    } else if (value.of === 'access')
      for (const one of value.entitlements)
        for (const scope of one.scopes)
          found.push(
            `${value.agent} may ${scope} on ${value.tool} ${JSON.stringify([one.details, one.approval, one.delivery, one.grantForSeconds, one.tokenTtlSeconds])}`,
          )
  }
  return new Set(found)
}

/** Nobody in force said yes: nothing may be there that was not. */
async function expectNothingGained(before: ReadonlySet<string>) {
  for (const by of await nobodies())
    for (const widening of await waiting())
      for (const id of [widening.id, widening.revision])
        expect((await settle(by, id)).ok, `${by.caller.role} accepted ${widening.slice}`).toBe(false)
  expect([...(await powers())].filter((power) => !before.has(power))).toEqual([])
  const mallorys = (await h.rows('widening')).filter(({ needs }) =>
    needs.some(({ eligible }) => eligible.includes(MALLORY)),
  )
  expect(mallorys).toEqual([])
}

const newAgent = (name: string, more = '') => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Mine
  owners: [${MALLORY}]
  identity: [{ publicKeyFile: ../keys/mallory.pub.pem }]
${more}`
const newTool = (name: string, resource: string) =>
  BASE[TICKETS]!.replace('name: tickets', `name: ${name}`)
    .replace('tina@example.com', MALLORY)
    .replace('https://tickets.example.com', resource)
const owners = (to: string) => swap(BOT, ['[alice@example.com, team/platform]', to])
const member = swap(TEAM, ['[ana@example.com]', `[ana@example.com, ${MALLORY}]`])

/** Each is a list of revisions, one pushed after the other. */
const EDITS: Readonly<Record<string, readonly Files[]>> = {
  'herself among the owners of the agent': [files(owners(`[alice@example.com, team/platform, ${MALLORY}]`))],
  'herself as the only owner of the agent': [files(owners(`[${MALLORY}]`))],
  'the owner, spelt so that it looks the same': [files(owners('[a1ice@example.com]'))],
  'first nobody as far as possible, then herself': [files(owners('[bob@example.com]')), files(owners(`[${MALLORY}]`))],
  'herself into the team that owns the agent': [files(member)],
  'a team of her own among the owners': [
    files({
      ...owners('[alice@example.com, team/evil]'),
      'teams/evil.yaml': BASE[TEAM]!.replace('platform', 'evil').replace('ana@example.com', MALLORY),
    }),
  ],
  'a team of her own first, and then among the owners': [
    files({ 'teams/evil.yaml': BASE[TEAM]!.replace('platform', 'evil').replace('ana@example.com', MALLORY) }),
    files({
      ...owners('[alice@example.com, team/evil]'),
      'teams/evil.yaml': BASE[TEAM]!.replace('platform', 'evil').replace('ana@example.com', MALLORY),
    }),
  ],
  'the team unnamed, changed, and named again': [
    files(owners('[alice@example.com]')),
    files({ ...owners('[alice@example.com]'), ...member }),
    files(member),
  ],
  'the agent away, its team changed, the agent back as it was': [
    files({ [BOT]: null }),
    files({ [BOT]: null, ...member }),
    files(member),
  ],
  'the team away, and back with her in it': [files({ [TEAM]: null }), files(member)],
  'the agent and its team away, and back with her in it': [files({ [BOT]: null, [TEAM]: null }), files(member)],
  'her key beside the agent’s': [
    files(
      swap(BOT, [
        '[{ publicKeyFile: ../keys/bot.pub.pem }]',
        '[{ publicKeyFile: ../keys/bot.pub.pem }, { publicKeyFile: ../keys/mallory.pub.pem }]',
      ]),
    ),
  ],
  'her key in the agent’s key file, the manifest untouched': [files({ 'keys/bot.pub.pem': hers.publicPem })],
  'the agent away, and back with her key': [files({ [BOT]: null }), files({ 'keys/bot.pub.pem': hers.publicPem })],
  'one more scope': [files(swap(BOT, ['[metrics:read]', '[metrics:read, metrics:admin]']))],
  'one more scope through the role': [files(swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:close]']))],
  'another role on the agent': [
    files({
      ...swap(BOT, ['[triage]', '[triage, closer]']),
      'roles/closer.yaml': BASE[ROLE]!.replace('triage', 'closer').replace('ticket:read', 'ticket:close'),
    }),
  ],
  'the role away, and back with more': [
    files({ [ROLE]: null }),
    files(swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:close]'])),
  ],
  'the details away': [files(swap(ROLE, [', details: { queue: [incidents] }', '']))],
  'another queue': [files(swap(ROLE, ['[incidents]', '[incidents, payroll]']))],
  'no approval': [files(swap(BOT, ['approval: owner', 'approval: none']))],
  'the same access twice, the second without approval': [
    files(
      swap(BOT, [
        '  reviewBy',
        '    - { tool: metrics, scopes: [metrics:read], approval: none, grantFor: 1h, tokenTtl: 2m }\n  reviewBy',
      ]),
    ),
  ],
  'longer grants and tokens': [files(swap(BOT, ['grantFor: 1h, tokenTtl: 2m', 'grantFor: 24h, tokenTtl: 5m']))],
  'the token into the conversation': [files(swap(BOT, ['tokenTtl: 2m', 'tokenTtl: 2m, delivery: inline']))],
  'a later review': [files(swap(BOT, ['"2027-01-01"', '"2037-01-01"']))],
  'no review': [files(swap(BOT, ['  reviewBy: "2027-01-01"\n', '']))],
  'herself as the owner of the tool': [files(swap(TICKETS, ['tina@example.com', MALLORY]))],
  'the high risk called low, and the scope at once': [
    files({
      ...swap(TICKETS, ['risk: high, approval: owner', 'risk: low']),
      ...swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:close]']),
    }),
  ],
  'the tool at her address': [files(swap(TICKETS, ['https://tickets.example.com', 'https://tickets.mallory.example']))],
  'the tool away, and back at her address': [
    files({ [TICKETS]: null }),
    files(swap(TICKETS, ['https://tickets.example.com', 'https://tickets.mallory.example'])),
  ],
  'the tool that asks as one that never does': [
    files({
      'tools/metrics.yaml': BASE['tools/metrics.yaml']!.replace('verifiedBy: asks', 'verifiedBy: alone, leeway: 10m'),
    }),
  ],
  'a tool of her own with access to it': [
    files({
      'tools/loot.yaml': newTool('loot', 'https://loot.mallory.example'),
      ...swap(BOT, ['  reviewBy', '    - { tool: loot, scopes: [ticket:read], approval: none }\n  reviewBy']),
    }),
  ],
  'her tool with the address of one that goes': [
    files({
      [TICKETS]: null,
      [ROLE]: null,
      'tools/desk.yaml': newTool('desk', 'https://tickets.example.com'),
      ...swap(BOT, ['roles: [triage]', 'roles: []']),
    }),
  ],
  'an agent of her own': [
    files({
      'agents/spy.yaml': newAgent('spy', '  access: [{ tool: tickets, scopes: [ticket:read], approval: none }]\n'),
    }),
  ],
  'an agent of her own that asks for nothing, and then for something': [
    files({ 'agents/spy.yaml': newAgent('spy') }),
    files({
      'agents/spy.yaml': newAgent('spy', '  access: [{ tool: metrics, scopes: [metrics:admin], approval: none }]\n'),
    }),
  ],
  'an agent that owns itself': [
    files({
      'agents/spy.yaml': newAgent('spy', '  access: [{ tool: tickets, scopes: [ticket:read] }]\n').replace(
        MALLORY,
        'spy@example.com',
      ),
    }),
  ],
  'the agent renamed, with her as its owner': [
    files({
      [BOT]: null,
      'agents/bot-2.yaml': files(owners(`[${MALLORY}]`))[BOT]!.replace('name: bot ', 'name: bot-2 '),
    }),
  ],
  'the agent in another file, with her as its owner': [
    files({ [BOT]: null, 'elsewhere/b.yaml': files(owners(`[${MALLORY}]`))[BOT]! }),
  ],
  'the agent stopped, and started with her key': [
    files(swap(BOT, ['  reviewBy', '  state: decommissioned\n  reviewBy'])),
    files({ 'keys/bot.pub.pem': hers.publicPem }),
  ],
}

describe('a git writer who approves nothing gains nothing by', () => {
  test.each(Object.entries(EDITS))('%s (S1, S2)', async (_, revisions) => {
    const before = await powers()
    for (const revision of revisions) {
      await push(revision)
      attacks++
      await expectNothingGained(before)
    }
    // Nor by taking it all back and pushing it again, in the other order too.
    await push(BASE)
    for (const revision of [...revisions].reverse()) await push(revision)
    await expectNothingGained(before)
  })
})

test('an admin accepts tools and nothing that an agent gets by them (S1, S7)', async () => {
  const before = await powers()
  await push(
    files({
      ...owners(`[alice@example.com, ${MALLORY}]`),
      ...swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:close]']),
    }),
  )
  for (const { id } of await waiting())
    for (const by of [as.admin, as.operator])
      expect(await settle(by, id)).toMatchObject({ error: { code: 'forbidden' } })
  expect([...(await powers())].filter((power) => !before.has(power))).toEqual([])
})

test('who owns one tool and writes the repository becomes owner of an agent on another tool by no path (S2)', async () => {
  // tina owns tickets. She empties the agent's owners, so that tools' owners decide; metrics has its own.
  await push(files(owners('[tina@example.com]')))
  const [widening] = (await waiting()).filter(({ slice }) => slice === 'agent/bot')
  expect(widening!.needs.map(({ as: role, of }) => `${role} ${of}`).sort()).toEqual([
    'owner of tool metrics',
    'owner of tool tickets',
  ])
  await settle(as.owner('tina@example.com'), widening!.id)
  const value = (await h.row('slice', 'agent/bot'))?.value
  expect(value?.of === 'agent' ? value.owners : null).toEqual([])
})

test('an older and wider revision that was accepted once waits like a new one (S3)', async () => {
  const wide = files(swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:comment]']))
  const { revision } = await push(wide)
  unwrap(await settle(as.owner('alice@example.com'), revision.id))
  const accepted = await powers()
  await push(BASE)
  const narrow = await powers()
  expect(narrow.size).toBeLessThan(accepted.size)
  await push(wide)
  await expectNothingGained(narrow)
  expect((await settle(as.owner('alice@example.com'), revision.id)).ok).toBe(false)
})

test('a returned file waits once its ten minutes are over, and what died meanwhile stays dead (S3, S4)', async () => {
  const before = await powers()
  await push(files({ [BOT]: null }))
  h.disk.clock.advance(601)
  const gone = await powers()
  await push(BASE)
  await expectNothingGained(gone)
  expect(before.size).toBeGreaterThan(gone.size)
})

test('a yes is for what was shown: after the base moved it is refused, and what came instead waits (S3)', async () => {
  const alice = as.owner('alice@example.com')
  const { revision } = await push(files(swap(BOT, ['[metrics:read]', '[metrics:read, metrics:admin]'])))
  const shown = (await waiting()).find(({ slice }) => slice === 'access/bot/metrics')!
  await push(
    files(swap(BOT, ['[metrics:read]', '[metrics:read, metrics:admin]'], ['approval: owner', 'approval: none'])),
  )
  const before = await powers()
  expect((await settle(alice, shown.id)).ok).toBe(false)
  expect((await settle(alice, revision.id)).ok).toBe(false)
  expect(await powers()).toEqual(before)
})

test('half of two yeses does not count once its giver is no owner any more (S2)', async () => {
  const closing = swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:close]'])
  await push(files(closing))
  const { id } = (await waiting()).find(({ slice }) => slice === 'access/bot/tickets')!
  unwrap(await settle(as.owner('alice@example.com'), id))
  // She leaves; ana, of the team, is left and was never asked.
  await push(files({ ...closing, ...owners('[team/platform]') }))
  const before = await powers()
  await settle(as.owner('tina@example.com'), id)
  expect([...(await powers())].filter((power) => !before.has(power))).toEqual([])
  unwrap(await settle(as.owner('ana@example.com'), id))
  expect([...(await powers())].some((power) => power.includes('ticket:close on tickets'))).toBe(true)
})

test('half of two yeses does not count while its giver is locked (S12)', async () => {
  await push(files(swap(ROLE, ['[ticket:read]', '[ticket:read, ticket:close]'])))
  const { id } = (await waiting()).find(({ slice }) => slice === 'access/bot/tickets')!
  unwrap(await settle(as.owner('alice@example.com'), id))
  const lock = {
    kind: 'owner',
    name: 'alice@example.com',
    reason: 'phished',
    forSeconds: null,
    revokeGrants: false,
  } as const
  unwrap(await setLock(h.deps, as.admin, lock))
  const before = await powers()
  await settle(as.owner('tina@example.com'), id)
  expect([...(await powers())].filter((power) => !before.has(power))).toEqual([])
})

describe('where revisions are pushed', () => {
  test('two whose order is swapped: the later one is refused without the first, and the first after it (S3)', async () => {
    const pushing = { ...h.deps, settings: { ...h.deps.settings, scopesMode: 'push' as const } }
    const base = await setFrom(BASE)
    const first = await setFrom(files(swap(BOT, ['grantFor: 1h', 'grantFor: 30m'])))
    const second = await setFrom(files(swap(BOT, ['grantFor: 1h', 'grantFor: 10m'])))
    const apply = (set: ManifestSet, from: string | null) => applyManifests(pushing, as.publisher, { set, base: from })
    const before = await powers()
    expect(await apply(second, first.digest)).toMatchObject({ error: { code: 'conflict' } })
    expect(await apply(second, null)).toMatchObject({ error: { code: 'conflict' } })
    unwrap(await apply(first, base.digest))
    expect(await apply(first, base.digest)).toMatchObject({ ok: false })
    unwrap(await apply(second, first.digest))
    expect(await apply(first, base.digest)).toMatchObject({ error: { code: 'conflict' } })
    await expectNothingGained(new Set([...before, ...(await powers())]))
    const value = (await h.row('slice', 'access/bot/metrics'))?.value
    expect(value?.of === 'access' ? value.entitlements[0]?.grantForSeconds : null).toBe(600)
  })

  test('an owner, an admin, an auditor and an agent propose nothing (S7)', async () => {
    const pushing = { ...h.deps, settings: { ...h.deps.settings, scopesMode: 'push' as const } }
    const set = await setFrom(files(owners(`[${MALLORY}]`)))
    const base = (await setFrom(BASE)).digest
    const agent: Context = { caller: { role: 'agent', agent: 'bot', session: 'ses_1' }, requestId: 'r' }
    for (const by of [as.owner('alice@example.com'), as.admin, as.auditor, agent])
      expect(await applyManifests(pushing, by, { set, base })).toMatchObject({ error: { code: 'forbidden' } })
  })
})

test('names that look like a decommissioned agent’s are barred, in every spelling, accepted or proposed (S4, P6)', async () => {
  unwrap(await decommissionAgent(h.deps, as.admin, { agent: 'bot', reason: null }))
  for (const name of ['b0t', 'bo-t', 'b-o-t', 'b-0-t'])
    expect(
      await applyManifests(h.deps, as.watcher, {
        set: await setFrom(
          files({
            [BOT]: null,
            [`agents/${name}.yaml`]: newAgent(name, '  access: [{ tool: tickets, scopes: [ticket:read] }]\n'),
          }),
        ),
        base: null,
      }),
      name,
    ).toMatchObject({ ok: false, error: { code: 'manifest_invalid' } })
  for (const name of ['Bot', 'bot\u200b', 'b\u043et', 'bot.', '-bot'])
    expect((await parsed(files({ 'agents/x.yaml': newAgent(JSON.stringify(name)) }))).ok, name).toBe(false)
})

test('a name that was proposed before its look-alike was decommissioned cannot be accepted after (S4, P6)', async () => {
  const spy = newAgent('b0t', '  access: [{ tool: tickets, scopes: [ticket:read] }]\n')
  // While both are there the parser refuses them; one after the other it does not.
  expect((await parsed(files({ 'agents/b0t.yaml': spy }))).ok).toBe(false)
  await push(files({ [BOT]: null, 'agents/b0t.yaml': spy }))
  unwrap(await decommissionAgent(h.deps, as.admin, { agent: 'bot', reason: null }))
  for (const { id } of await waiting()) await settle(as.owner('tina@example.com'), id)
  expect((await h.row('slice', 'agent/b0t'))?.value ?? null).toBe(null)
})

test('no manifest refers to the broker’s own key, its data folder, its environment or out of the secrets folder (S5)', async () => {
  const references = [
    'env:HALLPASS_KEK',
    'env:HALLPASS_TOOL_../KEK',
    'env:PATH',
    'env:hallpass_kek',
    'file:kek',
    'file:/etc/hallpass/secrets/../../../data/kek',
    'file:../data/kek',
    'file:..%2fdata%2fkek',
    'file:/data/kek',
    'file:x/../../kek',
    'file:..\\data\\kek',
    'file:key-encryption-key.pem',
  ]
  const said: Fault[] = []
  for (const reference of references) {
    const read = await parsed(files({ [TICKETS]: `${BASE[TICKETS]}  target: { type: none, token: "${reference}" }\n` }))
    expect(read.ok, reference).toBe(false)
    if (!read.ok) said.push(...read.faults)
  }
  for (const { message } of said) expect(message).not.toContain(process.env.PATH)
})

test('what waits gives nothing: the new scope, key and owner are refused at every use (P3)', async () => {
  const session = await h.session('bot', await botKey())
  await push(files({ ...swap(BOT, ['[metrics:read]', '[metrics:read, metrics:admin]']) }))
  const asked = await requestAccess(
    h.deps,
    { role: 'agent', agent: 'bot', session: session.id },
    { tool: 'metrics', scopes: ['metrics:admin'], reason: 'INC-1', durationSeconds: null, details: {} },
    'req_ask',
  )
  expect(asked).toMatchObject({ error: { code: 'scope_not_in_manifest' } })
})
