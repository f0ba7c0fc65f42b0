// What a right set becomes: defaults, normal forms, digests, gone names, limits. Broken sets are in the corpus.

import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { calculateJwkThumbprint } from 'jose'
import { describe, expect, test } from 'vitest'
import { readManifestFolder } from '../../src/adapters/manifests/read-folder.ts'
import type { KnownNames, ManifestSet } from '../../src/core/manifest.ts'
import type { ParseOptions } from '../../src/core/manifest-parse.ts'
import {
  confusableSkeleton,
  faultLine,
  jsonSchemas,
  parseManifests,
  SCHEMA_FIELDS,
} from '../../src/core/manifest-parse.ts'
import { identityKeyFromJwk } from '../../src/core/public-key.ts'

const scopes = fileURLToPath(new URL('../../scopes', import.meta.url))
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString()

const options: ParseOptions = { issuerOrigin: null, known: null }

const filesOf = (texts: Record<string, string | Uint8Array>) =>
  new Map(
    Object.entries(texts).map(([path, text]) => [
      path,
      typeof text === 'string' ? new TextEncoder().encode(text) : text,
    ]),
  )

const parse = (texts: Record<string, string | Uint8Array>, more: Partial<ParseOptions> = {}) =>
  parseManifests(filesOf(texts), { ...options, ...more })

const setOf = (texts: Record<string, string>, more: Partial<ParseOptions> = {}): ManifestSet => {
  const parsed = parse(texts, more)
  if (!parsed.ok) throw new Error(parsed.faults.map(faultLine).join('\n'))
  return parsed.set
}

const faultsOf = (texts: Record<string, string | Uint8Array>, more: Partial<ParseOptions> = {}): string[] => {
  const parsed = parse(texts, more)
  return parsed.ok ? [] : parsed.faults.map(faultLine)
}

const head = (kind: string, name: string) => `apiVersion: hallpass/v1\nkind: ${kind}\nmetadata: { name: ${name} }\n`

const tool = (name = 'tickets', more = '') => `${head('Tool', name)}spec:
  owners: [Desk@Example.com]
  category: ticketing
  resource: https://${name}.example.com/
  scopes:
    ticket:read: { description: Read, risk: low }
    ticket:close: { risk: high, approval: owner }
  details: { queue: { description: Queue, enforcedBy: tool } }
${more}`

const agent = (access: string, name = 'bot', more = '') => `${head('Agent', name)}spec:
  purpose: Test
  owners: [Lead@Example.com, team/platform, lead@example.com]
${more}  access:
    - ${access}
`

const team = `${head('Team', 'platform')}spec: { members: [B@example.com, a@example.com, b@example.com] }\n`

const known = (more: Partial<KnownNames>): KnownNames => ({
  agents: new Set(),
  tools: new Set(),
  roles: new Set(),
  teams: new Set(),
  ...more,
})

