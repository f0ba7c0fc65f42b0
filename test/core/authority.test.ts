import { describe, expect, test } from 'vitest'
import { diffSets } from '../../src/core/authority.ts'
import { AUTHORITY_TABLE, type AuthorityField, tableGaps } from '../../src/core/authority-table.ts'
import { type Authority, compileSlices, valueDigest } from '../../src/core/compile-slices.ts'
import type {
  AccessEntry,
  AccountTarget,
  AgentManifest,
  Manifest,
  ToolManifest,
  ToolMcp,
  ToolUpstream,
} from '../../src/core/manifest.ts'
import { SCHEMA_FIELDS } from '../../src/core/manifest-schema.ts'
import type { PathRule } from '../../src/core/path-rule.ts'
import type { SliceValue } from '../../src/core/slice.ts'
import { agent, entry, key, role, scope, setOf, team, tool } from '../support/manifest-set.ts'

const compiled = (...manifests: readonly Manifest[]): Authority => compileSlices(setOf(...manifests))
const diff = (before: readonly Manifest[], after: readonly Manifest[]) =>
  diffSets(compiled(...before), compiled(...after))

/** Slice → who must accept, as `owner of agent bot: alice@example.com`. */
const waiting = (result: ReturnType<typeof diffSets>) =>
  Object.fromEntries(
    result.widenings.map(({ slice, needs }) => [
      slice,
      needs.map(({ as, of, eligible }) => `${as} ${of}${eligible.length > 0 ? `: ${eligible.join(' ')}` : ''}`),
    ]),
  )
const narrowed = (result: ReturnType<typeof diffSets>) =>
  Object.fromEntries(result.narrowings.map(({ slice, lines }) => [slice, lines]))

const tickets = tool('tickets')
const bot = (more: Partial<AgentManifest> = {}) => agent('bot', { access: [entry('tickets', ['read'])], ...more })
const withEntry = (more: Partial<AccessEntry>, scopes = ['read']) => bot({ access: [entry('tickets', scopes, more)] })

const ALICE = ['owner of agent bot: alice@example.com']
const TINA = ['owner of tool tickets: tina@example.com']
const ADMIN = ['admin tickets']
const AGENT = 'agent/bot'
const ACCESS = 'access/bot/tickets'
const TOOL = 'tool/tickets'

/** One field, its narrower and its wider value as whole sets; and who accepts going from narrow to wide. */
type Ordered = {
  readonly narrow: readonly Manifest[]
  readonly wide: readonly Manifest[]
  readonly slice: string
  readonly by: readonly string[]
}

const toolWith = (more: Partial<ToolManifest>): readonly Manifest[] => [tool('tickets', more), bot()]
const token = (more: Partial<ToolManifest['token']>) => ({ token: { ...tickets.token, ...more } })
const accessRows = (kind: 'Agent' | 'Role'): Record<string, Ordered> => {
  const made = (more: Partial<AccessEntry>, scopes = ['read']): readonly Manifest[] =>
    kind === 'Agent'
      ? [tickets, withEntry(more, scopes)]
      : [tickets, role('triage', [entry('tickets', scopes, more)]), bot({ access: [], roles: ['triage'] })]
  const row = (narrow: readonly Manifest[], wide: readonly Manifest[]): Ordered => ({
    narrow,
    wide,
    slice: ACCESS,
    by: ALICE,
  })
  return {
    [`${kind}.spec.access[].scopes`]: row(made({}), made({}, ['read', 'comment'])),
    [`${kind}.spec.access[].details{}`]: row(
      made({ details: { queue: ['a'] } }),
      made({ details: { queue: ['a', 'b'] } }),
    ),
    [`${kind}.spec.access[].approval`]: row(made({ approval: 'owner' }), made({ approval: 'none' })),
    [`${kind}.spec.access[].grantFor`]: row(made({ grantForSeconds: 60 }), made({ grantForSeconds: 61 })),
    [`${kind}.spec.access[].tokenTtl`]: row(made({ tokenTtlSeconds: 60 }), made({ tokenTtlSeconds: 61 })),
    [`${kind}.spec.access[].delivery`]: row(made({ delivery: 'exchange' }), made({ delivery: 'inline' })),
  }
}

