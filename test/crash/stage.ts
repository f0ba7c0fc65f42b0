// One broker as an operator runs it, with a tool, agents and their owner, which is about to be treated badly.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { freePort, stopAll } from '../tools/background.ts'
import { bearerIn, type Initialised, initialiseBroker } from '../tools/broker-process.ts'
import { type AgentIdentity, callApi, createIdentity } from '../tools/people-and-agents.ts'
import { createLedger, type Ledger } from './ledger.ts'

export const OWNER = 'lead@example.com'
const WAIT = { timeout: 30_000, interval: 50 }
/** For `expect.poll`: what must come true by itself. */
export const SOON = WAIT

const preload = (name: string): string => fileURLToPath(new URL(`./${name}.ts`, import.meta.url))
export const AT_COMMIT = preload('at-commit')
export const MOVED_CLOCK = preload('moved-clock')

export type Stage = {
  readonly folder: string
  /** Where the broker keeps everything. */
  readonly data: string
  readonly broker: Initialised
  /** Of the tool `desk`. */
  readonly verifier: string
  readonly ledger: Ledger
  agent(name: string): AgentIdentity
  /** Puts the agent's manifest there, with these scopes of the tool. */
  write(name: string, scopes: string, access?: string): void
  forget(name: string): void
  /** Accepts as the owner whatever waits. */
  acceptAll(): Promise<void>
  /** Null where the broker refused to say. */
  isActive(token: string): Promise<boolean | null>
  close(): Promise<void>
}

export type StageOptions = {
  readonly agents: readonly string[]
  /** Called with the data folder before the broker makes anything in it. */
  readonly prepare?: (data: string) => void
  /** More of an agent's access entry in YAML, such as `approval: none`; of each, or by name. */
  readonly access?: string | Readonly<Record<string, string>>
  /** How the tool verifies tokens. */
  readonly verifiedBy?: 'asks' | 'alone'
  /** Its database, if it is not the suite's. */
  readonly database?: string
  /** A real InfluxDB with a database `ops`: the tool `board`, in which each agent gets accounts of its own. */
  readonly board?: { readonly url: string; readonly admin: string }
}

const READ_AND_COMMENT = 'desk:read, desk:comment'

const toolManifest = (verifiedBy: string): string => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: desk }
spec:
  owners: [${OWNER}]
  category: ticketing
  resource: https://desk.example.com
  scopes:
    desk:read: { description: Read, risk: low }
    desk:comment: { description: Comment, risk: low }
  token: { verifiedBy: ${verifiedBy} }
`

const boardManifest = (url: string): string => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: board }
spec:
  owners: [${OWNER}]
  category: observability
  resource: https://board.example.com
  scopes: { board:read: { description: Read, risk: low } }
  target:
    type: influxdb
    url: "${url}"
    secret: env:HALLPASS_TOOL_BOARD
    rights: { board:read: ["READ:ops"] }
    reconcile: { exempt: [admin] }
`
const ON_BOARD = '{ tool: board, scopes: [board:read], approval: none, tokenTtl: 10m }'

const agentManifest = (name: string, scopes: string, access: string, more: string): string => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Works until the lights go out
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access: [{ tool: desk, scopes: [${scopes}]${access === '' ? '' : `, ${access}`} }${more}]
`

/** Initialised, and not running. */
export async function openStage(options: StageOptions): Promise<Stage> {
  const { agents, prepare, access = '', verifiedBy = 'asks', database, board } = options
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-crash-'))
  const data = join(folder, 'data')
  const identities = new Map<string, AgentIdentity>()
  const accessOf = (name: string) => (typeof access === 'string' ? access : (access[name] ?? ''))
  const manifestOf = (name: string) => join(folder, `scopes/agents/${name}.yaml`)
  const write: Stage['write'] = (name, scopes, more = accessOf(name)) =>
    writeFileSync(manifestOf(name), agentManifest(name, scopes, more, board === undefined ? '' : `, ${ON_BOARD}`))
  mkdirSync(join(folder, 'scopes/agents/keys'), { recursive: true })
  writeFileSync(join(folder, 'scopes/desk.yaml'), toolManifest(verifiedBy))
  if (board !== undefined) writeFileSync(join(folder, 'scopes/board.yaml'), boardManifest(board.url))
  for (const name of agents) {
    const identity = await createIdentity(name)
    identities.set(name, identity)
    writeFileSync(join(folder, `scopes/agents/keys/${name}.pub.pem`), identity.publicPem)
    write(name, READ_AND_COMMENT)
  }
  prepare?.(data)
  const broker = await initialiseBroker(folder, await freePort(), OWNER, database)
  await broker.start()
  const verifier = bearerIn(await broker.hallpass('verifier', 'token', 'desk'), 'verify')
  const key = await broker.hallpass('audit', 'key')
  writeFileSync(join(folder, 'hallpass.pub'), key)
  await broker.stop()

  const isActive: Stage['isActive'] = async (token) => {
    const response = await fetch(`${broker.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: { 'x-hallpass-verifier': verifier },
      body: new URLSearchParams({ token }),
    })
    const body: unknown = await response.json()
    return response.ok ? z.object({ active: z.boolean() }).parse(body).active : null
  }
  return {
    folder,
    data,
    broker,
    verifier,
    ledger: createLedger({ broker, isActive, key: key.trim() }),
    agent: (name) => identities.get(name)!,
    write,
    forget: (name) => rmSync(manifestOf(name)),
    async acceptAll() {
      const { body } = await callApi(broker.issuer, broker.ownerToken, '/revisions')
      const [newest] = z.object({ items: z.array(z.object({ id: z.string() })) }).parse(body).items
      if (newest !== undefined) await callApi(broker.issuer, broker.ownerToken, `/revisions/${newest.id}/accept`, {})
    },
    isActive,
    async close() {
      await stopAll()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** `agent-bcd`: names that no person takes for each other, as many as are asked for. */
export const names = (stem: string, count: number): readonly string[] =>
  Array.from(
    { length: count },
    (_, index) => `${stem}-${[...String(index).padStart(3, '0')].map((digit) => 'bdfghkptxz'[Number(digit)]).join('')}`,
  )