describe('a right set', () => {
  test('the sample set parses without fault or warning', async () => {
    const read = await readManifestFolder(scopes)
    if (!read.ok) throw new Error(read.message)
    const parsed = parseManifests(read.files, { issuerOrigin: 'http://127.0.0.1:8420', known: null })
    if (!parsed.ok) throw new Error(parsed.faults.map(faultLine).join('\n'))
    expect(parsed.set.warnings).toEqual([])
    expect([...parsed.set.agents.keys()].sort()).toEqual(['report-bot', 'triage-bot'])
    expect([...parsed.set.tools.keys()].sort()).toEqual(['metrics', 'tickets'])
  })

  test('what is left out gets its default', () => {
    const set = setOf({ 'a.yaml': [tool(), team, agent('{ tool: tickets, scopes: [ticket:read] }')].join('---\n') })
    expect(set.agents.get('bot')?.access).toEqual([
      {
        tool: 'tickets',
        scopes: ['ticket:read'],
        details: {},
        approval: 'owner',
        grantForSeconds: 28_800,
        tokenTtlSeconds: 300,
        delivery: 'exchange',
        source: { file: 'a.yaml', line: 25, column: 7 },
      },
    ])
    expect(set.tools.get('tickets')?.token).toEqual({
      alg: 'ES256',
      maxTtlSeconds: 600,
      verifiedBy: 'alone',
      leewaySeconds: 60,
    })
    expect(set.tools.get('tickets')?.scopes['ticket:read']).toEqual({
      description: 'Read',
      risk: 'low',
      approval: 'none',
    })
    expect(set.tools.get('tickets')?.target).toEqual({ type: 'none' })
    expect(set.agents.get('bot')).toMatchObject({ reviewBy: null, state: 'active', roles: [], labels: {} })
  })

  test("a token's default life is the tool's maximum where that is shorter (P2)", () => {
    const texts = {
      't.yaml': `${tool('tickets', '  token: { maxTtl: 2m }\n')}---\n${team}`,
      'a.yaml': agent('{ tool: tickets, scopes: [ticket:read] }'),
    }
    expect(setOf(texts).agents.get('bot')?.access[0]?.tokenTtlSeconds).toBe(120)
  })

  test('owners, members, scopes and values come in one normal form', () => {
    const entry = '{ tool: tickets, scopes: [ticket:read, ticket:close, ticket:read], details: { queue: [b, a, b] } }'
    const set = setOf({ 'a.yaml': [tool(), team, agent(entry)].join('---\n') })
    expect(set.agents.get('bot')?.owners).toEqual(['lead@example.com', 'team/platform'])
    expect(set.teams.get('platform')?.members).toEqual(['a@example.com', 'b@example.com'])
    expect(set.agents.get('bot')?.access[0]).toMatchObject({
      scopes: ['ticket:close', 'ticket:read'],
      details: { queue: ['a', 'b'] },
    })
    expect(set.tools.get('tickets')?.resource).toBe('https://tickets.example.com')
  })

  test('a byte order mark and CRLF line ends are read', () => {
    const text = `\ufeff${[tool(), team, agent('{ tool: tickets, scopes: [ticket:read] }')].join('---\n')}`
    expect(setOf({ 'a.yml': text.replaceAll('\n', '\r\n') }).agents.size).toBe(1)
  })

  test('no name that JavaScript inherits is found among a tool’s scopes (P2)', () => {
    const set = setOf({ 'a.yaml': tool() })
    expect(set.tools.get('tickets')?.scopes.constructor).toBeUndefined()
    expect(set.tools.get('tickets')?.details.toString).toBeUndefined()
  })

  test('the lines of a commented-out file are a warning, not a fault', () => {
    const set = setOf({ 'a.yaml': tool(), 'b.yaml': '# kind: Agent\n' })
    expect(set.warnings.map(faultLine)).toEqual(['b.yaml:1:1 the file holds comments alone: it gives nothing'])
  })
})

