// A real broker in a process of its own, a tool that asks it about each token, an owner, and agents whose keys lie in files:
// what `hallpass mcp` stands between.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { newKeyPair } from '../../src/commands/new-key-pair.ts'
import { freePort, stopAll } from '../tools/background.ts'
import { bearerIn, type Initialised, initialiseBroker } from '../tools/broker-process.ts'
import { callApi, expectDone } from '../tools/people-and-agents.ts'

const OWNER = 'lead@example.com'
export const AGENT = 'shell-bot'

const MANIFESTS = (port: number) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: desk }
spec:
  owners: [${OWNER}]
  category: ticketing
  resource: http://127.0.0.1:${port}
  scopes:
    desk:read: { description: Read, risk: low }
    desk:comment: { description: Comment, risk: low }
  token: { verifiedBy: asks }
---
apiVersion: hallpass/v1
kind: Tool
metadata: { name: wiki }
spec:
  owners: [${OWNER}]
  category: ticketing
  resource: https://wiki.example.com
  upstream: { url: "http://127.0.0.1:${port}" }
  scopes:
    wiki:read: { description: Read pages, risk: low, allow: [{ methods: [GET], paths: [/page] }] }
  token: { verifiedBy: asks }
---
apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${AGENT} }
spec:
  purpose: Works in a shell
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${AGENT}.pub.pem }]
  access:
    - { tool: desk, scopes: [desk:read], tokenTtl: 60s }
    - { tool: desk, scopes: [desk:comment], approval: none, tokenTtl: 5s }
    - { tool: wiki, scopes: [wiki:read], approval: none, delivery: proxy }
`

const REQUESTS = z.object({ items: z.array(z.object({ id: z.string() })) })
const ROWS = z.object({ items: z.array(z.looseObject({ id: z.string(), status: z.string() })) })
const run = promisify(execFile)

export type BridgeStage = Awaited<ReturnType<typeof setBridgeStage>>

export async function setBridgeStage() {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-bridge-'))
  let introspect: (token: string) => Promise<boolean> = async () => false
  const desk = createServer((incoming, outgoing) => void answer(incoming, outgoing))
  const answer = async ({ headers, url }: IncomingMessage, outgoing: ServerResponse) => {
    const token = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1]
    if (url === '/page') return outgoing.end(JSON.stringify({ page: true, authorization: headers.authorization }))
    const isActive = token !== undefined && (await introspect(token).catch(() => false))
    return outgoing.writeHead(isActive ? 200 : 401).end(isActive ? 'desk' : 'who are you?')
  }
  desk.listen(0, '127.0.0.1')
  await once(desk, 'listening')
  const { port: deskPort } = desk.address() as AddressInfo

  mkdirSync(join(folder, 'scopes/keys'), { recursive: true })
  mkdirSync(join(folder, 'run'), { mode: 0o700 })
  writeFileSync(join(folder, 'scopes/all.yaml'), MANIFESTS(deskPort))
  const { privatePem, publicPem } = newKeyPair()
  const keyPath = join(folder, 'agent key.pem')
  writeFileSync(keyPath, privatePem, { mode: 0o600 })
  writeFileSync(join(folder, `scopes/keys/${AGENT}.pub.pem`), publicPem)
  const broker: Initialised = await initialiseBroker(folder, await freePort(), OWNER)
  await broker.start()
  const verifier = bearerIn(await broker.hallpass('verifier', 'token', 'desk'), 'verify')
  introspect = async (token) => {
    const response = await fetch(`${broker.issuer}/oauth/introspect`, {
      method: 'POST',
      headers: { 'x-hallpass-verifier': verifier, connection: 'close' },
      body: new URLSearchParams({ token }),
    })
    return z.object({ active: z.boolean() }).parse(await response.json()).active
  }
  const asOwner = (path: string, body?: Record<string, unknown>) =>
    expectDone(callApi(broker.issuer, broker.ownerToken, path, body))

  return {
    folder,
    broker,
    deskUrl: `http://127.0.0.1:${deskPort}`,
    /** Where a bridge's files are. */
    runFolder: join(folder, 'run'),
    env: {
      HALLPASS_URL: broker.issuer,
      HALLPASS_AGENT: AGENT,
      HALLPASS_AGENT_KEY: keyPath,
      XDG_RUNTIME_DIR: join(folder, 'run'),
    },
    isActive: (token: string) => introspect(token),
    pending: async () => REQUESTS.parse(await asOwner(`/requests?agent=${AGENT}&status=pending`)).items,
    approve: (requestId: string) => asOwner(`/requests/${requestId}/approve`, {}),
    grants: async () => ROWS.parse(await asOwner(`/grants?agent=${AGENT}`)).items,
    lock: () => broker.hallpass('lock', `agent/${AGENT}`, '--reason', 'test').catch(() => ''),
    /** What a model in a shell runs: the file's path, never what is in it. */
    async curl(headerFile: string, url = `http://127.0.0.1:${deskPort}/tickets`) {
      const { stdout } = await run('curl', ['-sS', '-w', '\n%{http_code}', '-H', `@${headerFile}`, url])
      const [status = '', ...body] = stdout.split('\n').reverse()
      return { status: Number(status), body: body.reverse().join('\n') }
    },
    async close() {
      await stopAll()
      desk.closeAllConnections()
      desk.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