const ORDERED: Record<string, Ordered> = {
  ...accessRows('Agent'),
  ...accessRows('Role'),
  'Agent.spec.owners': {
    narrow: [tickets, bot()],
    wide: [tickets, bot({ owners: ['alice@example.com', 'bob@example.com'] })],
    slice: AGENT,
    by: ALICE,
  },
  'Agent.spec.identity[].jwks.keys': {
    narrow: [tickets, bot({ keys: [key('one')] })],
    wide: [tickets, bot({ keys: [key('one'), key('two')] })],
    slice: AGENT,
    by: ALICE,
  },
  'Agent.spec.identity[].publicKeyFile': {
    narrow: [tickets, bot({ keys: [] })],
    wide: [tickets, bot({ keys: [key('from-a-file')] })],
    slice: AGENT,
    by: ALICE,
  },
  'Agent.spec.reviewBy': {
    narrow: [tickets, bot({ reviewBy: '2027-03-01' })],
    wide: [tickets, bot({ reviewBy: null })],
    slice: AGENT,
    by: ALICE,
  },
  'Agent.spec.state': {
    narrow: [tickets, bot({ state: 'decommissioned' })],
    wide: [tickets, bot()],
    slice: AGENT,
    by: ALICE,
  },
  'Tool.spec.owners': {
    narrow: toolWith({}),
    wide: toolWith({ owners: ['tina@example.com', 'zoe@example.com'] }),
    slice: TOOL,
    by: TINA,
  },
  'Tool.spec.scopes{}.risk': {
    narrow: toolWith({ scopes: { read: scope({ risk: 'high' }) } }),
    wide: toolWith({ scopes: { read: scope({ risk: 'low' }) } }),
    slice: TOOL,
    by: TINA,
  },
  'Tool.spec.scopes{}.approval': {
    narrow: toolWith({ scopes: { read: scope({ approval: 'owner' }) } }),
    wide: toolWith({ scopes: { read: scope({ approval: 'none' }) } }),
    slice: TOOL,
    by: TINA,
  },
  'Tool.spec.token.maxTtl': {
    narrow: toolWith(token({ maxTtlSeconds: 60 })),
    wide: toolWith(token({ maxTtlSeconds: 61 })),
    slice: TOOL,
    by: TINA,
  },
  'Team.spec.members': {
    narrow: [tickets, bot({ owners: ['team/sre'] }), team('sre', ['alice@example.com'])],
    wide: [tickets, bot({ owners: ['team/sre'] }), team('sre', ['alice@example.com', 'bob@example.com'])],
    slice: 'team/sre',
    by: ['member of team sre: alice@example.com'],
  },
}

const connection: AccountTarget = {
  type: 'http',
  url: 'https://tickets.example.com',
  secret: 'env:HALLPASS_TOOL_TICKETS',
  recipe: 'one',
  values: {},
  rights: { read: ['Readers'] },
  reconcile: { ghosts: 'remove', others: 'report', overScoped: 'heal', exempt: [] },
}

/** Fields where any change waits whole: two values, neither less than the other. */
const UNORDERED: Record<string, readonly [readonly Manifest[], readonly Manifest[]]> = {
  'Tool.spec.target.type': [toolWith({}), toolWith({ target: connection })],
  'Tool.spec.category': [toolWith({}), toolWith({ category: 'observability' })],
  'Tool.spec.resource': [toolWith({}), toolWith({ resource: 'https://elsewhere.example.com' })],
  'Tool.spec.details{}.enforcedBy': [
    toolWith({}),
    toolWith({ details: { queue: { description: '', enforcedBy: 'guard' } } }),
  ],
  'Tool.spec.token.alg': [toolWith({}), toolWith(token({ alg: 'RS256' }))],
  'Tool.spec.token.verifiedBy': [toolWith({}), toolWith(token({ verifiedBy: 'alone' }))],
  'Tool.spec.token.leeway': [toolWith({}), toolWith(token({ leewaySeconds: 10 }))],
}