describe('keys', () => {
  const withIdentity = (identity: string, files: Record<string, string> = {}) =>
    setOf({
      't.yaml': tool(),
      'team.yaml': team,
      'x/a.yaml': agent('{ tool: tickets, scopes: [ticket:read] }', 'bot', `  identity:\n    - ${identity}\n`),
      ...files,
    }).agents.get('bot')?.keys

  test('a key from PEM, from a JWKS file and from the manifest is one key, by its RFC 7638 thumbprint', async () => {
    const jwk = publicKey.export({ format: 'jwk' })
    const kid = await calculateJwkThumbprint(jwk)
    const expected = [{ kid, alg: 'ES256', jwk }]
    expect(withIdentity('publicKeyFile: keys/k.pem', { 'x/keys/k.pem': pem })).toEqual(expected)
    expect(
      withIdentity('publicKeyFile: ../k.json', {
        'k.json': JSON.stringify({ keys: [{ ...jwk, kid: 'mine', use: 'sig' }] }),
      }),
    ).toEqual(expected)
    const inline = { keys: [{ ...jwk, kid: 'mine', ext: true, key_ops: ['verify'], alg: 'ES256' }] }
    expect(withIdentity(`jwks: ${JSON.stringify(inline)}`)).toEqual(expected)
  })

  test('an RSA key of 2048 to 4096 bits is an RS256 key, from PEM and from a JWK (RFC 7518 section 3.3)', async () => {
    for (const modulusLength of [2048, 4096]) {
      const rsa = generateKeyPairSync('rsa', { modulusLength }).publicKey
      const key = rsa.export({ format: 'jwk' })
      const expected = [{ kid: await calculateJwkThumbprint(key), alg: 'RS256', jwk: key }]
      const files = { 'x/k.pem': rsa.export({ format: 'pem', type: 'spki' }).toString() }
      expect(withIdentity('publicKeyFile: k.pem', files)).toEqual(expected)
      expect(withIdentity(`jwks: ${JSON.stringify({ keys: [{ ...key, alg: 'RS256', use: 'sig' }] })}`)).toEqual(
        expected,
      )
    }
  })

  test.each([
    ['too large', { modulusLength: 4224 }, 'too many'],
    ['too small', { modulusLength: 2040 }, 'too few'],
    ['of exponent 3', { modulusLength: 2048, publicExponent: 3 }, 'exponent is weak'],
  ])('an RSA key %s is refused', (_, options, says) => {
    const rsa = generateKeyPairSync('rsa', options).publicKey
    expect(identityKeyFromJwk(rsa.export({ format: 'jwk' }))).toMatchObject({
      ok: false,
      error: expect.stringContaining(says),
    })
  })

  test.each([
    { kty: 'RSA', n: 'AA', e: 'AQAB' },
    { kty: 'RSA', n: 'A'.repeat(5000), e: 'AQAB' },
    { kty: 'RSA', n: '', e: '' },
    { kty: 'RSA', e: 'AQAB' },
    { kty: 'RSA', n: `${'_'.repeat(341)}8`, e: 'AQ' },
    { kty: 'RSA', n: `${'_'.repeat(341)}g`, e: 'AQAB' },
    { kty: 'RSA', n: `${'_'.repeat(342)}`, e: 'AQAB', alg: 'PS256' },
    { kty: 'RSA', n: `${'_'.repeat(342)}`, e: 'AQAB', alg: 'ES256' },
  ])('what is no RSA key for RS256 is refused: %o', (jwk) => {
    expect(identityKeyFromJwk(jwk).ok).toBe(false)
  })

  test('an agent without a key is a warning, and two with one key are', () => {
    const texts = {
      't.yaml': tool(),
      'team.yaml': team,
      'k.pem': pem,
      'a.yaml': agent('{ tool: tickets, scopes: [ticket:read] }'),
    }
    expect(setOf(texts).warnings[0]?.message).toContain('has no identity')
    const identity = '  identity: [{ publicKeyFile: k.pem }]\n'
    const set = setOf({
      ...texts,
      'a.yaml': agent('{ tool: tickets, scopes: [ticket:read] }', 'bot', identity),
      'b.yaml': agent('{ tool: tickets, scopes: [ticket:read] }', 'other', identity),
    })
    expect(set.warnings.map((warning) => warning.message)).toEqual([
      'agent "other" has the same key as "bot": give each its own',
    ])
  })

  test('no fault shows a file name raw that was made to forge a line or an escape (S20)', () => {
    const name = 'tools/\n\u202etrue\u001b[2K.yaml'
    const faults = faultsOf({ [name]: tool(), 'z.yaml': tool(), 'y.yaml': tool('tickets-0') })
    expect(faults.some((line) => line.includes('already, at'))).toBe(true)
    for (const line of faults) expect(line).not.toMatch(/[\n\u202e\u001b]/)
  })

  test('no fault ever shows key material (P7)', () => {
    const secret = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const d = secret.export({ format: 'jwk' }).d ?? ''
    const privatePem = secret.export({ format: 'pem', type: 'pkcs8' }).toString()
    const body = privatePem.split('\n')[1] ?? ''
    const entry = '{ tool: tickets, scopes: [ticket:read] }'
    const attempts = [
      faultsOf({
        'a.yaml': agent(
          entry,
          'bot',
          `  identity: [{ jwks: { keys: [${JSON.stringify(secret.export({ format: 'jwk' }))}] } }]\n`,
        ),
        't.yaml': tool(),
        'team.yaml': team,
      }),
      faultsOf({
        'a.yaml': agent(entry, 'bot', '  identity: [{ publicKeyFile: k.pem }]\n'),
        'k.pem': privatePem,
        't.yaml': tool(),
        'team.yaml': team,
      }),
      faultsOf({
        'a.yaml': agent(entry, 'bot', `  identity: [{ publicKeyFile: "${privatePem.replaceAll('\n', '\\n')}" }]\n`),
        't.yaml': tool(),
        'team.yaml': team,
      }),
    ]
    for (const faults of attempts) {
      expect(faults).toHaveLength(1)
      expect(faults[0]).toContain('private key')
      expect(faults[0]).not.toContain(d)
      expect(faults[0]).not.toContain(body)
    }
  })
})

