// A whole broker as a process with one real tool behind it twice: as `desk` straight, and as `sick` through a proxy that
// does what networks do. Agents come over the wire, their owner over HTTP; the tool's own database says what came of it.

import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { Secret } from '../../src/core/secret.ts'
import type { Subject } from '../contracts/target.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { MCP_CLIENTS, type McpAgent } from '../support/mcp-clients.ts'
import { type Background, freePort, stopAll } from './background.ts'
import { type Initialised, initialiseBroker } from './broker-process.ts'
import {
  type AgentIdentity,
  type Answered,
  callApi,
  exchange,
  expectDone,
  idOf,
  type Json,
  openSession,
  readIdentity,
} from './people-and-agents.ts'
import type { Waits } from './short-waits.ts'
import { waitUntil } from './wait-until.ts'

export const OWNER = 'lead@example.com'
/** What a broker does by itself, on a machine that does other things too. */
export const SOON = { timeout: 60_000, interval: 25 }
/** Past the time in which a create that nobody knows the end of may still be carried out. */
export const SETTLED = { timeout: 90_000, interval: 250 }

const preload = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const SHORT_WAITS = preload('./short-waits.ts')
const AT_COMMIT = preload('../crash/at-commit.ts')
/** Of the broker under test, so that a suite is short; milliseconds. An operator's are in `core/limits.ts`. */
const SHORT: Waits = { settleMs: 2_000, openMs: 500, openMsMax: 2_000, retryMsMax: 2_000 }

export type Particulars = {
  /** For people. */
  readonly called: string
  readonly type: 'redmine' | 'rt' | 'influxdb'
  /** The two rights of the subject, with `{place}` for where they hold. */
  readonly rights: readonly [string, string]
  readonly start: () => Promise<Subject>
  /** How the tool takes an account's secret, and a path that it opens to whoever has one. */
  readonly use: { readonly header: string; readonly prefix: string }
  readonly open: string
  /** What it answers with 200 where it did nothing. */
  readonly lie: string
}

export type Scope = 'desk:first' | 'desk:second'
export type Held = {
  readonly secret: Secret
  readonly session: string
  readonly sessionToken: string
  readonly grant: string
  /** The account's name in the tool. */
  readonly name: string
}

const receipt = z.object({
  id: z.string(),
  status: z.enum(['revoking', 'outstanding', 'revoked']),
  at: z.string(),
  afterMilliseconds: z.number().optional(),
  confirmations: z.array(
    z.object({
      tool: z.string(),
      verifiedBy: z.string(),
      status: z.string(),
      credentials: z.number(),
      how: z.string().optional(),
      accounts: z
        .array(
          z.object({
            name: z.string(),
            status: z.string(),
            removedAfterMilliseconds: z.number().nullable(),
            readBackAfterMilliseconds: z.number().nullable(),
            probedDeadAfterMilliseconds: z.number().nullable(),
            lastFailure: z.string().optional(),
          }),
        )
        .optional(),
    }),
  ),
})
export type Receipt = z.infer<typeof receipt>
const record = z.object({
  kind: z.string(),
  at: z.string(),
  subject: z.record(z.string(), z.unknown()),
  body: z.looseObject({}),
})
export type Written = z.infer<typeof record>

const toolManifest = (name: string, { type, rights }: Particulars, url: string) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: ${name} }
spec:
  owners: [${OWNER}]
  category: ticketing
  resource: https://${name}.example.com
  scopes:
    desk:first: { description: The first, risk: low }
    desk:second: { description: The second, risk: medium }
  details: { place: { description: Where, enforcedBy: tool } }
  target:
    type: ${type}
    url: ${url}
    secret: env:HALLPASS_TOOL_${name.toUpperCase()}
    rights: { desk:first: ["${rights[0]}"], desk:second: ["${rights[1]}"] }
`

const agentManifest = (name: string, access: string) => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Works in a tool
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access: [${access}]
`

/** An access entry in YAML. */
export const accessTo = (tool: 'desk' | 'sick', scopes: readonly Scope[], more = '') =>
  `{ tool: ${tool}, scopes: [${scopes.join(', ')}], details: { place: [ops] }${more === '' ? '' : `, ${more}`} }`