/** Every field of a target; a change of the type is shown below. */
for (const [field, one, other] of [
  ['url', {}, { url: 'https://elsewhere.example.com' }],
  ['secret', {}, { secret: 'file:another' }],
  ['rights{}', {}, { rights: { read: ['Administrators'] } }],
  ['reconcile.ghosts', {}, { reconcile: { ...connection.reconcile, ghosts: 'report' } }],
  ['reconcile.others', {}, { reconcile: { ...connection.reconcile, others: 'ignore' } }],
  ['reconcile.overScoped', {}, { reconcile: { ...connection.reconcile, overScoped: 'report' } }],
  ['reconcile.exempt', {}, { reconcile: { ...connection.reconcile, exempt: ['*'] } }],
  ['drill.every', {}, { drill: { everySeconds: 3600, scope: null, details: {} } }],
  [
    'drill.scope',
    { drill: { everySeconds: 3600, scope: null, details: {} } },
    { drill: { everySeconds: 3600, scope: 'read', details: {} } },
  ],
  [
    'drill.details{}',
    { drill: { everySeconds: 3600, scope: null, details: {} } },
    { drill: { everySeconds: 3600, scope: null, details: { queue: ['ops'] } } },
  ],
  ['recipe', {}, { recipe: 'another' }],
  ['recipeFile', { ownRecipe: '{"remove":[]}' }, { ownRecipe: '{"remove":[{"get":"/a"}]}' }],
  ['values{}', { values: { a: '1' } }, { values: {} }],
] as const)
  UNORDERED[`Tool.spec.target.${field}`] = [
    toolWith({ target: { ...connection, ...one } }),
    toolWith({ target: { ...connection, ...other } }),
  ]

/** A rule that is taken out, and one that is put in; an upstream, field by field. */
const rule = (path: string, query: Readonly<Record<string, string>> = {}): PathRule => ({ method: 'GET', path, query })
const upstream: ToolUpstream = {
  url: 'https://tickets.internal.example.com',
  secret: 'env:HALLPASS_TOOL_TICKETS',
  header: 'Authorization',
  prefix: 'Bearer ',
  pass: [],
  bodyBytes: 1024,
}
const proxied = (more: Partial<ToolUpstream>, allow: readonly PathRule[] = []) =>
  toolWith({ upstream: { ...upstream, ...more }, scopes: { read: scope({ allow }) } })
for (const [field, more] of [
  ['methods', { ...rule('/a'), method: 'POST' }],
  ['paths', rule('/b')],
  ['query{}', rule('/a', { queue: 'queue' })],
] as const)
  ORDERED[`Tool.spec.scopes{}.allow[].${field}`] = {
    narrow: proxied({}, [rule('/a')]),
    wide: proxied({}, [rule('/a'), more]),
    slice: TOOL,
    by: ADMIN,
  }
ORDERED['Tool.spec.upstream.pass'] = { narrow: proxied({}), wide: proxied({ pass: ['x-org'] }), slice: TOOL, by: ADMIN }
ORDERED['Tool.spec.upstream.maxBody'] = {
  narrow: proxied({}),
  wide: proxied({ bodyBytes: 2048 }),
  slice: TOOL,
  by: ADMIN,
}
for (const [field, more] of [
  ['url', { url: 'https://elsewhere.example.com' }],
  ['secret', { secret: 'file:another' }],
  ['header', { header: 'X-Key' }],
  ['prefix', { prefix: 'Token ' }],
] as const)
  UNORDERED[`Tool.spec.upstream.${field}`] = [proxied({}), proxied(more)]

/** An MCP server, field by field. */
const server: ToolMcp = {
  url: 'https://tickets.internal.example.com/mcp',
  command: null,
  secret: 'env:HALLPASS_TOOL_TICKETS',
  header: 'Authorization',
  prefix: 'Bearer ',
  tools: { show: { scope: 'read', details: {} } },
}
const served = (more: Partial<ToolMcp>) => toolWith({ mcp: { ...server, ...more } })
ORDERED['Tool.spec.mcp.tools{}'] = {
  narrow: served({}),
  wide: served({ tools: { ...server.tools, close: { scope: 'close', details: { queue: 'project' } } } }),
  slice: TOOL,
  by: ADMIN,
}
for (const [field, more] of [
  ['url', { url: 'https://elsewhere.example.com/mcp' }],
  ['command', { url: null, command: 'tickets' }],
  ['secret', { secret: 'file:another' }],
  ['header', { header: 'X-Key' }],
  ['prefix', { prefix: 'Token ' }],
] as const)
  UNORDERED[`Tool.spec.mcp.${field}`] = [served({}), served(more)]