describe('names once known and now gone grant nothing and warn (P3)', () => {
  const entry = '{ tool: tickets, scopes: [ticket:read, ticket:merge], details: { queue: [a] } }'

  test('a tool that is gone takes the entry with it', () => {
    const set = setOf({ 'a.yaml': agent(entry), 'team.yaml': team }, { known: known({ tools: new Set(['tickets']) }) })
    expect(set.agents.get('bot')?.access).toEqual([])
    expect(set.warnings.map(faultLine)).toContain(
      'a.yaml:8:15 the tool "tickets" is gone: this grants nothing; remove it',
    )
  })

  test('a scope that is gone takes itself, and the last one the entry', () => {
    const gone = known({ scopes: new Map([['tickets', new Set(['ticket:merge'])]]) })
    const texts = { 't.yaml': tool(), 'team.yaml': team }
    expect(setOf({ ...texts, 'a.yaml': agent(entry) }, { known: gone }).agents.get('bot')?.access[0]?.scopes).toEqual([
      'ticket:read',
    ])
    const last = entry.replace('ticket:read, ', '')
    expect(setOf({ ...texts, 'a.yaml': agent(last) }, { known: gone }).agents.get('bot')?.access).toEqual([])
    expect(faultsOf({ ...texts, 'a.yaml': agent(entry) })).toHaveLength(1)
  })

  test('a details key that is gone takes the whole entry: without it the entry would be broader (P2)', () => {
    const gone = known({ details: new Map([['tickets', new Set(['region'])]]) })
    const limited = '{ tool: tickets, scopes: [ticket:read], details: { region: [eu] } }'
    const set = setOf({ 't.yaml': tool(), 'team.yaml': team, 'a.yaml': agent(limited) }, { known: gone })
    expect(set.agents.get('bot')?.access).toEqual([])
    expect(set.warnings.some((warning) => warning.message.includes('this entry grants nothing'))).toBe(true)
  })

  test('a team and a role that are gone are dropped', () => {
    const gone = known({ teams: new Set(['platform']), roles: new Set(['triage']) })
    const text = agent('{ tool: tickets, scopes: [ticket:read] }', 'bot', '  roles: [triage]\n')
    const bot = setOf({ 't.yaml': tool(), 'a.yaml': text }, { known: gone }).agents.get('bot')
    expect(bot).toMatchObject({ owners: ['lead@example.com'], roles: [] })
    expect(faultsOf({ 't.yaml': tool(), 'a.yaml': text })).toHaveLength(2)
  })
})

describe('digests', () => {
  const texts = (entry: string, key = pem) => ({
    't.yaml': tool(),
    'team.yaml': team,
    'k.pem': key,
    'a.yaml': agent(entry, 'bot', '  identity: [{ publicKeyFile: k.pem }]\n'),
  })
  const base = setOf(texts('{ tool: tickets, scopes: [ticket:read] }'))

  test('comments, layout, file names and written defaults change no digest', () => {
    const {
      'a.yaml': a,
      't.yaml': t,
      'team.yaml': m,
    } = texts('{ approval: owner, scopes: ["ticket:read"], tool: tickets, grantFor: 8h } # same')
    const moved = setOf({
      'keys/other.pem': pem,
      'all.yaml': `# one file\n${m}---\n${t}---\n${a.replace('k.pem', 'keys/other.pem')}`,
    })
    expect(moved.digest).toBe(base.digest)
    expect(moved.documentDigests).toEqual(base.documentDigests)
  })

  test('a changed field changes its own document and the set, no other document', () => {
    const changed = setOf(texts('{ tool: tickets, scopes: [ticket:read], approval: none }'))
    expect(changed.digest).not.toBe(base.digest)
    expect(changed.documentDigests.get('Agent/bot')).not.toBe(base.documentDigests.get('Agent/bot'))
    expect(changed.documentDigests.get('Tool/tickets')).toBe(base.documentDigests.get('Tool/tickets'))
  })

  test('another key in the same file changes the digest (S3)', () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .publicKey.export({ format: 'pem', type: 'spki' })
      .toString()
    expect(setOf(texts('{ tool: tickets, scopes: [ticket:read] }', other)).digest).not.toBe(base.digest)
  })
})

