// The broker that is measured: the command line as an operator runs it, in a process of its own, with as many agents as
// no rate limit of one of them matters, each with a session and a grant that no owner has to approve.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, startInBackground } from '../tools/background.ts'
import { bearerIn, initialiseBroker } from '../tools/broker-process.ts'
import {
  type AgentIdentity,
  callApi,
  createIdentity,
  exchange,
  expectDone,
  idOf,
  openSession,
} from '../tools/people-and-agents.ts'
import type { LighterTrail } from './lighter-trail.ts'
import { onServerCore, type Server, serverOf } from './processes.ts'

const OWNER = 'owner@example.com'
const LIGHTER_TRAIL = new URL('lighter-trail.ts', import.meta.url).href
const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

/** `asks` the broker at each call; `guarded` has a guard; `proxied` is called through the broker. */
export const TOOLS = {
  asks: { resource: 'http://127.0.0.1:8432', scope: 'asks:read', verifiedBy: 'asks', delivery: 'inline' },
  guarded: { resource: 'http://127.0.0.1:8433', scope: 'guarded:read', verifiedBy: 'guard', delivery: 'inline' },
  proxied: { resource: 'http://127.0.0.1:8434', scope: 'proxied:read', verifiedBy: 'asks', delivery: 'proxy' },
} as const
export type ToolName = keyof typeof TOOLS

export type BenchAgent = {
  readonly name: string
  readonly session: string
  readonly grants: Readonly<Record<ToolName, string>>
}

export type BenchBroker = {
  readonly issuer: string
  readonly port: number
  readonly folder: string
  readonly adminToken: string
  readonly verifiers: Readonly<Record<'asks' | 'guarded', string>>
  /** Where the broker looks for the tool `proxied`; nothing listens there until a row starts it. */
  readonly upstreamPort: number
  readonly agents: readonly BenchAgent[]
  readonly server: Server
  /** A credential of this agent. */
  mint(agent: BenchAgent, tool: ToolName): Promise<string>
  /** Another grant, in a session of its own. */
  ask(session: string, tool: ToolName, durationSeconds: number): Promise<string>
  openSession(name: string): Promise<string>
  close(): Promise<void>
}

/** `trail`: with one that costs less than it may, to see what the real one costs; `upstream`: where `proxied` is. */
export async function startBenchBroker(
  agentCount: number,
  trail?: LighterTrail,
  upstream?: number,
): Promise<BenchBroker> {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-bench-'))
  const identities = await Promise.all(
    Array.from({ length: agentCount }, (_, index) => createIdentity(`agent-${String(index).padStart(3, '0')}`)),
  )
  const upstreamPort = upstream ?? (await freePort())
  writeScopes(join(folder, 'scopes'), identities, upstreamPort)
  const port = await freePort()
  const broker = await initialiseBroker(folder, port, OWNER)
  const lighter = trail === undefined ? [] : ['--import', LIGHTER_TRAIL]
  const [command, args] = onServerCore([...lighter, CLI, 'serve'])
  const background = await startInBackground(command, args, {
    cwd: folder,
    env: { ...brokerEnv(folder, port), ...(trail === undefined ? {} : { LIGHTER_TRAIL: trail }) },
    ready: async () => (await fetch(`${broker.issuer}/readyz`)).ok,
  })
  const { issuer } = broker
  const verifier = async (tool: ToolName) => bearerIn(await broker.hallpass('verifier', 'token', tool), 'verify')
  const ask = async (session: string, tool: ToolName, durationSeconds: number) => {
    const asked = { tool, scopes: [TOOLS[tool].scope], durationSeconds, reason: 'A measurement' }
    return idOf((await expectDone(callApi(issuer, session, '/requests', asked))).grant)
  }
  const agents: BenchAgent[] = []
  for (const identity of identities) {
    const session = await openSession(issuer, identity)
    const grants = {
      asks: await ask(session, 'asks', 3600),
      guarded: await ask(session, 'guarded', 3600),
      proxied: await ask(session, 'proxied', 3600),
    }
    agents.push({ name: identity.name, session, grants })
  }
  return {
    issuer,
    port,
    folder,
    adminToken: broker.adminToken,
    upstreamPort,
    verifiers: { asks: await verifier('asks'), guarded: await verifier('guarded') },
    agents,
    server: serverOf(background, port),
    mint: async (agent, tool) =>
      String((await expectDone(exchange(issuer, agent.session, agent.grants[tool]))).access_token),
    ask,
    openSession: (name) => openSession(issuer, identities.find((identity) => identity.name === name)!),
    async close() {
      await background.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export const brokerEnv = (folder: string, port: number) => ({
  HOME: folder,
  HALLPASS_PORT: String(port),
  HALLPASS_DATA: join(folder, 'data'),
  HALLPASS_SCOPES: join(folder, 'scopes'),
  HALLPASS_LOG: 'warn',
})

export function writeScopes(path: string, agents: readonly AgentIdentity[], upstreamPort = 8434): void {
  for (const folder of ['tools', 'agents/keys']) mkdirSync(join(path, folder), { recursive: true })
  for (const [name, { resource, scope, verifiedBy, delivery }] of Object.entries(TOOLS))
    writeFileSync(
      join(path, 'tools', `${name}.yaml`),
      `apiVersion: hallpass/v1
kind: Tool
metadata: { name: ${name} }
spec:
  owners: [${OWNER}]
  category: observability
  resource: ${resource}
  scopes:
    "${scope}":
      description: Read it
      risk: low
${delivery === 'proxy' ? '      allow: [{ methods: [GET], paths: ["/page*"] }]\n' : ''}  token: { maxTtl: 1h, verifiedBy: ${verifiedBy} }
${delivery === 'proxy' ? `  upstream: { url: "http://127.0.0.1:${upstreamPort}" }\n` : ''}`,
    )
  for (const { name, publicPem } of agents) {
    writeFileSync(join(path, 'agents', 'keys', `${name}.pub.pem`), publicPem)
    const access = Object.entries(TOOLS).map(
      ([tool, { scope, delivery }]) => `    - tool: ${tool}
      scopes: ["${scope}"]
      approval: none
      grantFor: 4h
      tokenTtl: 1h
      delivery: ${delivery}
`,
    )
    writeFileSync(
      join(path, 'agents', `${name}.yaml`),
      `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: To be measured
  owners: [${OWNER}]
  identity:
    - publicKeyFile: keys/${name}.pub.pem
  access:
${access.join('')}  reviewBy: "2099-12-31"
`,
    )
  }
}