const NEUTRAL: Readonly<Record<string, readonly [readonly Manifest[], readonly Manifest[]]>> = {
  'Agent.metadata.labels{}': [
    [tickets, bot()],
    [tickets, bot({ labels: { env: 'prod' } })],
  ],
  'Agent.spec.purpose': [
    [tickets, bot()],
    [tickets, bot({ purpose: 'Another' })],
  ],
  'Agent.spec.roles': [
    [tickets, bot(), role('same', [entry('tickets', ['read'])])],
    [tickets, bot({ roles: ['same'], access: [] }), role('same', [entry('tickets', ['read'])])],
  ],
  'Tool.metadata.labels{}': [toolWith({}), toolWith({ labels: { env: 'prod' } })],
  'Tool.spec.scopes{}.description': [
    toolWith({ scopes: { read: scope() } }),
    toolWith({ scopes: { read: scope({ description: 'Read' }) } }),
  ],
  'Tool.spec.details{}.description': [
    toolWith({}),
    toolWith({ details: { queue: { description: 'Its queue', enforcedBy: 'tool' } } }),
  ],
  'Role.metadata.labels{}': [
    [tickets, role('r', [entry('tickets', ['read'])]), bot()],
    [tickets, { ...role('r', [entry('tickets', ['read'])]), labels: { env: 'prod' } }, bot()],
  ],
  'Team.metadata.labels{}': [
    [tickets, team('t', ['alice@example.com']), bot()],
    [tickets, { ...team('t', ['alice@example.com']), labels: { env: 'prod' } }, bot()],
  ],
}

/** Fields with one possible value in this version, and names: their own tests are below. */
const FIXED = ['apiVersion', 'kind', 'metadata.name', 'spec.access[].tool']

describe('the closed table', () => {
  test('every schema field has a row and every row a schema field (S1)', () => {
    expect(tableGaps(SCHEMA_FIELDS)).toEqual({ missing: [], stray: [] })
  })

  test('a schema field without a row fails the build (S1)', () => {
    expect(tableGaps([...SCHEMA_FIELDS, 'Agent.spec.superpowers']).missing).toEqual(['Agent.spec.superpowers'])
    expect(tableGaps(SCHEMA_FIELDS.filter((field) => field !== 'Team.spec.members')).stray).toEqual([
      'Team.spec.members',
    ])
  })

  test('every row is shown by a pair of sets, or has only one value (S1)', () => {
    for (const [field, { rule, acceptedBy }] of Object.entries(AUTHORITY_TABLE)) {
      const fixed = FIXED.some((end) => field.endsWith(`.${end}`))
      expect({ field, shown: field in ORDERED || field in UNORDERED || field in NEUTRAL || fixed }).toEqual({
        field,
        shown: true,
      })
      if (field in NEUTRAL) expect([rule.is, acceptedBy]).toEqual(['neutral', 'nobody'])
      if (field in UNORDERED) expect([rule.is, acceptedBy]).toEqual(['any change is a widening', 'admin'])
      if (field in ORDERED) expect(rule.is).toMatch(/narrowing.*widening/)
    }
  })

  for (const [field, { narrow, wide, slice, by }] of Object.entries(ORDERED)) {
    test(`${field}: the narrower value acts at once and needs nobody (S1)`, () => {
      const result = diff(wide, narrow)
      expect(result.widenings).toEqual([])
      expect(Object.keys(narrowed(result))).toEqual([slice])
      expect(valueDigest(result.next.get(slice) ?? null)).toBe(valueDigest(compiled(...narrow).get(slice) ?? null))
    })
    test(`${field}: the wider value waits for ${by.join(', ')} (S1)`, () => {
      const result = diff(narrow, wide)
      expect(result.narrowings).toEqual([])
      expect(waiting(result)).toEqual({ [slice]: by })
      expect(valueDigest(result.next.get(slice) ?? null)).toBe(valueDigest(compiled(...narrow).get(slice) ?? null))
      expect(AUTHORITY_TABLE[field as AuthorityField].acceptedBy).toBe(by[0]?.split(/ (bot|tickets|sre)/)[0])
      expect(result.widenings[0]?.diff.length).toBeGreaterThan(0)
    })
  }

  for (const [field, [one, other]] of Object.entries(UNORDERED))
    test(`${field}: any change waits for an admin, and what is in force stays (S1)`, () => {
      for (const [before, after] of [
        [one, other],
        [other, one],
      ] as const) {
        const result = diff(before, after)
        expect(result.narrowings).toEqual([])
        expect(waiting(result)).toEqual({ [TOOL]: ADMIN })
        expect(valueDigest(result.next.get(TOOL) ?? null)).toBe(valueDigest(compiled(...before).get(TOOL) ?? null))
      }
    })

  for (const [field, [one, other]] of Object.entries(NEUTRAL))
    test(`${field}: a change decides nothing, needs nobody and is there at once (S1)`, () => {
      const result = diff(one, other)
      expect(result.narrowings).toEqual([])
      expect(result.widenings).toEqual([])
      const withoutRole = (value: SliceValue | null | undefined) =>
        JSON.parse(JSON.stringify(value, (name, inner: unknown) => (name === 'role' ? undefined : inner)))
      for (const [id, value] of compiled(...other)) expect(withoutRole(result.next.get(id))).toEqual(withoutRole(value))
    })
})