describe('limits', () => {
  test('a set without a document is a fault, whatever other files are there (P3)', () => {
    const message = '.:1:1 there is no manifest here: a folder that is missing or empty changes nothing'
    expect(faultsOf({})).toEqual([message])
    expect(faultsOf({ 'k.pem': pem, 'a.yaml': '# nothing' })).toEqual([message])
  })

  test('a file over 1 MiB, a set over 10,000 files and over 32 MiB are refused', () => {
    expect(faultsOf({ 'a.yaml': new Uint8Array(1024 * 1024 + 1) })).toEqual([
      'a.yaml:1:1 the file is larger than 1024 KiB: split it',
    ])
    const many = new Map(Array.from({ length: 10_001 }, (_, index) => [`${index}.yaml`, new Uint8Array()]))
    expect(parseManifests(many, options)).toMatchObject({
      ok: false,
      faults: [{ message: 'the folder holds more than 10000 files' }],
    })
    const heavy = new Uint8Array(1024 * 1024)
    const large = new Map(Array.from({ length: 33 }, (_, index) => [`${index}.pem`, heavy]))
    expect(parseManifests(large, options)).toMatchObject({
      ok: false,
      faults: [{ message: 'the folder holds more than 32 MiB' }],
    })
  })

  test('a hundred faults are shown, and then how many more there are', () => {
    const faults = faultsOf({ 'a.yaml': Array.from({ length: 250 }, () => 'kind: Agent\n').join('---\n') })
    expect(faults).toHaveLength(101)
    expect(faults.at(-1)).toBe('a.yaml:199:1 and 150 more faults')
  })

  test('a file with a path that could lead elsewhere or mislead a reader is refused', () => {
    for (const path of ['../a.yaml', '/a.yaml', 'a/../b.yaml', 'a\nb.yaml', 'a\u202eb.yaml', 'a\\b.yaml']) {
      const [fault] = faultsOf({ [path]: tool() })
      expect(fault).toContain('has a name that is not read')
      expect(fault).not.toMatch(/[\n\u202e]/)
    }
  })

  test.each([
    ['brackets', '['.repeat(1_000_000)],
    ['braces', '{a: '.repeat(250_000)],
    ['dashes', '- '.repeat(500_000)],
    ['keys', Array.from({ length: 120_000 }, (_, index) => `k${index}:`).join('\n')],
    ['documents', '---\n'.repeat(250_000)],
    ['quotes', '"'.repeat(1_000_000)],
    ['tags', '! '.repeat(500_000)],
    ['commas', `[${','.repeat(1_000_000)}]`],
    ['open lists', 'a: [\n'.repeat(200_000)],
    ['wide list', `[${'a,'.repeat(90_000)}]`],
    ['wide maps', `[${'{a: b},'.repeat(18_000)}]`],
    ['errors', 'a: b: c\n'.repeat(20_000)],
    ['small documents', 'a: b: c\n---\n'.repeat(9_000)],
    ['long word', `a: ${'x'.repeat(1_000_000)}`],
    [
      'confusing names',
      Array.from({ length: 999 }, (_, index) => `${head('Team', `t${'1i'.repeat(8)}${index}`)}spec: {}\n`).join(
        '---\n',
      ),
    ],
    [
      'unknown names',
      Array.from({ length: 15 }, (_, index) =>
        agent(
          `{ tool: tickets, scopes: [${'tickt:read,'.repeat(63)}x] }\n`.concat(
            `    - { tool: tickets, scopes: [${'tickt:red,'.repeat(63)}x] }\n`.repeat(60),
          ),
          `b${index}`,
        ),
      ).join('---\n'),
    ],
  ])('a bomb of %s is refused, without hanging or overflowing the stack', { timeout: 60_000 }, (_, text) => {
    expect(faultsOf({ 'a.yaml': text, 't.yaml': tool(), 'team.yaml': team }).length).toBeGreaterThan(0)
  })
})