export type ToolStage = Awaited<ReturnType<typeof openToolStage>>

/** `agents`: name → access in YAML. */
export async function openToolStage(particulars: Particulars, agents: Readonly<Record<string, string>>) {
  const subject = await particulars.start()
  const proxy: FaultProxy = await startFaultProxy(subject.url)
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-whole-'))
  const scopes = join(folder, 'scopes')
  for (const name of ['tools', 'agents/keys']) mkdirSync(join(scopes, name), { recursive: true })
  mkdirSync(join(folder, 'keys'))
  writeFileSync(join(scopes, 'tools', 'desk.yaml'), toolManifest('desk', particulars, subject.url))
  writeFileSync(join(scopes, 'tools', 'sick.yaml'), toolManifest('sick', particulars, proxy.url))
  const identities = new Map<string, AgentIdentity>()
  const keyPath = (name: string) => join(folder, 'keys', `${name}.pem`)
  const write = (name: string, access: string) =>
    writeFileSync(join(scopes, 'agents', `${name}.yaml`), agentManifest(name, access))
  for (const [name, access] of Object.entries(agents)) {
    const pair = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    writeFileSync(keyPath(name), pair.privateKey, { mode: 0o600 })
    writeFileSync(join(scopes, 'agents', 'keys', `${name}.pub.pem`), pair.publicKey)
    identities.set(name, await readIdentity(name, pair.privateKey))
    write(name, access)
  }
  const broker: Initialised = await initialiseBroker(folder, await freePort(), OWNER)
  /** Where a commit is named at which the broker is to die: `at-commit.ts` reads it. */
  const order = join(folder, 'order.json')
  const start = (waits: Waits = {}): Promise<Background> =>
    broker.start({
      preload: [SHORT_WAITS, AT_COMMIT],
      env: {
        HALLPASS_TOOL_DESK: subject.admin,
        HALLPASS_TOOL_SICK: subject.admin,
        SHORT_WAITS: JSON.stringify({ ...SHORT, ...waits }),
        CRASH_ORDER: order,
      },
    })
  await start()

  const { issuer, adminToken, ownerToken } = broker
  const agent = (name: string) => {
    const found = identities.get(name)
    if (found === undefined) throw new Error(`no agent ${name}`)
    return found
  }
  const asAdmin = (path: string, body?: Json, method?: string) => callApi(issuer, adminToken, path, body, method)
  const approve = (request: string) => expectDone(callApi(issuer, ownerToken, `/requests/${request}/approve`, {}))

  async function records(kind: string, where: Readonly<Record<string, string>> = {}): Promise<readonly Written[]> {
    const found: Written[] = []
    let after: string | null = null
    do {
      const query = new URLSearchParams({ kind, limit: '500', ...where, ...(after === null ? {} : { after }) })
      const page = z
        .object({ items: z.array(record), next: z.union([z.string(), z.number()]).nullable() })
        .parse(await expectDone(asAdmin(`/audit?${query}`)))
      found.push(...page.items)
      after = page.next === null ? null : String(page.next)
    } while (after !== null)
    return found
  }

  /** Names of the accounts that were ever planned for a grant, in their order. */
  const namesOf = async (grant: string) =>
    (await records('account.planned'))
      .filter(({ subject: of }) => of.grant === grant)
      .map(({ body }) => String(body.name))

  /** A grant for one scope; the owner says yes where one is asked. */
  async function grantFor(
    session: string,
    tool: 'desk' | 'sick',
    scope: Scope,
    more: { readonly durationSeconds?: number } = {},
  ): Promise<string> {
    const ask = { tool, scopes: [scope], details: { place: ['ops'] }, reason: 'INC-4711: look at it', ...more }
    const asked = await expectDone(callApi(issuer, session, '/requests', ask))
    if (asked.status !== 'pending') return idOf(asked.grant)
    const request = idOf(asked.request)
    await approve(request)
    return idOf((await expectDone(callApi(issuer, session, `/requests/${request}?wait=5`))).grant)
  }

  /** The credential as the tool takes it. */
  async function mint(sessionToken: string, grant: string): Promise<Held> {
    // The tool may be left alone for a while after what was done to it.
    const answered = await waitUntil(async () => {
      const one = await exchange(issuer, sessionToken, grant)
      return one.body.retryable === true ? null : one
    }, SOON)
    const body = await expectDone(Promise.resolve(answered))
    const session = z.object({ sid: z.string() }).parse(JSON.parse(atob(sessionToken.split('.')[1] ?? ''))).sid
    const name = (await namesOf(grant)).at(-1) ?? ''
    return { secret: new Secret(String(body.access_token)), session, sessionToken, grant, name }
  }

  async function hold(name: string, scope: Scope = 'desk:first', tool: 'desk' | 'sick' = 'desk'): Promise<Held> {
    const session = await openSession(issuer, agent(name))
    return mint(session, await grantFor(session, tool, scope))
  }

  const receiptOf = async (id: string, waitSeconds = 0): Promise<Receipt> =>
    receipt.parse(await expectDone(asAdmin(`/receipts/${id}?wait=${waitSeconds}`)))

  return {
    particulars,
    subject,
    proxy,
    broker,
    start,
    order,
    /** Where the broker keeps everything. */
    data: join(folder, 'data'),
    agent,
    write,
    /** Makes the broker drill a tool by itself, as an admin accepts it. */
    async scheduleDrills(tool: 'desk' | 'sick'): Promise<void> {
      const revisions = z.object({ items: z.array(z.object({ id: z.string(), status: z.string() })) })
      const inForce = async () =>
        revisions.parse(await expectDone(asAdmin('/revisions'))).items.find(({ status }) => status === 'in force')?.id
      const before = await inForce()
      const url = tool === 'desk' ? subject.url : proxy.url
      const drill = '    drill: { every: 1h, details: { place: [ops] } }\n'
      writeFileSync(join(scopes, 'tools', `${tool}.yaml`), toolManifest(tool, particulars, url) + drill)
      const revision = await waitUntil(async () => {
        const now = await inForce()
        return now === before ? null : now
      }, SOON)
      await expectDone(asAdmin(`/revisions/${revision}/accept`, {}))
    },
    forget: (name: string) => rmSync(join(scopes, 'agents', `${name}.yaml`)),
    asAdmin,
    approve,
    records,
    namesOf,
    grantFor,
    mint,
    hold,
    receiptOf,
    session: (name: string) => openSession(issuer, agent(name)),
    exchange: (session: string, grant: string): Promise<Answered> => exchange(issuer, session, grant),
    /** The official client, which signs in by itself. */
    connect: (name: string): Promise<McpAgent> =>
      MCP_CLIENTS['the official client, pinned to 2026-07-28']!(
        { url: issuer, agents: { [name]: { keyPath: keyPath(name) } } },
        name,
      ),
    /** Once this broker process has looked through what the tool holds. */
    async lookedThrough(tool: 'desk' | 'sick'): Promise<void> {
      const tools = z.object({ items: z.array(z.object({ name: z.string(), reconciled: z.unknown().optional() })) })
      await waitUntil(async () => {
        const { items } = tools.parse(await expectDone(asAdmin('/tools')))
        return items.some(({ name, reconciled }) => name === tool && reconciled !== undefined)
      }, SOON)
    },
    /** The receipt of what just was answered, once it is confirmed. */
    async confirmed(answered: Json): Promise<Receipt> {
      const id = idOf(answered.receipt ?? answered)
      return waitUntil(async () => {
        const now = await receiptOf(id, 5)
        return now.status === 'revoked' ? now : null
      }, SETTLED)
    },
    async metric(name: string): Promise<number> {
      const text = await (
        await fetch(`${issuer}/metrics`, { headers: { authorization: `Bearer ${adminToken}` } })
      ).text()
      const line = text.split('\n').find((one) => one.startsWith(`${name} `))
      return Number(line?.slice(name.length + 1))
    },
    async close() {
      await stopAll()
      await proxy.close()
      await subject.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