describe('rows of S1', () => {
  test('a scope that goes from a tool takes its right along, and nobody is asked (S1)', () => {
    const two = { scopes: { read: scope(), comment: scope() } }
    const target = { ...connection, rights: { read: ['Readers'], comment: ['Writers'] } }
    const result = diff(toolWith({ ...two, target }), toolWith({ scopes: { read: scope() }, target: connection }))
    expect(result.widenings).toEqual([])
    expect(narrowed(result)[TOOL]).toContain('- right of comment Writers')
  })

  test('a new connection is shown whole to the admin who accepts it (S1, S5)', () => {
    const result = diff(toolWith({}), toolWith({ target: connection }))
    expect(result.widenings[0]?.diff).toEqual([
      '~ target type none → http',
      '+ target url https://tickets.example.com',
      '+ target secret env:HALLPASS_TOOL_TICKETS',
      '+ right of read Readers',
      '+ target ghosts remove',
      '+ target others report',
      '+ target overScoped heal',
      '+ target exempt nobody',
      '+ target drill never',
      '+ target recipe one',
      '+ target values none',
    ])
  })

  test('tool access removed acts at once (S1)', () => {
    expect(narrowed(diff([tickets, bot()], [tickets, bot({ access: [] })]))).toEqual({ [ACCESS]: ['- scope read'] })
  })

  test('a role removed from an agent acts at once (S1)', () => {
    const before = [tickets, role('r', [entry('tickets', ['comment'])]), bot({ roles: ['r'] })]
    const result = diff(before, [tickets, role('r', [entry('tickets', ['comment'])]), bot()])
    expect(narrowed(result)).toEqual({ [ACCESS]: ['- scope comment'] })
    expect(result.widenings).toEqual([])
  })

  test('first access on a tool waits for an owner of the agent and one of the tool (S1)', () => {
    expect(waiting(diff([tickets, bot({ access: [] })], [tickets, bot()]))).toEqual({ [ACCESS]: [...ALICE, ...TINA] })
  })

  test('access that comes through a role waits once per affected agent, each with its own owners (S2)', () => {
    const other = agent('other', { owners: ['olga@example.com'], roles: ['r'] })
    const made = (scopes: readonly string[]) => [
      tickets,
      role('r', [entry('tickets', scopes)]),
      bot({ access: [], roles: ['r'] }),
      other,
    ]
    expect(waiting(diff(made(['read']), made(['read', 'comment'])))).toEqual({
      [ACCESS]: ALICE,
      'access/other/tickets': ['owner of agent other: olga@example.com'],
    })
  })

  test("a scope of high risk waits for the tool's owner too (S1)", () => {
    const result = diff([tickets, bot()], [tickets, withEntry({}, ['read', 'close'])])
    expect(waiting(result)).toEqual({ [ACCESS]: [...ALICE, ...TINA] })
    expect(result.widenings[0]?.diff).toEqual(['+ scope close (high risk)'])
  })

  test("lengthening an entry that has a high-risk scope waits for the tool's owner too (S1)", () => {
    const result = diff(
      [tickets, withEntry({}, ['close'])],
      [tickets, withEntry({ grantForSeconds: 9 * 3600 }, ['close'])],
    )
    expect(waiting(result)).toEqual({ [ACCESS]: [...ALICE, ...TINA] })
  })

  test('high risk counts as the tool is in force, even if the same edit lowers it (S1)', () => {
    const lowered = tool('tickets', { scopes: { ...tickets.scopes, close: scope({ risk: 'low' }) } })
    const result = diff([tickets, bot()], [lowered, withEntry({}, ['read', 'close'])])
    expect(waiting(result)).toEqual({ [ACCESS]: [...ALICE, ...TINA], [TOOL]: TINA })
  })

  test('two scopes that were only apart, now in one entry, wait (S9)', () => {
    const apart = bot({
      access: [
        entry('tickets', ['read'], { details: { queue: ['a'] } }),
        entry('tickets', ['comment'], { details: { queue: ['a'] } }),
      ],
    })
    const together = withEntry({ details: { queue: ['a'] } }, ['read', 'comment'])
    expect(waiting(diff([tickets, apart], [tickets, together]))).toEqual({ [ACCESS]: ALICE })
  })

  test("a scope of high risk that joins another in one entry waits for the tool's owner too (S1, S9)", () => {
    const apart = bot({ access: [entry('tickets', ['read']), entry('tickets', ['close'])] })
    const result = diff([tickets, apart], [tickets, withEntry({}, ['read', 'close'])])
    expect(waiting(result)).toEqual({ [ACCESS]: [...ALICE, ...TINA] })
  })

  test('an entry that another covers is no authority of its own (S9)', () => {
    const both = bot({
      access: [entry('tickets', ['read']), entry('tickets', ['read'], { details: { queue: ['a'] } })],
    })
    const result = diff([tickets, bot()], [tickets, both])
    expect([result.narrowings, result.widenings]).toEqual([[], []])
  })

  test('a new agent waits for an owner of each tool it asks for, its access for the owner of that tool (S1)', () => {
    const metrics = tool('metrics', { owners: ['max@example.com'] })
    const fresh = agent('bot', { access: [entry('tickets', ['read']), entry('metrics', ['read'])] })
    expect(waiting(diff([tickets, metrics], [tickets, metrics, fresh]))).toEqual({
      [AGENT]: ['owner of tool metrics: max@example.com', ...TINA],
      [ACCESS]: TINA,
      'access/bot/metrics': ['owner of tool metrics: max@example.com'],
    })
  })

  test('a new agent that asks for no tool waits until it does (S1)', () => {
    const result = diff([tickets], [tickets, agent('bot')])
    expect(waiting(result)).toEqual({ [AGENT]: ['owner of tool '] })
    expect(result.widenings[0]?.needs[0]?.eligible).toEqual([])
  })

  test("a new agent's owners decide nothing about it yet (S2)", () => {
    const result = diff([tickets], [tickets, bot({ owners: ['mallory@example.com'] })])
    expect(JSON.stringify(result.widenings.map(({ needs }) => needs))).not.toContain('mallory')
  })

  test('a key changed waits, and the old one is gone at once (S1)', () => {
    const result = diff([tickets, bot({ keys: [key('old')] })], [tickets, bot({ keys: [key('new')] })])
    expect(waiting(result)).toEqual({ [AGENT]: ALICE })
    expect(narrowed(result)).toEqual({ [AGENT]: ['- key old (ES256)'] })
  })

  test('an owner replaced: the one who goes decides no more, the one who comes not yet (S2)', () => {
    const result = diff([tickets, bot()], [tickets, bot({ owners: ['mallory@example.com'] })])
    expect(waiting(result)).toEqual({ [AGENT]: TINA })
    expect(result.orphaned).toEqual([{ of: 'agent', name: 'bot', fallback: 'an owner of each tool it has' }])
  })

  test('a new tool waits for an admin (S1)', () => {
    expect(waiting(diff([], [tickets]))).toEqual({ [TOOL]: ADMIN })
  })

  test('a new agent on a new tool waits for an admin, never for the owners that the edit brings (S2)', () => {
    expect(waiting(diff([], [tickets, bot()]))).toEqual({ [TOOL]: ADMIN, [AGENT]: ADMIN, [ACCESS]: ADMIN })
  })

  test("a tool without an owner left is an admin's to accept for (S2)", () => {
    const result = diff([tickets, bot()], [tool('tickets', { owners: ['mallory@example.com'] }), bot()])
    expect(waiting(result)).toEqual({ [TOOL]: ADMIN })
    expect(result.orphaned).toEqual([{ of: 'tool', name: 'tickets', fallback: 'an admin' }])
  })

  test('a scope added to a tool waits for an admin (S1)', () => {
    const more = tool('tickets', { scopes: { ...tickets.scopes, archive: scope() } })
    expect(waiting(diff([tickets, bot()], [more, bot()]))).toEqual({ [TOOL]: ADMIN })
  })

  test('a details key added to a tool waits for an admin (S1)', () => {
    const more = tool('tickets', { details: { ...tickets.details, site: { description: '', enforcedBy: 'tool' } } })
    expect(waiting(diff([tickets, bot()], [more, bot()]))).toEqual({ [TOOL]: ADMIN })
  })

  test('a scope renamed on a tool is removed at once per agent, and the new name waits (S1)', () => {
    const { read, ...rest } = tickets.scopes
    const renamed = tool('tickets', { scopes: { ...rest, view: read! } })
    const result = diff([tickets, bot()], [renamed, withEntry({}, ['view'])])
    expect(narrowed(result)).toMatchObject({ [ACCESS]: ['- scope read'] })
    expect(waiting(result)).toEqual({ [ACCESS]: ALICE, [TOOL]: ADMIN })
    expect(result.next.get(ACCESS)).toBeNull()
  })

  test('a scope removed from a tool grants nothing at once, even where an entry still names it (S1)', () => {
    const { read: _, ...rest } = tickets.scopes
    const result = diff(
      [tickets, withEntry({}, ['read', 'comment'])],
      [tool('tickets', { scopes: rest }), withEntry({}, ['read', 'comment'])],
    )
    expect(narrowed(result)[ACCESS]).toEqual(['- scope read'])
    expect(result.widenings).toEqual([])
  })

  test('a declared details key removed: entries that use it grant nothing (S1)', () => {
    const used = withEntry({ details: { queue: ['a'] } })
    const result = diff([tickets, used], [tool('tickets', { details: {} }), used])
    expect(result.next.get(ACCESS)).toBeNull()
    expect(result.widenings).toEqual([])
  })

  test("a tool's risk lowered is accepted once, by its owner, whatever agents have it (S1)", () => {
    const lowered = tool('tickets', { scopes: { ...tickets.scopes, close: scope({ risk: 'low' }) } })
    const agents = [withEntry({}, ['close']), agent('other', { access: [entry('tickets', ['close'])] })]
    expect(waiting(diff([tickets, ...agents], [lowered, ...agents]))).toEqual({ [TOOL]: TINA })
  })

  test('a rename is a removal and a new document (S1, S4)', () => {
    const result = diff([tickets, bot()], [tickets, agent('bot-two', { access: [entry('tickets', ['read'])] })])
    expect(Object.keys(narrowed(result))).toEqual([ACCESS, AGENT])
    expect(waiting(result)).toEqual({ 'access/bot-two/tickets': TINA, 'agent/bot-two': TINA })
  })

  test('an agent moved between roles with equal entitlements is neutral (S1)', () => {
    const roles = [role('one', [entry('tickets', ['read'])]), role('two', [entry('tickets', ['read'])])]
    const result = diff(
      [tickets, ...roles, bot({ access: [], roles: ['one'] })],
      [tickets, ...roles, bot({ access: [], roles: ['two'] })],
    )
    expect([result.narrowings, result.widenings]).toEqual([[], []])
  })

  test('reviewBy moved later waits; absent is never (S1)', () => {
    const at = (reviewBy: string | null) => [tickets, bot({ reviewBy })]
    expect(diff(at('2027-03-01'), at('2027-03-02')).widenings[0]?.diff).toEqual(['~ reviewBy 2027-03-01 → 2027-03-02'])
    expect(diff(at(null), at('2027-03-02')).widenings).toEqual([])
  })

  test('one edit that narrows and widens is split: the meet is in force, the rest waits as one (S1)', () => {
    const result = diff(
      [tickets, withEntry({}, ['read', 'comment'])],
      [tickets, withEntry({ approval: 'none' }, ['read'])],
    )
    expect(narrowed(result)).toEqual({ [ACCESS]: ['- scope comment'] })
    expect(result.widenings.map(({ diff: lines }) => lines)).toEqual([['~ approval owner → none']])
  })

  test('taking an unfinished agent back needs nobody: nothing of it was in force (S1)', () => {
    const result = diff([tickets], [tickets])
    expect([result.narrowings, result.widenings]).toEqual([[], []])
  })
})