describe('schemas', () => {
  test('every field of every kind is listed once, made from the schemas', () => {
    expect(new Set(SCHEMA_FIELDS).size).toBe(SCHEMA_FIELDS.length)
    for (const field of [
      'Agent.spec.access[].scopes',
      'Agent.spec.access[].details{}',
      'Tool.spec.token.maxTtl',
      'Tool.spec.scopes{}.risk',
      'Role.spec.access[].tool',
      'Team.spec.members',
      'Agent.spec.identity[].jwks.keys',
    ]) {
      expect(SCHEMA_FIELDS).toContain(field)
    }
  })

  test('the schemas beside the sample set are the present ones', () => {
    for (const [kind, schema] of Object.entries(jsonSchemas())) {
      const written: unknown = JSON.parse(readFileSync(`${scopes}/.schema/${kind.toLowerCase()}.json`, 'utf8'))
      expect(
        written,
        `scopes/.schema/${kind.toLowerCase()}.json is out of date: write it with "hallpass scopes schema"`,
      ).toEqual(JSON.parse(JSON.stringify(schema)))
    }
  })
})

test.each([
  ['file:tickets-token', "only a Tool's target.secret, upstream.secret and mcp.secret"],
  ['file:/srv/secrets/tickets-token', "only a Tool's target.secret, upstream.secret and mcp.secret"],
  ['file:/srv/secrets/../data/db', 'leads out'],
  ['file:/srv/secrets-of-others/x', 'leads out'],
  ['file:a/../../b', 'leads out'],
  ['file:..\\b', 'leads out'],
  ['file:.', 'leads out'],
  ['file:sub/kek', "Hallpass's own key"],
  ['env:HALLPASS_TOOL_', 'HALLPASS_TOOL_* variables alone'],
])('a reference to %s is judged by where it leads (S5)', (reference, words) => {
  const faults = faultsOf(
    { 't.yaml': tool('tickets', `  upstream: { token: '${reference}' }\n`) },
    { secretsFolder: '/srv/secrets/' },
  )
  expect(faults.some((fault) => fault.includes('secret reference') && fault.includes(words))).toBe(true)
})

const connected = (more = '', secret = 'env:HALLPASS_TOOL_X') =>
  tool(
    'tickets',
    `  target:
    type: rt
    url: https://RT.example.com:443/rt/
    secret: ${secret}
    rights: { 'ticket:read': ['{queue} readers', All], 'ticket:close': ['{queue} closers'] }
${more}`,
  )

describe('a target', () => {
  test('gets its defaults, a normal form of its URL, and keeps its secret a reference (S5)', () => {
    expect(setOf({ 't.yaml': connected() }).tools.get('tickets')?.target).toEqual({
      type: 'rt',
      url: 'https://rt.example.com/rt',
      secret: 'env:HALLPASS_TOOL_X',
      recipe: null,
      values: {},
      rights: { 'ticket:read': ['All', '{queue} readers'], 'ticket:close': ['{queue} closers'] },
      reconcile: { ghosts: 'remove', others: 'report', overScoped: 'heal', exempt: [] },
    })
  })

  test.each(['file:tickets-token', 'file:/srv/secrets/tickets-token', 'env:HALLPASS_TOOL_X'])(
    'may name its secret as %s (S5)',
    (secret) => {
      expect(faultsOf({ 't.yaml': connected('', secret) }, { secretsFolder: '/srv/secrets' })).toEqual([])
    },
  )

  test('what its type cannot do is a warning before anybody relies on it', () => {
    expect(setOf({ 't.yaml': connected() }).warnings.map(faultLine)).toEqual([
      't.yaml:13:11 tool "tickets" (rt) has groups for rights, made beforehand: what a group may do is not seen here',
    ])
  })
})

test.each([
  ['triage-bot', 'tr1age-b0t'],
  ['triage-bot', 'triagebot'],
  ['modern', 'modem'],
  ['wolf', 'vvolf'],
  ['ill', '111'],
])('%s and %s look alike (S4)', (one, other) => {
  expect(confusableSkeleton(one)).toBe(confusableSkeleton(other))
})

test('different names do not look alike, and a skeleton is its own skeleton', () => {
  expect(confusableSkeleton('tickets')).not.toBe(confusableSkeleton('metrics'))
  for (const name of ['r-n', 'v-v-v', 'rrnn', '1-0-i-l']) {
    expect(confusableSkeleton(confusableSkeleton(name))).toBe(confusableSkeleton(name))
  }
})