describe('teams', () => {
  const owned = bot({ owners: ['team/sre'] })
  const sre = (...members: readonly string[]) => team('sre', members)

  test('a team that nothing names is neutral: who is in it decides nothing (S1)', () => {
    const result = diff([tickets], [tickets, sre('mallory@example.com')])
    expect([result.narrowings, result.widenings]).toEqual([[], []])
    expect(result.next.get('team/sre')).toMatchObject({ members: ['mallory@example.com'] })
  })

  test('a team that becomes named in the same edit is not neutral any more (S2)', () => {
    const result = diff(
      [tickets, bot(), sre('alice@example.com')],
      [tickets, bot({ owners: ['alice@example.com', 'team/sre'] }), sre('alice@example.com', 'mallory@example.com')],
    )
    expect(waiting(result)).toEqual({ [AGENT]: ALICE, 'team/sre': ['member of team sre: alice@example.com'] })
  })

  test('a team that only a document named that may still come back is not neutral (S3)', () => {
    const gone = compiled(tickets, owned).get(AGENT)!
    const result = diffSets(
      compiled(tickets, sre('alice@example.com')),
      compiled(tickets, sre('alice@example.com', 'mallory@example.com')),
      [gone],
    )
    expect(waiting(result)).toEqual({ 'team/sre': ['member of team sre: alice@example.com'] })
  })

  test('who is taken out of a team decides for its agents no more, who is put in not yet (S2)', () => {
    const result = diff(
      [tickets, owned, sre('alice@example.com', 'bob@example.com')],
      [
        tickets,
        bot({ owners: ['team/sre'], access: [entry('tickets', ['read', 'comment'])] }),
        sre('bob@example.com', 'mallory@example.com'),
      ],
    )
    expect(waiting(result)).toEqual({
      [ACCESS]: ['owner of agent bot: bob@example.com'],
      'team/sre': ['member of team sre: bob@example.com'],
    })
  })

  test('a team of which nobody is left: whoever that gives for each thing it owns (S2)', () => {
    const desk = tool('tickets', { owners: ['team/sre'] })
    const result = diff([desk, owned, sre('alice@example.com')], [desk, owned, sre('mallory@example.com')])
    expect(waiting(result)).toEqual({ 'team/sre': ADMIN })
    expect(result.orphaned.map(({ of, name }) => `${of}/${name}`)).toEqual([AGENT, 'team/sre', TOOL])
  })

  test("a new team that owns a known agent waits for that agent's owners (S2)", () => {
    const result = diff(
      [tickets, bot()],
      [tickets, bot({ owners: ['alice@example.com', 'team/sre'] }), sre('mallory@example.com')],
    )
    expect(waiting(result)).toEqual({ [AGENT]: ALICE, 'team/sre': ALICE })
    expect(result.widenings[0]?.diff).toEqual(['+ owner team/sre (mallory@example.com)'])
  })
})

test('a tool of an MCP server that comes under another scope stays under its own until an admin accepts (S1)', () => {
  const result = diff(served({}), served({ tools: { show: { scope: 'comment', details: { queue: 'project' } } } }))
  expect(result.narrowings).toEqual([])
  const [widening] = result.widenings
  expect(widening?.diff).toEqual(['~ mcp tool show read → comment, queue by project'])
  expect(widening?.needs.map(({ as }) => as)).toEqual(['admin'])
})

test('an MCP server that is taken out of the manifest is gone at once (S1)', () => {
  const result = diff(served({}), toolWith({}))
  expect(result.widenings).toEqual([])
  expect(narrowed(result)[TOOL]).toContain('- mcp url https://tickets.internal.example.com/mcp')
  expect(narrowed(result)[TOOL]).toContain('- mcp tool show read')
})

test('an upstream that is taken out of the manifest is gone at once, with all its rules (S1)', () => {
  const result = diff(proxied({}, [rule('/a')]), toolWith({ scopes: { read: scope() } }))
  expect(result.widenings).toEqual([])
  expect(narrowed(result)[TOOL]).toContain('- scope read: GET /a allowed')
  expect(narrowed(result)[TOOL]).toContain('- upstream url https://tickets.internal.example.com')
  const [back] = diff(toolWith({ scopes: { read: scope() } }), proxied({}, [rule('/a')])).widenings
  expect(back?.diff).toContain('+ scope read: GET /a allowed')
  expect(back?.needs.map(({ as }) => as)).toEqual(['admin'])
})
